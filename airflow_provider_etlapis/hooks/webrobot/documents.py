"""WebRobot's JSON: the shapes of its answers, their parsers, and what an answer says about a refusal.

No shape has a required property in the vendor's documents, so none has here. Ids are text in paths and in most
shapes, and whole numbers in metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, TypeVar, cast

from airflow_provider_etlapis.hooks.webrobot.inputs import is_id
from airflow_provider_etlapis.wire.call import Response, json_array, json_object
from airflow_provider_etlapis.wire.errors import BadRequestError, MalformedAnswerError
from airflow_provider_etlapis.wire.exchange import server_words

HIDDEN = "***"
_MOST_WORDS = 300

ShapeT = TypeVar("ShapeT", bound=Mapping[str, Any])


class Project(TypedDict, total=False):
    """A project. Further keys come along unchanged, here and below."""

    id: str
    name: str
    description: str | None
    cronSchedule: str | None
    enabled: bool
    jobIds: list[str]
    createdAt: str
    updatedAt: str


class Job(TypedDict, total=False):
    """A job. ``executionStatus`` is that of its last run only."""

    id: str
    name: str
    description: str | None
    projectId: str
    agentId: str | None
    inputDatasetId: str | None
    cloudCredentialId: str | None
    cloudCredentialIds: list[str]
    executionStatus: str | None
    scheduledTime: str | None
    enabled: bool
    taskIds: list[str]
    createdAt: str
    updatedAt: str


class Task(TypedDict, total=False):
    """A task of a job. ``apiKey`` comes as ``***``: the result may go to a log or to XCom."""

    id: str
    name: str
    description: str | None
    jobId: str
    botId: str | None
    outputDatasetId: str | None
    taskType: str
    executionReferenceId: str | None
    executionStatus: str | None
    executionLog: str | None
    scheduledTime: str | None
    executionMode: str
    enabled: bool
    apiKey: str | None
    createdAt: str
    updatedAt: str


class ExecutionStarted(TypedDict, total=False):
    """The answer to an execute call."""

    executionId: str
    status: str
    message: str
    clusterId: str
    success: bool


class ExecutionStatus(TypedDict, total=False):
    """What is known about one execution."""

    executionId: str
    status: str
    startedAt: str | None
    completedAt: str | None
    executionTimeSeconds: int | None
    errorMessage: str | None
    sparkUiUrl: str | None
    executorPodCount: int | None


class TaskStatus(TypedDict, total=False):
    """The status of a task's last run, and its progress from 0 to 100."""

    status: str
    progress: float | None


class TaskMetrics(TypedDict, total=False):
    """What the vendor reads off the log of a task's last run."""

    taskId: int
    durationSeconds: int | None
    recordsProcessed: int | None
    recordsOutput: int | None
    outputFileSizeBytes: int | None
    driverMemoryUsedBytes: int | None
    executorMemoryUsedBytes: int | None
    executorCount: int | None
    totalCpuTimeSeconds: int | None
    errorCount: int | None
    warningCount: int | None
    status: str | None
    startedAt: str | None
    completedAt: str | None


class AggregatedMetrics(TypedDict, total=False):
    """Sums, averages and counts over a job's executions."""

    totalExecutions: int
    totalDurationSeconds: int
    averageDurationSeconds: float
    totalRecordsProcessed: int
    totalRecordsOutput: int
    totalOutputFileSizeBytes: int
    totalDriverMemoryUsedBytes: int
    totalExecutorMemoryUsedBytes: int
    totalCpuTimeSeconds: int
    totalErrorCount: int
    totalWarningCount: int
    completedCount: int
    failedCount: int
    runningCount: int


class JobMetrics(TypedDict, total=False):
    """A job's metrics; the times are those of the filter, where one was given."""

    jobId: int
    startTime: str | None
    endTime: str | None
    aggregated: AggregatedMetrics


def objects(response: Response, _: type[ShapeT]) -> list[ShapeT]:
    """Parse an array of objects."""
    return cast("list[ShapeT]", json_array(response))


def parse_task(response: Response) -> Task:
    """Parse a task, its key hidden."""
    return _without_key(cast("Task", json_object(response)))


def parse_tasks(response: Response) -> list[Task]:
    """Parse a list of tasks, their keys hidden."""
    return [_without_key(task) for task in objects(response, Task)]


def parse_started(response: Response) -> ExecutionStarted:
    """Parse the answer to an execute call.

    :raises BadRequestError: if it says that nothing was accepted.
    :raises MalformedAnswerError: if it names no execution, so that one may have been started.
    """
    started = json_object(response)
    names_one = is_id(started.get("executionId"))
    if not names_one:
        refuse_refusal(started, response)
        raise MalformedAnswerError("an accepted execution without an executionId", status=response.status)
    if _says_no(started):
        raise MalformedAnswerError("success is false, and yet there is an executionId", status=response.status)
    return cast("ExecutionStarted", {**started, "executionId": str(started["executionId"]).strip()})


def parse_execution(response: Response) -> ExecutionStatus:
    """Parse the status of an execution."""
    return cast("ExecutionStatus", _with_status(json_object(response), response))


def parse_task_status(response: Response) -> TaskStatus:
    """Parse the status of a task. The vendor may have none before its first run."""
    return cast("TaskStatus", json_object(response))


def parse_logs(response: Response) -> list[str]:
    """Parse the lines of a log."""
    lines = json_object(response).get("logs") or []
    if not isinstance(lines, list):
        raise MalformedAnswerError("logs that are no array of lines", status=response.status)
    return [str(line) for line in lines]


def parse_anything(response: Response) -> Any:
    """Parse the answer of an operation that has no documented one: JSON of any kind, null, or nothing at all."""
    return response.json() if response.body.strip() else None


def parse_done(response: Response) -> dict[str, Any]:
    """Parse the answer to a start or stop: documented as ``{}``; an empty body or null is as good (c).

    :raises BadRequestError: if it says that nothing was done.
    :raises MalformedAnswerError: if it is no JSON object.
    """
    answer = parse_anything(response)
    if answer is None:
        return {}
    if not isinstance(answer, dict):
        raise MalformedAnswerError(f"JSON {type(answer).__name__} where an object was expected", status=response.status)
    refuse_refusal(answer, response)
    return answer


def parse_later_done(response: Response) -> dict[str, Any]:
    """Parse the answer to a stop whose answer no document describes: any JSON, or nothing at all.

    :raises BadRequestError: if it says that nothing was done.
    """
    answer = parse_anything(response)
    if answer is False:
        raise BadRequestError("refused: the answer is false", status=response.status)
    if not isinstance(answer, dict):
        return {}
    refuse_refusal(answer, response)
    return answer


def refuse_refusal(answer: Mapping[str, Any], response: Response) -> None:
    """Raise what an answer with a good status says in its body: that the vendor has refused.

    :raises BadRequestError: for ``"success": false``, or an error with a ``code`` that blames the request.
    :raises MalformedAnswerError: for any other error: it does not say that nothing was done.
    """
    code = answer.get("code")
    blames_request = isinstance(code, int) and 400 <= code < 500
    has_error = bool(isinstance(error := answer.get("error"), str) and error.strip())
    if not _says_no(answer) and not has_error:
        return
    words = _bounded(server_words(response)) or "no reason given"
    if _says_no(answer) or blames_request:
        raise BadRequestError(f"refused: {words}", status=response.status)
    raise MalformedAnswerError(f"an error with a good status: {words}", status=response.status)


def is_own_error(response: Response) -> bool:
    """Say whether an error answer is WebRobot's own: ``{"error": text, "code": number, "timestamp": text}`` (b).

    No field is required there, and the vendor's own code shows answers with ``error`` alone. An error text without a
    code beside a ``path`` or ``status`` is what gateways in front of such servers answer (c).
    """
    try:
        body = response.json()
    except MalformedAnswerError:
        return False
    if not isinstance(body, dict):
        return False
    code, text = body.get("code"), body.get("error")
    if code is not None and (isinstance(code, bool) or not isinstance(code, int)):
        return False
    if isinstance(text, str) and text.strip():
        return code is not None or not {"path", "status"} & body.keys()
    return text is None and code == response.status


def _says_no(answer: Mapping[str, Any]) -> bool:
    success = answer.get("success")
    return success is False or (isinstance(success, str) and success.strip().lower() == "false")


def _bounded(words: str) -> str:
    """Cut a text between two words: a part of a secret would not be recognised as one."""
    if len(words) <= _MOST_WORDS:
        return words
    return f"{words[:_MOST_WORDS].rpartition(' ')[0]}..."


def _with_status(value: dict[str, Any], response: Response) -> dict[str, Any]:
    if not isinstance(value.get("status") or None, str):
        raise MalformedAnswerError("an execution without a status", status=response.status)
    return value


def _without_key(task: Task) -> Task:
    return cast("Task", {**task, "apiKey": HIDDEN}) if task.get("apiKey") else task
