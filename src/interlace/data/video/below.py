"""The videos below a folder, by the names that lists give them."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

from interlace.data.video.folder import has_pictures, list_frames
from interlace.data.video.info import VideoError
from interlace.data.video.read import video_info
from interlace.data.video.sources import VIDEOS, find_videos


class Below:
    """Looks up names, each folder once.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path):
        self.root = root
        self._start = root.absolute().as_posix() + "/"
        self._inside: dict[str, dict[str, list[str]]] = {}
        self._every: dict[str, list[str]] | None = None
        self._frames: dict[str, int | None] = {}

    def find(self, name: str) -> list[str]:
        """Files and folders of this path, or of it and the suffix of a video, each one way only."""
        name = posixpath.normpath(name.replace("\\", "/")).removeprefix(self._start)
        folder, last = posixpath.split(name)
        if folder not in self._inside:
            here = self.root / folder
            there = sorted(os.listdir(here)) if here.is_dir() else []
            self._inside[folder] = _by_stem(there) | {name: [name] for name in there}
        return [posixpath.join(folder, called) for called in self._inside[folder].get(last, [])]

    def find_anywhere(self, name: str) -> list[str]:
        """Videos of this name, in any folder, with any suffix."""
        if self._every is None:
            self._every = _by_stem(find_videos(self.root))
        return self._every.get(name, [])

    def has(self, name: str) -> bool:
        """Whether a name is that of a file, or of a folder that has pictures right in it."""
        paths = self.find(name)
        if any(path.lower().endswith(VIDEOS) for path in paths):
            return True
        there = [self.root / path for path in paths]
        return any(path.is_file() or (path.is_dir() and has_pictures(path)) for path in there)

    def hint(self, names: Sequence[str]) -> str:
        """What to do about names that are not there."""
        above = self.root.resolve().parent
        if Below(above).has(names[0]):
            return f"they are below {above}, so give that as the folder"
        parts = names[0].replace("\\", "/").strip("/").split("/")
        for start in range(len(parts)):  # in fewer folders, or with another suffix
            tail = "/".join(parts[start:])
            for name in (tail, posixpath.splitext(tail)[0]):
                if self.has(name):
                    return f"{self.find(name)[0]} is there, so call it that"
        return "check the folder"

    def frames(self, name: str) -> int | None:
        """How many frames a video has; None where it cannot be read, or is not there."""
        if name not in self._frames:
            self._frames[name] = self._count(name)
        return self._frames[name]

    def _count(self, name: str) -> int | None:
        paths = [self.root / path for path in self.find(name)]
        if len(paths) != 1:
            return None
        try:
            if paths[0].is_dir():
                return len(list_frames(paths[0])) or None
            return video_info(paths[0]).frames
        except VideoError:
            return None


def _by_stem(paths: Iterable[str]) -> dict[str, list[str]]:
    """Videos by their name without folder and suffix."""
    found: dict[str, list[str]] = {}
    for path in paths:
        if path.lower().endswith(VIDEOS):
            stem, _ = posixpath.splitext(posixpath.basename(path))
            found.setdefault(stem, []).append(path)
    return found
