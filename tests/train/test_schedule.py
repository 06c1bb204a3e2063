import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lib.train.schedule import Schedule

lengths_ = st.lists(st.integers(1, 200), min_size=1, max_size=60)
replays = st.lists(st.integers(1, 200), max_size=30)
wholes, sizes, seeds = st.integers(1, 5), st.integers(1, 9), st.integers(0, 9)


def schedule(facts, replay, epochs, batch_size, seed):
    return Schedule([*facts, *replay], len(facts), epochs, batch_size, seed)


@given(lengths_, replays, wholes, sizes, seeds)
def test_every_fact_row_is_seen_once_an_epoch_and_every_replay_row_once_in_all(facts, replay, epochs, batch_size, seed):
    made = schedule(facts, replay, epochs, batch_size, seed)
    order = list(made)
    seen = Counter(order)
    assert len(order) == len(made) == len(facts) * epochs + len(replay)
    assert all(seen[i] == epochs for i in range(len(facts)))
    assert all(seen[i] == 1 for i in range(len(facts), len(facts) + len(replay)))


@given(lengths_, replays, st.floats(0.3, 4), sizes, seeds)
def test_of_a_part_of_an_epoch_a_part_of_the_rows_is_seen(facts, replay, epochs, batch_size, seed):
    if round(len(facts) * epochs) == 0:
        return  # nothing to train
    made = schedule(facts, replay, epochs, batch_size, seed)
    order = list(made)
    seen = Counter(order)
    assert len(order) == len(made)
    assert abs(len(order) - len(replay) - len(facts) * epochs) <= 0.5 + 1e-6
    assert {seen[i] for i in range(len(facts))} <= {int(epochs), int(epochs) + 1}
    assert all(seen[i] == 1 for i in range(len(facts), len(facts) + len(replay)))


@pytest.mark.parametrize(("facts", "epochs"), [(1, 1.5), (1, 3.5), (3, 1.5), (5, 1.3), (7, 2.5)])
def test_the_length_is_the_number_of_rows_also_where_half_a_row_is_rounded(facts, epochs):
    made = schedule([10] * facts, [], epochs, 1, 0)
    assert len(made) == len(list(made))


@given(lengths_, replays, wholes, sizes, seeds)
def test_rows_of_like_length_share_a_batch(facts, replay, epochs, batch_size, seed):
    order = list(schedule(facts, replay, epochs, batch_size, seed))
    lengths, parts, at, over = [*facts, *replay], [len(part) for part in np.array_split(replay, epochs)], 0, 0
    for part in parts:  # what does not fill a batch goes on to the next epoch
        over += len(facts) + part
        n, over = over // batch_size, over % batch_size
        batches = [[lengths[i] for i in order[at + j * batch_size : at + (j + 1) * batch_size]] for j in range(n)]
        at += n * batch_size
        for one, other in itertools.combinations(batches, 2):  # blurred by at most 5 %
            low, high = sorted((one, other), key=max)
            assert max(low) <= 1.05 * min(high) or max(high) <= 1.05 * min(low)
    assert over == len(order) - at < batch_size


def test_replay_is_spread_over_all_epochs():
    order = list(schedule([20] * 40, [20] * 40, 4, 4, 0))
    for quarter in range(4):
        replayed = sum(i >= 40 for i in order[50 * quarter : 50 * (quarter + 1)])
        assert 5 <= replayed <= 15


def test_batches_come_in_another_order_in_every_epoch_and_for_every_seed():
    orders = [tuple(schedule(range(20, 60), [], 2, 4, seed)) for seed in range(5)]
    assert tuple(schedule(range(20, 60), [], 2, 4, 0)) == orders[0]
    assert len({half for order in orders for half in (order[:40], order[40:])}) == 10


def test_the_same_schedule_is_the_same_whatever_torch_has_drawn():
    import torch

    torch.manual_seed(1)
    first = list(schedule(range(20, 60), range(10), 2, 4, 0))
    torch.manual_seed(2)
    assert first == list(schedule(range(20, 60), range(10), 2, 4, 0))
