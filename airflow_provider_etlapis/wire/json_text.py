"""Parses JSON so that a large text never keeps other threads out for long.

The C parser of the standard library holds the interpreter lock from the first character to the last: a thread alone
would not keep an event loop going. A large text is therefore parsed in pieces of at most 64 kB by the same parser, with
Python in between, where another thread can take the lock. Numbers that JSON does not have (NaN, Infinity, 1e999) become
``None``: no database takes them, and a run must not be lost for the metric that holds one.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable
from typing import Any

SMALL = 256 * 1024
"""Bytes up to which a text is parsed at one go, in a few milliseconds."""
MOST_VALUES = 2_000_000
"""Values in one text: each takes some sixty bytes of memory, whatever it takes in the text."""
DEEPEST = 200
"""Levels of arrays and objects in a large text. In a small one the recursion limit of Python decides."""

_WINDOWS = (4_096, 65_536)
_STRING_WINDOW = 1 << 18
_DECODED_AT_ONCE = 1 << 20
_BLANK = re.compile(r"[ \t\n\r]*+")
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_COMMA = re.compile(r"(),")
_SEPARATORS = {
    "{": re.compile(r"(\})\s*+,\s*+(?=\{)"),
    "[": re.compile(r"(\])\s*+,\s*+(?=\[)"),
    '"': re.compile(r'(")\s*+,\s*+(?=")'),
    ":": re.compile(r'(),\s*+(?=")'),
}
"""What may stand between two items of an array, by the first character of an item, and between two members."""


class TooManyValuesError(ValueError):
    """The text holds more than :data:`MOST_VALUES` values."""


def parse(body: bytes) -> Any:
    """Return the value of a JSON text in UTF-8, UTF-16 or UTF-32.

    :raises ValueError: if it is none, or holds too many values.
    :raises RecursionError: if it is nested too deep.
    """
    if len(body) <= SMALL:
        return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    return _Pieces(_decoded(body)).parse()


def _decoded(body: bytes) -> str:
    decoder = codecs.getincrementaldecoder(json.detect_encoding(body))("surrogatepass")
    view = memoryview(body)
    ends = range(0, len(body), _DECODED_AT_ONCE)
    return "".join(decoder.decode(view[at : at + _DECODED_AT_ONCE], at + _DECODED_AT_ONCE >= len(body)) for at in ends)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


_scan_string: Callable[[str, int], tuple[str, int]] = vars(json.decoder)["scanstring"]  # not in the stubs
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=lambda name: None)


class _Pieces:
    """One large text. A value that fits into a window goes to the C parser; a larger one is taken apart here."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._values = 0
        self._next_batch = 0

    def parse(self) -> Any:
        value, end = self._value(self._skip(0), 0)
        if self._skip(end) != len(self._text):
            raise self._fault(end)
        return value

    def _value(self, at: int, level: int) -> tuple[Any, int]:
        for window in _WINDOWS:
            piece = self._text[at : at + window]
            try:
                value, end = _DECODER.raw_decode(piece)
            except (ValueError, StopIteration):
                continue
            if end < len(piece) or at + end == len(self._text):  # else a number may go on behind the window
                self._count(piece[:end] if end > 2 else "")
                return value, at + end
        opening = self._text[at : at + 1]
        if opening == '"':
            return self._string(at + 1)
        if level >= DEEPEST:
            raise RecursionError("nested too deep")
        if opening == "[":
            return self._array(at + 1, level + 1)
        if opening == "{":
            return self._object(at + 1, level + 1)
        raise self._fault(at)

    def _string(self, at: int) -> tuple[str, int]:
        """Parse a string behind its opening quote, window by window, none of which ends inside of an escape."""
        parts: list[str] = []
        while True:
            window = self._text[at : at + _STRING_WINDOW]
            whole = (
                cut
                for cut in range(len(window), max(0, len(window) - 200), -1)
                if "\\" not in window[max(0, cut - 12) : cut]
            )
            cut = next(whole, 0)
            if len(window) < _STRING_WINDOW or not cut:
                part, end = _scan_string(self._text, at)
                return "".join((*parts, part)), end
            part, end = _scan_string(f'{window[:cut]}"', 0)
            parts.append(part)
            if end <= cut:
                return "".join(parts), at + end
            at += cut

    def _array(self, at: int, level: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = self._skip(at)
        if self._text[at : at + 1] == "]":
            return found, at + 1
        while True:
            batch, end = self._batch(at, self._text[at : at + 1], "[]")
            if batch is None:
                item, end = self._value(at, level)
                found.append(item)
            else:
                found += batch
            at = self._skip(end)
            separator = self._text[at : at + 1]
            if separator == "]":
                return found, at + 1
            if separator != ",":
                raise self._fault(at)
            at = self._skip(at + 1)

    def _object(self, at: int, level: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = self._skip(at)
        if self._text[at : at + 1] == "}":
            return found, at + 1
        while True:
            batch, end = self._batch(at, ":", "{}")
            if batch is None:
                key, end = self._key(at)
                found[key], end = self._value(end, level)
            else:
                found |= batch
            at = self._skip(end)
            separator = self._text[at : at + 1]
            if separator == "}":
                return found, at + 1
            if separator != ",":
                raise self._fault(at)
            at = self._skip(at + 1)

    def _key(self, at: int) -> tuple[str, int]:
        """Return the key of a member, and where its value begins."""
        if self._text[at : at + 1] != '"':
            raise self._fault(at)
        key, end = _scan_string(self._text, at + 1)
        end = self._skip(end)
        if self._text[end : end + 1] != ":":
            raise self._fault(end)
        return key, self._skip(end + 1)

    def _batch(self, at: int, kind: str, brackets: str) -> tuple[Any, int]:
        """Parse as many items or members at one go as fit into a window, ``None`` if the end of one is not found.

        What parses as a list of whole items up to a separator is the beginning of the array, and nothing else. Where it
        does not, such as when texts hold what looks like a separator, the next window tries again.
        """
        if at < self._next_batch:
            return None, at
        piece = self._text[at : at + _WINDOWS[-1]]
        ends = [match.start() + len(match.group(1)) for match in _SEPARATORS.get(kind, _COMMA).finditer(piece)]
        for end in reversed([end for end in ends[-3:] if end]):
            try:
                batch = _DECODER.decode(f"{brackets[0]}{piece[:end]}{brackets[1]}")
            except ValueError:
                continue
            self._count(piece[:end])
            return batch, at + end
        self._next_batch = at + _WINDOWS[-1]
        return None, at

    def _count(self, piece: str) -> None:
        bare = _STRINGS.sub("", piece)
        self._values += 1 + bare.count(",") + bare.count("[") + bare.count("{")
        if self._values > MOST_VALUES:
            raise TooManyValuesError(f"more than {MOST_VALUES:,} values")

    def _skip(self, at: int) -> int:
        found = _BLANK.match(self._text, at)
        return found.end() if found else at

    def _fault(self, at: int) -> json.JSONDecodeError:
        return json.JSONDecodeError("not JSON", self._text[max(0, at - 20) : at + 20], min(at, 20))
