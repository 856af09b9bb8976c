"""One try of a task as one value: which run it is about, who started that, until when it is waited for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from airflow_provider_etlapis.runs.model import RemoteRun, RunRef
from airflow_provider_etlapis.runs.resume import AttemptRecord, OnLostStart

OnAlreadyRunning = Literal["fail", "wait", "attach"]


class Phase(StrEnum):
    """How far a try has come."""

    STARTING = "starting"
    """It has no run yet."""
    BLOCKED = "blocked"
    """Another run is in the way; the start comes after its end."""
    ATTACHED = "attached"
    """It has its run, and waits for it."""


class AttachedBecause(StrEnum):
    """Why a try is attached to a run."""

    STARTED = "this try started it"
    EARLIER_TRY = "an earlier try started it"
    LOST_START = "it is the run of a start request without a response"
    ALREADY_RUNNING = "it was running already (on_already_running='attach')"
    RESUMED = "the task was resumed after a deferral"


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when a run is waited for.

    :param at: seconds since the epoch, ``None`` for no deadline.
    :param limit: the parameter that sets it, with its value, for messages: ``"timeout=3600 s"``.
    """

    at: float | None = None
    limit: str = ""

    @classmethod
    def earliest(
        cls,
        *,
        timeout: float | None,
        execution_timeout: timedelta | None,
        entered_at: float,
        now: float,
        remembered: float | None = None,
    ) -> Deadline:
        """Return the earlier of a task's two deadlines.

        :param timeout: seconds, counted from ``now``, unless an earlier try for the same run has set the deadline.
        :param execution_timeout: counted from ``entered_at``.
        :param remembered: deadline of that earlier try, in seconds since the epoch.
        """
        limits = []
        if timeout is not None:
            at = remembered if remembered is not None and remembered > now else now + timeout
            limits.append(cls(at, f"timeout={timeout:g} s"))
        if execution_timeout is not None:
            # A little early, so that the framework does not interrupt what is done at the deadline.
            allowed = execution_timeout.total_seconds()
            limits.append(cls(entered_at + allowed - min(2.0, allowed / 10), f"execution_timeout={allowed:g} s"))
        return min(limits, key=lambda limit: limit.at or 0.0, default=cls())


@dataclass(frozen=True, slots=True)
class Attachment:
    """A run that a try is to wait for.

    :param record: what is remembered of it.
    """

    run: RemoteRun
    because: AttachedBecause
    record: AttemptRecord


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What is in the way of a start.

    :param ref: the run whose end has to be waited for; ``None`` if it has just ended.
    """

    ref: RunRef | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a task.

    :param entered_at: seconds since the epoch at which this process took the task up.
    :param ref: the run that it is attached to, or that is in its way.
    :param started_by_us: whether this task started that run; another's is never cancelled.
    :param deadline: of the wait.
    :param stopping: id of an earlier run of this task that was cancelled and may still be stopping.
    """

    entered_at: float
    phase: Phase = Phase.STARTING
    ref: RunRef | None = None
    because: AttachedBecause | None = None
    started_by_us: bool = True
    deadline: Deadline = Deadline()
    stopping: str | None = None

    def attached(self, ref: RunRef, because: AttachedBecause, *, started_by_us: bool, deadline: Deadline) -> Attempt:
        """Return the attempt once it has its run."""
        return replace(
            self, phase=Phase.ATTACHED, ref=ref, because=because, started_by_us=started_by_us, deadline=deadline
        )

    def blocked_by(self, ref: RunRef) -> Attempt:
        """Return the attempt while another run is in its way."""
        return replace(self, phase=Phase.BLOCKED, ref=ref, started_by_us=False)

    def unblocked(self) -> Attempt:
        """Return the attempt once nothing is in its way."""
        stopping = (
            self.stopping if self.ref is None else self.ref.run_id
        )  # may be called canceled before it has stopped
        return replace(self, phase=Phase.STARTING, ref=None, started_by_us=True, stopping=stopping)

    @property
    def run_to_cancel(self) -> RunRef | None:
        """The run that ends with the task, if its policies say so: never another's."""
        return self.ref if self.phase is Phase.ATTACHED and self.started_by_us else None


@dataclass(frozen=True, slots=True)
class StartPolicy:
    """What a user wants where a start is not plain."""

    on_lost_start: OnLostStart
    on_already_running: OnAlreadyRunning
    cancels_earlier_runs: bool
    cancels_at_deadline: bool
    poll_interval: float
    poll_failure_budget: float
