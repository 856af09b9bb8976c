"""Tells a misspelt argument of a trigger from one that another release has written."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from difflib import get_close_matches

_ALIKE = 0.8


def refuse_misspelt(unknown: Iterable[str], trigger_class: type) -> None:
    """Refuse arguments whose names are nearly those of the trigger; a row of another release may hold any others.

    :param unknown: names that the trigger has no parameter for.
    :raises TypeError: naming the argument and the parameter that it resembles.
    """
    known = [name for name in inspect.signature(trigger_class).parameters if name != "others"]
    for name in unknown:
        if near := get_close_matches(name, known, n=1, cutoff=_ALIKE):
            raise TypeError(f"{trigger_class.__name__} has no argument {name!r}; did you mean {near[0]!r}?")
