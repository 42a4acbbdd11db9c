"""What to say when an option is none of its choices, or would not be heard."""

from __future__ import annotations

from collections.abc import Iterable


def check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    """Raises ValueError, and lists the choices, if `value` is none of them."""
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}, got {value!r}")


def check_unheard(why: str, **given: bool) -> None:
    """Raises ValueError, and names the options, if one was given that nothing would hear."""
    if names := [name for name, said in given.items() if said]:
        raise ValueError(f"{why}: leave out {', '.join(names)}")
