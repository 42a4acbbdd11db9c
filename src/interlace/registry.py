"""Parts by name: register one, find it, list them; ours and those of the user's own modules."""

from __future__ import annotations

import difflib
import fnmatch
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class UnknownNameError(ValueError, KeyError):
    """There is no such part; a KeyError, too, so that `in` and `get` answer as a mapping's do."""

    __str__ = ValueError.__str__  # a KeyError's is in quotation marks


class Registry(Mapping[str, T]):
    """Name -> part, such as the function that builds a model.

    A name `module:thing` imports the module first, of the current folder or installed, and finds
    what was registered as `thing`. So parts of your own work wherever a name does: on the command
    line, in a config, in the card of a file of weights.

    Args:
        what: one of its parts, for messages.

    Example:
        >>> SHAPES: Registry[int] = Registry("shape")
        >>> SHAPES.register("square", "four equal sides")(4)
        4
        >>> SHAPES["square"], SHAPES.about("square"), list(SHAPES)
        (4, 'four equal sides', ['square'])
        >>> SHAPES["sqare"]
        Traceback (most recent call last):
        interlace.registry.UnknownNameError: no shape is named 'sqare'; did you mean 'square'? ...
    """

    def __init__(self, what: str):
        self.what = what
        self._parts: dict[str, T] = {}
        self._about: dict[str, str] = {}

    def register(self, name: str, about: str = "") -> Callable[[T], T]:
        """A decorator that registers what it stands on.

        Args:
            name: to find it by.
            about: one line.

        Raises:
            ValueError: if the name is taken by something else, or has a colon.
        """
        if ":" in name:
            raise ValueError(f"{name!r}: a colon stands between a module and a name, leave it out")

        def register(part: T) -> T:
            if name in self._parts and not _run_again(part, self._parts[name]):
                raise ValueError(
                    f"there is a {self.what} named {name!r} already: choose another name"
                )
            self._parts[name] = part
            self._about[name] = about
            return part

        return register

    def about(self, name: str) -> str:
        """The line on a part.

        Raises:
            ValueError: if there is none of this name.
        """
        return self._about[self.find(name)]

    def names(self, pattern: str = "*") -> list[str]:
        """Those that match a shell-style pattern; of `module:*` the ones of that module."""
        own = _imported(pattern)
        module = pattern.removesuffix(own)  # with its colon
        return [
            module + name
            for name in fnmatch.filter(self._parts, own)
            if module in ("", f"{getattr(self._parts[name], '__module__', '')}:")
        ]

    def __getitem__(self, name: str) -> T:
        return self._parts[self.find(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def find(self, name: str) -> str:
        """The name a part was registered by: of `module:thing`, thing.

        Raises:
            ValueError: if there is none of this name.
        """
        own = _imported(name)
        if own in self._parts:
            return own
        near = nearest(own, self)
        hint = f"did you mean {near!r}? " if near else ""
        few = f"there are {', '.join(self)}" if len(self) < 10 else "`interlace list` shows all"
        raise UnknownNameError(f"no {self.what} is named {name!r}; {hint}{few}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was meant, in whatever case; None if nothing is near."""
    folded = {one.lower(): one for one in known}
    return next((folded[near] for near in difflib.get_close_matches(name.lower(), folded)), None)


def _run_again(part: object, other: object) -> bool:
    """Whether one definition ran twice: in a script that is imported, too, or a notebook's cell."""
    name = getattr(part, "__qualname__", None)
    if name is None or "<" in name or name != getattr(other, "__qualname__", None):
        return False
    if getattr(part, "__module__", None) == getattr(other, "__module__", None):
        return True
    return _file(part) is not None and _file(part) == _file(other)


def _file(part: Any) -> str | None:
    """That a function or class was defined in."""
    function = inspect.unwrap(part)
    module = sys.modules.get(getattr(function, "__module__", ""))
    names = getattr(function, "__globals__", None) or getattr(module, "__dict__", {})
    return names.get("__file__")


def _imported(name: str) -> str:
    """`module:thing` -> thing, once the module is imported; a plain name as it is."""
    module, colon, own = name.rpartition(":")
    if not colon:
        return name
    here = str(Path.cwd())
    if not {here, ""} & {*sys.path}:
        sys.path.append(here)  # last: a file here hides nothing that is installed
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # it is there, and imports something that is not
        raise UnknownNameError(
            f"{name!r} wants a module {module!r}, which is neither in {here} nor installed: write "
            "module:name, the module as in `import module`"
        ) from error
    return own
