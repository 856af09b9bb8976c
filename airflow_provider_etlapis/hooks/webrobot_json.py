"""WebRobot's JSON: the shapes of its answers, and the parsers and spellings that its endpoints share.

No shape has a required property in the vendor's documents, so none has here. Ids are text in paths and in most
shapes, and whole numbers in metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict, TypeVar, cast

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.values import moment
from airflow_provider_etlapis.wire.call import Response, json_array, json_object, segment
from airflow_provider_etlapis.wire.errors import MalformedAnswerError

HIDDEN = "***"

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


def id_text(value: Any, what: str) -> str:
    """Return an id as text; whole numbers are accepted as well, since metrics and templates have them.

    :raises InvalidInputError: if it is empty or could name another resource in a path.
    """
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text or text in {".", ".."} or "/" in text:
        raise InvalidInputError(f"{what} must be an id of WebRobot, not {value!r}")
    return text


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


def instant(value: datetime | str | None, what: str) -> datetime | None:
    """Return a moment from a datetime or ISO 8601 text, in UTC; a naive one is taken as UTC.

    :raises InvalidInputError: for a text that is none.
    """
    if value is None or value == "":
        return None
    found = moment(value.isoformat() if isinstance(value, datetime) else value)
    if found is None:
        raise InvalidInputError(f"{what} must be a datetime or ISO 8601 text, not {value!r}")
    return found


def spelled(at: datetime | None) -> str | None:
    """Return a moment as the API writes it, such as ``2025-12-11T00:00:00Z``."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


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
    """Parse the answer to an execute call; one without an id tells nothing, unless it is a refusal."""
    started = cast("ExecutionStarted", json_object(response))
    if started.get("success") is not False and not isinstance(started.get("executionId") or None, str):
        raise MalformedAnswerError("an accepted execution without an executionId", status=response.status)
    return started


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
    """Parse the answer to a stop, start or cancel: documented as ``{}``; an empty one is as good."""
    answer = parse_anything(response)
    return answer if isinstance(answer, dict) else {}


def _with_status(value: dict[str, Any], response: Response) -> dict[str, Any]:
    if not isinstance(value.get("status") or None, str):
        raise MalformedAnswerError("an execution without a status", status=response.status)
    return value


def _without_key(task: Task) -> Task:
    return cast("Task", {**task, "apiKey": HIDDEN}) if task.get("apiKey") else task
