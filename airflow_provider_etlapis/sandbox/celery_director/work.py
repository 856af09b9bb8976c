"""What a Celery Director server runs: definitions, and the tasks that a run of one shows."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_etlapis.sandbox import json_schema
from airflow_provider_etlapis.sandbox.lives import Change, Life, Stages, latest
from airflow_provider_etlapis.sandbox.runs import Run

#: Phases that the vendor has its own words for.
STATUSES = {"queued": "pending", "waiting": "pending", "running": "progress"}

_HOOK_SECONDS = 0.2
_TASK_IDS = uuid.UUID("6f1c9f6e-2f0b-4a8e-9a39-3d3f6c1c2b7a")


@dataclass(frozen=True)
class Definition:
    """An entry of the server's YAML file, and what its runs are like.

    :param fullname: ``project.name``
    :param tasks: as in the YAML: task names, and ``{"NAME": {"type": "group", "tasks": [...]}}``
    :param life: of its runs, or a function that makes one from the payload; default: the sandbox's
    :param results: what its tasks return, by key; default ``None``
    :param schema: JSON schema of the payload
    :param hooks: task names under ``"success"`` and ``"failure"``
    :param more: further keys of the entry (``periodic``, ``queue``, ``retention``), answered unchanged
    :param unknown_task: its last task is defined in no file: a POST is a 500 and leaves a pending run without it
    :param unreadable_result: a task returns bytes: the detail is a 500 while the list goes on answering
    """

    fullname: str
    tasks: Sequence[str | Mapping[str, Any]]
    life: Life | Callable[[Mapping[str, Any]], Life] | None = None
    results: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    hooks: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    unknown_task: bool = False
    unreadable_result: bool = False

    def __post_init__(self) -> None:
        if "." not in self.fullname:
            raise ValueError(f"fullname is project.name, got {self.fullname!r}")
        if self.schema is not None:
            json_schema.check_schema(self.schema)

    @property
    def stages(self) -> Stages:
        """Its tasks, a group as one stage."""
        return tuple(
            (task,) if isinstance(task, str) else tuple(next(iter(task.values()))["tasks"]) for task in self.tasks
        )

    @property
    def has_group(self) -> bool:
        """Whether tasks run side by side."""
        return any(not isinstance(task, str) for task in self.tasks)

    def as_json(self) -> dict[str, Any]:
        """Return it as ``GET /api/definitions`` shows it."""
        project, _, name = self.fullname.partition(".")
        shown = {"fullname": self.fullname, "project": project, "name": name, "tasks": list(self.tasks)}
        optional = {"schema": self.schema, "hooks": dict(self.hooks)}
        return {**shown, **{key: value for key, value in optional.items() if value}, **self.more}


DEMO_DEFINITIONS = (
    Definition(
        "demo.ETL",
        ["EXTRACT", {"TRANSFORM": {"type": "group", "tasks": ["CLEAN", "ENRICH"]}}, "LOAD"],
        life=Life(duration=4.0),
        results={"EXTRACT": {"rows": 1200}, "CLEAN": {"rows": 1187}, "ENRICH": {"rows": 1200}, "LOAD": 1187},
    ),
    Definition(
        "demo.FAILS",
        ["EXTRACT", "TRANSFORM", "LOAD"],
        life=Life(
            duration=3.0,
            outcome="error",
            failing_step="TRANSFORM",
            error_text="column 'amount' is missing from orders.csv",
        ),
        results={"EXTRACT": {"rows": 1200}},
    ),
    Definition(
        "demo.SLOW",
        ["EXTRACT", "TRANSFORM", "LOAD"],
        life=lambda payload: Life(duration=float(payload.get("seconds", 60))),
        schema={"type": "object", "properties": {"seconds": {"type": "number", "minimum": 0}}},
    ),
)


def task_entries(run: Run, now: float, stamp: Callable[[float], str]) -> list[dict[str, Any]]:
    """Return a run's task entries in the order of their making: one a step, then the hooks'.

    :param now: unix seconds
    :param stamp: writes a time as the server's database does
    """
    definition: Definition = run.details["definition"]
    failed_at = next((c.at for c in run.timeline.run if c.phase == "error" and c.at <= now), None)
    created, steps = stamp(run.started_at), run.timeline.steps
    ids = [str(uuid.uuid5(_TASK_IDS, f"{run.id} {index}")) for index in range(len(steps))]

    def entry(task_id: str, key: str, change: Change, result: Any) -> dict[str, Any]:
        status = STATUSES.get(change.phase, change.phase)
        times = {"created": created, "updated": stamp(change.at)}
        return {"id": task_id, "task": task_id, "key": key, "status": status, "result": result, **times}

    entries = []
    for task_id, step in zip(ids, steps, strict=True):
        change = latest(step.changes, now)
        if change.phase == "waiting" and failed_at is not None and "failure" in definition.hooks:
            change = Change(failed_at, "canceled")  # only the failure hook tidies up
        result = None
        if change.phase == "success":
            result = definition.results.get(step.name)
        elif change.phase == "error":
            result = _error_result(step.name, run.life.error_text)
        previous = [ids[i] for i, other in enumerate(steps) if other.stage == step.stage - 1]
        shown = entry(task_id, step.name, change, result)
        entries.append({**shown, "previous": previous, "is_hook": False})
    if definition.unknown_task:
        return entries[:-1]  # the making of its tasks ended there
    for hook, changes in _hooks(run, definition, failed_at):
        change, key = latest(changes, now), definition.hooks[hook]
        result = _error_result(key, "the hook raised") if change.phase == "error" else None
        shown = entry(str(uuid.uuid5(_TASK_IDS, f"{run.id} {hook}")), key, change, result)
        entries.append({**shown, "previous": [], "is_hook": True})
    return entries


def _hooks(run: Run, definition: Definition, failed_at: float | None) -> list[tuple[str, Sequence[Change]]]:
    """Return what happens to the success hook, there from the start, and the failure hook, once it is launched."""
    hooks: list[tuple[str, Sequence[Change]]] = []
    if "success" in definition.hooks:
        changes = [Change(run.started_at, "waiting")]
        good_at = next((c.at for c in run.timeline.run if c.phase == "success"), None)
        raised_at = next((c.at for c in run.timeline.run if c.phase == "error"), None)
        if good_at is not None and raised_at is None:
            changes += [Change(good_at, "running"), Change(good_at + _HOOK_SECONDS, "success")]
        elif good_at is not None and raised_at is not None:  # the hook's fault turns a success into an error
            changes += [Change(good_at, "running"), Change(raised_at, "error")]
        hooks.append(("success", changes))
    if "failure" in definition.hooks and failed_at is not None:
        hooks.append(("failure", [Change(failed_at, "running"), Change(failed_at + _HOOK_SECONDS, "success")]))
    return hooks


def _error_result(key: str, text: str) -> dict[str, str]:
    """Return the result of a failed task; the traceback holds paths of the server's machine."""
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/opt/director/lib/python3.11/site-packages/celery/app/trace.py", line 453, in trace_task\n'
        "    R = retval = fun(*args, **kwargs)\n"
        f'  File "/home/director/tasks/etl.py", line 21, in {key.lower()}\n'
        f"    raise ValueError({text!r})\n"
        f"ValueError: {text}\n"
    )
    return {"exception": text, "traceback": trace}
