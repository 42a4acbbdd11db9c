"""What a manifest says of a list of videos: which are broken, and the fingerprint of those used."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from interlace.data.clips.items import ClipList, few
from interlace.data.clips.manifest import Row, fingerprint
from interlace.data.video.info import VideoError

log = logging.getLogger(__name__)


def without_broken(clips: ClipList, rows: Iterable[Row], *, skip: bool) -> ClipList:
    """The videos that can be read.

    Args:
        clips: a list whose root is the folder that was scanned.
        rows: of the manifest.
        skip: leave broken videos out, and say so in the log, as training does; else they are an
            error, as in an evaluation, whose result would be of other videos than it says.

    Raises:
        VideoError: a video is broken, or not in the manifest, or none is left.
    """
    by_name = _rows(clips, rows)
    errors = {
        item.name: by_name[item.name].error for item in clips.items if by_name[item.name].error
    }
    if not errors:
        return clips
    found = f"{len(errors):,} of {len(clips):,} videos of {clips.root} cannot be read"
    such = f"such as: {next(iter(errors.values()))}"
    if not skip:
        raise VideoError(f"{found}, {such}; mend them, or say that they may be skipped")
    left = clips.without(errors)
    if not left.items:
        raise VideoError(f"{found}, which leaves none, {such}")
    log.warning(f"{found} and are left out, {such}")
    return left


def clips_fingerprint(clips: ClipList, rows: Iterable[Row]) -> str:
    """One number for the very videos of a list, as `interlace.data.clips.manifest.fingerprint`.

    Args:
        clips: a list whose root is the folder that was scanned.
        rows: of the manifest, also of other videos.
    """
    by_name = _rows(clips, rows)
    return fingerprint(by_name[item.name] for item in clips.items)


def _rows(clips: ClipList, rows: Iterable[Row]) -> dict[str, Row]:
    by_name = {row.path: row for row in rows}
    missing = [item.name for item in clips.items if item.name not in by_name]
    if missing:
        raise VideoError(
            f"{len(missing):,} of {len(clips):,} videos of {clips.root} are not in the manifest: "
            f"{few(missing)}; make it anew with `interlace scan {clips.root}`"
        )
    return by_name
