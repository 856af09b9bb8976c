"""Who waits for a remote run: what a task says of its run, beside what its vendor says, and what follows from both.

Pure: what Airflow and the vendors say comes in as values, and the clock is an argument. Only a run that one of our
tasks has started, whose task will not come back to it, and that no policy has left on purpose is called an orphan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from airflow_provider_etlapis.runs.model import RemoteRun, RunRef

GRACE = 120.0
"""Seconds after a task's last change in which its own cancel may still be under way."""

_AT_WORK = frozenset({"running", "deferred", "restarting"})
"""States of a task whose try has its run, or will say in a moment which one it has."""
_COMES_BACK = frozenset({"queued", "scheduled", "up_for_retry", "up_for_reschedule"})
"""States of a task whose next try follows its run, unless the task was cleared."""


class RunStanding(StrEnum):
    """How a remote run stands to the tasks of this Airflow."""

    WAITED_FOR = "waited for"
    """It goes on, and a task waits for it or a retry will."""
    ENDED = "ended"
    """It has ended."""
    ENDING = "ending"
    """It goes on, and its task ended a moment ago: a cancel may be under way."""
    ORPHAN = "orphan"
    """It goes on, one of our tasks started it, and nobody waits for it."""
    LEFT = "left by policy"
    """It goes on, and its task's parameters say that it is left alone."""
    NOT_OURS = "not ours"
    """No task of this Airflow is known to have started it."""
    UNKNOWN_TO_VENDOR = "unknown to the vendor"
    """A task waits for it, and the vendor does not know it."""
    UNREAD = "unread"
    """The vendor was not, or could not be, asked for it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a task writes down about the run that it waits for, as plain JSON beside the run's reference.

    :param conn_id: the connection; empty where an earlier release has written the claim.
    :param started_by_us: whether the task started the run; one that it only attached to is never cancelled for it.
    :param max_tries: of the task instance when it was written: a clear raises it. ``None`` from an earlier release.
    :param waits: ``wait_for_completion``.
    :param cancel_on_kill: as the operator has it.
    :param cancel_on_timeout: as the operator has it.
    :param deadline: of the wait, in seconds since the epoch.
    :param ended_as: the vendor's status with which the task saw the run end, where it ended badly.
    """

    ref: RunRef
    conn_id: str = ""
    started_by_us: bool = True
    max_tries: int | None = None
    waits: bool = True
    cancel_on_kill: bool = True
    cancel_on_timeout: bool = True
    deadline: float | None = None
    ended_as: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON: the reference's keys, and ``"owned", "conn_id", "max_tries", "waits", ...``."""
        return {
            **self.ref.to_json(),
            "owned": self.started_by_us,
            "conn_id": self.conn_id,
            "max_tries": self.max_tries,
            "waits": self.waits,
            "cancel_on_kill": self.cancel_on_kill,
            "cancel_on_timeout": self.cancel_on_timeout,
            "deadline": self.deadline,
            **({"ended_as": self.ended_as} if self.ended_as is not None else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Claim:
        """Read what :meth:`to_json` wrote, by this release or an older one.

        :raises KeyError: if it is no claim.
        """
        return cls(
            RunRef.from_json(value),
            conn_id=str(value.get("conn_id") or ""),
            started_by_us=bool(value.get("owned", True)),
            max_tries=value.get("max_tries"),
            waits=bool(value.get("waits", True)),
            cancel_on_kill=bool(value.get("cancel_on_kill", True)),
            cancel_on_timeout=bool(value.get("cancel_on_timeout", True)),
            deadline=value.get("deadline"),
            ended_as=value.get("ended_as"),
        )


@dataclass(frozen=True, slots=True)
class ClaimingTask:
    """A task instance that has a remote run, as Airflow shows it.

    :param state: Airflow's word; ``None`` for a task that has none, such as one that was cleared.
    :param changed_at: seconds since the epoch at which Airflow last changed the task instance, if known.
    :param has_result: whether the task has returned the manifest of its run.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    state: str | None
    claim: Claim
    changed_at: float | None = None
    has_result: bool = False

    @property
    def label(self) -> str:
        """The task instance as one text: ``dag_id task_id[3] try 2``, of which DAG run stands apart."""
        index = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id} {self.task_id}{index}"

    @property
    def was_cleared(self) -> bool:
        """Whether a person has cleared the task since it wrote its claim: a clear starts a new run."""
        return self.claim.max_tries is not None and self.claim.max_tries != self.max_tries

    @property
    def comes_back(self) -> bool:
        """Whether this task waits for the run, or its next try will."""
        return self.state in _AT_WORK or (self.state in _COMES_BACK and not self.was_cleared)

    @property
    def saw_the_end(self) -> bool:
        """Whether the task itself saw how its run ended, so that the vendor need not be asked."""
        return self.claim.ended_as is not None or (self.has_result and self.claim.waits and not self.was_cleared)


def standing(
    task: ClaimingTask | None,
    run: RemoteRun | None,
    now: float,
    *,
    is_missing: bool = False,
    grace: float = GRACE,
) -> RunStanding:
    """Say how a remote run stands to the task that has it.

    :param task: ``None`` where no task is known to have it.
    :param run: what the vendor says; ``None`` where it says nothing.
    :param now: seconds since the epoch.
    :param is_missing: whether the vendor itself has said that it does not know the run.
    :param grace: seconds after the task's last change in which its own cancel may still be under way.
    """
    if run is None:
        if not is_missing:
            return RunStanding.WAITED_FOR if task is not None and task.comes_back else RunStanding.UNREAD
        if task is None:
            return RunStanding.ENDED
        return RunStanding.UNKNOWN_TO_VENDOR if task.comes_back else RunStanding.ENDED
    if run.state.is_terminal:
        return RunStanding.ENDED
    if task is None:
        return RunStanding.NOT_OURS
    if task.comes_back:
        return RunStanding.WAITED_FOR
    claim = task.claim
    if not claim.started_by_us:
        return RunStanding.NOT_OURS
    if not claim.waits or not claim.cancel_on_kill or _left_at_deadline(task, now):
        return RunStanding.LEFT
    if task.changed_at is not None and now - task.changed_at < grace:
        return RunStanding.ENDING
    return RunStanding.ORPHAN


def _left_at_deadline(task: ClaimingTask, now: float) -> bool:
    claim = task.claim
    passed = claim.deadline is not None and now >= claim.deadline
    return passed and not claim.cancel_on_timeout and task.state == "failed" and not task.was_cleared
