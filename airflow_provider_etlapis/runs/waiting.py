"""Decides, after each look at a run, whether the wait goes on. Fed alike by the worker's loop and by the trigger.

What must not be relaxed: only a good terminal state is a success; a status word that we do not know goes on;
a look that failed says nothing about the run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Step, Trouble, TroubleKind

DEFAULT_PATIENCE = 900.0
DEFAULT_GRACE = 60.0


class Verdict(StrEnum):
    """How a wait stands."""

    GO_ON = "go_on"
    DONE = "done"
    """The run has ended, well or badly."""
    DEADLINE = "deadline"
    """The time for the wait is over; the run goes on."""
    GAVE_UP = "gave_up"
    """The vendor could not be asked for longer than the stated budget; the run may go on."""
    GONE = "gone"
    """The vendor does not know the run."""
    REFUSED = "refused"
    """The credential or the request is refused; asking again would not help."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one look came to.

    :param message: why the wait ended, empty while it goes on.
    :param news: lines for the task's log, one per change.
    :param warnings: the same, for what someone should look at.
    """

    verdict: Verdict
    message: str = ""
    news: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


_REFUSALS = frozenset({TroubleKind.CREDENTIAL, TroubleKind.REFUSED, TroubleKind.UNRECOGNIZED})

GOING_ON = Outcome(Verdict.GO_ON)
"""The outcome of a look that brought nothing new: one for all, as there are thousands."""


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """The budgets of a wait.

    :param deadline: seconds since the epoch (a wall clock, because a wait may resume in another process);
        ``None`` for no deadline.
    :param patience: seconds for which polls may fail without a break before the wait is given up.
    :param grace: seconds for which a vendor may say that it does not know the run, as some do right after
        the start; and for which something that is not the vendor's own word may refuse a run that was never seen.
    """

    deadline: float | None = None
    patience: float = DEFAULT_PATIENCE
    grace: float = DEFAULT_GRACE


class Wait:
    """One wait for one run. Does no I/O and reads no clock.

    :param seen_well: whether this credential has just been answered about this run (its start, the event of a
        trigger): then whatever is odd has the patience of an outage.
    :param limit: the parameter that sets the deadline, with its value, for messages: ``"timeout=3600 s"``.
    """

    def __init__(self, ref: RunRef, policy: WaitPolicy, *, seen_well: bool = False, limit: str = "") -> None:
        self.ref = ref
        self.policy = policy
        self.limit = limit
        self.last: RemoteRun | None = None
        self._seen_well = seen_well
        self._failing_since: float | None = None
        self._missing_since: float | None = None
        self._failing_kind: TroubleKind | None = None
        self._warned_of: tuple[str, ...] = ()

    def seconds_left(self, now: float) -> float | None:
        """Return seconds until the deadline, ``None`` if there is none."""
        return None if self.policy.deadline is None else self.policy.deadline - now

    def on_run(self, run: RemoteRun, now: float) -> Outcome:
        """Take in what the vendor says about the run.

        :param now: seconds since the epoch.
        """
        news = _changes(self.last, run)
        warnings: tuple[str, ...] = ()
        if self._failing_since is not None:
            news = (f"Polling works again after {now - self._failing_since:.0f} s", *news)
            self._failing_since = self._missing_since = self._failing_kind = None
        if run.state is RunState.UNKNOWN and run.vendor_status not in self._warned_of:
            self._warned_of += (run.vendor_status,)
            warnings = (
                f"Run {run.ref.run_id} has the unknown status {run.vendor_status!r}; treating it as still running",
            )
        self.last = run
        self._seen_well = True
        if run.state.is_terminal:
            return Outcome(Verdict.DONE, news=news, warnings=warnings)
        return self._unless_late(now, news, warnings)

    def on_trouble(self, trouble: Trouble, now: float) -> Outcome:
        """Take in a look that failed.

        :param now: seconds since the epoch.
        """
        first = trouble.kind is not self._failing_kind
        self._failing_kind = trouble.kind
        if self._failing_since is None:
            self._failing_since = now
        if trouble.kind is not TroubleKind.MISSING:
            self._missing_since = None  # whoever does not answer has not said that there is no such run
        elif self._missing_since is None:
            self._missing_since = now
        lasted = now - self._failing_since
        run = f"run {self.ref.run_id}"
        if self._is_refused(trouble, lasted):
            return Outcome(Verdict.REFUSED, f"{trouble.message}. Run {self.ref.run_id} was left alone.")
        if trouble.kind is TroubleKind.DEFECT:
            return Outcome(Verdict.GAVE_UP, f"{trouble.message}. {self._left_alone}")
        if self._missing_since is not None and now - self._missing_since >= self.policy.grace:
            return Outcome(
                Verdict.GONE,
                f"The vendor has reported for {now - self._missing_since:.0f} s that it does not know {run}: "
                f"{trouble.message}",
            )
        if lasted >= self.policy.patience:
            return Outcome(
                Verdict.GAVE_UP,
                f"Polling {run} has failed for {lasted:.0f} s (poll_failure_budget={self.policy.patience:.0f} s): "
                f"{trouble.message}. {self._left_alone}",
            )
        warnings = (f"Polling {run} failed, waiting on: {trouble.message}",) if first else ()
        return self._unless_late(now, (), warnings)

    def _is_refused(self, trouble: Trouble, lasted: float) -> bool:
        """Say whether asking again would not help. After a good answer nothing does, short of the whole budget."""
        if trouble.kind is TroubleKind.WRONG:
            return True
        if self._seen_well or trouble.kind not in _REFUSALS:
            return False
        return (trouble.is_confirmed and trouble.kind is not TroubleKind.UNRECOGNIZED) or lasted >= self.policy.grace

    @property
    def _left_alone(self) -> str:
        return f"Run {self.ref.run_id} was left alone; a retry of this task attaches to it again."

    def on_clock(self, now: float) -> Outcome:
        """Look at the clock alone.

        :param now: seconds since the epoch.
        """
        return self._unless_late(now, (), ())

    def _unless_late(self, now: float, news: tuple[str, ...], warnings: tuple[str, ...]) -> Outcome:
        if self.policy.deadline is not None and now >= self.policy.deadline:
            status = self.last.vendor_status if self.last else "not seen"
            within = f"within {self.limit}" if self.limit else "in time"
            return Outcome(
                Verdict.DEADLINE,
                f"Run {self.ref.run_id} did not finish {within} (deadline {utc(self.policy.deadline)}); "
                f"last status: {status}",
                news,
                warnings,
            )
        return Outcome(Verdict.GO_ON, news=news, warnings=warnings) if news or warnings else GOING_ON


def _changes(before: RemoteRun | None, run: RemoteRun) -> tuple[str, ...]:
    lines = []
    if before is None or before.vendor_status != run.vendor_status:
        lines.append(f"Run {run.ref.run_id} is {run.vendor_status}")
    if not run.steps:
        return tuple(lines)
    known = {} if before is None else _keyed(before.steps)
    done = sum(step.state.is_terminal for step in run.steps)
    for key, step in _keyed(run.steps).items():
        was = known.get(key)
        if was is None and step.state is RunState.QUEUED:
            continue
        if was is None or was.vendor_status != step.vendor_status:
            lines.append(f"Step {step.name} is {step.vendor_status} ({done} of {len(run.steps)} steps ended)")
    return tuple(lines)


def _keyed(steps: tuple[Step, ...]) -> dict[tuple[str, int], Step]:
    """Tell steps of the same name apart by their order."""
    numbers: Counter[str] = Counter()
    keyed: dict[tuple[str, int], Step] = {}
    for step in steps:
        keyed[step.name, numbers[step.name]] = step
        numbers[step.name] += 1
    return keyed


def utc(at: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC, such as ``2026-11-25T04:00:00Z``, for a message."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return "beyond the calendar"
