"""Checks of operators' parameters that are the same for every vendor: what was given, and what to write instead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.text import shown


def seconds(value: float | timedelta, name: str) -> float:
    """Return a duration as seconds.

    :param value: seconds, or a timedelta.
    :param name: of the parameter, for the message.
    :raises InvalidInputError: if it is neither, not finite, or not above 0.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidInputError(f"{name} must be a number of seconds or a timedelta, got {shown(value)}")
    if not math.isfinite(number) or number <= 0:
        raise InvalidInputError(f"{name} must be above 0 seconds and finite, got {shown(value)}")
    return float(number)


def one_of(name: str, value: object, allowed: Sequence[object]) -> None:
    """Check an argument that takes one of a few words.

    :raises InvalidInputError: naming the words.
    """
    if value not in allowed:
        raise InvalidInputError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {shown(value)}")


def true_or_false(**switches: object) -> None:
    """Check arguments that are switches: a text such as ``"no"`` would count as true.

    :raises InvalidInputError: naming the first that is neither ``True`` nor ``False``.
    """
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise InvalidInputError(f"{name} must be True or False, got {shown(value)}")
