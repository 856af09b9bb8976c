"""Makes texts and values from outside safe to show and to store: bounded, and nothing in them is invisible."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

LONGEST_TEXT = 2_000
"""Characters that :func:`printable` keeps, unless it is asked for another number."""

# Control characters, the marks that turn the direction of writing, line separators that terminals and log viewers
# obey, the byte order mark, and halves of surrogate pairs, which no UTF-8 file or database takes. Not tab and newline.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufeff]"
)
_LONGEST_KEY = 200
_LONGEST_SHOWN = 80
_NOTHING = ("", "None", "null")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_MOST_BITS = 1_024
"""Bits of the largest whole number that is stored as one: as many as those of the largest float."""


def printable(text: str, limit: int = LONGEST_TEXT, *, lines: bool = False) -> str:
    r"""Return a text from outside so that a log, a terminal or a web page shows what it is.

    Control characters, marks of writing direction and lone surrogates become escapes such as ``\x1b``. The text is cut
    before anything works on it, and ends in ``...`` then.

    :param limit: characters to return at most, the ``...`` not counted.
    :param lines: keep line breaks; otherwise they become ``\n``, so that the text stays on one line.
    """
    shown = text[:limit]
    shown = shown.replace("\r\n", "\n") if lines else shown.replace("\n", "\\n")
    shown = _INVISIBLE.sub(_escaped, shown)
    return shown if len(text) <= limit and len(shown) <= limit else f"{shown[:limit]}..."


def shown(value: object) -> str:
    """Return what somebody gave for a parameter, for a message that refuses it: bounded, whatever it is.

    Of what holds other values only the type is shown: one of them may be a secret.
    """
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return "a number of more than 300 digits"
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return f"a {type(value).__name__}"
    try:
        text = printable(repr(value[:_LONGEST_SHOWN]), 90) if isinstance(value, str | bytes) else _SHORT.repr(value)
    except Exception:  # noqa: BLE001 a value that cannot write itself must not hide what is wrong with it
        return f"a {type(value).__name__}"
    if isinstance(value, str | bytes) and len(value) > _LONGEST_SHOWN:
        return f"{text}... ({len(value):,} characters)"
    return printable(text, 2 * _LONGEST_SHOWN)


def without_value(value: object) -> str:
    """Return the likely cause, to go after a message, where a template has rendered to nothing; else nothing."""
    if value is None or (isinstance(value, str) and value.strip() in _NOTHING):
        return "; a template renders an XCom that is not there as None: has the task that pushes it run?"
    return ""


def near(name: str, names: Iterable[str]) -> str:
    """Return the names that are like one that is not known, to go after a message; else nothing."""
    alike = get_close_matches(name[:_LONGEST_KEY], [each[:_LONGEST_KEY] for each in names], 3, 0.5)
    return f"; near it: {', '.join(map(shown, alike))}" if alike else ""


def clean_json(
    value: Any,
    *,
    most_items: int = 1_000,
    longest_text: int = 10_000,
    deepest: int = 20,
    most_characters: int = 200_000,
) -> Any:
    """Return a value as plain JSON that any database takes, of bounded size; what is left out is said in its place.

    Texts pass :func:`printable`, numbers that JSON does not know (NaN, Infinity) become ``None``, keys become text,
    and what JSON has no type for becomes its text.

    :param most_items: items of a list, and entries of an object, to keep at most.
    :param longest_text: characters of one text to keep at most.
    :param deepest: levels of lists and objects to keep at most.
    :param most_characters: characters to keep at most in all texts and keys together.
    """
    return _Cleaner(most_items, longest_text, deepest, most_characters).clean(value, 0)


@dataclass
class _Cleaner:
    most_items: int
    longest_text: int
    deepest: int
    characters_left: int

    def clean(self, value: Any, level: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if value.bit_length() <= _MOST_BITS else "... (left out: a number of too many digits)"
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if isinstance(value, Mapping):
            return self._object(value, level) if level < self.deepest else self._too_deep()
        if isinstance(value, list | tuple | set | frozenset):
            return self._array(value, len(value), level) if level < self.deepest else self._too_deep()
        return self._text(str(value), self.longest_text)

    def _object(self, value: Mapping[Any, Any], level: int) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, item in value.items():
            if len(kept) >= self.most_items or self.characters_left <= 0:
                kept["..."] = f"{len(value) - len(kept):,} more entries left out"
                break
            kept[self._text(str(key), _LONGEST_KEY)] = self.clean(item, level + 1)
        return kept

    def _array(self, value: Iterable[Any], size: int, level: int) -> list[Any]:
        kept: list[Any] = []
        for item in value:
            if len(kept) >= self.most_items or self.characters_left <= 0:
                kept.append(f"... ({size - len(kept):,} more items left out)")
                break
            # A number takes its place too, so that lists of lists of numbers end as well.
            self.characters_left -= 1
            kept.append(self.clean(item, level + 1))
        return kept

    def _text(self, text: str, limit: int) -> str:
        limit = max(0, min(limit, self.characters_left))
        shown = printable(text, limit, lines=True)
        self.characters_left -= len(shown)
        left_out = len(text) - limit
        return shown if left_out <= 0 else f"{shown} ({left_out:,} more characters left out)"

    def _too_deep(self) -> str:
        return f"... (left out: nested more than {self.deepest} levels)"


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
