import itertools
from collections import Counter

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from lib.train.sft import order as order_of

lengths_ = st.lists(st.integers(1, 200), min_size=1, max_size=60)
replays = st.lists(st.integers(1, 200), max_size=30)
wholes, sizes, seeds = st.integers(1, 5), st.integers(1, 9), st.integers(0, 9)


def schedule(facts, replay, epochs, batch_size, seed):
    return order_of([*facts, *replay], len(facts), epochs, batch_size, seed)


@given(lengths_, replays, wholes | st.floats(0.3, 4), sizes, seeds)
def test_fact_rows_are_seen_once_an_epoch_a_part_of_them_in_its_part_and_replay_rows_once_in_all(
    facts, replay, epochs, batch_size, seed
):
    assume(round(len(facts) * epochs))  # else there is nothing to train
    seen = Counter(schedule(facts, replay, epochs, batch_size, seed))
    part = round(len(facts) * (epochs - int(epochs)))
    times = Counter(seen[i] for i in range(len(facts)))
    assert times == +Counter({int(epochs): len(facts) - part, int(epochs) + 1: part})
    assert all(seen[i] == 1 for i in range(len(facts), len(facts) + len(replay))) and max(seen) < len(facts + replay)


@given(lengths_, replays, wholes, sizes, seeds)
def test_rows_of_like_length_share_a_batch(facts, replay, epochs, batch_size, seed):
    order = schedule(facts, replay, epochs, batch_size, seed)
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
    order = schedule([20] * 40, [20] * 40, 4, 4, 0)
    for quarter in range(4):
        replayed = sum(i >= 40 for i in order[50 * quarter : 50 * (quarter + 1)])
        assert 5 <= replayed <= 15


def test_batches_come_in_another_order_in_every_epoch_and_for_every_seed():
    orders = [tuple(schedule(range(20, 60), [], 2, 4, seed)) for seed in range(5)]
    assert tuple(schedule(range(20, 60), [], 2, 4, 0)) == orders[0]
    assert len({half for order in orders for half in (order[:40], order[40:])}) == 10
