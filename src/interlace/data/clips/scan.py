"""Decodes every video of a data set once, so that what is broken is known before training."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from interlace.data.clips.manifest import Entry
from interlace.data.video.folder import list_pictures
from interlace.data.video.info import VideoError
from interlace.data.video.read import check_video
from interlace.data.video.sources import find_videos
from interlace.data.workers import cores, fresh_processes

log = logging.getLogger(__name__)

_AHEAD = 4  # videos given to each worker before it asks
_EVERY = 15.0  # seconds between lines in a log


def scan(
    data: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    workers: int | None = None,
) -> list[Entry]:
    """Decodes all videos below a folder, and says what each is, or why it cannot be read.

    Args:
        data: a folder of videos, of folders of frames, or both, at any depth; or one video.
        names: paths of some of them below the folder, to decode no others, and each once.
        workers: processes that decode side by side, one per core if None; 0: this process. A
            script that is not 0 here needs `if __name__ == "__main__":`.

    Returns:
        A entry for each video, in the order of `names`, else as people count. None is fatal, not
        even one that kills its decoder.

    Raises:
        VideoError: there is nothing to scan.
    """
    root = Path(data).expanduser()
    names = find_videos(root) if names is None else list(dict.fromkeys(names))
    if root.is_file():
        root = root.parent
    workers = cores() if workers is None else workers
    if workers < 0:
        raise ValueError(f"workers must be from 0, got {workers}")
    entries = {entry.path: entry for entry in _shown(_entries(root, names, workers), len(names))}
    return [entries[name] for name in names]


def scan_one(root: Path, name: str) -> Entry:
    """The entry of one video; every error is in it."""
    path = root / name
    checksum = ""
    try:
        checksum = _checksum(path)
        info = check_video(path)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        text = str(error) if isinstance(error, VideoError | OSError) else repr(error)
        return Entry(name, checksum=checksum, error=text.replace(f"{root}{os.sep}", ""))
    rate = round(info.rate or 0.0, 3)
    return Entry(name, info.frames, rate, info.width, info.height, info.codec, checksum)


def _checksum(path: Path) -> str:
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for picture in list_pictures(path):
        digest.update(os.fsencode(picture.name) + b"\0" + bytes.fromhex(_checksum(picture)))
    return digest.hexdigest()


# --- side by side ---------------------------------------------------------------------------------


def _entries(root: Path, names: list[str], workers: int) -> Iterator[Entry]:
    """Entries as they get ready."""
    if not workers:
        yield from (scan_one(root, name) for name in names)
        return
    left = deque(names)
    while left:
        running: dict[Future[Entry], str] = {}
        pool = _pool(min(workers, len(left)))
        try:
            while left or running:
                while left and len(running) < _AHEAD * workers:
                    running[pool.submit(scan_one, root, left[0])] = left[0]
                    left.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    entry = future.result()
                    del running[future]
                    yield entry
        except BrokenProcessPool:
            if len(running) > 1:  # any of them may have done it
                log.warning("a worker was killed; the videos it may have read are read again alone")
        finally:
            pool.shutdown(cancel_futures=True)
        for name in running.values():
            if len(running) > 1:
                yield from _entries(root, [name], 1)
            else:
                sentence = f"{name} kills its decoder, or needs more memory than there is"
                yield Entry(name, error=sentence)


def _pool(workers: int) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(
        workers, fresh_processes(__name__), initializer=torch.set_num_threads, initargs=(1,)
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


def _shown(entries: Iterator[Entry], total: int) -> Iterator[Entry]:
    """The same entries; a bar in a terminal, else a line in the log now and then."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    broken = 0
    said = start = time.monotonic()
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("decoding", total=total)
        for done, entry in enumerate(entries, 1):
            yield entry
            broken += bool(entry.error)
            so_far = f"{done:,} of {total:,} decoded, {broken:,} broken"
            bar.update(task, advance=1, description=so_far)
            now = time.monotonic()
            if not console.is_terminal and now - said > max(_EVERY, (now - start) / 20):
                said = now
                left = (now - start) / done * (total - done)
                log.info(f"{so_far}, {left / 60:.0f} min left")
