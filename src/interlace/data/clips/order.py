"""Which clips are in which batch: a function of the step alone, so that a run resumes anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from itertools import cycle, islice

import torch
from torch.utils.data import Sampler

from interlace.data.counter_random import draw, stream_key

Turn = tuple[int, int]  # (time, index): which clip, for which time, such as the epoch


@dataclass(eq=False)
class Order(Sampler[list[Turn]]):
    """Batches of shuffled epochs, one after another without a gap.

    All processes together see in step s what one process with world_size * batch_size clips a
    batch sees: numbers s * world_size * batch_size and following of all epochs in a row. A batch
    may hold the last clips of an epoch and the first of the next; only what does not fill a
    batch at the very end is left out.

    Args:
        length: clips of the data set.
        batch_size: of one process.
        seed: of the shuffles.
        epochs: times that each clip is seen.
        rank: number of this process, from 0.
        world_size: how many processes there are.
        start_step: the first batch to give; a run that goes on gives the steps it has made.
        balance: the label of each clip, for epochs of as many clips in which the classes take
            turns, so that each is seen equally often, clips of rare ones again and again.

    Example:
        >>> order = Order(5, 2, seed=0, epochs=2)
        >>> [len(batch) for batch in order], sorted(sum(order, []))[:5]
        ([2, 2, 2, 2, 2], [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)])
    """

    length: int
    batch_size: int
    seed: int
    epochs: int
    _: KW_ONLY
    rank: int = 0
    world_size: int = 1
    start_step: int = 0
    balance: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(
                f"{self.length} clips seen {self.epochs} times do not fill a batch of "
                f"{self.batch_size * self.world_size}; take a smaller batch_size, or more epochs"
            )

    @property
    def steps(self) -> int:
        """Of the whole run, whatever it starts with."""
        return self.length * self.epochs // (self.batch_size * self.world_size)

    def __len__(self) -> int:
        return max(0, self.steps - self.start_step)

    def __iter__(self) -> Iterator[list[Turn]]:
        shuffled = lru_cache(maxsize=1)(self._shuffle)
        for step in range(self.start_step, self.steps):
            first = (step * self.world_size + self.rank) * self.batch_size
            numbers = range(first, first + self.batch_size)
            yield [self._turn(number, shuffled) for number in numbers]

    def _turn(self, number: int, shuffled: Callable[[int], list[int]]) -> Turn:
        epoch, place = divmod(number, self.length)
        time = epoch if self.balance is None else number  # a clip may come twice an epoch
        return time, shuffled(epoch)[place]

    def _shuffle(self, epoch: int) -> list[int]:
        """The clips of an epoch in their order, the same on every machine."""
        numbers = draw(stream_key(self.seed, epoch), torch.arange(self.length), 1)[:, 0]
        shuffled = numbers.argsort(stable=True).tolist()
        return shuffled if self.balance is None else _taking_turns(shuffled, self.balance)


def _taking_turns(shuffled: Sequence[int], labels: Sequence[int]) -> list[int]:
    """As many clips, one of each class after the other.

    Example:
        >>> _taking_turns([0, 1, 2, 3, 4], [0, 0, 0, 0, 1])
        [0, 4, 1, 4, 2]
    """
    by_class: dict[int, list[int]] = {}
    for index in shuffled:
        by_class.setdefault(labels[index], []).append(index)
    classes = cycle(map(cycle, by_class.values()))
    return [next(clips) for clips in islice(classes, len(shuffled))]


def in_turn(length: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> list[list[int]]:
    """Every clip once, in batches; with several processes, each clip in one of them.

    Example:
        >>> in_turn(5, 2)
        [[0, 1], [2, 3], [4]]
        >>> in_turn(5, 2, rank=1, world_size=2)
        [[1, 3]]
    """
    own = range(rank, length, world_size)
    return [list(own[k : k + batch_size]) for k in range(0, len(own), batch_size)]
