"""SyncMNIST and MultiSyncMNIST: moving digits, some of which move together. Nothing on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.utils.data import Dataset

from interlace.data.counter_random import below, chance, draw, stream_key
from interlace.data.digits import SIZE, Digits
from interlace.data.render import render

Split = Literal["train", "validation", "test"]

INK = 10  # pixels below this are not drawn
STEP = 10  # a digit moves by -STEP to STEP - 1 pixels per axis and frame


class VideoBatch(NamedTuple):
    """Videos and all that is known about them; a single video lacks the first axis.

    Attributes:
        video: uint8 (B, T, 1, H, W), 0 is black.
        label: int64 (B,).
        boxes: float32 (B, T, D, 4) = (cx, cy, rx, ry) of each digit's 28-pixel tile, in [0, 1] of
            the frame, origin top left, r the half-extent.
        classes: int64 (B, D) class of each digit, in drawing order: later ones cover earlier ones.
        synchronous: bool (B, D) which digits move together; none of them, or two and more.
    """

    video: Tensor
    label: Tensor
    boxes: Tensor
    classes: Tensor
    synchronous: Tensor


class _Tables(NamedTuple):
    """What videos are made from, on one device."""

    images: Tensor  # uint8 (M, 28, 28), sorted by class, faint pixels removed
    first: Tensor  # int64 (classes,) index of the first image of each class
    amount: Tensor  # int64 (classes,) images of each class
    centre: Tensor  # float32 (canvas - 28 + 1,) centre of a tile, by its first pixel
    subsets: Tensor  # bool (S, D) the sets of digits that may move together


class _MovingDigits(Dataset[VideoBatch]):
    """What both data sets share: who is on screen is theirs, how it moves and looks is here."""

    def __init__(
        self,
        digits: Digits,
        *,
        num_digits: int,
        size: int,
        seed: int,
        split: Split,
        classes: int,
        num_frames: int,
        canvas: int,
        frame: int,
        no_pair: float,
    ) -> None:
        for name, value, least in (
            ("num_digits", num_digits, 2),
            ("size", size, 1),
            ("classes", classes, 2),
            ("num_frames", num_frames, 2),
            ("canvas", canvas, SIZE + 1),
            ("frame", frame, 1),
        ):
            if value < least:
                raise ValueError(
                    f"{name} must be at least {least}, got {value}; choose a larger one"
                )
        if not 0 <= no_pair <= 1:
            raise ValueError(
                f"no_pair must be a probability in [0, 1], got {no_pair}; the authors use 1/92"
            )
        if split not in get_args(Split):
            raise ValueError(
                f"split must be one of {', '.join(get_args(Split))}, got {split!r}; choose one"
            )
        count = torch.bincount(digits.labels.clamp(min=0), minlength=classes)[:classes]
        if not bool((count > 0).all()):
            missing = int((count == 0).nonzero()[0])
            raise ValueError(
                f"classes={classes} needs images of every class from 0 to {classes - 1}, but "
                f"{digits.name!r} has none of class {missing}; use fewer classes or other digits"
            )
        self.digits = digits
        self.num_digits = num_digits
        self.size = size
        self.seed = seed
        self.split: Split = split
        self.classes = classes
        self.num_frames = num_frames
        self.canvas = canvas
        self.frame = frame
        self.no_pair = no_pair
        self._key = stream_key(seed, get_args(Split).index(split))
        self._tables: dict[torch.device, _Tables] = {}

    def _subsets(self) -> Tensor:
        """bool (S, D): the equally likely sets of digits that move together."""
        raise NotImplementedError

    def _classes(self, bits: Tensor) -> Tensor:
        """int64 (B, D) classes of the digits from D random numbers each."""
        raise NotImplementedError

    @property
    def _pairs(self) -> int:
        return self.classes * (self.classes - 1) // 2

    @property
    def num_classes(self) -> int:
        """How many labels there are."""
        return self._pairs + 1

    def class_name(self, label: int) -> str:
        """The label in words: "3-1" for a pair of classes, larger first, and "none".

        Raises:
            ValueError: there is no such label.
        """
        label = int(label)
        if not 0 <= label < self.num_classes:
            raise ValueError(
                f"label must be in [0, {self.num_classes}), got {label}; is it of another data set?"
            )
        if label == self._pairs:
            return "none"
        if label > self._pairs:
            return f"{label - self._pairs - 1}-{label - self._pairs - 1}"
        larger = next(i for i in range(self.classes) if label < i * (i + 1) // 2)
        return f"{larger}-{label - larger * (larger - 1) // 2}"

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> VideoBatch:
        return VideoBatch(*(field[0] for field in self.batch([index])))

    def __getitems__(self, indices: list[int]) -> list[VideoBatch]:
        return [VideoBatch(*fields) for fields in zip(*self.batch(indices), strict=True)]

    def batch(
        self, indices: Tensor | Sequence[int], *, device: torch.device | str = "cpu"
    ) -> VideoBatch:
        """Make videos, many at once and much faster than one by one.

        Args:
            indices: (B,) whole numbers in [0, len(self)), on the CPU; in any order, also repeated.
            device: where the videos are made and stay.

        Returns:
            The videos; number i is the same in every batch and on every device, to the last bit.

        Raises:
            IndexError: an index is outside the data set.
            TypeError: indices are no whole numbers.
        """
        index = torch.as_tensor(indices)
        if index.numel() == 0:
            index = index.to(torch.int64)
        if index.ndim != 1 or index.is_floating_point() or index.dtype == torch.bool:
            raise TypeError(
                f"indices must be whole numbers (B,), got {index.dtype} {tuple(index.shape)}; "
                "for one video use dataset[i]"
            )
        outside = (index < 0) | (index >= self.size)
        if bool(outside.any()):
            raise IndexError(
                f"video index must be in [0, {self.size}), got {int(index[outside][0])}; "
                "make the data set larger with size="
            )
        device = torch.device(device)
        return self._make(index.to(device, torch.int64), self._tables_on(device))

    def _tables_on(self, device: torch.device) -> _Tables:
        if device not in self._tables:
            labels = self.digits.labels
            kept = ((labels >= 0) & (labels < self.classes)).nonzero()[:, 0]
            kept = kept[labels[kept].argsort(stable=True)]
            images = self.digits.images[kept]
            count = torch.bincount(labels[kept], minlength=self.classes)
            tile = torch.arange(self.canvas - SIZE + 1, dtype=torch.float64)
            tables = _Tables(
                images=torch.where(images >= INK, images, torch.zeros_like(images)),
                first=count.cumsum(0) - count,
                amount=count,
                centre=((tile + SIZE / 2) / self.canvas).float(),
                subsets=self._subsets(),
            )
            self._tables[device] = _Tables(*(table.to(device) for table in tables))
        return self._tables[device]

    def _make(self, index: Tensor, tables: _Tables) -> VideoBatch:
        digits, steps, room = self.num_digits, self.num_frames - 1, self.canvas - SIZE
        counts = [1, 1, digits, digits, 2 * digits, 2 * steps * digits, 2 * steps]
        parts = draw(self._key, index, sum(counts)).split(counts, dim=1)
        alone, subset, who, which, start, own, common = parts

        classes = self._classes(who)  # (B, D)
        together = tables.subsets[below(subset[:, 0], len(tables.subsets))]
        together = together & ~chance(alone, self.no_pair)  # (B, D)
        image = tables.first[classes] + below(which, tables.amount[classes])  # (B, D)
        places = _walk(
            start=below(start, room + 1).unflatten(1, (digits, 2)),
            own=(below(own, 2 * STEP) - STEP).unflatten(1, (steps, digits, 2)),
            common=(below(common, 2 * STEP) - STEP).unflatten(1, (steps, 1, 2)),
            together=together[..., None],
            room=room,
        )  # (B, T, D, 2)
        centre = tables.centre[places]
        extent = centre.new_full((), SIZE / 2 / self.canvas).expand_as(centre)
        return VideoBatch(
            video=render(tables.images[image], places, canvas=self.canvas, frame=self.frame),
            label=self._label(classes, together),
            boxes=torch.cat([centre, extent], dim=-1),
            classes=classes,
            synchronous=together,
        )

    def _label(self, classes: Tensor, together: Tensor) -> Tensor:
        """int64 (B,): of the largest class i and the smallest j that move together.

        i (i - 1) / 2 + j where i > j, pairs + 1 + i where they are the same, pairs where nobody is.
        """
        largest = classes.masked_fill(~together, -1).amax(1)
        smallest = classes.masked_fill(~together, self.classes).amin(1)
        pair = largest * (largest - 1) // 2 + smallest
        label = torch.where(largest == smallest, self._pairs + 1 + largest, pair)
        return torch.where(largest < 0, self._pairs, label)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tables": {}}  # another process has its own devices


def _walk(*, start: Tensor, own: Tensor, common: Tensor, together: Tensor, room: int) -> Tensor:
    """Where every digit is in every frame, as column and row of its first pixel.

    A digit on its own takes its step and is clipped to [0, room] per axis. Those that move
    together take one common step; it is clipped, per axis, to what the foremost of them has room
    for, so that all stay inside and all move by exactly the same.

    Args:
        start: (B, D, 2) in [0, room].
        own: (B, T - 1, D, 2) steps of digits on their own.
        common: (B, T - 1, 1, 2) steps of digits that move together.
        together: bool (B, D, 1).
        room: the largest coordinate that keeps a digit on the canvas.

    Returns:
        int64 (B, T, D, 2).
    """
    place, places = start, [start]
    for step in range(own.shape[1]):
        back = place.masked_fill(~together, room).amin(1, keepdim=True)
        ahead = room - place.masked_fill(~together, 0).amax(1, keepdim=True)
        shared = torch.minimum(torch.maximum(common[:, step], -back), ahead)  # (B, 1, 2)
        single = (place + own[:, step]).clamp(0, room)
        place = torch.where(together, place + shared, single)
        places.append(place)
    return torch.stack(places, dim=1)


class SyncMNIST(_MovingDigits):
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
        no_pair: probability that no two digits move alike.

    Raises:
        ValueError: an argument is out of range, or `digits` lack a class.

    Example:
        >>> from interlace.data.digits import load_digits
        >>> videos = SyncMNIST(load_digits("embedded", train=True))
        >>> videos[7].video.shape
        torch.Size([10, 1, 64, 64])
        >>> videos.class_name(4)
        '3-1'
    """

    def __init__(
        self,
        digits: Digits,
        *,
        num_digits: int = 3,
        size: int = 600_000,
        seed: int = 0,
        split: Split = "train",
        classes: int = 10,
        num_frames: int = 10,
        canvas: int = 100,
        frame: int = 64,
        no_pair: float = 1 / 92,
    ) -> None:
        if num_digits > classes:
            raise ValueError(
                f"num_digits must be at most classes={classes}, as all digits of a video differ, "
                f"got {num_digits}; use fewer digits or MultiSyncMNIST"
            )
        super().__init__(
            digits,
            num_digits=num_digits,
            size=size,
            seed=seed,
            split=split,
            classes=classes,
            num_frames=num_frames,
            canvas=canvas,
            frame=frame,
            no_pair=no_pair,
        )

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


class MultiSyncMNIST(_MovingDigits):
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
        digits, size, seed, split, classes, num_frames, no_pair: as for `SyncMNIST`.
        num_digits: on screen, at most 16; 3, 5 and 9 in the paper.
        canvas, frame: pixels a side that digits move on, and that one gets.

    Raises:
        ValueError: an argument is out of range, or `digits` lack a class.

    Example:
        >>> from interlace.data.digits import load_digits
        >>> videos = MultiSyncMNIST(load_digits("embedded", train=True))
        >>> videos.num_classes, videos.class_name(48)
        (56, '2-2')
    """

    def __init__(
        self,
        digits: Digits,
        *,
        num_digits: int = 5,
        size: int = 600_000,
        seed: int = 0,
        split: Split = "train",
        classes: int = 10,
        num_frames: int = 10,
        canvas: int = 256,
        frame: int = 128,
        no_pair: float = 1 / 92,
    ) -> None:
        if num_digits > 16:
            raise ValueError(
                f"num_digits must be at most 16, got {num_digits}; the paper uses 3, 5 and 9"
            )
        super().__init__(
            digits,
            num_digits=num_digits,
            size=size,
            seed=seed,
            split=split,
            classes=classes,
            num_frames=num_frames,
            canvas=canvas,
            frame=frame,
            no_pair=no_pair,
        )

    @property
    def num_classes(self) -> int:
        return self._pairs + 1 + self.classes

    def _subsets(self) -> Tensor:
        codes = torch.arange(1 << self.num_digits)
        members = (codes[:, None] >> torch.arange(self.num_digits) & 1).bool()
        return members[members.sum(1) >= 2]

    def _classes(self, bits: Tensor) -> Tensor:
        return below(bits, self.classes)
