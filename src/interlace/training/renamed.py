"""Options that had another name or meaning, for answers and for what was written then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "data.dataset": "data.name",
    "recipe.clip": "recipe.max_grad_norm",
    "recipe.patience": "recipe.plateau",  # of synthetic videos
}
CHANGED = {"recipe.warmup": "it counts steps, whatever the videos"}


def upgraded(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Options that a run, a record or a card stated, as one states them today.

    Args:
        options: part -> name -> value; parts may be missing. What is None in the data, which meant
            the data set's own default, is left out.

    Example:
        >>> upgraded({"data": {"dataset": "SyncMNIST", "classes": None}, "recipe": {"clip": 1.0}})
        {'data': {'name': 'SyncMNIST'}, 'recipe': {'max_grad_norm': 1.0}}
    """
    now = {part: dict(values) for part, values in options.items()}
    data, recipe = now.get("data", {}), now.get("recipe", {})
    recipe.pop("compiled", None)  # how a run is made faster is the trainer's
    if "every_frame" not in recipe and recipe.get("pretrain_frames") == 600_000:
        recipe["pretrain_frames"] = None  # left out, or it was none, too, from a backbone on
    if "name" in data:
        return now
    on_clips = "path" in data
    if "data" in now:
        name = data.pop("dataset", "clips" if on_clips else "SyncMNIST")
        own = data if on_clips else {key: v for key, v in data.items() if v is not None}
        now["data"] = {"name": name, **own}
    if "clip" in recipe:
        recipe["max_grad_norm"] = recipe.pop("clip")
    if not on_clips and "patience" in recipe:
        recipe["plateau"] = recipe.pop("patience")
    if not on_clips and "lr" in recipe:  # it was for the videos of a step, and is for 32
        recipe["lr"] *= 32 / recipe.get("batch_size", 32)
    if recipe.get("warmup") in (100, 0.05):
        recipe["warmup"] = None
    return now
