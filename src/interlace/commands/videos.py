"""Commands on videos: their options are those of the data that is named."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from interlace.experiments.config import NAMED, on_base

SYNTHETIC = "SyncMNIST"  # where no data is named
_ON_VIDEOS = (("train",), ("generate", "digits"), ("bench", "model"))


def on_videos(commands: dict[str, Any], argv: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The commands, those on videos with the options of the data that is named, and what was typed.

    `--data NAME` is short for `--data.name NAME`, `--model NAME` for `--model.name NAME`. A folder
    in `--data.path` means clips. Configs are read here, and once.

    Args:
        commands: name -> function, or commands of a command.
        argv: what was typed.
    """
    named: dict[str, Any] = {}
    commands = {k: dict(v) if isinstance(v, dict) else v for k, v in commands.items()}
    for command in _ON_VIDEOS:
        group = commands if len(command) == 1 else commands[command[0]]
        if tuple(argv[: len(command)]) == command:
            named, words = _read(argv[len(command) :])
            argv = [*command, *words]
            from interlace.training.tasks import options_for

            if named["name"] == "clips" and command != ("train",):
                raise ValueError(f"{' '.join(command)} is for synthetic videos, not for clips")
            group[command[-1]] = _typed(group[command[-1]], options_for(named["name"]))
        else:
            group[command[-1]] = _typed(group[command[-1]], None)
    return commands, argv


def _read(words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """What configs and words say of the data, with its name; the words, in full."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--config", action="append", default=[])
    first.add_argument("--model", "--model.name", dest="model.name")
    first.add_argument("--data", "--data.name", dest="data.name")
    first.add_argument("--data.path")
    try:
        found, rest = first.parse_known_args(words)
    except argparse.ArgumentError:  # the parser of the command will say so, too
        return {"name": SYNTHETIC}, words
    given = vars(found)
    configs = [_config(path) for path in given.pop("config")]
    data: dict[str, Any] = {}
    for _, told in configs:
        data |= told
    said = {key: value for key, value in given.items() if value is not None}
    data |= {key[5:]: value for key, value in said.items() if key.startswith("data.")}
    data.setdefault("name", "clips" if "path" in data else SYNTHETIC)
    said["data.name"] = data["name"]
    full = [f"--config={text}" for text, _ in configs] + [f"--{k}={v}" for k, v in said.items()]
    return data, [*full, *rest]


def _config(path: str) -> tuple[str, dict[str, Any]]:
    """The text of a config, on its base, and what it says of the data; a path to be refused."""
    import yaml

    try:
        text = Path(path).read_text()
        told = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError):
        return path, {}
    short = isinstance(told, dict) and any(isinstance(told.get(part), str) for part in NAMED)
    if isinstance(told, dict) and (short or "base" in told):
        told = on_base(told, path)
        text = yaml.safe_dump(told)
    data = told.get("data") if isinstance(told, dict) else None
    return text, data if isinstance(data, dict) else {}


def _typed(command: Callable[..., None], kinds: Mapping[str, Any] | None) -> Callable[..., None]:
    """The command with parts of these kinds; with no options at all, where only its name matters.

    Args:
        command: a default of a part in its signature is what differs from that of the kind.
        kinds: part -> class of its options.
    """

    def call(**given: Any) -> None:
        command(**given)

    types = get_type_hints(command)
    own = []
    for one in inspect.signature(command).parameters.values() if kinds else ():
        kind, default = types.get(one.name), one.default
        if kinds and one.name in kinds:
            kind = kinds[one.name]
            default = kind(**(default if isinstance(default, dict) else {}))
        keyword = inspect.Parameter.KEYWORD_ONLY
        own.append(inspect.Parameter(one.name, keyword, default=default, annotation=kind))
    call.__doc__ = command.__doc__
    call.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in own}
    return call
