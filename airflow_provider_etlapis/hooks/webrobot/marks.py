"""What WebRobot's jobs and tasks show at one moment, and whether a task shows another run than it did before.

A task that was started by itself has no id for its run. What it showed just before the start (its watermark) is what
its run is recognised by. Facts only; what they prove is decided in :mod:`~airflow_provider_etlapis.runs.evidence`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_etlapis.hooks.values import moment
from airflow_provider_etlapis.hooks.webrobot.documents import Job, Task, TaskMetrics
from airflow_provider_etlapis.hooks.webrobot.runs import NEVER_RAN, is_seen_going, reference_of, state_of, word
from airflow_provider_etlapis.runs.evidence import CLOCK_SKEW, began_before

_IDLE = NEVER_RAN | {"PENDING"}
_SKEW = timedelta(seconds=CLOCK_SKEW)


@dataclass(frozen=True, slots=True)
class CallTime:
    """When a start call was made.

    :param at: seconds since the epoch, just before it.
    :param clock_ahead: seconds by which the vendor's clock is ahead of ours, by the ``Date`` of its answers; ``None``
        where that is not known.
    """

    at: float
    clock_ahead: float | None = None

    def is_surely_after(self, when: str | datetime | None) -> bool:
        """Say whether the call surely came after a moment by the vendor's clock; ``False`` where that is unknown."""
        at = moment(when) if isinstance(when, str) else when
        return began_before(at.timestamp() if at else None, self.at, self.clock_ahead)


@dataclass(frozen=True, slots=True)
class TaskMark:
    """What a task shows about its last run at one moment: all there is to tell two runs of it apart.

    :param others: short for what the other tasks of its job show, empty if there are none; ``None`` if not recorded.
    """

    status: str = ""
    reference: str = ""
    started: str = ""
    updated: str = ""
    others: str | None = None

    @classmethod
    def of(
        cls,
        task: Task,
        metrics: TaskMetrics,
        status: str | None = None,
        others: Sequence[Task] | None = None,
    ) -> TaskMark:
        """Return the mark of a task.

        :param metrics: empty where there are none.
        :param status: where a fresher one than the task's own is at hand.
        :param others: the other tasks of its job, where they were read.
        """
        return cls(
            word(status if status is not None else task.get("executionStatus")),
            reference_of(task),
            metrics.get("startedAt") or "",
            task.get("updatedAt") or "",
            None if others is None else _short(others),
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> TaskMark | None:
        """Read a mark that went through JSON, of this release or an older one."""
        if not value:
            return None
        texts = {name: str(value.get(name) or "") for name in ("status", "reference", "started", "updated")}
        return cls(**texts, others=value.get("others"))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    @property
    def never_ran(self) -> bool:
        """Whether nothing shows that the task has ever run; ``PENDING`` by itself does not (c)."""
        return not self.reference and not self.started and self.status in _IDLE

    @property
    def is_going(self) -> bool:
        """Whether the task is seen to be running or queued."""
        return is_seen_going(self.status, has_run=bool(self.reference or self.started))

    @property
    def _has_ended(self) -> bool:
        return state_of(self.status).is_terminal

    def looks_like(self, other: TaskMark) -> bool:
        """Say whether the task shows the very same about its last run."""
        mine = self.status, self.reference, self.started, self.updated
        return mine == (other.status, other.reference, other.started, other.updated)

    def has_same_row(self, other: TaskMark) -> bool:
        """Say whether all but the metrics is the same: then a terminal status is still that of the run before."""
        return (self.status, self.reference, self.updated) == (other.status, other.reference, other.updated)

    def shows_new_run(self, before: TaskMark, call: CallTime | None) -> bool | None:
        """Say whether the task shows a run that began after another mark of it was taken.

        ``True`` takes more than a clock: the execution's reference has changed; the start in the metrics has changed
        and is later than the row's last change by more than clocks may differ; or what had ended, or had never run,
        is ``RUNNING``. ``None`` means that it is unclear.

        :param before: the mark from just before the start call.
        :param call: the start call; ``None`` where its time is not known.
        """
        if self.reference and self.reference != before.reference:
            # The reference of a run that was going on without one may only have come late.
            return True if before.reference or before._has_ended or before.never_ran else None
        if self.status == "RUNNING" and (before._has_ended or before.never_ran):
            return True
        by_start = self._starts_after(before)
        if by_start is not None:
            return by_start or None
        if before.never_ran and before.status in NEVER_RAN and self._has_ended:
            return True
        if self.looks_like(before):
            return None if self._may_hide_another(call) else False
        return None if self._may_be_another(before, call) else False

    def _starts_after(self, before: TaskMark) -> bool | None:
        """Say whether the start in the metrics is that of a new run; ``None`` if it says nothing about that."""
        if not self.started or self.started == before.started or before.is_going:
            return None
        begun, other, changed = moment(self.started), moment(before.started), moment(before.updated)
        if begun is None or (other is not None and begun <= other):
            return False
        if before.never_ran:
            return True
        if changed is not None and begun < changed - _SKEW:
            return None  # metrics come late: these are of the run before
        return changed is not None and begun > changed + _SKEW

    def has_started_since(self, before: TaskMark, call: CallTime) -> bool:
        """Say whether the start in the metrics has changed and is not from before a call, by the server's own clock.

        That is no proof that the call has been accepted. Where it has, the run is its own.
        """
        is_dated = call.clock_ahead is not None and moment(self.started) is not None
        return is_dated and self.started != before.started and not call.is_surely_after(self.started)

    def _may_be_another(self, before: TaskMark, call: CallTime | None) -> bool:
        """Say whether a task that shows something else than before, but no new run for sure, may show one."""
        if self.reference:
            return before._has_ended and self.status != before.status
        if before.never_ran and self.never_ran and self.status in NEVER_RAN:
            return False
        if before.reference or (self.status, self.updated) != (before.status, before.updated):
            return True
        return self._may_hide_another(call)

    def _may_hide_another(self, call: CallTime | None) -> bool:
        """Say whether a run that began right after the call could look just like the one that is shown."""
        if self.reference or call is None or (self.never_ran and self.status in NEVER_RAN):
            return False
        return not call.is_surely_after(self.started or self.updated)

    def is_surely_before(self, call: CallTime) -> bool:
        """Say, without an earlier mark, whether all that the task shows is surely from before a call."""
        if self.never_ran and self.status in NEVER_RAN:
            return True
        if self.is_going or not (self._has_ended or self.never_ran):
            return False
        shown = [self.updated, self.started] if self.started else [self.updated]
        return all(call.is_surely_after(each) for each in shown)


def _short(tasks: Sequence[Task]) -> str:
    """Return a short text that differs where what tasks show about their last runs differs; empty for no tasks."""
    rows = sorted(
        [str(task.get("id")), word(task.get("executionStatus")), reference_of(task), str(task.get("updatedAt"))]
        for task in tasks
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16] if rows else ""


@dataclass(frozen=True, slots=True)
class JobMark:
    """What a job shows about its last run at one moment.

    :param references: what each task names as its last execution, by task id.
    :param statuses: of the tasks, by task id.
    :param updated: when the job's own row was changed last.
    :param task_updates: the same of the tasks' rows, by task id.
    """

    status: str
    references: Mapping[str, str]
    statuses: Mapping[str, str]
    updated: str = ""
    task_updates: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, tasks: Sequence[Task]) -> JobMark:
        """Return the mark of a job; a row without an id counts as well."""
        rows = {str(task.get("id") or f"row {number}"): task for number, task in enumerate(tasks)}
        return cls(
            word(job.get("executionStatus")),
            {key: reference_of(task) for key, task in rows.items()},
            {key: word(task.get("executionStatus")) for key, task in rows.items()},
            job.get("updatedAt") or "",
            {key: task.get("updatedAt") or "" for key, task in rows.items()},
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> JobMark | None:
        """Read a mark that went through JSON, of this release or an older one."""
        if not value:
            return None
        return cls(
            value["status"],
            value["references"],
            value["statuses"],
            value.get("updated") or "",
            value.get("task_updates") or {},
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "status": self.status,
            "references": dict(self.references),
            "statuses": dict(self.statuses),
            "updated": self.updated,
            "task_updates": dict(self.task_updates),
        }

    @property
    def executions(self) -> frozenset[str]:
        """What the tasks name as executions."""
        return frozenset(filter(None, self.references.values()))

    @property
    def is_going(self) -> bool:
        """Whether something of the job is seen to be running or queued."""
        return is_seen_going(self.status, has_run=bool(self.executions)) or any(
            is_seen_going(status, has_run=bool(self.references.get(key))) for key, status in self.statuses.items()
        )

    def why_it_may_hide_a_run(self, before: JobMark | None, call: CallTime) -> str:
        """Say why the job may not show a run that it has had since a call, empty if it surely shows it.

        Only executions that the tasks name are looked at by the caller; this is about everything else.

        :param before: the mark from just before the call; ``None`` where there is none.
        """
        if self.is_going:
            return "something of the job is running or queued"
        if before is not None and (
            self.executions - before.executions
            or any(self.references.get(key) != named for key, named in before.references.items())
        ):
            return "a task names another execution than before, which may have replaced one"
        for key, status in {"": self.status, **self.statuses}.items():
            has_run = bool(self.references.get(key) if key else self.executions)
            if not self._is_settled(key, status, before, call, has_run=has_run):
                return f"{status or 'no status'} may be that of a run which no task names"
        return ""

    def _is_settled(self, key: str, status: str, before: JobMark | None, call: CallTime, *, has_run: bool) -> bool:
        """Say whether a row's status is surely that of what was there before the call."""
        then = None if before is None else before._status(key)
        if status in NEVER_RAN or (has_run and state_of(status).is_terminal):
            return then is None or then == status or not state_of(then).is_terminal
        untouched = before is None or (then == status and before._update(key) == self._update(key))
        return status == "PENDING" and not has_run and untouched and call.is_surely_after(self._update(key))

    def _status(self, key: str) -> str:
        return self.statuses.get(key, "") if key else self.status

    def _update(self, key: str) -> str:
        return self.task_updates.get(key, "") if key else self.updated
