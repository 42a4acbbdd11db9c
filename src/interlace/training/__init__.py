"""One training run: options, loop, optimiser, lessons; tasks for synthetic videos and for clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

Part = Mapping[str, Any]


def train(
    data: str | Part,
    *,
    model: str | Part = {},  # noqa: B006, only read
    recipe: Part = {},  # noqa: B006
    trainer: Part = {},  # noqa: B006
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Trains a registered model; goes on where a killed run stopped.

    The parts and their keys are those of a config and of `interlace train`, whose `--help` lists
    them; what is left out is the default for such data.

    Args:
        data: which videos: the name of a data set, or keys such as `{"path": "my_clips"}`.
        model: which network: a registered name, or keys.
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

    named = {"data": _keys(data), "model": _keys(model), "recipe": recipe, "trainer": trainer}
    return run(read_options(named), callbacks)


def _keys(part: str | Part) -> Part:
    return {"name": part} if isinstance(part, str) else part
