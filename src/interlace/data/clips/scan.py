"""Decodes every video of a data set once, so that what is broken is known before training."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from interlace.data.clips.manifest import Row
from interlace.data.video.frame_folder import PICTURES, list_pictures, natural
from interlace.data.video.read import VideoError, check_video

log = logging.getLogger(__name__)

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".webm", ".mkv", ".avi", ".gif"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".asf", ".flv", ".ogv"),
)
_AHEAD = 4  # videos given to each worker before it asks
_EVERY = 15.0  # seconds between lines in a log


def scan(
    data: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    workers: int | None = None,
) -> list[Row]:
    """Decodes all videos below a folder, and says what each is, or why it cannot be read.

    Args:
        data: a folder of videos, of folders of frames, or both, at any depth; or one video.
        names: paths of some of them below the folder, to decode no others.
        workers: processes that decode side by side, one per core if None; 0: this process. A
            script that is not 0 here needs `if __name__ == "__main__":`.

    Returns:
        A row for each video, in the order of `names`, else as people count. None is fatal, not
        even one that kills its decoder.

    Raises:
        VideoError: there is nothing to scan.
    """
    root = Path(data).expanduser()
    names = find_videos(root) if names is None else list(names)
    if root.is_file():
        root = root.parent
    workers = cores() if workers is None else workers
    if workers < 0:
        raise ValueError(f"workers must be from 0, got {workers}")
    rows = {row.path: row for row in _shown(_rows(root, names, workers), len(names))}
    return [rows[name] for name in names]


def find_videos(root: Path) -> list[str]:
    """Paths below `root` of what looks like videos, hidden ones left out.

    These are files by their suffix, and folders that hold pictures, no videos and no folders.
    """
    if root.is_file():
        return [root.name]
    if not root.is_dir():
        raise VideoError(f"{root} does not exist; name a folder of videos, or a video")
    found: list[str] = []
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [name for name in folders if not name.startswith(".") and real not in seen]
        if real in seen:  # a link that leads back
            continue
        seen.add(real)
        shown = [name for name in files if not name.startswith(".")]
        below = Path(folder).relative_to(root)
        videos = [name for name in shown if name.lower().endswith(VIDEOS)]
        found += [(below / name).as_posix() for name in videos]
        if not videos and not folders and any(name.lower().endswith(PICTURES) for name in shown):
            found.append(below.as_posix())
    if not found:
        raise VideoError(
            f"{root} holds no videos: no files {', '.join(VIDEOS)}, and no folders of "
            f"{', '.join(PICTURES)}"
        )
    return sorted(found, key=lambda name: (natural(name), name))


def scan_one(root: Path, name: str) -> Row:
    """The row of one video; every error is in it."""
    path = root / name
    checksum = ""
    try:
        checksum = _checksum(path)
        info = check_video(path)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        text = str(error) if isinstance(error, VideoError | OSError) else repr(error)
        return Row(name, checksum=checksum, error=text.replace(f"{root}{os.sep}", ""))
    rate = round(info.rate or 0.0, 3)
    return Row(name, info.frames, rate, info.width, info.height, info.codec, checksum)


def _checksum(path: Path) -> str:
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for picture in list_pictures(path):
        digest.update(os.fsencode(picture.name) + b"\0" + bytes.fromhex(_checksum(picture)))
    return digest.hexdigest()


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --- side by side ---------------------------------------------------------------------------------


def _rows(root: Path, names: list[str], workers: int) -> Iterator[Row]:
    """Rows as they get ready."""
    if not workers:
        yield from (scan_one(root, name) for name in names)
        return
    left = deque(names)
    while left:
        running: dict[Future[Row], str] = {}
        pool = _pool(min(workers, len(left)))
        try:
            while left or running:
                while left and len(running) < _AHEAD * workers:
                    running[pool.submit(scan_one, root, left[0])] = left[0]
                    left.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    row = future.result()
                    del running[future]
                    yield row
        except BrokenProcessPool:
            log.warning("a worker was killed; the videos it may have read are read again alone")
        finally:
            pool.shutdown(cancel_futures=True)
        for name in running.values():
            yield _alone(root, name)


def _alone(root: Path, name: str) -> Row:
    """The row of a video that may kill its worker."""
    pool = _pool(1)
    try:
        return pool.submit(scan_one, root, name).result()
    except BrokenProcessPool:
        return Row(name, error=f"{name} kills its decoder, or needs more memory than there is")
    finally:
        pool.shutdown()


def _pool(workers: int) -> ProcessPoolExecutor:
    """Processes forked from a fresh one that has imported all: this one's threads stay here."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    )
    try:
        pool.submit(int).result()
    except BrokenProcessPool as error:
        raise OSError(
            'worker processes do not start; put the call under `if __name__ == "__main__":`, or '
            "scan with workers=0"
        ) from error
    return pool


# --- progress -------------------------------------------------------------------------------------


def _shown(rows: Iterator[Row], total: int) -> Iterator[Row]:
    """The same rows; a bar in a terminal, else a line in the log now and then."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    broken = 0
    said = start = time.monotonic()
    with Progress(
        TextColumn("decoding"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[broken]} broken"),
        console=console,
        expand=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=total, broken=0)
        for done, row in enumerate(rows, 1):
            yield row
            broken += bool(row.error)
            bar.update(task, advance=1, broken=broken)
            now = time.monotonic()
            if not console.is_terminal and now - said > max(_EVERY, (now - start) / 20):
                said = now
                left = (now - start) / done * (total - done)
                log.info(
                    f"{done:,} of {total:,} decoded, {broken:,} broken, {left / 60:.0f} min left"
                )
