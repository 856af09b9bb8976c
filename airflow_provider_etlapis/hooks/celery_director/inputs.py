"""Checks what users give for a run before anything is sent, so that each fault is named in words.

A DAG may give a value in an unexpected shape: a template that renders to text, a name made of digits that native
rendering turned into a number, a lazy XCom sequence. What has one meaning is accepted; anything else is refused.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.text import shown, without_value

LONGEST_COMMENT = 255
"""Characters that the server's database keeps of a comment; PostgreSQL answers a longer one with a 500."""
_DEEPEST = 100
"""Levels of a payload; a payload that holds itself has more than any."""
_LONGEST_NUMBER_BITS = 1024
"""Whole numbers beyond this are none that a database or a task could take."""


def definition_part(value: object, field: str) -> str:
    """Return the project or the name of a definition.

    :param value: text; a whole number is taken as text, because native rendering makes one of a name of digits.
    :param field: the parameter's name, for the message.
    :raises InvalidInputError: if it can name no definition.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _LONGEST_NUMBER_BITS:
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(f"{field} must be the name of a definition's {field}, not {shown(value)}")
    return _sendable(value, field)


def comment_text(value: object, marker: str = "") -> str | None:
    """Return the comment of a run: the user's own text, cut to fit, in front of a marker.

    :param value: the user's text; ``None`` or empty for none.
    :param marker: text that recognises the run, kept whole; empty for none.
    :raises InvalidInputError: if it holds characters that cannot be stored, or is too long and has no marker.
    """
    own = "" if value is None else _sendable(str(value), "comment")
    if not marker:
        if len(own) > LONGEST_COMMENT:
            raise InvalidInputError(f"comment may have {LONGEST_COMMENT} characters, not {len(own)}")
        return None if value is None else own
    return f"{own[: LONGEST_COMMENT - len(marker) - 3]} | {marker}" if own else marker


def workflow_id_text(value: object) -> str:
    """Return the id of a run in its usual spelling.

    :param value: a UUID or its text in any spelling.
    :raises InvalidInputError: if it is none; the server would answer it with a fault of its own.
    """
    try:
        return str(uuid.UUID(str(value).strip()))
    except ValueError:
        raise InvalidInputError(f"workflow_id must be a UUID, not {shown(value)}{without_value(value)}") from None


def payload_object(value: object) -> dict[str, Any]:
    """Return a payload as the plain JSON object that is sent and that the server shows again.

    :param value: a mapping with text keys, ``None`` for an empty one. Whole numbers as keys become text, as JSON has
        it; sequences (a lazy XCom sequence, a tuple) become lists.
    :raises InvalidInputError: if it is no JSON object, naming the place in it and what to write instead.
    """
    if value is None:
        return {}
    if isinstance(value, str):
        raise InvalidInputError(
            f"payload must be a JSON object (a dict), not the text {shown(value)}: a template renders to text. Give "
            "the dict itself (another task's result as its .output), or set render_template_as_native_obj=True on "
            "the DAG"
        )
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"payload must be a JSON object (a dict), not {type(value).__name__}: {shown(value)}")
    plain: dict[str, Any] = _plain(value, "payload", 0)
    return plain


def _plain(value: Any, place: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise InvalidInputError(f"payload must not be nested more than {_DEEPEST} levels deep, nor hold itself")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _sendable(value, place)
    if isinstance(value, int):
        if value.bit_length() > _LONGEST_NUMBER_BITS:
            raise _no_json(place, f"a number of more than 300 digits, {shown(value)}; give it as text")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _no_json(place, f"{value}, which JSON does not have; give None or a text")
        return float(value)
    if isinstance(value, Mapping):
        keys = _keys(value, place)
        return {key: _plain(item, f"{place}[{shown(key)}]", depth + 1) for key, item in keys.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(item, f"{place}[{number}]", depth + 1) for number, item in enumerate(value)]
    instead = _INSTEAD.get(type(value).__name__, "; give a text, number, bool, None, list or dict")
    raise _no_json(place, f"a {type(value).__name__}, {shown(value)}{instead}")


def _no_json(place: str, what: str) -> InvalidInputError:
    shortened = place if len(place) <= 200 else f"...{place[-200:]}"
    return InvalidInputError(f"payload must be plain JSON: {shortened} is {what}")


_INSTEAD = {
    "set": "; give sorted(...) of it",
    "frozenset": "; give sorted(...) of it",
    "datetime": "; give its isoformat()",
    "DateTime": "; give its isoformat()",
    "date": "; give its isoformat()",
    "bytes": "; give it as text, such as base64",
    "Decimal": "; give float(...) or str(...) of it",
}


def _keys(value: Mapping[Any, Any], place: str) -> dict[str, Any]:
    """Return a mapping with its keys as text. Two kinds of keys could become one, so they are refused."""
    if all(isinstance(key, str) for key in value):
        return {_sendable(str(key), f"a key of {place}"): value[key] for key in value}
    if all(isinstance(key, int) and not isinstance(key, bool) for key in value):
        return {str(key): value[key] for key in value}
    other = next(key for key in value if not isinstance(key, str))
    raise _no_json(f"a key of {place}", f"a {type(other).__name__}, {shown(other)}; give the text {shown(str(other))}")


def _sendable(text: str, place: str) -> str:
    """Return a text that every database of a server can keep.

    :raises InvalidInputError: for a NUL or half of a surrogate pair, which PostgreSQL answers with a 500.
    """
    if "\0" in text:
        raise InvalidInputError(f"{place} must not hold a NUL character (\\x00), which PostgreSQL cannot keep")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{place} must not hold half of a surrogate pair, as {shown(text[error.start])} at position {error.start}; "
            "it is no character: read the text with the right encoding"
        ) from None
    return text
