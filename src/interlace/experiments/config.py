"""A config: the options of a run as a YAML file states them, differences only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

NAMED = ("data", "model")  # parts that have a name


def read_config(path: str | Path, *, above: tuple[Path, ...] = ()) -> dict[str, dict[str, Any]]:
    """What a config states, on top of what the file that it names as its `base` states.

    Args:
        path: of a YAML file: parts (model, data, recipe, trainer) of options; and `base`, another
            such file, found from the folder of this one.
        above: the files that it is the base of.

    Returns:
        part -> option -> value; what the file says of an option counts, not its base.

    Raises:
        ValueError: if there is no such file, or it is not made so.
    """
    try:
        stated = yaml.safe_load(Path(path).read_text()) or {}
    except OSError as error:
        raise ValueError(f"there is no config {path} ({error.strerror})") from error
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise ValueError(f"{path} is not readable as YAML: {where}") from error
    return on_base(stated, path, above=above)


def on_base(
    stated: Any, path: str | Path, *, above: tuple[Path, ...] = ()
) -> dict[str, dict[str, Any]]:
    """What a config states that was read already, as `read_config`.

    Args:
        stated: what its file holds.
        path: of the file.
        above: the files that it is the base of.
    """
    path = Path(path)
    if path.resolve() in above:
        raise ValueError(f"{path} is its own base; name another file, or none")
    own: dict[str, Any] | None = None
    if isinstance(stated, dict):  # `data: clips` is short for a part that says its name alone
        short = {k: {"name": v} for k, v in stated.items() if k in NAMED and isinstance(v, str)}
        own = {k: v for k, v in (stated | short).items() if k != "base"}
    if own is None or not all(isinstance(part, dict) for part in own.values()):
        raise ValueError(f"{path} must hold parts, such as data, with an option a line below each")
    if "base" not in stated:
        return own
    below = read_config(path.parent / stated["base"], above=(*above, path.resolve()))
    return {part: below.get(part, {}) | own.get(part, {}) for part in below | own}
