"""Whether a file ends before the end that it announces: decoders seldom say so."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from interlace.data.video.info import VideoError
from interlace.data.video.memory import FileInMemory

# top-level boxes of mp4 and mov; what follows them is junk that players ignore, too
_BOXES = frozenset(
    b"ftyp moov mdat moof mfra free skip wide uuid sidx ssix styp pnot udta meta emsg prft".split()
)


def check_whole(path: Path | FileInMemory) -> None:
    """Raises a `VideoError` where the file is empty, or shorter than its own header says.

    Args:
        path: mp4, mov, webm, mkv, avi, gif, jpg, bmp or webp; other kinds pass.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            raise VideoError(f"{path} is empty; copy or download it again")
        file.seek(0)
        announced = _announced(file, size)
    if announced > size:
        raise VideoError(
            f"{path} is truncated: it has {size:,} bytes and needs at least {announced:,}; "
            "copy or download it again"
        )


def _announced(file: BinaryIO, size: int) -> int:
    """The least size in bytes that the file's own header asks for; 0 where it says nothing."""
    head = file.read(12)
    if head[4:8] in _BOXES:
        return _boxes(file, size)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _matroska(file)
    if head[:2] == b"BM" and len(head) == 12 and head[6:10] == bytes(4):
        return int(struct.unpack("<I", head[2:6])[0])
    if head[:4] == b"RIFF" and head[8:] in (b"AVI ", b"WEBP"):
        return 8 + int(struct.unpack("<I", head[4:8])[0])
    end = {b"GIF": b"\x3b", b"\xff\xd8\xff": b"\xff\xd9"}.get(head[:3])
    if end is not None:  # the last kilobyte, as some programs append what is no picture
        file.seek(max(0, size - 1024))
        last = file.read()
        found = last.rstrip(b"\0").endswith(end) if end == b"\x3b" else end in last
        return 0 if found else size + len(end)
    return 0


def _boxes(file: BinaryIO, size: int) -> int:
    """The end of the last top-level box of ISO/IEC 14496-12, section 4.2."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack(">Q", head[8:])
        if kind not in _BOXES or length < 8:  # junk, or 0: up to the end of the file
            return at
        at += length
    return at


def _matroska(file: BinaryIO) -> int:
    """The end of the segment, RFC 8794: an element is an id, a size and so many bytes."""
    file.seek(4)
    file.seek(_vint(file) or 0, os.SEEK_CUR)
    segment = _vint(file) if file.read(4) == b"\x18\x53\x80\x67" else None
    return 0 if segment is None else file.tell() + segment


def _vint(file: BinaryIO) -> int | None:
    """A number of variable length; None where all bits are set, which means unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big") & ((1 << 7 * length) - 1)
    return None if value == (1 << 7 * length) - 1 else value
