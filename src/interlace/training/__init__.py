"""One training run: options, loop, optimiser, lessons; tasks for synthetic videos and for clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from interlace.training.options import ModelOptions, RecipeOptions, TrainerOptions


def train(
    data: Any,
    *,
    model: ModelOptions | None = None,
    recipe: RecipeOptions | None = None,
    trainer: TrainerOptions | None = None,
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Trains a registered model; goes on where a killed run stopped.

    Args:
        data: which videos: `ClipDataOptions` of a folder of clips, or the options of a data set of
            synthetic videos, see `interlace.data.digits.datasets.video_options`.
        model: which network; what is left out, here and below, is the default of such data.
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
    from interlace.training.task import Options
    from interlace.training.tasks import options_for

    kinds = options_for(data.name)
    options = Options(
        model or kinds["model"](),
        data,
        recipe or kinds["recipe"](),
        trainer or kinds["trainer"](),
    )
    return run(options, callbacks)
