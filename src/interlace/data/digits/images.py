"""Where digits come from: MNIST, a folder with its four idx files, or scikit-learn's digits."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from interlace.data.digits.resize import resize

SIZE = 28  # pixels a side of every digit

# MD5 of MNIST's uncompressed files; a file of the same size must be the same file
_MNIST = {
    "train-images-idx3-ubyte": (47_040_016, "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": (60_008, "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": (7_840_016, "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": (10_008, "27ae3e4e09519cfbb04c329615203637"),
}


@dataclass(frozen=True, eq=False)
class Digits:
    """Images of digits and what they are.

    Args:
        images: uint8 (M, 28, 28), 0 is background, 255 full ink.
        labels: int64 (M,) the class of each image, from 0.
        name: where they come from, for reports: "mnist train".

    Raises:
        ValueError: a tensor of another shape or type, or fewer labels than images.
    """

    images: Tensor
    labels: Tensor
    name: str

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 3 or images.shape[1:] != (SIZE, SIZE):
            raise ValueError(
                f"images must be uint8 (M, {SIZE}, {SIZE}), got {images.dtype} "
                f"{tuple(images.shape)}; resize them and scale to 0..255 first"
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"labels must be int64 ({len(images)},), one per image, got {labels.dtype} "
                f"{tuple(labels.shape)}; use labels.long(), one for each image"
            )


def load_digits(source: str | Path = "mnist", *, train: bool) -> Digits:
    """Load the digits that synthetic videos are made of.

    Args:
        source: "mnist": MNIST, kept in `interlace` in the user's cache folder (`$XDG_CACHE_HOME` or
            `~/.cache`); downloaded with torchvision when it is not there yet, and checked.
            "embedded": scikit-learn's 1,797 digits of 8x8 pixels, enlarged; no download. Otherwise
            a folder with MNIST's idx files, gzipped or not. A `Path` is always a folder.
        train: the training digits, else the test digits; no image is in both.

    Returns:
        The digits, on the CPU.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: a file is damaged, or not what its name says.
        OSError: the download failed.
        ModuleNotFoundError: torchvision or scikit-learn is needed and not installed.

    Example:
        >>> digits = load_digits("embedded", train=False)
        >>> digits.images.shape
        torch.Size([359, 28, 28])
    """
    if source == "embedded":
        return _embedded(train=train)
    if source == "mnist":
        return _mnist(train=train)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f'digits source must be "mnist", "embedded" or a folder with the four MNIST idx files, '
            f"got {str(source)!r}, and no such folder exists"
        )
    return _read_folder(folder, train=train, name=folder.name)


def _names(train: bool) -> tuple[str, str]:
    part = "train" if train else "t10k"
    return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"


def _mnist(*, train: bool) -> Digits:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "interlace"
    folder = root / "MNIST" / "raw"  # torchvision's layout
    if any(_find(folder, name) is None for name in _names(train)):
        try:
            from torchvision.datasets import MNIST

            MNIST(str(root), train=train, download=True)
        except ImportError as error:
            raise ModuleNotFoundError(
                f"downloading MNIST needs torchvision ({error}); run: pip install torchvision"
            ) from error
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"MNIST could not be downloaded into {root} ({error}); try again, name a folder "
                f'with the four idx files as source, or use source="embedded"'
            ) from error
    return _read_folder(folder, train=train, name="mnist")


def _embedded(*, train: bool) -> Digits:
    try:
        from sklearn.datasets import load_digits as load_embedded
    except ImportError as error:
        raise ModuleNotFoundError(
            f"the embedded digits come with scikit-learn ({error}); run: pip install scikit-learn"
        ) from error
    bunch = load_embedded()
    images = torch.from_numpy(bunch.images).to(torch.int32)  # (1797, 8, 8), 0..16
    images = ((images * 255 + 8) // 16).to(torch.uint8)
    labels = torch.from_numpy(bunch.target).to(torch.int64)
    held_out = torch.arange(len(labels)) % 5 == 4  # every fifth image is for testing
    keep = ~held_out if train else held_out
    name = f"embedded {'train' if train else 'test'}"
    return Digits(resize(images[keep], SIZE), labels[keep], name)


def _read_folder(folder: Path, *, train: bool, name: str) -> Digits:
    images_name, labels_name = _names(train)
    images, labels = _read_idx(folder, images_name), _read_idx(folder, labels_name)
    if len(images) != len(labels):
        raise ValueError(
            f"{images_name} has {len(images)} images and {labels_name} {len(labels)} labels in "
            f"{folder}; they do not belong together, download both again"
        )
    return Digits(images, labels.to(torch.int64), f"{name} {'train' if train else 'test'}")


def _find(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _read_idx(folder: Path, name: str) -> Tensor:
    """Read one idx file: (M, 28, 28) or (M,) uint8, by what its name says."""
    path = _find(folder, name)
    if path is None:
        raise FileNotFoundError(
            f"{name} (or {name}.gz) is missing in {folder}; download it there, or use "
            f'source="mnist" or "embedded"'
        )
    content, problem = path.read_bytes(), None
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            problem = f"is no whole gzip file ({error})"
    shape = (SIZE, SIZE) if "idx3" in name else ()
    header = 8 + 4 * len(shape)
    problem = problem or _problem(name, content, header, shape)
    if problem is not None:
        raise ValueError(f"{path} {problem}; delete it and download it again")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[header:].reshape(-1, *shape)


def _problem(name: str, content: bytes, header: int, shape: tuple[int, ...]) -> str | None:
    """Why a file is not what its name says, in words; None if it is."""
    magic = 0x0800 | (1 + len(shape))  # 08: unsigned bytes; then the number of axes
    if len(content) < header:
        return f"ends after {len(content)} bytes, inside its header"
    found, count, *found_shape = struct.unpack(f">{header // 4}I", content[:header])
    if found != magic:
        return f"must begin with the idx number {magic:#06x}, got {found:#x}: it is another file"
    if tuple(found_shape) != shape:
        return f"holds images of {found_shape[0]}x{found_shape[1]} pixels, expected {SIZE}x{SIZE}"
    size = header + count * math.prod(shape)
    if count == 0 or len(content) != size:
        return f"announces {count} items and must be {size} bytes unpacked, got {len(content)}"
    found_md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if size == _MNIST[name][0] and found_md5 != _MNIST[name][1]:
        return f"has the size of MNIST's file but not its content (MD5 {found_md5})"
    return None
