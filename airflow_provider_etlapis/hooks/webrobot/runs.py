"""What WebRobot's answers say about runs: references, status words, executions, tasks, and the end of a log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_etlapis.connection_forms import WEBROBOT
from airflow_provider_etlapis.hooks.values import moment
from airflow_provider_etlapis.hooks.webrobot.documents import ExecutionStarted, ExecutionStatus, Task, TaskMetrics
from airflow_provider_etlapis.hooks.webrobot.inputs import id_text, is_id, job_ids
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Step

VENDOR = WEBROBOT.conn_type

# COMPLETED and FAILED are the documented ends. The others are what the vendor's own clients look for as well.
_STATES = {
    "": RunState.QUEUED,
    "CREATED": RunState.QUEUED,
    "SUBMITTED": RunState.QUEUED,
    "PENDING": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "COMPLETED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "ERROR": RunState.FAILED,
    "KILLED": RunState.FAILED,
    "CANCELLED": RunState.CANCELLED,
    "CANCELED": RunState.CANCELLED,
    "STOPPED": RunState.CANCELLED,
    "ABORTED": RunState.CANCELLED,
}
NEVER_RAN = frozenset({"", "CREATED"})
"""Words of a job or task that has surely not run yet."""
_GOING = frozenset({"PENDING", "RUNNING"})
_ENDED = frozenset({"COMPLETED", "FAILED"})
_ERROR_LINES = 10


def word(status: str | None) -> str:
    """Return a status in one spelling; empty where there is none."""
    return (status or "").strip().upper()


def state_of(status: str | None) -> RunState:
    """Return what a status word means; one that is not known, ``UNKNOWN`` included, goes on."""
    return _STATES.get(word(status), RunState.UNKNOWN)


def is_going(status: str | None) -> bool:
    """Say whether a word means that something goes on, of what is known to have run.

    ``PENDING`` may also be the word of a job or task that never ran: see :func:`is_seen_going`.
    """
    return word(status) in _GOING


def is_seen_going(status: str | None, *, has_run: bool) -> bool:
    """Say whether a job or task is seen to be going on.

    :param has_run: whether anything else shows a run of it: the execution that it names, or a start in its metrics.
        ``PENDING`` alone shows none: some servers give that word to what never ran (c).
    """
    return word(status) == "RUNNING" or (has_run and is_going(status))


def is_documented_end(status: str | None) -> bool:
    """Say whether a word is one of the ends that the API documents."""
    return word(status) in _ENDED


def execution_ref(project_id: Any, job_id: Any, execution_id: Any) -> RunRef:
    """Return the reference of an execution."""
    ids = {**job_ids(project_id, job_id), "execution_id": id_text(execution_id, "execution_id")}
    return RunRef(VENDOR, ids)


def task_ref(project_id: Any, job_id: Any, task_id: Any) -> RunRef:
    """Return the reference of a task's last run."""
    return RunRef(VENDOR, {**job_ids(project_id, job_id), "task_id": id_text(task_id, "task_id")})


def job_ref(project_id: Any, job_id: Any) -> RunRef:
    """Return the reference of a job's last run."""
    return RunRef(VENDOR, job_ids(project_id, job_id))


def reference_of(task: Task) -> str:
    """Return what a task names as its last execution, as text, empty if nothing; it need not be an id."""
    found = task.get("executionReferenceId")
    return "" if found is None else str(found).strip()


def execution_named_by(task: Task) -> str | None:
    """Return the id of the execution that a task names as its last one (c), ``None`` if it names none."""
    found = reference_of(task)
    return found if is_id(found) else None


def job_name(ids: Mapping[str, str]) -> str:
    """Return what a job is called in messages."""
    return f"job {ids['job_id']} of project {ids['project_id']}"


def task_name(ids: Mapping[str, str]) -> str:
    """Return what a task is called in messages."""
    return f"task {ids['task_id']} of {job_name(ids)}"


def utc_text(at: float) -> str:
    """Return seconds since the epoch for a message."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def metrics_detail(metrics: TaskMetrics) -> dict[str, Any]:
    """Return metrics as they stand in a run's details: not at all where there are none."""
    return {"metrics": dict(metrics)} if metrics else {}


def execution_run(ref: RunRef, status: ExecutionStatus) -> RemoteRun:
    """Return an execution from its status."""
    state = state_of(status["status"])
    url = status.get("sparkUiUrl") or ""
    return RemoteRun(
        ref=ref,
        state=state,
        vendor_status=status["status"],
        name=job_name(ref.ids),
        url=url if url.startswith(("http://", "https://")) else None,
        started=moment(status.get("startedAt")),
        ended=moment(status.get("completedAt")) if state.is_terminal else None,
        error=status.get("errorMessage") if state.is_terminal and not state.is_good else None,
        details={key: status.get(key) for key in ("executionTimeSeconds", "executorPodCount")},
    )


def ended_task_run(run: RemoteRun, task: Task, metrics: TaskMetrics) -> RemoteRun:
    """Return the ended run of a task with its times, its error and its metrics."""
    log = (task.get("executionLog") or "").rstrip().splitlines()
    started = moment(metrics.get("startedAt"))
    ended = moment(metrics.get("completedAt")) or moment(task.get("updatedAt"))
    if started is not None and ended is not None and ended < started:
        ended = None  # a row that comes late still has the end of the run before
    return replace(
        run,
        started=started,
        ended=ended,
        error=None if run.state.is_good else "\n".join(log[-_ERROR_LINES:]) or None,
        details={**run.details, "execution_id": task.get("executionReferenceId"), **metrics_detail(metrics)},
    )


def started_run(ref: RunRef, started: ExecutionStarted) -> RemoteRun:
    """Return an execution from the answer to its start."""
    shown = started.get("status") or "SUBMITTED"
    state = state_of(shown)
    return RemoteRun(
        ref=ref,
        # An acknowledgement is no end, whatever its word.
        state=RunState.QUEUED if state.is_terminal or state is RunState.UNKNOWN else state,
        vendor_status=shown,
        name=job_name(ref.ids),
        details={"clusterId": started.get("clusterId"), "message": started.get("message")},
    )


def task_step(task: Task, metrics: TaskMetrics) -> Step:
    """Return a task as a step of the execution that it names."""
    shown = task.get("executionStatus") or metrics.get("status") or ""
    return Step(
        name=task.get("name") or str(task.get("id")),
        state=state_of(shown),
        vendor_status=shown,
        started=moment(metrics.get("startedAt")),
        ended=moment(metrics.get("completedAt")),
    )


def task_of(execution_id: str, tasks: Collection[Task]) -> str | None:
    """Return the task that runs an execution: the one that names it, else the only one that goes on at all.

    ``PENDING`` tasks are considered only where none is ``RUNNING``: one that never ran may have that word.
    """
    named = [task for task in tasks if reference_of(task) == execution_id]
    running = [task for task in tasks if word(task.get("executionStatus")) == "RUNNING"]
    going = running or [task for task in tasks if is_going(task.get("executionStatus"))]
    found = next((task for task in named if task in going), named[0] if named else None)
    if found is None and len(going) == 1 and not reference_of(going[0]):
        found = going[0]
    return str(found["id"]) if found and found.get("id") else None


def waiting_run(run: RemoteRun, since: datetime) -> RemoteRun:
    """Return a run that has ended too early as one that is waited for; the status says so."""
    ended = f" at {run.ended:%Y-%m-%d %H:%M:%S} UTC" if run.ended else ", at an unknown time"
    waiting = f"{run.vendor_status}{ended}; waiting for a run that ends at or after {since:%Y-%m-%d %H:%M:%S} UTC"
    return RemoteRun(run.ref, RunState.QUEUED, waiting, run.name)


def waiting_unless_since(ref: RunRef, run: RemoteRun) -> RemoteRun:
    """Return a run that has ended early enough as one that is waited for."""
    if not run.state.is_terminal or ref.since is None or (run.ended and run.ended.timestamp() >= ref.since):
        return run
    return waiting_run(run, datetime.fromtimestamp(ref.since, UTC))


def new_lines(seen: Sequence[str], shown: Sequence[str]) -> list[str]:
    """Return the lines of a log's end that were not there at the look before.

    :param seen: the last lines of that look.
    :param shown: the last lines now; there may be a gap if more came than a look shows.
    """
    for gone in range(len(seen)):
        kept = seen[gone:]
        if list(kept) == list(shown[: len(kept)]):
            return list(shown[len(kept) :])
    return list(shown)
