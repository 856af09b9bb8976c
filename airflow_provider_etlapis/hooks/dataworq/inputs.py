"""Checks what users give for DataWORQ before anything is sent, and brings it into the vendor's form."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, get_args

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.text import shown, without_value

ParameterType = Literal["string", "integer", "float"]

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_LONGEST_NAME = 500


class JobParameter(TypedDict):
    """A parameter of a start (a)."""

    name: str
    type: ParameterType
    value: str | int | float


Parameters = Mapping[str, str | int | float] | Sequence[Mapping[str, Any]]


def is_job_id(text: Any) -> bool:
    """Return whether a text can be a job id: one that fits a path and a header."""
    return isinstance(text, str) and _JOB_ID.fullmatch(text) is not None


def checked_job_id(job_id: Any) -> str:
    """Return a job id that fits a path and a header.

    All of the vendor's examples are UUIDs; that they always are is not documented, so other ids of letters,
    digits, dots, dashes, underscores and tildes are let through.

    :param job_id: as a text; an integer, as native rendering makes of a text of digits, is taken as well.
    :raises InvalidInputError: for anything else.
    """
    text = _text_of(job_id)
    if text == "None" or not is_job_id(text):  # "None" is what a template makes of an XCom that is not there
        raise InvalidInputError(
            f"job_id must be the jobId that DataWORQ gave a job, such as 2956fdae-73f8-45ec-a999-bf3514020472, "
            f"not {shown(job_id)}{without_value(job_id)}"
        )
    return text


def checked_name(value: Any, what: str) -> str:
    """Return a text without blanks around it.

    :param value: as a text; an integer, as native rendering makes of a text of digits, is taken as well.
    :param what: the parameter, for the message.
    :raises InvalidInputError: if it is empty, no text, or one that cannot be sent.
    """
    text = _text_of(value)
    if not text:
        raise InvalidInputError(f"{what} must be a text that is not empty, not {shown(value)}")
    if len(text) > _LONGEST_NAME:
        raise InvalidInputError(f"{what} must be a text of at most {_LONGEST_NAME} characters, not {shown(value)}")
    return _sendable(text, what)


def checked_switch(value: Any, what: str) -> bool:
    """Return a switch.

    :param what: the parameter, for the message.
    :raises InvalidInputError: if it is neither True nor False.
    """
    if not isinstance(value, bool):
        raise InvalidInputError(f"{what} must be True or False, not {shown(value)}")
    return value


def job_parameters(parameters: Parameters | None) -> list[JobParameter]:
    """Return parameters of a start in the vendor's form; it knows the types string, integer and float only (a).

    :param parameters: a dict of str, int or float values, from which the types are taken; or the vendor's list of
        ``{"name", "type", "value"}``, in which a number may also be given as text, as templates render it.
    :raises InvalidInputError: for values of any other type, bool and NaN included, and for names given twice.
    """
    if parameters is None:
        return []
    made: dict[str, JobParameter] = {}
    spelled: dict[str, Any] = {}
    for name, type_, value in _items(parameters):
        parameter = _parameter(name, type_, value)
        sent = parameter["name"]
        if sent in made:
            raise InvalidInputError(
                f"parameters has {shown(spelled[sent])} and {shown(name)}, which are both sent as {shown(sent)}: "
                "give it once"
            )
        made[sent], spelled[sent] = parameter, name
    return list(made.values())


def _items(parameters: Any) -> list[tuple[Any, ParameterType | None, Any]]:
    """Return names, types (``None`` where the value decides) and values."""
    if isinstance(parameters, Mapping):
        return [(name, None, value) for name, value in parameters.items()]
    if isinstance(parameters, str):
        raise InvalidInputError(
            "parameters must be a dict or a list of name, type and value, not a text. A template renders to a text: "
            "give the other task's result as it is (task.output), or set render_template_as_native_obj=True on the DAG"
        )
    if isinstance(parameters, bytes | bytearray) or not isinstance(parameters, Sequence):
        raise InvalidInputError(f"parameters must be a dict or a list of name, type and value, not {shown(parameters)}")
    items: list[tuple[Any, ParameterType | None, Any]] = []
    for item in parameters:
        if not isinstance(item, Mapping) or set(item) != {"name", "type", "value"}:
            raise InvalidInputError("each item of parameters must be an object with name, type and value, no more")
        if item["type"] not in get_args(ParameterType):
            raise InvalidInputError(
                f"parameter {shown(item['name'])}: type must be string, integer or float, not {shown(item['type'])}"
            )
        items.append((item["name"], item["type"], item["value"]))
    return items


def _parameter(name: Any, type_: ParameterType | None, value: Any) -> JobParameter:
    """Return one parameter, checked. Its value may be a secret, so no message shows it."""
    sent = checked_name(name, "the name of a parameter")
    what = f"parameter {shown(name)}"
    given = _type_of(value, what)
    wanted = type_ or given
    if isinstance(value, str):
        _sendable(value, what)
    converted: str | int | float | None = None
    if wanted == "string" and given == "string":
        converted = value
    elif wanted == "integer" and given != "float":
        converted = _integer(value)
    elif wanted == "float":
        converted = _float(value)
    if converted is None:
        kind = "a finite number" if wanted == "float" else f"of type {wanted}"
        raise InvalidInputError(f"{what} must be {kind}; its value, of type {type(value).__name__}, is not")
    return JobParameter(name=sent, type=wanted, value=converted)


def _type_of(value: Any, what: str) -> ParameterType:
    if isinstance(value, str):
        return "string"
    if isinstance(value, int) and not isinstance(value, bool):
        return "integer"
    if isinstance(value, float):
        return "float"
    raise InvalidInputError(
        f"{what} must be a str, an int or a float, not a value of type {type(value).__name__}; "
        "DataWORQ takes no other types, so write it as text if the flow can read that"
    )


def _integer(value: str | int) -> int | None:
    """Return an integer that can be written as JSON, ``None`` if it is none; it may be given as text."""
    if isinstance(value, str) and not _INTEGER.fullmatch(value.strip()):
        return None
    try:
        number = int(value)
        str(number)
    except ValueError:  # more than 4,300 digits
        return None
    return number


def _float(value: str | float) -> float | None:
    """Return a finite number, ``None`` if it is none; it may be given as text."""
    if isinstance(value, str) and "_" in value:  # Python would read 1_000
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text_of(value: Any) -> str:
    """Return a text without blanks around it, empty for what is neither a text nor an integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError:  # more than 4,300 digits
            return ""
    return value.strip() if isinstance(value, str) else ""


def _sendable(text: str, what: str) -> str:
    if "\x00" in text:
        raise InvalidInputError(f"{what} holds the character NUL (\\x00), which cannot be stored: remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{what} holds half of a surrogate pair ({text[error.start]!r} at position {error.start}), which is no "
            "character: read the text with the encoding in which it was written"
        ) from None
    return text
