"""Which videos there are, and what they show: from folders of classes, or from files of labels.

Everything that can be wrong with files, labels and classes is said here, before any video is read.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Literal

from interlace.data.clips.clip_list import ClipList, Item, few, several
from interlace.data.labels.files import read_labels
from interlace.data.labels.labels import SPLITS, Labels, Line
from interlace.data.video.folder import natural
from interlace.data.video.info import VideoError
from interlace.data.video.sources import VIDEOS, find_videos

SplitName = Literal["train", "validation", "test"]
Root = str | os.PathLike[str]

log = logging.getLogger(__name__)

_BY_CLASS = "put the videos of each class into a folder of its name, or give a file of labels"


def open_clips(
    path: Root,
    *,
    labels: Root | None = None,
    split: SplitName | None = None,
    classes: Sequence[str] | None = None,
    skip_missing: bool = False,
) -> ClipList:
    """The videos of a folder, with their classes.

    Args:
        path: a folder. Without `labels`: of folders, one of each class, at any depth videos or
            folders of frames; or of such folders named train, validation (val) and test.
        labels: a file that says which video shows what; paths in it are below `path`, and may
            lack their suffix. See docs/data.md for the formats.
        split: of those that the folder, or a column of the file, tells apart; see `given_splits`.
        classes: their names, in order, e.g. those a model was trained on; None: those found, as
            people count. Labels may be names or indices of them.
        skip_missing: leave videos out that are listed and not there.

    Raises:
        ValueError: files, labels and classes disagree; the message says where, and what to do.
    """
    root = Path(path).expanduser()
    if labels is None:
        return _by_folder(root, split, classes)
    return _by_file(root, Path(labels).expanduser(), split, classes, skip_missing)


def open_unlabelled(path: Root) -> ClipList:
    """All videos below a folder, or one video; what they show is not known."""
    root = Path(path).expanduser()
    items = tuple(Item(name, -1) for name in find_videos(root))
    return ClipList(root.parent if root.is_file() else root, items, ())


# --- classes by folder ----------------------------------------------------------------------------


def given_splits(path: Root) -> dict[SplitName, str]:
    """Which folders below a folder are its splits; none where it holds anything else.

    Example:
        {"train": "train", "validation": "val"}
    """
    root = Path(path).expanduser()
    folders = _folders(root)
    found: dict[SplitName, str] = {}
    for name in folders:
        split = SPLITS.get(name.lower())
        if split is None or split in found:
            return {}
        found[split] = name  # type: ignore[index]
    return found if "train" in found else {}


def _folders(root: Path) -> list[str]:
    if not root.is_dir():
        raise VideoError(f"{root} is no folder; name one that holds a folder for each class")
    folders = (entry.name for entry in root.iterdir() if entry.is_dir())
    return sorted((name for name in folders if not name.startswith(".")), key=natural)


def _by_folder(root: Path, split: SplitName | None, classes: Sequence[str] | None) -> ClipList:
    splits = given_splits(root)
    if splits or split is not None:
        _check_split(root, splits, split, "put its folders of classes into one of its name")
    top = "" if split is None else splits[split] + "/"
    if classes is None:
        first = root / splits["train"] if splits else root
        classes = _folders(first)
        if not classes:
            raise ValueError(f"{first} has no folders; {_BY_CLASS}")
    numbers = {name: label for label, name in enumerate(classes)}
    items = []
    for found in find_videos(root / top):
        name, *rest = PurePosixPath(found).parts
        if not rest:
            raise ValueError(f"{root / top / found} is in no folder of a class; {_BY_CLASS}")
        if name not in numbers:
            raise ValueError(
                f"{root / top / name} is a folder of none of the {len(numbers)} classes "
                f"({few(list(numbers))}); rename or remove it"
            )
        items.append(Item(top + found, numbers[name]))
    used = {item.label for item in items}
    empty = [n for n in _folders(root / top) if n in numbers and numbers[n] not in used]
    if empty:
        raise ValueError(
            f"{several(empty, 'folder')} no videos in {root / top}; put some there, or remove it"
        )
    return ClipList(root, tuple(items), tuple(classes))


# --- classes by file ------------------------------------------------------------------------------


def _by_file(
    root: Path,
    file: Path,
    split: SplitName | None,
    classes: Sequence[str] | None,
    skip_missing: bool,
) -> ClipList:
    said = read_labels(file)
    lines = _of_split(said, split, file)
    classes = tuple(classes or said.classes or _classes(said.lines))
    names = _existing(root, lines, file, said.anywhere, skip_missing)
    numbers = {name: label for label, name in enumerate(classes)}
    items, unknown = [], []
    for line, name in zip(lines, names, strict=True):
        if name is None:
            continue
        label = -1 if line.label is None else _number(line.label, numbers)
        if label is None:
            unknown.append(f"{line.label!r} of {line.name}")
        else:
            items.append(Item(name, label))
    if unknown:
        raise ValueError(
            f"{file} has {len(unknown):,} labels that are none of the {len(classes)} classes "
            f"({few(classes)}): {few(unknown)}; mend them, or give the right classes"
        )
    twice = [name for name, count in Counter(item.name for item in items).items() if count > 1]
    if twice:
        raise ValueError(f"{several(twice, 'video')} several lines in {file}; leave one of each")
    if not items:
        raise VideoError(f"{root} holds none of the videos of {file}; check both")
    return ClipList(root, tuple(items), classes)


def _of_split(said: Labels, split: SplitName | None, file: Path) -> list[Line]:
    told = sorted({line.split for line in said.lines if line.split})
    if split is None and len(told) < 2:
        return list(said.lines)
    _check_split(file, told, split, "add a column that says it")
    return [line for line in said.lines if line.split == split]


def _check_split(where: Path, told: Collection[str], split: SplitName | None, mend: str) -> None:
    """Raises a ValueError if a split is not one of those that a folder or file tells apart."""
    if split is None:
        raise ValueError(f"{where} has the splits {', '.join(told)}; say which one to open")
    if split not in told:
        have = f"only {', '.join(told)}" if told else "no splits"
        raise ValueError(
            f"{where} has {have}, and {split} was asked for; {mend}, or let the videos be split"
        )


def _classes(lines: Iterable[Line]) -> Sequence[str]:
    """Those of the lines: their names, as people count, or 0 .. the largest number."""
    found = {line.label for line in lines if line.label is not None}
    if all(label.isdecimal() for label in found):
        return [str(k) for k in range(max(map(int, found), default=-1) + 1)]
    return sorted(found, key=natural)


def _number(label: str, numbers: dict[str, int]) -> int | None:
    if label in numbers:
        return numbers[label]
    index = int(label) if label.isdecimal() else -1
    return index if 0 <= index < len(numbers) else None


def _existing(
    root: Path, lines: Sequence[Line], file: Path, anywhere: bool, skip_missing: bool
) -> list[str | None]:
    """The path of each video below the root, with its suffix; None where it is left out."""
    candidates = (_anywhere if anywhere else _where_named)(root, [line.name for line in lines])
    for line, names in zip(lines, candidates, strict=True):
        if len(names) > 1:
            raise VideoError(
                f"{line.name} in {file} may be any of {few(names)} in {root}; write its suffix, "
                "or remove the others"
            )
    missing = [line.name for line, names in zip(lines, candidates, strict=True) if not names]
    if missing:
        absent = f"{len(missing):,} of {len(lines):,} videos in {file} are not below {root}"
        if not (anywhere or skip_missing):
            raise VideoError(f"{absent}: {few(missing)}; check the folder, or skip what is missing")
        log.warning(f"{absent}, and are left out: {few(missing)}")
    return [names[0] if names else None for names in candidates]


def _where_named(root: Path, names: Sequence[str]) -> list[list[str]]:
    """Files and folders of these paths, or of them and a suffix."""

    @cache
    def inside(folder: PurePosixPath) -> dict[str, list[str]]:
        there = sorted(os.listdir(root / folder)) if (root / folder).is_dir() else []
        return _by_stem(there) | {name: [name] for name in there}

    paths = [PurePosixPath(name.replace("\\", "/")) for name in names]
    found = [(path.parent, inside(path.parent).get(path.name, [])) for path in paths]
    return [[str(folder / name) for name in called] for folder, called in found]


def _anywhere(root: Path, names: Sequence[str]) -> list[list[str]]:
    """Videos of these names, in any folder, with any suffix."""
    inside = _by_stem(find_videos(root))
    return [inside.get(name, []) for name in names]


def _by_stem(paths: Iterable[str]) -> dict[str, list[str]]:
    """Videos by their name without folder and suffix."""
    found: dict[str, list[str]] = {}
    for path in paths:
        if path.lower().endswith(VIDEOS):
            found.setdefault(PurePosixPath(path).stem, []).append(path)
    return found
