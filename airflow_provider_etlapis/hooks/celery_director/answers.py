"""What Celery Director's answers say: runs and their tasks, checked and put into the terms of all vendors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NotRequired, TypedDict, cast

from airflow_provider_etlapis.connection_forms import CELERY_DIRECTOR
from airflow_provider_etlapis.hooks.celery_director.times import DatabaseZone
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Step
from airflow_provider_etlapis.wire.call import Response, json_object
from airflow_provider_etlapis.wire.errors import MalformedAnswerError, WireError

VENDOR = CELERY_DIRECTOR.conn_type

_RUN_FACTS = ("id", "fullname", "status", "created", "updated")
_TASK_FACTS = ("id", "key", "status", "created", "updated")
_TEXT = frozenset({str})
_ALL_TASKS = "wait_for_all_tasks"
_LONGEST_LINE = 1000
_MOST_FAILURES = 10
_UNAUTHORIZED_FACTS = {"status", "error", "message"}

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


def state_of(status: str) -> RunState:
    """Return what a status word means; one that is not known goes on."""
    return _STATES.get(status, RunState.UNKNOWN)


def run_of(workflow: Workflow, base_url: str, zone: DatabaseZone, ref: RunRef | None = None) -> RemoteRun:
    """Return a row of the list, or a run with its tasks, as a run.

    :param base_url: the server's address, above ``/api``.
    :param zone: of the server's times, where they have no offset.
    :param ref: its reference, where there is one already. A run that waits for all its tasks is running until the
        last one that can still run has ended, where the tasks are shown.
    """
    if ref is not None and ref.since is not None:
        zone = DatabaseZone.by_row(workflow["created"], ref.since)
    state = state_of(workflow["status"])
    created = zone.moment(workflow["created"])
    tasks = in_order(workflow["tasks"]) if workflow.get("tasks") else []
    run = RemoteRun(
        ref=ref or RunRef(VENDOR, {"workflow_id": workflow["id"]}, created.timestamp() if created else None),
        state=state,
        vendor_status=workflow["status"],
        name=workflow["fullname"],
        url=f"{base_url}/{workflow['id']}",
        started=created,
        # The row's own change: on a finished run it is the end.
        ended=zone.moment(workflow["updated"]) if state.is_terminal else None,
        error=_error_of(tasks) if state is RunState.FAILED else None,
        steps=tuple(_step_of(task, zone) for task in tasks),
        details={"periodic": workflow.get("periodic", False), "comment": workflow.get("comment")},
    )
    if ref is None or not waits_for_all_tasks(ref) or state not in (RunState.SUCCEEDED, RunState.FAILED):
        return run
    names = _still_to_end(tasks)
    if not names:
        return run
    going = f"{workflow['status']}, still to end: {', '.join(names[:5])}"
    return replace(run, state=RunState.RUNNING, vendor_status=going, ended=None, error=None)


def waiting_for_all_tasks(ref: RunRef) -> RunRef:
    """Return a reference whose run is running until all its tasks and hooks have ended."""
    return replace(ref, watermark={_ALL_TASKS: True})


def waits_for_all_tasks(ref: RunRef) -> bool:
    """Say whether the run of a reference is running until all its tasks and hooks have ended."""
    return isinstance(ref.watermark, Mapping) and bool(ref.watermark.get(_ALL_TASKS))


def _still_to_end(tasks: Sequence[WorkflowTask]) -> list[str]:
    """Return the names of the tasks that are at work, or will be, although the run has ended.

    After a failure, what comes behind it stays ``pending`` for ever; the other members of its group go on. A success
    hook begins after the run is called ``success``, and stays ``pending`` for ever after a failure.
    """
    status = {task["id"]: task["status"] for task in tasks}
    plain = [task for task in tasks if not task.get("is_hook")]
    succeeded = all(task["status"] == "success" for task in plain)
    failed = any(task["status"] == "error" for task in plain)  # else the run never reached the broker
    going = []
    for task in tasks:
        can_start = succeeded
        if not task.get("is_hook"):
            can_start = failed and all(status.get(before, "success") == "success" for before in task["previous"])
        if task["status"] == "progress" or (task["status"] == "pending" and can_start):
            going.append(task["key"])
    return going


def in_order(tasks: Sequence[WorkflowTask]) -> list[WorkflowTask]:
    """Return the tasks of a run in the order in which they run, hooks last.

    The server's order is not defined; ``previous`` is.
    """
    plain = sorted((task for task in tasks if not task.get("is_hook")), key=lambda task: task["created"])
    known = {task["id"] for task in plain}
    behind: dict[str, list[WorkflowTask]] = {}
    missing: dict[str, int] = {}
    for task in plain:
        before = known.intersection(task["previous"])
        missing[task["id"]] = len(before)
        for task_id in before:
            behind.setdefault(task_id, []).append(task)
    ordered: list[WorkflowTask] = []
    step = [task for task in plain if not missing[task["id"]]]
    while step:
        ordered += step
        following = []
        for done in step:
            for task in behind.pop(done["id"], ()):
                missing[task["id"]] -= 1
                if not missing[task["id"]]:
                    following.append(task)
        step = following
    hooks = sorted((task for task in tasks if task.get("is_hook")), key=lambda task: task["created"])
    placed = {task["id"] for task in ordered}
    # A circle cannot be, but must not hang.
    return [*ordered, *hooks, *(task for task in plain if task["id"] not in placed)]


def is_own_error(response: Response) -> bool:
    """Say whether an error answer is Director's: ``{"error": text}``, with ``errors`` where it lists faults.

    Its 401 has a shape of its own. JSON with other facts is that of a gateway or of another framework.
    """
    try:
        body = response.json()
    except WireError:
        return False
    if not isinstance(body, dict) or not isinstance(body.get("error"), str) or not body["error"]:
        return False
    return body.keys() <= {"error", "errors"} or (response.status == 401 and body.keys() == _UNAUTHORIZED_FACTS)


def workflow_of(response: Response) -> Workflow:
    """Return the run that an answer holds.

    :raises MalformedAnswerError: if it holds none.
    """
    return checked(json_object(response), response)


def workflow_with_id(workflow_id: str) -> Callable[[Response], Workflow]:
    """Return the parser of an answer that must hold this very run: another one's says nothing about it."""

    def parse(response: Response) -> Workflow:
        workflow = workflow_of(response)
        if workflow["id"].lower() != workflow_id:
            raise MalformedAnswerError(f"another run, {workflow['id'][:40]!r}", status=response.status)
        return workflow

    return parse


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


def _step_of(task: WorkflowTask, zone: DatabaseZone) -> Step:
    state = state_of(task["status"])
    return Step(
        name=task["key"],
        state=state,
        vendor_status=task["status"],
        started=zone.moment(task["created"]),
        ended=zone.moment(task["updated"]) if state.is_terminal else None,
        error=_failure_of(task),
    )


def _failure_of(task: WorkflowTask) -> str | None:
    result = task.get("result")
    if task["status"] != "error":
        return None
    if not isinstance(result, dict):
        return "failed without a reason"
    traceback = [line[:_LONGEST_LINE] for line in str(result.get("traceback") or "").strip().splitlines()]
    # The last line has the class, which `exception` lacks.
    reason = traceback[-1].strip() if traceback else str(result.get("exception") or "failed without a reason")
    tail = "\n".join(traceback[-6:])
    return f"{reason[:_LONGEST_LINE]}\n{tail}" if len(traceback) > 1 else reason[:_LONGEST_LINE]


def _error_of(tasks: Sequence[WorkflowTask]) -> str | None:
    if not tasks:
        return None
    failures = [f"task {task['key']}: {failure}" for task in tasks if (failure := _failure_of(task))]
    if len(failures) > _MOST_FAILURES:
        failures[_MOST_FAILURES:] = [f"and {len(failures) - _MOST_FAILURES} more tasks"]
    return "\n".join(failures) or "no task failed: the run probably never reached the broker"
