"""What users give to WebRobot's endpoints: ids, moments and bodies, checked before anything is sent, and the paths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.values import moment, named
from airflow_provider_etlapis.text import shown, without_value
from airflow_provider_etlapis.wire.call import segment

_LONGEST_ID = 200
_LONGEST_NUMBER = 4096
"""Bits: Python spells out no number of more than 4,300 digits, and raises instead."""
_SHOWN = 80
_DEEPEST = 50
_TEMPLATES = (
    "A template renders to text: give the upstream task's .output, or set render_template_as_native_obj=True on the DAG"
)


# Ids and paths


def id_text(value: Any, what: str) -> str:
    """Return an id as text; whole numbers are accepted as well, since metrics and native templates have them.

    :raises InvalidInputError: if it is empty, longer than 200 characters, holds what no URL can carry, or could name
        another resource in a path.
    """
    text = ""
    if isinstance(value, str):
        text = value.strip()
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _LONGEST_NUMBER:
        text = str(value)
    if not text or len(text) > _LONGEST_ID or text in {".", "..", "None"} or "/" in text or not text.isprintable():
        raise InvalidInputError(
            f"{what} must be an id of WebRobot, such as '210', not {shown(value)}{without_value(value)}"
        )
    return text


def is_id(value: Any) -> bool:
    """Say whether a value can be an id in a path."""
    try:
        id_text(value, "")
    except InvalidInputError:
        return False
    return True


def job_ids(project_id: Any, job_id: Any) -> dict[str, str]:
    """Return the ids of a job, checked."""
    return {"project_id": id_text(project_id, "project_id"), "job_id": id_text(job_id, "job_id")}


def named_ids(what: Mapping[str, Any], *ways: tuple[str, ...]) -> dict[str, str]:
    """Return the ids that select whose runs are wanted, checked.

    :param ways: the names by which they can be given, one tuple a way.
    :raises InvalidInputError: if they are given in none of these ways, or one is no id.
    """
    known = {name for way in ways for name in way}
    return named(
        {
            name: id_text(value, name) if name in known and value is not None else shown(value)
            for name, value in what.items()
        },
        *ways,
    )


def job_path(project_id: str, job_id: str, *rest: str) -> str:
    """Return a path below a job."""
    ids = (segment(id_text(project_id, "project_id")), "jobs", segment(id_text(job_id, "job_id")))
    return "/".join(("webrobot/api/projects/id", *ids, *rest))


def task_path(project_id: str, job_id: str, task_id: str, *rest: str) -> str:
    """Return a path below a task."""
    return job_path(project_id, job_id, "tasks", segment(id_text(task_id, "task_id")), *rest)


def execution_path(project_id: str, job_id: str, execution_id: str, *rest: str) -> str:
    """Return a path below an execution."""
    return job_path(project_id, job_id, "executions", segment(id_text(execution_id, "execution_id")), *rest)


# Moments and numbers


def instant(value: datetime | str | None, what: str) -> datetime | None:
    """Return a moment from a datetime or ISO 8601 text, in UTC; a naive one is taken as UTC.

    :raises InvalidInputError: for a text that is none.
    """
    if value is None or value == "":
        return None
    found = moment(value.isoformat() if isinstance(value, datetime) else value)
    if found is None:
        raise InvalidInputError(f"{what} must be a datetime or ISO 8601 text, not {shown(value)}")
    return found


def spelled(at: datetime | None) -> str | None:
    """Return a moment as the API writes it, such as ``2025-12-11T00:00:00Z``."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def whole_number(value: Any, what: str, least: int) -> int:
    """Return a whole number from ``least`` to a billion.

    :raises InvalidInputError: if it is none.
    """
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= 10**9:
        return value
    raise InvalidInputError(f"{what} must be a whole number, at least {least}, not {shown(value)}")


# Bodies


def execute_body(
    arguments: Any = None, cloud_credential_ids: Any = None, body: Any = None
) -> tuple[list[str] | None, list[str] | None, dict[str, Any]]:
    """Return the three parts of an execute call's body, checked.

    :raises InvalidInputError: naming the parameter, what was given and what to give instead.
    """
    given = texts(arguments, "arguments"), texts(cloud_credential_ids, "cloud_credential_ids")
    further = {} if body is None else json_object_of(body, "body")
    for name, key, value in zip(
        ("arguments", "cloud_credential_ids"), ("arguments", "cloudCredentialIds"), given, strict=True
    ):
        if value is not None and key in further:
            raise InvalidInputError(f"give either {name}, or {key!r} in body, not both")
    return (*given, further)


def texts(value: Any, name: str) -> list[str] | None:
    """Return a list of texts from any sequence, such as a mapped task's ``.output``; numbers are spelled out."""
    if value is None:
        return None
    if isinstance(value, str | bytes):
        raise InvalidInputError(f"{name} must be a list of texts, not the text {shown(value)}. {_TEMPLATES}")
    if isinstance(value, Mapping) or not isinstance(value, Sequence):
        raise InvalidInputError(f"{name} must be a list of texts, not {_kind(value)}")
    return [_text(item, name) for item in value]


def _text(item: Any, name: str) -> str:
    if isinstance(item, str):
        return item
    is_number = isinstance(item, int | float) and not isinstance(item, bool)
    if not is_number or (isinstance(item, float) and not math.isfinite(item)):
        raise InvalidInputError(f"{name} must hold texts only, not {shown(item)}")
    if isinstance(item, int) and item.bit_length() > _LONGEST_NUMBER:
        raise InvalidInputError(f"{name} must hold texts only, not {shown(item)}")
    return str(item)


def json_object_of(value: Any, name: str) -> dict[str, Any]:
    """Return a JSON object as plain dicts and lists.

    Any mapping and any sequence is accepted in it, such as a mapped task's ``.output``.

    :raises InvalidInputError: if it is no object, or holds what JSON has no spelling for.
    """
    if isinstance(value, str | bytes):
        raise InvalidInputError(f"{name} must be a JSON object (a dict), not the text {shown(value)}. {_TEMPLATES}")
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"{name} must be a JSON object (a dict), not {_kind(value)}")
    made: dict[str, Any] = _plain(value, name, 0)
    return made


def _plain(value: Any, where: str, depth: int) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if value.bit_length() <= _LONGEST_NUMBER:
            return int(value)
    elif isinstance(value, float):
        if math.isfinite(value):
            return float(value)
    elif depth > _DEEPEST:
        raise InvalidInputError(f"{where[:_SHOWN]}... must not be nested deeper than {_DEEPEST} levels")
    elif isinstance(value, Mapping):
        made = {_key(key, where): _plain(item, f"{where}[{shown(key)}]", depth + 1) for key, item in value.items()}
        if len(made) == len(value):
            return made
        raise InvalidInputError(f"{where} must not have one key twice, as a number and as text")
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(item, f"{where}[{number}]", depth + 1) for number, item in enumerate(value)]
    elif isinstance(value, datetime):
        raise InvalidInputError(f"{where} must be plain JSON, not a datetime; write its .isoformat()")
    raise InvalidInputError(f"{where} must be plain JSON, not {_kind(value)}")


def _key(key: Any, where: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool) and key.bit_length() <= _LONGEST_NUMBER:
        return str(key)
    raise InvalidInputError(f"the keys of {where} must be texts, not {shown(key)}")


def _kind(value: Any) -> str:
    """Name what was given: a single value as it is, of anything else the type alone, since it may hold secrets."""
    if value is None or isinstance(value, bool | int | float):
        return shown(value)
    return f"a {type(value).__name__}"
