"""The spellings that a secret takes on its way through URLs, JSON, HTML, logs and base64, as one linear pattern."""

from __future__ import annotations

import base64
import html.entities
import json
import re
from functools import cache
from urllib.parse import quote, quote_plus

SHORT = 3
"""Secrets of at most this many characters are hidden only where they stand alone as a value: see :func:`pattern_of`."""

_LONGEST_PIECE = 1_000
"""Characters of a secret in one pattern; a longer secret, such as a private key, is several."""
_BEFORE_VALUE = r"""(?:(?<=["'=:>])|(?<=[=:]\s))"""
_AFTER_VALUE = r"""(?=["'&,;<@\s)\]}]|\Z)"""
_NAMED_CONTROLS = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


def pattern_of(secret: str) -> re.Pattern[str]:
    """Return what finds a secret in any mixture of its spellings.

    Each character may stand for itself, or be percent-encoded, an HTML entity (named, decimal or hexadecimal), a JSON
    or Python escape, hexadecimal digits in either case, a ``+`` for a blank, or UTF-8 read as Latin-1.

    A secret of one to three characters is found only as a whole value: in quotes, or after ``=`` or ``:``. Hidden
    everywhere it would take the sense out of every sentence, and give itself away by what is missing.
    """
    if len(secret) <= SHORT:
        return re.compile(_BEFORE_VALUE + _spelled(secret) + _AFTER_VALUE)
    starts = range(0, max(1, len(secret) - _LONGEST_PIECE + 1), _LONGEST_PIECE)
    pieces = {secret[start : start + _LONGEST_PIECE] for start in starts} | {secret[-_LONGEST_PIECE:]}
    return re.compile("|".join(_spelled(piece) for piece in sorted(pieces, key=len, reverse=True)))


def base64_of(secret: str) -> tuple[str, str]:
    """Return the two base64 spellings of a text, without padding: with ``+`` and ``/``, and with ``-`` and ``_``."""
    plain = base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode().rstrip("=")
    return plain, plain.replace("+", "-").replace("/", "_")


def whole_spellings(secret: str) -> tuple[str, ...]:
    """Return the usual spellings of a whole secret: what is left of one that somebody has cut is compared with them."""
    clean = secret.encode("utf-8", "replace").decode()
    percent, plus = quote(clean, safe=""), quote_plus(clean)
    return tuple({secret, percent, percent.lower(), quote(clean), plus, html.escape(clean), json.dumps(clean)[1:-1]})


def longest_spelling(secret: str) -> int:
    """Return how many characters a spelling of a secret may have."""
    plain = sum(character.isascii() and character.isalnum() for character in secret)
    return min(plain + 14 * (len(secret) - plain), 14 * _LONGEST_PIECE)


def _spelled(text: str) -> str:
    return "".join(_character(character) for character in text)


@cache
def _character(character: str) -> str:
    """Return the pattern of one character."""
    if character.isascii() and character.isalnum():
        return character
    code = ord(character)
    octets = character.encode("utf-8", "surrogatepass")
    units = character.encode("utf-16-be", "surrogatepass").hex()
    # A text that was quoted twice has its backslashes doubled, and its ampersands spelled out.
    back, ampersand = r"\\{1,8}", "&(?:amp;){0,3}"
    ways = [
        (r"\\{0,8}" if character in "\"'/" else r"\\{1,8}" if character == "\\" else "")
        + (re.escape(character) if character != "\\" else ""),
        _either_case("".join(f"%{octet:02x}" for octet in octets)),
        f"{ampersand}#0{{0,6}}{code};?",
        f"{ampersand}#[xX]0{{0,6}}{_either_case(f'{code:x}')};?",
        "".join(f"{back}u{_either_case(units[at : at + 4])}" for at in range(0, len(units), 4)),
        "".join(f"{back}x{_either_case(f'{octet:02x}')}" for octet in octets),
        *(f"{ampersand}{name}" for name in _entities().get(character, ())),
    ]
    if code > 0x7F:
        ways.append(re.escape(octets.decode("latin-1")))
        ways.append(
            f"{back}x{_either_case(f'{code:02x}')}" if code <= 0xFF else f"{back}U{_either_case(f'{code:08x}')}"
        )
    if character in _NAMED_CONTROLS:
        ways.append(back + _NAMED_CONTROLS[character])
    if character == " ":
        ways += [r"\+", "&nbsp;"]
    if character == "+":
        ways.append(" ")
    return f"(?:{'|'.join(ways)})"


def _either_case(text: str) -> str:
    return "".join(f"[{each}{each.upper()}]" if each.isalpha() else re.escape(each) for each in text)


@cache
def _entities() -> dict[str, list[str]]:
    """Return the names of HTML's entities by character."""
    names: dict[str, list[str]] = {}
    for name, character in html.entities.html5.items():
        if name.endswith(";"):
            names.setdefault(character, []).append(re.escape(name))
    return names
