"""Packages that only some features need: imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def optional(module: str, what: str) -> Any:
    """A module of a package that need not be there.

    Args:
        module: such as "scipy.optimize".
        what: needs it, for the error.

    Raises:
        ImportError: with the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise ImportError(
            f"{what} needs {package} ({error}); run: pip install {package}"
        ) from error
