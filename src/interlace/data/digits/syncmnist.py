"""SyncMNIST and MultiSyncMNIST: which digits move together? Nothing on disk."""

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from interlace.data.counter_random import below
from interlace.data.digits.datasets import DATASETS
from interlace.data.digits.moving import MovingDigits


@DATASETS.register("SyncMNIST", "which two digits move alike, of different classes")
@dataclass(eq=False, repr=False)
class SyncMNIST(MovingDigits):
    """Digits of different classes on the move; two of them move alike, and the label says which.

    The data set of Recurrent Space-time Graph Neural Networks (Nicolicioiu, Duta, Leordeanu 2019),
    section 3.1, as its authors make it. Each video: `num_digits` digits of different classes, in
    drawing order, start anywhere on the canvas where they fit. Each frame every digit moves by
    whole pixels in [-10, 10) per axis and is clipped to the canvas; the first two in drawing order
    move by one common step, clipped to what keeps both inside, so that they always move by exactly
    the same. With probability `no_pair` these two are on their own, too. Later digits are drawn
    over earlier ones, pixels below 10 are left out, and the canvas is resized to the frame,
    bilinear with half-pixel centres.

    The label of classes i > j is i (i - 1) / 2 + j; the last label says that nobody moves alike.
    Classes, images, starts and steps are uniform and independent.

    Video i is a pure function of (digits, seed, split, i) and the sizes below: the same to the last
    bit in every batch and worker, on every machine, on CPU and CUDA.

    Args:
        digits: from `load_digits`; use training digits for split "train" and "validation".
        num_digits: on screen, at most `classes`; 3 and 5 in the paper.
        size: how many videos.
        seed: any integer; another one gives other videos.
        split: "train", "validation" or "test": unrelated random numbers, so no video is in two.
        classes: only digits 0 .. classes - 1 take part.
        num_frames: frames of a video.
        canvas: pixels a side of the square that digits of 28 pixels move on.
        frame: pixels a side of the square that one gets.
        max_step: a digit moves by whole pixels in [-max_step, max_step) per axis and frame.
        no_pair: probability that no two digits move alike.

    Raises:
        ValueError: an argument is out of range, or `digits` lack a class.

    Example:
        >>> from interlace.data.digits.images import load_digits
        >>> videos = SyncMNIST(load_digits("embedded", train=True))
        >>> videos[7].video.shape
        torch.Size([10, 1, 64, 64])
        >>> videos.class_name(4)
        '3-1'
    """

    def __post_init__(self) -> None:
        if self.num_digits > self.classes:
            raise ValueError(
                f"num_digits must be at most classes={self.classes}, as all digits of a video "
                f"differ, got {self.num_digits}; use fewer digits or MultiSyncMNIST"
            )
        super().__post_init__()

    def _subsets(self) -> Tensor:
        return (torch.arange(self.num_digits) < 2)[None]

    def _classes(self, bits: Tensor) -> Tensor:
        # a shuffle (Fisher and Yates) that stops after D cards
        cards = torch.arange(self.classes, device=bits.device).repeat(len(bits), 1)
        for place in range(self.num_digits):
            other = place + below(bits[:, place, None], self.classes - place)  # (B, 1)
            taken = cards.gather(1, other)
            cards.scatter_(1, other, cards[:, place, None].clone())
            cards[:, place, None] = taken
        return cards[:, : self.num_digits].contiguous()


@DATASETS.register("MultiSyncMNIST", "which digits move alike, any number, classes repeat")
@dataclass(eq=False, repr=False)
class MultiSyncMNIST(MovingDigits):
    """Digits whose classes may repeat; any two or more of them move alike.

    The data set of Discovering Dynamic Salient Regions for Spatio-Temporal Graph Neural Networks
    (Duta, Nicolicioiu, Leordeanu 2021), appendix E.1. The label names the smallest and the largest
    class among the digits that move alike: for classes i > j it is i (i - 1) / 2 + j, then comes
    "none", then c-c where they are all of one class c.

    What the paper leaves open, here: every digit's class is uniform, independent of the others;
    with probability `no_pair` nobody moves alike, as in SyncMNIST; otherwise each set of two or
    more digits is equally likely (5 digits: 10 pairs, 10 triples, 5 fours, 1 five), wherever they
    stand in drawing order; all of a set move by one common step, clipped to what keeps all of them
    inside. Everything else is as in `SyncMNIST`.

    Args:
        digits, size, seed, split: as for `SyncMNIST`.
        num_digits: on screen, at most 16; 3, 5 and 9 in the paper.
        classes: only digits 0 .. classes - 1 take part.
        num_frames: frames of a video.
        canvas: pixels a side of the square that digits of 28 pixels move on.
        frame: pixels a side of the square that one gets.
        max_step: a digit moves by whole pixels in [-max_step, max_step) per axis and frame.
        no_pair: probability that no two digits move alike.

    Raises:
        ValueError: an argument is out of range, or `digits` lack a class.

    Example:
        >>> from interlace.data.digits.images import load_digits
        >>> videos = MultiSyncMNIST(load_digits("embedded", train=True))
        >>> videos.num_classes, videos.class_name(48)
        (56, '2-2')
    """

    classes_repeat = True

    _: KW_ONLY
    num_digits: int = 5
    canvas: int = 256
    frame: int = 128

    def __post_init__(self) -> None:
        if self.num_digits > 16:
            raise ValueError(
                f"num_digits must be at most 16, got {self.num_digits}; the paper uses 3, 5 and 9"
            )
        super().__post_init__()

    @property
    def num_classes(self) -> int:
        return self._pairs + 1 + self.classes

    def _subsets(self) -> Tensor:
        codes = torch.arange(1 << self.num_digits)
        members = (codes[:, None] >> torch.arange(self.num_digits) & 1).bool()
        return members[members.sum(1) >= 2]

    def _classes(self, bits: Tensor) -> Tensor:
        return below(bits, self.classes)
