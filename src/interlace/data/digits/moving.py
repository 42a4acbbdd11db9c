"""Videos of moving digits, some of which move together: what the data sets have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.utils.data import Dataset

from interlace.data.counter_random import below, chance, draw, stream_key
from interlace.data.digits.images import SIZE, Digits
from interlace.data.digits.render import render

Split = Literal["train", "validation", "test"]

INK = 10  # pixels below this are not drawn
ONE_THREAD = 1 << 15  # elements that PyTorch gives to one thread


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
    canvas: Tensor  # float32 (1,) its side: CUDA divides by a tensor as exactly as a CPU does
    subsets: Tensor  # bool (S, D) the sets of digits that may move together


@dataclass(eq=False, repr=False)
class MovingDigits(Dataset[VideoBatch], ABC):
    """Videos made when asked for. Who is on screen is left to subclasses; the rest is here.

    Args: see `interlace.data.digits.syncmnist.SyncMNIST`.

    Attributes:
        classes_repeat: whether two digits of a video may be of one class.
    """

    classes_repeat: ClassVar[bool] = False

    digits: Digits
    _: KW_ONLY
    num_digits: int = 3
    size: int = 600_000
    seed: int = 0
    split: Split = "train"
    classes: int = 10
    num_frames: int = 10
    canvas: int = 100
    frame: int = 64
    max_step: int = 10
    no_pair: float = 1 / 92

    def __post_init__(self) -> None:
        leasts = {"size": 1, "frame": 1, "max_step": 1, "canvas": SIZE + 1}
        leasts |= dict.fromkeys(("num_digits", "classes", "num_frames"), 2)
        for name, least in leasts.items():
            value = getattr(self, name)
            if value < least:
                raise ValueError(
                    f"{name} must be at least {least}, got {value}; choose a larger one"
                )
        if not 0 <= self.no_pair <= 1:
            raise ValueError(
                f"no_pair must be a probability in [0, 1], got {self.no_pair}; the authors use 1/92"
            )
        if self.split not in get_args(Split):
            raise ValueError(
                f"split must be one of {', '.join(get_args(Split))}, got {self.split!r}; choose one"
            )
        labels, classes = self.digits.labels, self.classes
        count = torch.bincount(labels.clamp(min=0), minlength=classes)[:classes]
        if not bool((count > 0).all()):
            missing = int((count == 0).nonzero()[0])
            raise ValueError(
                f"classes={classes} needs images of every class from 0 to {classes - 1}, but "
                f"{self.digits.name!r} has none of class {missing}; use fewer classes or other "
                "digits"
            )
        self._key = stream_key(self.seed, get_args(Split).index(self.split))
        self._tables: dict[torch.device, _Tables] = {}

    @abstractmethod
    def _subsets(self) -> Tensor:
        """bool (S, D): the equally likely sets of digits that move together."""

    @abstractmethod
    def _classes(self, bits: Tensor) -> Tensor:
        """int64 (B, D): classes of the digits, from as many random numbers."""

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
            indices: (B,) whole numbers in [0, len(self)), in any order, also repeated; on the CPU,
                or the call waits for them.
            device: where the videos are made and stay.

        Returns:
            The videos; number i is the same in every batch and on every device, to the last bit.

        Raises:
            IndexError: an index is outside the data set.
            TypeError: indices are no whole numbers.
        """
        index = torch.as_tensor(indices).cpu()
        whole = not (index.is_floating_point() or index.dtype == torch.bool)
        if index.ndim != 1 or not (whole or index.numel() == 0):
            raise TypeError(
                f"indices must be whole numbers (B,), got {index.dtype} {tuple(index.shape)}; "
                "for one video use dataset[i]"
            )
        index = index.to(torch.int64)
        outside = (index < 0) | (index >= self.size)
        if bool(outside.any()):
            raise IndexError(
                f"video index must be in [0, {self.size}), got {int(index[outside][0])}; "
                "make the data set larger with size="
            )
        device = torch.empty(0, device=device).device  # with its number
        index = index.to(device, non_blocking=True)
        tables = self._tables_on(device)
        # PyTorch splits larger tensors among threads, and waits long where cores are shared
        largest = max(sum(self._draws()), 4 * self.num_frames * self.num_digits)
        at_once = ONE_THREAD // largest if device.type == "cpu" else len(index)
        scenes = [self._scene(piece, tables) for piece in index.split(max(1, at_once))]
        classes, together, image, places, boxes = map(torch.cat, zip(*scenes, strict=True))
        video = render(tables.images, image, places, canvas=self.canvas, frame=self.frame)
        return VideoBatch(video, self._label(classes, together), boxes, classes, together)

    def _tables_on(self, device: torch.device) -> _Tables:
        if device not in self._tables:
            labels = self.digits.labels
            kept = ((labels >= 0) & (labels < self.classes)).nonzero()[:, 0]
            kept = kept[labels[kept].argsort(stable=True)]
            images = self.digits.images[kept]
            count = torch.bincount(labels[kept], minlength=self.classes)
            tables = _Tables(
                images=torch.where(images >= INK, images, torch.zeros_like(images)),
                first=count.cumsum(0) - count,
                amount=count,
                canvas=torch.tensor([float(self.canvas)]),
                subsets=self._subsets(),
            )
            self._tables[device] = _Tables(*(table.to(device) for table in tables))
        return self._tables[device]

    def _draws(self) -> list[int]:
        """How many random numbers a video takes for each purpose, in the order of `_scene`."""
        digits, steps = self.num_digits, self.num_frames - 1
        return [1, 1, digits, digits, 2 * digits, 2 * steps * digits, 2 * steps]

    def _scene(self, index: Tensor, tables: _Tables) -> tuple[Tensor, ...]:
        """What happens in videos, before anything is drawn.

        Returns:
            Which classes are on screen and which digits move together, (B, D); the image of each
            digit in the table, int64 (B, D); column and row of each tile's first pixel, int64
            (B, T, D, 2); boxes, float32 (B, T, D, 4).
        """
        digits, steps, room = self.num_digits, self.num_frames - 1, self.canvas - SIZE
        counts = self._draws()
        parts = draw(self._key, index, sum(counts)).split(counts, dim=1)
        alone, subset, who, which, start, own, common = parts

        classes = self._classes(who)  # (B, D)
        together = tables.subsets[below(subset[:, 0], len(tables.subsets))]
        together = together & ~chance(alone, self.no_pair)  # (B, D)
        places = _walk(
            start=below(start, room + 1).unflatten(1, (digits, 2)),
            own=(below(own, 2 * self.max_step) - self.max_step).unflatten(1, (steps, digits, 2)),
            common=(below(common, 2 * self.max_step) - self.max_step).unflatten(1, (steps, 1, 2)),
            together=together[..., None],
            room=room,
        )  # (B, T, D, 2)
        image = tables.first[classes] + below(which, tables.amount[classes])  # (B, D)
        centre = (places + SIZE // 2) / tables.canvas  # (B, T, D, 2)
        boxes = torch.cat([centre, torch.full_like(centre, SIZE / 2 / self.canvas)], dim=-1)
        return classes, together, image, places, boxes

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
    place, places, alone = start, [start], ~together
    for step in range(own.shape[1]):
        least = (-place).masked_fill(alone, -room).amax(1, keepdim=True)  # (B, 1, 2)
        most = room - place.masked_fill(alone, 0).amax(1, keepdim=True)
        shared = torch.minimum(torch.maximum(common[:, step], least), most)
        single = (place + own[:, step]).clamp(0, room)
        place = torch.where(together, place + shared, single)
        places.append(place)
    return torch.stack(places, dim=1)
