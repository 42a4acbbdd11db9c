"""A config: the options of a run as a YAML file states them, differences only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def read_config(path: str | Path) -> dict[str, dict[str, Any]]:
    """What a config states, on top of what the file that it names as its `base` states.

    Args:
        path: of a YAML file: parts (model, data, recipe, trainer) of options; and `base`, another
            such file, found from the folder of this one.

    Returns:
        part -> option -> value; what the file says of an option counts, not its base.

    Raises:
        ValueError: if there is no such file, or it is not made so.
    """
    return _read(Path(path), ())


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, dict[str, Any]]:
    if path.resolve() in above:
        raise ValueError(f"{path} is its own base; name another file, or none")
    try:
        stated = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise ValueError(f"there is no config {path} ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ValueError(
            f"{path} is not readable as YAML: {' '.join(str(error).split())}"
        ) from error
    base = stated.pop("base", None) if isinstance(stated, dict) else None
    if not isinstance(stated, dict) or not all(isinstance(v, dict) for v in stated.values()):
        raise ValueError(f"{path} must hold parts, such as data, with an option a line below each")
    if base is None:
        return stated
    below = _read(path.parent / base, (*above, path.resolve()))
    return {part: below.get(part, {}) | stated.get(part, {}) for part in (below | stated)}
