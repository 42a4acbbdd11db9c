"""Which videos there are, and what they show: from folders of classes, or from files of labels.

Everything that can be wrong with files, labels and classes is said here, before any video is read.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath

from interlace.data.clips.clip_list import ClipList, Item, few, several
from interlace.data.labels.files import read_labels
from interlace.data.labels.labels import Labels, Line, SplitName, split_of
from interlace.data.labels.numbers import name_numbers
from interlace.data.video.below import Below
from interlace.data.video.folder import list_frames, list_sequences, natural, without_number
from interlace.data.video.info import VideoError
from interlace.data.video.sources import VIDEOS, find_videos

Root = str | os.PathLike[str]

log = logging.getLogger(__name__)

_FLOW = re.compile(r"(optical_?)?flow(_?[xyuv])?s?|depths?|masks?")  # folders beside frames
_SEVERAL = re.compile(r"[^|]+(\|[^|]+)+|\d+([,;] ?\d+)+")  # "left|up", "0,3"
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
    """Which folders below a folder are its splits; none where they are classes.

    Raises:
        ValueError: several are splits, and others are none, or two are the same split.

    Example:
        {"train": "train", "validation": "val"}
    """
    root = Path(path).expanduser()
    folders = _folders(root)
    found: dict[SplitName, str] = {}
    for name in folders:
        split = split_of(name)
        if split in found:
            raise ValueError(
                f"{root} has {found[split]} and {name}, which are the same split; make them one"
            )
        if split is not None:
            found[split] = name
    others = [name for name in folders if name not in found.values()]
    if others and len(found) > 1:
        raise ValueError(
            f"{root} has the splits {', '.join(found.values())}, and {few(others)} beside them; "
            "put the folders of classes into train, validation and test, or rename those"
        )
    return {} if others else found


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
        first = root / splits.get("train", next(iter(splits.values()))) if splits else root
        classes = _folders(first)
        if not classes:
            raise ValueError(f"{first} has no folders; {_BY_CLASS}")
    numbers = {name: label for label, name in enumerate(classes)}
    items = []
    for found in find_videos(root / top):
        name, *rest = PurePosixPath(found).parts
        if not rest and (root / top / found).is_dir():
            raise ValueError(
                f"{root / top / found} holds pictures of no video; put those of each video into a "
                "folder of its own, within that of its class"
            )
        if not rest:
            raise ValueError(f"{root / top / found} is in no folder of a class; {_BY_CLASS}")
        if name not in numbers:
            raise ValueError(
                f"{root / top / name} is a folder of none of the {len(numbers)} classes "
                f"({few(list(numbers))}); rename or remove it"
            )
        items.append(Item(top + found, numbers[name]))
    flow = [i.name for i in items if _FLOW.fullmatch(PurePosixPath(i.name).name.lower())]
    if flow:
        raise ValueError(
            f"{few(flow)} in {root} are called as optical flow, depth or masks are, and are no "
            "videos of their class; move them elsewhere, or list the videos in a file of labels"
        )
    used = {item.label for item in items}
    empty = [n for n in _folders(root / top) if n in numbers and numbers[n] not in used]
    if empty:
        raise ValueError(
            f"{several(empty, 'folder')} no videos in {root / top}; put some there, or remove it"
        )
    return _said(ClipList(root, tuple(items), tuple(classes)))


def _said(clips: ClipList) -> ClipList:
    """The same, after a note on the first folder of frames that has other pictures, too."""
    named = (item.name for item in clips.items if not item.name.lower().endswith(VIDEOS))
    folder = next((clips.root / name for name in named if (clips.root / name).is_dir()), None)
    sequences = [] if folder is None else list(list_sequences(folder))
    if folder is not None and len(sequences) > 1:
        taken = without_number(list_frames(folder)[0].name)
        left = few([name for name in sequences if name != taken])
        log.info(f"of folders of pictures as {folder}, {taken} are the frames; {left} are not used")
    return clips


# --- classes by file ------------------------------------------------------------------------------


def _by_file(
    root: Path,
    file: Path,
    split: SplitName | None,
    classes: Sequence[str] | None,
    skip_missing: bool,
) -> ClipList:
    below = Below(root)
    said = name_numbers(read_labels(file, below), file, (file.parent, root), classes)
    if said.taken:
        log.info(f"{file}: {said.taken}")
    lines = _of_split(said, split, file)
    classes = tuple(classes or said.classes or _classes(said.lines))
    names = _existing(below, lines, file, said.anywhere, skip_missing)
    numbers = {name: label for label, name in enumerate(classes)}
    items, unknown = [], []
    for line, name in zip(lines, names, strict=True):
        if name is None:
            continue
        label = -1 if line.label is None else numbers.get(line.label)
        if label is None:
            unknown.append(f"{line.label!r} of {line.name}")
        else:
            items.append(Item(name, label, line.span))
    if unknown:
        raise ValueError(
            f"{file} has {len(unknown):,} labels that are none of the {len(classes)} classes "
            f"({few(classes)}): {few(unknown)}; mend them, or give the right classes"
        )
    counts = Counter(str(item) for item in items)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f"{several(twice, 'video')} several lines in {file}; leave one of each")
    joined = [name for name in classes if _SEVERAL.fullmatch(name)]
    if joined:
        log.warning(
            f"{file} has classes that look like several labels of a clip ({few(joined)}); each is "
            "learned as one class of its own, as a clip has one class"
        )
    alike: dict[str, str] = {}
    for name in classes:
        if alike.setdefault(name.lower(), name) != name:
            log.warning(
                f"{file} has the classes {alike[name.lower()]!r} and {name!r}; if they are one, "
                "write them alike"
            )
    if not items:
        raise VideoError(f"{root} holds none of the videos of {file}; check both")
    return _said(ClipList(root, tuple(items), classes))


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
    """The names that lines have, as people count."""
    return sorted({line.label for line in lines if line.label is not None}, key=natural)


def _existing(
    below: Below, lines: Sequence[Line], file: Path, anywhere: bool, skip_missing: bool
) -> list[str | None]:
    """The path of each video below the root, with its suffix; None where it is left out."""
    root = below.root
    candidates = [(below.find_anywhere if anywhere else below.find)(line.name) for line in lines]
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
            hint = below.hint(missing)
            raise VideoError(f"{absent}: {few(missing)}; {hint}, or skip what is missing")
        log.warning(f"{absent}, and are left out: {few(missing)}")
    return [names[0] if names else None for names in candidates]
