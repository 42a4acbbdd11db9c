"""What the command line answers to a wrong option: one sentence, and the nearest right one."""

from __future__ import annotations

import re
import sys
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from jsonargparse import ActionYesNo, ArgumentParser

from interlace.registry import nearest
from interlace.training.renamed import CHANGED, RENAMED


class Parser(ArgumentParser):
    """Answers a mistake with one sentence on stderr and exit code 2, not with all options."""

    def add_argument(self, *args: Any, **options: Any) -> Any:
        """Of a switch, --name and --no_name."""
        if options.get("type") is bool:
            options = {key: v for key, v in options.items() if key != "type"}
            options["action"] = ActionYesNo()
        added = super().add_argument(*args, **options)
        if args[0] in ("--model", "--data") and added.metavar == "CONFIG":  # of all its options
            added.metavar, added.help = "NAME", f"Short for {args[0]}.name NAME."
        return added

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        program = self.prog.replace(" [options]", "")
        if not program.startswith("interlace"):  # the inner parser of a list's items
            program = "interlace"
        sentence = self._sentence(message)
        end = "" if sentence.endswith("?") else ";"
        print(f"interlace: {sentence}{end} `{program} --help` lists all", file=sys.stderr)
        raise SystemExit(2)

    def _sentence(self, message: str) -> str:
        text = re.sub(r"\s+", " ", message).strip().rstrip(".")
        if found := re.match(r'Parser key "([\w.]+)": (.+)', text):
            return self._about_value(*found.groups())
        if found := re.match(r"Problems? parsing config: (.+)", text):
            return f"--config is not readable as YAML: {_plain_yaml(found[1])}"
        if found := re.match(r"Subcommand '(\w+)' does not accept option '([^']+)'", text):
            command, key = found.groups()
            known = self._options(command)
            return f"{command} has no option {key!r}{_nearest(key, known)}"
        if found := re.match(r"Option '([^']+)' is not accepted", text):
            known = self._options()
            hint = "; put a space behind the colon" if re.match(r"\w+:\S", found[1]) else ""
            return f"there is no option {found[1]!r} among {', '.join(known)}" + (
                hint or _nearest(found[1], known)
            )
        if found := re.match(r"unrecognized arguments: (.+)", text):
            first = re.match(r"--([\w.]+)", found[1])
            return text + (_nearest(first[1], self._options()) if first else "")
        if found := re.match(r"argument subcommand: invalid choice: '([^']*)'", text):
            return f"there is no command {found[1]!r}{_nearest(found[1], self._commands())}"
        if found := re.match(r'expected "(?:([\w.]+)\.)?subcommand"', text):
            return f"say which command: {', '.join(self._commands(found[1]))}"
        if found := re.match(r"the following arguments are required: ([\w.]+)\.(\w+)", text):
            return f"{found[1].replace('.', ' ')} needs {found[2]}"
        return text

    def _about_value(self, key: str, problem: str) -> str:
        if found := re.match(r"File does not exist: '(.+)'", problem):
            return f"--{key}: there is no file {found[1]}"
        if found := re.match(r"Unable to load config '(.+?)' - (.+)", problem):
            return f"{found[1]} is not readable as YAML: {_plain_yaml(found[2])}"
        got = re.search(r"(?:Got value|Given value): (.*)$", problem)
        kind = next((_type(action) for action in self._actions if action.dest == key), None)
        if got is None or kind is None:
            return f"{key}: {problem}"
        choices = [str(value) for value in get_args(kind)] if get_origin(kind) is Literal else []
        hint = f"; {CHANGED[key]}" if key in CHANGED else _nearest(got[1], choices)
        return f"{key} must be {_in_words(kind)}, got {got[1]!r}{hint}"

    def _options(self, command: str | None = None) -> list[str]:
        parser = self._by_command()[command] if command else self
        names = (name for action in parser._actions for name in action.option_strings)
        return [name[2:] for name in names if name.startswith("--") and name != "--help"]

    def _commands(self, command: str | None = None) -> list[str]:
        """Those there are, or those of a command that has its own."""
        if command is None:
            return list(self._by_command())
        return [f"{command} {name}" for name in self._by_command()[command]._commands()]

    def _by_command(self) -> dict[str, Any]:
        return self._subcommands_action._name_parser_map if self._subcommands_action else {}


def _type(action: Any) -> Any:
    return getattr(action, "_typehint", None)


def _in_words(kind: Any) -> str:
    """A type as people say it."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(str(value) for value in get_args(kind))}"
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_in_words(part) for part in get_args(kind))
    if kind == list[int]:
        return "a list of whole numbers, such as [0,1]"
    if kind == list[str]:
        return "a list, such as [my_module.MyCallback] or [one.safetensors,two.safetensors]"
    if get_origin(kind) is list:
        return "a list, such as [{videos: 1000, num_digits: 2}]"
    words = {int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
    return words.get(kind, "text")


def _plain_yaml(problem: str) -> str:
    """Where the YAML reader stopped, without its own words for it."""
    problem = re.sub(r' ?in "<[^>]*>",', " at", problem)
    return re.sub(r"\s+", " ", problem).strip()


def _nearest(word: str, known: list[str]) -> str:
    if word in RENAMED:
        return f"; it is {RENAMED[word]!r} now"
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near and near != word else ""
