"""The order in which rows are trained."""

import numpy as np


class Schedule:
    """A sampler over the rows of facts, each epoch anew, with the rows of replay spread over all epochs, each once.

    Rows of like length share a batch, since a batch is padded to its longest: drawn at random they pad by a tenth, and
    short rows among long ones by a quarter to four fifths. Lengths are blurred by up to 5 %, so that rows meet others.
    Batches of an epoch come in random order; what does not fill one, drawn at random, goes on to the next epoch. Of a
    last part of an epoch, a random part of its rows is seen. `lengths` are those of the `facts` fact rows, in tokens,
    and then of the replay rows.
    """

    def __init__(self, lengths: list[int], facts: int, epochs: float, batch_size: int, seed: int):
        self.lengths, self.facts, self.batch_size = np.array(lengths), facts, batch_size
        self.whole, self.part = int(epochs), round(facts * (epochs - int(epochs)))  # epochs; rows of a part of one
        self.rng = np.random.default_rng(seed)

    def __len__(self):
        return self.facts * self.whole + self.part + len(self.lengths) - self.facts

    def __iter__(self):
        rounds = [np.arange(self.facts)] * self.whole
        if self.part:
            rounds.append(self.rng.choice(self.facts, self.part, replace=False))
        replay = np.array_split(self.rng.permutation(np.arange(self.facts, len(self.lengths))), len(rounds))
        rest = np.array([], dtype=int)
        for of_facts, of_replay in zip(rounds, replay, strict=True):
            rows = np.concatenate([rest, of_facts, of_replay])
            order = rows[np.argsort(self.lengths[rows] * self.rng.uniform(1, 1.05, len(rows)))]
            over = self.rng.choice(len(order), len(order) % self.batch_size, replace=False)
            rest = order[over]
            batches = np.delete(order, over).reshape(-1, self.batch_size)
            yield from self.rng.permutation(batches).flatten().tolist()
        yield from rest.tolist()
