"""Batches of clips, read by other processes that work ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate, default_convert

from interlace.data.clips.dataset import Clip, TestViews, TrainingClips
from interlace.data.video.info import VideoError
from interlace.data.workers import fresh_processes


def clip_loader(
    data: TrainingClips | TestViews,
    batches: Iterable[list[Any]],
    *,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[Clip]:
    """Reads batches of clips, in other processes that work ahead.

    Give it to Lightning with use_distributed_sampler=False: `batches` knows the processes.

    Args:
        data: what to read.
        batches: an `interlace.data.clips.Order` to train on, or `in_turn` for a test.
        num_workers: processes that read, each with one thread; 0: this one reads. A script that
            is not 0 here needs `if __name__ == "__main__":`.
        pin_memory: for faster copies to a GPU.

    Returns:
        A loader of `Clip` batches. What one cannot read ends it with one `VideoError`.
    """
    return _Loader(
        _Reader(data),
        batch_sampler=batches,
        collate_fn=default_convert,  # they are batches already
        num_workers=num_workers,
        pin_memory=pin_memory,
        multiprocessing_context=fresh_processes(__name__, "av") if num_workers else None,
        generator=torch.Generator(),  # so that reading leaves the program's own numbers alone
    )


_Failure = VideoError | ImportError  # what a user can mend


class _Reader(Dataset[Any]):
    """Clips side by side, in a worker in shared memory; with the order of memory they have.

    Numbers stay lists: handing over a tensor costs a connection to the worker, however small. An
    error is given back instead of raised, so that it leaves a worker as it is.
    """

    def __init__(self, data: TrainingClips | TestViews):
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitems__(self, places: Sequence[Any]) -> Clip | _Failure:
        try:
            videos, labels, indices = zip(*(self.data[place] for place in places), strict=True)
        except (VideoError, ImportError) as error:
            return error
        video = default_collate([video.movedim(-3, -1) for video in videos])
        return Clip(video.movedim(-1, -3), list(labels), list(indices))


class _Loader(DataLoader):
    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            for batch in super().__iter__():
                if isinstance(batch, _Failure):
                    raise batch
                yield Clip(batch.video, torch.tensor(batch.label), torch.tensor(batch.index))
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise OSError(
                "a process that reads videos was killed, or did not start: give the machine or "
                "the container more (shared) memory, take fewer workers or smaller batches, or "
                "look with `interlace scan` for a video that kills its decoder"
            ) from error
