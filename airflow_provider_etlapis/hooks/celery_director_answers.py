"""What Celery Director's answers say: runs and their tasks, checked and put into the terms of all vendors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, NotRequired, TypedDict, cast

from airflow_provider_etlapis.connection_forms import CELERY_DIRECTOR
from airflow_provider_etlapis.hooks.values import moment
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Step
from airflow_provider_etlapis.wire.call import Response, json_object
from airflow_provider_etlapis.wire.errors import MalformedAnswerError

VENDOR = CELERY_DIRECTOR.conn_type

CLOCK_SKEW = timedelta(minutes=5)
"""A run that cannot be told apart by its text may be this much older than our call, by the server's clock."""

_RUN_FACTS = ("id", "fullname", "status", "created", "updated")
_TASK_FACTS = ("id", "key", "status", "created", "updated")
_TEXT = frozenset({str})

_STATES = {
    "pending": RunState.QUEUED,
    "progress": RunState.RUNNING,
    "success": RunState.SUCCEEDED,
    "error": RunState.FAILED,
    "canceled": RunState.CANCELLED,
}


class WorkflowTask(TypedDict):
    """A task of a run. ``result`` on an error is ``{"exception": str, "traceback": str}``."""

    id: str
    key: str
    status: str
    previous: list[str]
    created: str
    updated: str
    task: str
    result: NotRequired[Any]
    is_hook: NotRequired[bool]


class Workflow(TypedDict):
    """A run. ``payload`` and ``tasks`` are absent from some answers, ``comment`` where none was given."""

    id: str
    project: str
    name: str
    fullname: str
    status: str
    created: str
    updated: str
    periodic: bool
    payload: NotRequired[dict[str, Any]]
    comment: NotRequired[str]
    tasks: NotRequired[list[WorkflowTask]]


class Definition(TypedDict):
    """A definition as the server's YAML has it; further keys of the entry come along unchanged."""

    fullname: str
    project: str
    name: str
    tasks: list[Any]


def run_of(workflow: Workflow, base_url: str, ref: RunRef | None = None) -> RemoteRun:
    """Return a row of the list, or a run with its tasks, as a run.

    :param base_url: the server's address, above ``/api``.
    :param ref: its reference, where there is one already.
    """
    state = _STATES.get(workflow["status"], RunState.UNKNOWN)
    created = moment(workflow["created"])
    tasks = in_order(workflow["tasks"]) if workflow.get("tasks") else []
    return RemoteRun(
        ref=ref or RunRef(VENDOR, {"workflow_id": workflow["id"]}, created.timestamp() if created else None),
        state=state,
        vendor_status=workflow["status"],
        name=workflow["fullname"],
        url=f"{base_url}/{workflow['id']}",
        started=created,
        # The row's own change: on a finished run it is the end.
        ended=moment(workflow["updated"]) if state.is_terminal else None,
        error=_error_of(tasks) if state is RunState.FAILED else None,
        steps=tuple(_step_of(task) for task in tasks),
        details={"periodic": workflow.get("periodic", False), "comment": workflow.get("comment")},
    )


def in_order(tasks: Sequence[WorkflowTask]) -> list[WorkflowTask]:
    """Return the tasks of a run in the order in which they run, hooks last.

    The server's order is not defined; ``previous`` is.
    """
    waiting = sorted(tasks, key=lambda task: (bool(task.get("is_hook")), task["created"]))
    ordered: list[WorkflowTask] = []
    known = {task["id"] for task in tasks}
    done: set[str] = set()
    while waiting:
        ready = [task for task in waiting if done.issuperset(known.intersection(task["previous"]))]
        plain = [task for task in ready if not task.get("is_hook")]
        # Hooks name no predecessor: they come when nothing else is left. A circle cannot be, but must not hang.
        step = plain or ready or waiting
        ordered += step
        done |= {task["id"] for task in step}
        waiting = [task for task in waiting if task["id"] not in done]
    return ordered


def workflow_of(response: Response) -> Workflow:
    """Return the run that an answer holds.

    :raises MalformedAnswerError: if it holds none.
    """
    return checked(json_object(response), response)


def checked(row: dict[str, Any], response: Response) -> Workflow:
    """Return a run whose facts are there: JSON of another shape is some proxy's, or a damaged answer.

    :raises MalformedAnswerError: if they are not.
    """
    tasks = row.get("tasks", [])
    if _lacks(row, _RUN_FACTS) or not isinstance(tasks, list):
        raise MalformedAnswerError("JSON that is no run", status=response.status)
    if not all(map(_is_task, tasks)):
        raise MalformedAnswerError("a run with tasks that are none", status=response.status)
    return cast("Workflow", row)


def _lacks(facts: Mapping[str, Any], names: Collection[str]) -> bool:
    return not _TEXT.issuperset(map(type, map(facts.get, names)))  # of a thousand rows a look


def _is_task(task: Any) -> bool:
    if not isinstance(task, dict) or _lacks(task, _TASK_FACTS):
        return False
    previous = task.get("previous")
    return isinstance(previous, list) and all(isinstance(task_id, str) for task_id in previous)


def is_before(row: Workflow, since: float) -> bool:
    """Say whether a run was made before a moment (seconds since the epoch), whichever clock is wrong."""
    created = moment(row["created"])
    return created is not None and created.timestamp() < since - CLOCK_SKEW.total_seconds()


def _step_of(task: WorkflowTask) -> Step:
    state = _STATES.get(task["status"], RunState.UNKNOWN)
    return Step(
        name=task["key"],
        state=state,
        vendor_status=task["status"],
        started=moment(task["created"]),
        ended=moment(task["updated"]) if state.is_terminal else None,
        error=_failure_of(task),
    )


def _failure_of(task: WorkflowTask) -> str | None:
    result = task.get("result")
    if task["status"] != "error":
        return None
    if not isinstance(result, dict):
        return "failed without saying why"
    traceback = str(result.get("traceback") or "").strip().splitlines()
    # The last line has the class, which `exception` lacks.
    reason = traceback[-1].strip() if traceback else str(result.get("exception") or "failed without saying why")
    tail = "\n".join(traceback[-6:])
    return f"{reason}\n{tail}" if len(traceback) > 1 else reason


def _error_of(tasks: Sequence[WorkflowTask]) -> str | None:
    if not tasks:
        return None
    failures = [f"task {task['key']}: {failure}" for task in tasks if (failure := _failure_of(task))]
    return "\n".join(failures) or "no task failed: the run probably never reached the broker"
