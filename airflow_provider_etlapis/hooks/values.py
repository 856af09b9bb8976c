"""Reads the values that vendors send: moments in time, and ids that go into a path."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pendulum

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.text import shown, without_value

_MOST_DIGITS = 30
"""Of an id that comes as text: Python reads no number of thousands of digits."""


def moment(text: Any) -> datetime | None:
    """Return an ISO 8601 text as a moment in UTC, ``None`` if it is not one.

    With or without a fraction and an offset; without an offset it is taken as UTC.
    """
    if not isinstance(text, str) or not text.strip():
        return None
    try:
        # A list of a thousand runs holds two thousand of them: pendulum, which reads more, takes fifty times as long.
        plain = datetime.fromisoformat(text.strip())
        return plain.replace(tzinfo=UTC) if plain.tzinfo is None else plain.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter at both ends of the calendar
        pass
    try:
        parsed = pendulum.parse(text.strip(), tz="UTC", strict=False)
        return datetime.fromtimestamp(parsed.timestamp(), UTC) if isinstance(parsed, pendulum.DateTime) else None
    except (ValueError, OverflowError):
        return None


def names_zone(text: str) -> bool:
    """Say whether an ISO 8601 text holds the zone of its time."""
    return text.endswith("Z") or "+" in text[10:] or "-" in text[10:]


def moment_of_millis(value: Any) -> datetime | None:
    """Return milliseconds since the epoch as a moment in UTC, ``None`` if it is no number or beyond the calendar."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def uuid_text(value: Any, what: str) -> str:
    """Return a UUID in its usual spelling.

    :raises InvalidInputError: if it is none; some servers answer a malformed id with a fault of their own.
    """
    try:
        return str(uuid.UUID(str(value).strip()))
    except ValueError:
        raise InvalidInputError(f"{what} must be a UUID, not {shown(value)}{without_value(value)}") from None


def integer_id(value: Any, what: str) -> int:
    """Return an id that must be a whole number, also when it comes as text from a template.

    :raises InvalidInputError: if it is none: in a path it could name another resource.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    text = value.strip() if isinstance(value, str) else ""
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return int(text)
    raise InvalidInputError(f"{what} must be a whole number, not {shown(value)}{without_value(value)}")


def named(what: Mapping[str, Any], *ways: tuple[str, ...]) -> dict[str, str]:
    """Return what names a thing whose runs are watched or listed, its values as texts.

    :param what: as a user or a trigger gave it.
    :param ways: the names by which the thing can be given, one tuple a way.
    :raises InvalidInputError: if it is given in none of these ways, or a value is empty.
    """
    given = {name: str(value).strip() for name, value in what.items() if value is not None}
    if set(given) not in [set(way) for way in ways] or not all(given.values()):
        asked = ", or ".join(" and ".join(way) for way in ways)
        named_by = ", ".join(f"{name}={shown(value)}" for name, value in what.items()) or "nothing"
        raise InvalidInputError(f"what has runs is named by {asked}, not by {named_by}")
    return given
