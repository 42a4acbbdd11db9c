"""Which videos a user names to be looked at: one, or several in a folder or on a list."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interlace.data.labels.columns import (
    LABELS,
    PATHS,
    SPAN_WORDS,
    SPLITS,
    Rows,
    has_header,
    plain,
    refuse_strange,
    rows_below,
    says_nothing,
)
from interlace.data.labels.files import cells_of, read_text, separator_of, table_rows
from interlace.data.labels.spans import span_columns
from interlace.data.video.excerpt import Excerpt
from interlace.data.video.info import VideoError
from interlace.data.video.read import Source
from interlace.data.video.sources import TABLES, find_videos, is_one

_KNOWN = (*PATHS, *LABELS, *SPLITS, *SPAN_WORDS)


def find_sources(source: Source | Sequence[Any], *, root: str | None = None) -> list[Any]:
    """All videos of a source, see `Predictor.__call__`.

    Args:
        source: one video, or several.
        root: another folder that paths on a list may be below.

    Raises:
        ValueError: a folder or a list names none, or what may be a stretch of a video and is not
            known.
    """
    if is_one(source):
        return [source]
    if not isinstance(source, str | os.PathLike):
        return list(source)  # type: ignore[arg-type]
    path = Path(source).expanduser()
    if path.is_dir():
        return [path / name for name in find_videos(path)]
    if not path.is_file():
        raise VideoError(f"{path} does not exist; name a list of paths, a folder or a video")
    text = read_text(path)
    lines = [(k, line.strip()) for k, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise VideoError(f"{path} names no videos; write a path a line")
    roots = [path.parent, Path(), *([] if root is None else [Path(root)])]
    words = cells_of(lines[0][1])
    if path.suffix.lower() in TABLES:
        found = _in_table(path, table_rows(text, separator_of(lines[0][1])), roots)
    elif has_header(words):
        found = _in_table(path, [(number, cells_of(line)) for number, line in lines], roots)
    else:
        found = [_on_list(f"{path}, line {number}", line, roots) for number, line in lines]
    if not any(_whole(one).exists() for one in found):
        raise VideoError(
            f"none of the {len(found):,} paths in {path} is there, such as {found[0]}; write them "
            f"as seen from {path.parent} or from here, or in full"
        )
    return found


def _whole(source: Path | Excerpt) -> Path:
    return source.path if isinstance(source, Excerpt) else source


def _on_list(where: str, line: str, roots: Sequence[Path]) -> Path:
    """The path that a line of a list names: as much of it as is there, without a label."""
    path = _below(roots, line)
    for count in range(1, len(line.split())):
        if path.exists():
            break
        name, *rest = line.rsplit(None, count)
        path = _below(roots, name)
        if path.exists() and any(re.fullmatch(r"(\d+:)*\d+[.:]\d+", word) for word in rest):
            raise ValueError(
                f"{where}, {line!r}, has times behind its path, which may mean a stretch of the "
                "video; write a table (.csv) with a header: path,start,end"
            )
    return path if path.exists() else _below(roots, line)


def _in_table(path: Path, rows: Rows, roots: Sequence[Path]) -> list[Path | Excerpt]:
    """The videos of a table, or their stretches: its column with most of what is there."""
    first = rows[0][1]
    columns = [
        [_below(roots, row[k]) for _, row in rows if k < len(row) and row[k]]
        for k in range(len(first))
    ]
    at = max(range(len(columns)), key=lambda k: sum(path.exists() for path in columns[k]))
    found, words = columns[at], plain(first)
    if found[0].exists() or not any(word in _KNOWN for word in words):
        if len([*filter(None, first)]) > 2:
            raise ValueError(
                f"{path}, line {rows[0][0]}, {','.join(first)!r}, has {len(first)} columns and no "
                "header: write a first line that says what each is, such as path,start,end,label"
            )
        return [*found]
    rows = rows_below(path, rows)
    strange = [
        first[k]
        for k, word in enumerate(words)
        if k != at
        and word not in _KNOWN
        and not says_nothing(word, [row[k] if k < len(row) else "" for _, row in rows])
    ]
    refuse_strange(path, strange)
    columns_of_spans = span_columns(path, first, lambda: any(one.is_dir() for one in found))
    listed: list[Path | Excerpt] = []
    for number, row in rows:
        if at < len(row) and row[at]:
            one = _below(roots, row[at])
            where = f"{path}, line {number}"
            span = None if columns_of_spans is None else columns_of_spans.span(row, where)
            listed.append(one if span is None else Excerpt(one, span))
    return listed


def _below(roots: Sequence[Path], name: str) -> Path:
    """The path below the first folder in which it is there; else below the first."""
    return next((root / name for root in roots if (root / name).exists()), roots[0] / name)
