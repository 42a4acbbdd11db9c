"""One training run: options, loop, optimiser, lessons; tasks for synthetic videos and for clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


def train(
    data: Any,
    *,
    model: Any = {},  # noqa: B006, only read
    recipe: Any = {},  # noqa: B006
    trainer: Any = {},  # noqa: B006
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Trains a registered model; goes on where a killed run stopped.

    The parts and their keys are those of a config and of `interlace train`, whose `--help` lists
    them; what is left out is the default for such data.

    Args:
        data: which videos: the name of a data set, keys such as `{"path": "my_clips"}`, or the
            options that hold them, such as `ClipDataOptions`.
        model: which network: a registered name, keys or options; so are the two below.
        recipe: how to learn.
        trainer: where and how to run.
        callbacks: of Lightning, beside those that the options name.

    Returns:
        The best weights, a safetensors file in the folder of the run.

    Raises:
        ValueError: if the options or the videos do not fit together, or the folder holds another
            run.
        OSError: if the folder cannot be written.
    """
    from interlace.training.loop import run
    from interlace.training.tasks import read_options

    parts = {"data": data, "model": model, "recipe": recipe, "trainer": trainer}
    return run(read_options({name: _keys(part) for name, part in parts.items()}), callbacks)


def _keys(part: Any) -> Mapping[str, Any]:
    if isinstance(part, str):
        return {"name": part}
    return part if isinstance(part, Mapping) else asdict(part)
