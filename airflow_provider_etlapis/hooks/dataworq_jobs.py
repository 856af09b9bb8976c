"""What DataWORQ's API takes and gives: the shapes of its JSON, checks of inputs, and parsers of answers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict, cast, get_args

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.wire.call import Response, json_array, json_object
from airflow_provider_etlapis.wire.errors import MalformedAnswerError

JobFilter = Literal["active", "history"]
ParameterType = Literal["string", "integer", "float"]

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_STATUS_WORD = re.compile(r"[A-Za-z][A-Za-z _-]{0,40}")
_JSON_WORDS = frozenset({"null", "true", "false"})


class JobStatus(TypedDict):
    """A job as the vendor shows it (a); times are milliseconds since the epoch. Further keys come along unchanged.

    ``startTimeFormatted``, ``endTimeFormatted`` and the lines of ``log`` are in the server's own time zone.
    """

    id: str
    executionStatus: str
    jobType: NotRequired[str]
    flowName: NotRequired[str]
    runProfileName: NotRequired[str]
    jobName: NotRequired[str]
    startTime: NotRequired[int | None]
    endTime: NotRequired[int | None]
    log: NotRequired[str | None]
    executionPerformanceReport: NotRequired[Any]
    error: NotRequired[Any]
    currentStepId: NotRequired[str | None]
    currentStepDescription: NotRequired[str | None]
    currentStepStartTime: NotRequired[int | None]
    currentStepStatus: NotRequired[str | None]
    runProfile: NotRequired[str]
    runtimeFormatted: NotRequired[str]
    startTimeFormatted: NotRequired[str]
    endTimeFormatted: NotRequired[str]
    currentStepElapsedTime: NotRequired[str]


class JobExecutionResponse(TypedDict):
    """The reply to a start (a)."""

    jobId: str


class JobParameter(TypedDict):
    """A parameter of a start (a)."""

    name: str
    type: ParameterType
    value: str | int | float


Parameters = Mapping[str, str | int | float] | Sequence[Mapping[str, Any]]


def checked_job_id(job_id: Any) -> str:
    """Return a job id that fits a path and a header.

    All of the vendor's examples are UUIDs; that they always are is not documented, so other ids of letters,
    digits, dots, dashes, underscores and tildes are let through.

    :raises InvalidInputError: for anything else.
    """
    text = job_id.strip() if isinstance(job_id, str) else ""
    if text == "None" or not _JOB_ID.fullmatch(text):  # "None" is what a template makes of an XCom that is not there
        raise InvalidInputError(
            f"job_id must be the jobId that DataWORQ gave a job, such as 2956fdae-73f8-45ec-a999-bf3514020472, "
            f"not {job_id!r}"
        )
    return text


def job_parameters(parameters: Parameters | None) -> list[JobParameter]:
    """Return parameters of a start in the vendor's form; it knows the types string, integer and float only (a).

    :param parameters: a dict of str, int or float values, from which the types are taken; or the vendor's list of
        ``{"name", "type", "value"}``, in which a number may also be given as text, as templates render it.
    :raises InvalidInputError: for values of any other type, bool and NaN included, and for names given twice.
    """
    if parameters is None:
        return []
    if isinstance(parameters, Mapping):
        return [_parameter(name, _type_of(name, value), value) for name, value in parameters.items()]
    if isinstance(parameters, str) or not isinstance(parameters, Sequence):
        raise InvalidInputError(
            f"parameters must be a dict or a list of name, type and value, not {type(parameters).__name__}"
        )
    made = []
    for item in parameters:
        if not isinstance(item, Mapping) or set(item) != {"name", "type", "value"}:
            raise InvalidInputError("each item of parameters must be an object with name, type and value, no more")
        if item["type"] not in get_args(ParameterType):
            raise InvalidInputError(
                f"parameter {item['name']!r}: type must be string, integer or float, not {item['type']!r}"
            )
        made.append(_parameter(item["name"], item["type"], item["value"]))
    names = [parameter["name"] for parameter in made]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInputError(f"parameters given twice: {', '.join(twice)}")
    return made


def _type_of(name: Any, value: Any) -> ParameterType:
    if isinstance(value, str):
        return "string"
    if isinstance(value, int) and not isinstance(value, bool):
        return "integer"
    if isinstance(value, float):
        return "float"
    raise InvalidInputError(f"parameter {name!r} must be a str, an int or a float, not {type(value).__name__}")


def _parameter(name: Any, type_: ParameterType, value: Any) -> JobParameter:
    given = _type_of(checked_name(name, "the name of a parameter"), value)
    converted: str | int | float | None = None
    if type_ == given == "string":
        converted = value
    elif type_ == "integer" and given != "float":
        converted = _number(int, value)
    elif type_ == "float":
        converted = _number(float, value)
    if converted is None:
        raise InvalidInputError(f"parameter {name!r} is no {type_}: its value is a {type(value).__name__}")
    return JobParameter(name=name.strip(), type=type_, value=converted)


def _number(kind: type[int] | type[float], value: Any) -> int | float | None:
    """Return a finite number, ``None`` if it is none; it may be given as text."""
    try:
        number = kind(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def checked_name(value: Any, what: str) -> str:
    """Return a text without blanks around it.

    :raises InvalidInputError: if it is empty or no text.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(f"{what} must be a text that is not empty, not {value!r}")
    return value.strip()


def parse_execution_status(response: Response) -> str | None:
    """Return the status word of an answer in any of the three shapes, ``None`` for JSON of another shape.

    :raises MalformedAnswerError: if it is neither JSON nor a word, such as a page of a proxy.
    """
    text = response.text.strip()
    if _STATUS_WORD.fullmatch(text) and text not in _JSON_WORDS:
        return text
    value = response.json()
    if isinstance(value, dict):
        value = value.get("executionStatus")
    return value.strip() if isinstance(value, str) and value.strip() else None


def parse_job(response: Response) -> JobStatus:
    """Parse one job."""
    return _checked_job(json_object(response), response)


def parse_jobs(response: Response) -> list[JobStatus]:
    """Parse a bare array of jobs."""
    return [_checked_job(job, response) for job in json_array(response)]


def _checked_job(job: Mapping[str, Any], response: Response) -> JobStatus:
    if not isinstance(job.get("id"), str) or not isinstance(job.get("executionStatus"), str):
        raise MalformedAnswerError("a job without id or executionStatus", status=response.status)
    return cast("JobStatus", job)


def parse_started(response: Response) -> JobExecutionResponse:
    """Parse the reply to a start; a 200 without a job id is no good answer."""
    reply = json_object(response)
    if not isinstance(reply.get("jobId"), str) or not _JOB_ID.fullmatch(reply["jobId"]):
        raise MalformedAnswerError("no jobId in the reply to a start", status=response.status)
    return cast("JobExecutionResponse", reply)
