"""Which videos a run learns from and which it holds out: found once, checked, and written down."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from interlace.data.clips.clip_list import ClipList, check_classes, several
from interlace.data.clips.copies import copies_in_words, listed_on
from interlace.data.clips.manifest import (
    clips_fingerprint,
    read_manifest,
    without_broken,
    write_manifest,
)
from interlace.data.clips.opening import given_splits, open_clips
from interlace.data.clips.scan import scan
from interlace.data.clips.split import split_clips, write_list
from interlace.data.labels.files import read_labels
from interlace.data.labels.labels import SplitName
from interlace.data.video.below import Below
from interlace.training.tasks.clip_options import ClipDataOptions

log = logging.getLogger(__name__)

TRAIN, HELD_OUT, MANIFEST = "train.csv", "held_out.csv", "manifest.csv"


class RunClips(NamedTuple):
    """The videos of a run.

    Attributes:
        train, held_out: without those that cannot be read.
        skipped: how many those are.
        fingerprint: one number for the very files held out, see `clips_fingerprint`.
    """

    train: ClipList
    held_out: ClipList
    skipped: int
    fingerprint: str


def run_clips(
    options: ClipDataOptions, folder: Path, *, begun: bool = False, write: bool = True
) -> RunClips:
    """Finds, checks and splits the videos of a run.

    All are decoded once, unless a manifest is given or the run has begun with one.

    Args:
        options: where they are.
        folder: of the run; train.csv, held_out.csv and manifest.csv go there.
        begun: whether the run goes on, and must do so with the videos it began with.
        write: whether this process is the one that writes them.

    Raises:
        ValueError: files, labels and classes disagree, or the run has begun with other videos.
        VideoError: the manifest is of other videos, or no video can be read.
    """
    parts = find_clips(options)
    known = folder / MANIFEST
    if options.manifest is not None:
        rows = read_manifest(options.manifest)
    elif begun and known.exists():
        rows = read_manifest(known)
    else:
        names = [item.name for part in parts for item in part.items]
        rows = scan(options.path, names=names, workers=options.workers)
    if write:
        if not begun:
            write_manifest(known, rows)
        for name, part in zip((TRAIN, HELD_OUT), parts, strict=True):
            _write(folder / name, part, begun=begun)
    train, held_out = (without_broken(part, rows, skip=True) for part in parts)
    check_classes(train)
    check_classes(held_out, all_used=False)
    if write:
        _doubt(train, held_out)
        for line in copies_in_words(listed_on({"train": train, "held out": held_out}, rows)):
            log.warning(line)
    skipped = sum(map(len, parts)) - len(train) - len(held_out)
    return RunClips(train, held_out, skipped, clips_fingerprint(held_out, rows))


def find_clips(options: ClipDataOptions) -> tuple[ClipList, ClipList]:
    """The videos to learn from, and those to hold out: as given, or split.

    Raises:
        ValueError: files, labels and classes disagree.
    """
    if options.held_out_labels is not None:
        if options.labels is None:
            raise ValueError("data.held_out_labels needs data.labels, for what to learn from")
        train = _open(options)
        return train, _open(replace(options, labels=options.held_out_labels), classes=train.classes)
    splits = _given(options)
    if splits and "train" not in splits:
        raise ValueError(
            f"{options.labels or options.path} has {' and '.join(sorted(splits))} and nothing to "
            "train on; mark some as train, or leave the splits out"
        )
    if not splits:
        return split_clips(_open(options), fraction=options.held_out, seed=options.seed)
    train = _open(options, split="train")
    if {"validation", "test"} <= splits:
        log.info("what is marked test is left for `interlace evaluate --split test`")
    for other in ("validation", "test"):  # the first there is
        if other in splits:
            return train, _open(options, split=other, classes=train.classes)
    return split_clips(train, fraction=options.held_out, seed=options.seed)


def _given(options: ClipDataOptions) -> set[str]:
    """The splits that the folder, or its file of labels, tells apart."""
    if options.labels is None:
        return set(given_splits(options.path))
    labels = read_labels(Path(options.labels).expanduser(), Below(Path(options.path).expanduser()))
    return {line.split for line in labels.lines if line.split}


def _open(
    options: ClipDataOptions,
    *,
    split: SplitName | None = None,
    classes: Sequence[str] | None = None,
) -> ClipList:
    return open_clips(
        options.path,
        labels=options.labels,
        split=split,
        classes=classes,
        skip_missing=options.skip_missing,
    )


def _doubt(train: ClipList, held_out: ClipList) -> None:
    """Says in the log what can be learned from, and will not tell what it was meant to."""
    if len(train.classes) == 1:
        log.warning(
            f"all videos of {train.root} are of one class, {train.classes[0]}: there is nothing to "
            "tell apart, and every model is right; put the videos of each class into a folder of "
            "its name, and name the folder that these are in"
        )
    if not len(held_out):
        return
    counts = zip(train.classes, train.counts(), held_out.counts(), strict=True)
    unseen = [(name, learned) for name, learned, held in counts if not held]
    alone = [name for name, learned in unseen if learned == 1]
    others = [name for name, learned in unseen if learned > 1]
    if alone:
        log.warning(
            f"{several(alone, 'class', 'classes')} a single video, which is learned from: nothing "
            "will tell how well such a class is known; add some"
        )
    if others:
        log.warning(
            f"{several(others, 'class', 'classes')} no videos held out: nothing will tell how "
            "well such a class is known; hold some out"
        )


def _write(path: Path, clips: ClipList, *, begun: bool) -> None:
    """Writes a list; that of a run that goes on must be the one it began with."""
    before = path.read_bytes() if begun and path.exists() else None
    write_list(path, clips)
    if before is not None and path.read_bytes() != before:
        path.write_bytes(before)
        raise ValueError(
            f"the videos of {clips.root} are not those of {path}, with which this run began: "
            "choose another trainer.out, or put the videos back"
        )
