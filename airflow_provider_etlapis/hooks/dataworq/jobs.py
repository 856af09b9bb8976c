"""What DataWORQ's API answers: the shapes of its JSON, the parsers of its answers, and a job as a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NotRequired, TypedDict, cast

from airflow_provider_etlapis.connection_forms import DATAWORQ
from airflow_provider_etlapis.hooks.dataworq.inputs import is_job_id
from airflow_provider_etlapis.hooks.values import moment_of_millis
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.wire.call import Response, json_array, json_object
from airflow_provider_etlapis.wire.errors import MalformedAnswerError

VENDOR = DATAWORQ.conn_type
LONGEST_LIST = 100
"""A list call shows at most this many jobs, and there is no second page (a)."""

JobFilter = Literal["active", "history"]

_STATUS_WORD = re.compile(r"[A-Za-z][A-Za-z _-]{0,40}")
_JSON_WORDS = frozenset({"null", "true", "false"})
_LONGEST_ERROR = 2000

_STATES = {
    "QUEUED": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "COMPLETED": RunState.SUCCEEDED,
    "ERROR": RunState.FAILED,
    "CANCELLED": RunState.CANCELLED,
}


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
    if not is_job_id(reply.get("jobId")):
        raise MalformedAnswerError("no jobId in the reply to a start", status=response.status)
    return cast("JobExecutionResponse", reply)


def state_of(status: str) -> RunState:
    """Return the state that a status word stands for."""
    return _STATES.get(status.strip().upper(), RunState.UNKNOWN)


def run_of(job: JobStatus, ref: RunRef | None = None) -> RemoteRun:
    """Return a job as a run."""
    state = state_of(job["executionStatus"])
    started = moment_of_millis(job.get("startTime"))
    return RemoteRun(
        ref=ref or RunRef(VENDOR, {"job_id": job["id"]}, started.timestamp() if started else None),
        state=state,
        vendor_status=job["executionStatus"],
        name=job.get("jobName") or job.get("runProfile") or "",
        started=started,
        ended=moment_of_millis(job.get("endTime")) if state.is_terminal else None,
        error=_error_of(job.get("error")),
        details={
            "job_type": job.get("jobType"),
            "flow_name": job.get("flowName"),
            "run_profile_name": job.get("runProfileName"),
            "current_step": job.get("currentStepDescription") or job.get("currentStepId"),
        },
    )


def runs_among(jobs: Iterable[JobStatus], wanted: Mapping[str, RunRef]) -> dict[str, RemoteRun]:
    """Return the wanted runs that a list shows, by run id."""
    return {job["id"]: run_of(job, wanted[job["id"]]) for job in jobs if job["id"] in wanted}


def job_name(spec: Mapping[str, Any]) -> str | None:
    """Return the name that a job will have, as in all examples (a); ``None`` if the flow's name is not known."""
    flow_name = spec.get("flow_name")
    return f"{flow_name}_{spec['run_profile_name']}" if flow_name else None


def _error_of(error: Any) -> str | None:
    """Return the vendor's error as text; it is null in all examples, so its type is not known (c)."""
    if not error:
        return None
    text = error if isinstance(error, str) else json.dumps(error, sort_keys=True)
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}..."
