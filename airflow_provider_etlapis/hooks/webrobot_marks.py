"""Tells WebRobot's runs apart where no id does, by comparing what a job or task shows with what it showed before.

A task that was started by itself has no id for its run, and an execution whose start call lost its answer has one
that we do not know. Decisions only; the requests are the hook's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_etlapis.hooks.values import moment
from airflow_provider_etlapis.hooks.webrobot_json import Job, Task, TaskMetrics
from airflow_provider_etlapis.hooks.webrobot_runs import is_going, state_of, word
from airflow_provider_etlapis.runs.evidence import Evidence as Sighting
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import RemoteRun

NEVER_RAN = frozenset({"", "CREATED"})
_CLOCK_SKEW = timedelta(minutes=5)
# A run that began later than this after our call may well be somebody else's.
_LATEST_BEGIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class TaskMark:
    """What a task shows about its last run at one moment: all there is to tell two runs of it apart."""

    status: str = ""
    reference: str = ""
    started: str = ""
    updated: str = ""

    @classmethod
    def of(cls, task: Task, metrics: TaskMetrics, status: str | None = None) -> TaskMark:
        """Return the mark of a task.

        :param metrics: empty where there are none.
        :param status: where a fresher one than the task's own is at hand.
        """
        return cls(
            word(status if status is not None else task.get("executionStatus")),
            task.get("executionReferenceId") or "",
            metrics.get("startedAt") or "",
            task.get("updatedAt") or "",
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> TaskMark | None:
        """Read a mark that went through JSON."""
        return cls(**{name: str(value.get(name) or "") for name in cls.__slots__}) if value else None

    def to_json(self) -> dict[str, str]:
        """Return plain JSON."""
        return asdict(self)


def is_another_run(before: TaskMark, now: TaskMark) -> bool | None:
    """Say whether a task shows another run than it did before; ``None`` if that cannot be told.

    The execution's reference and the start in the metrics tell runs apart; only where there is neither, the status
    and the change of the row have to.
    """
    then, begun = moment(before.updated), moment(now.started)
    if now.reference and now.reference != before.reference:
        return True
    if begun and now.started != before.started:
        # Metrics come late: a start from before the row's last change is that of the run before.
        return then is None or begun > then
    ended = state_of(before.status).is_terminal
    if ended and (is_going(now.status) or (state_of(now.status).is_terminal and now.status != before.status)):
        return True
    if now.reference or now.started:
        return False
    if before.status in NEVER_RAN:
        return now.status not in NEVER_RAN
    if ended and then is not None and now.updated and now.updated != before.updated:
        return True
    return None


@dataclass(frozen=True, slots=True)
class JobMark:
    """What a job shows about its last run at one moment.

    :param references: the execution that each task names as its last one, by task id.
    :param statuses: of the tasks, by task id.
    """

    status: str
    references: Mapping[str, str]
    statuses: Mapping[str, str]

    @classmethod
    def of(cls, job: Job, tasks: Sequence[Task]) -> JobMark:
        """Return the mark of a job."""
        return cls(
            word(job.get("executionStatus")),
            {str(task.get("id")): task.get("executionReferenceId") or "" for task in tasks},
            {str(task.get("id")): word(task.get("executionStatus")) for task in tasks},
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> JobMark | None:
        """Read a mark that went through JSON."""
        return cls(value["status"], value["references"], value["statuses"]) if value else None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"status": self.status, "references": dict(self.references), "statuses": dict(self.statuses)}

    @property
    def executions(self) -> frozenset[str]:
        """The executions that the tasks name."""
        return frozenset(filter(None, self.references.values()))

    @property
    def going(self) -> bool:
        """Whether something of the job is going on."""
        return is_going(self.status) or any(map(is_going, self.statuses.values()))

    @property
    def never_ran(self) -> bool:
        """Whether nothing of the job shows a run."""
        return not self.executions and {self.status, *self.statuses.values()} <= NEVER_RAN


def settle_execution(
    before: JobMark | None, now: JobMark, named: Collection[RemoteRun], at: float, looked_for: str
) -> Search:
    """Say what became of an execute call that got no answer.

    Executions carry no mark of who started them. What helps is that a job runs once at a time: an execution that the
    tasks name now and did not name before the call began after it. One that somebody else started in between cannot
    be told from ours; where it began much later, or had ended well before anybody looked, we say that we are unsure.

    :param before: the job's mark from before the call; ``None`` where nothing could keep it (Airflow before 3.3).
    :param named: the executions that the tasks name now and did not name before.
    :param at: seconds since the epoch, of the call.
    """
    runs = sorted(named, key=lambda run: run.started.timestamp() if run.started else float("inf"), reverse=True)
    if before is None:
        runs = [run for run in runs if _may_have_begun_after(run, at - _CLOCK_SKEW.total_seconds())]
        # Ours may never have been sent: an end that is good could be that of a run before it.
        sure = [run for run in runs if not run.state.is_good]
    else:
        sure = [run for run in runs if not _began_late(run, at)]
    if runs:
        found = len(runs) == 1 and bool(sure)
        return Search(Sighting.FOUND if found else Sighting.UNSURE, looked_for, tuple(runs))
    # None of the executions that the tasks name is ours; one that was there before and still goes on excludes ours.
    if before is None:
        excluded = any(not run.state.is_terminal for run in named)
        told = bool(now.executions)
    else:
        excluded = before == now
        told = bool(now.executions) and now.executions <= before.executions
    if (told and (excluded or not now.going)) or (now.never_ran and (before is None or before.never_ran)):
        return Search(Sighting.ABSENT, looked_for)
    return Search(Sighting.UNSURE, looked_for)


def settle_task(before: TaskMark | None, now: TaskMark, run: RemoteRun, at: float, looked_for: str) -> Search:
    """Say what became of a start call of a task that got no answer; the same reasoning as for executions."""
    if before is None:
        old = run.started is not None and not _may_have_begun_after(run, at - _CLOCK_SKEW.total_seconds())
        if now.status in NEVER_RAN or (old and run.state.is_terminal):
            return Search(Sighting.ABSENT, looked_for)
        # Metrics may still be those of the run before.
        return Search(Sighting.UNSURE if old or run.state.is_good else Sighting.FOUND, looked_for, (run,))
    another = is_another_run(before, now)
    if another is None:
        return Search(Sighting.UNSURE, looked_for)
    if not another:
        return Search(Sighting.ABSENT, looked_for)
    return Search(Sighting.UNSURE if _began_late(run, at) else Sighting.FOUND, looked_for, (run,))


def _may_have_begun_after(run: RemoteRun, bound: float) -> bool:
    return run.started is None or run.started.timestamp() > bound


def _began_late(run: RemoteRun, at: float) -> bool:
    return run.started is not None and run.started.timestamp() > at + _LATEST_BEGIN.total_seconds()
