"""Scripted lives of runs: what becomes of a run is a pure function of its script, its start, a cancel and the time.

Nothing here ticks: a run's state is worked out when somebody asks, so ten thousand runs cost nothing while
nobody looks, and a clock that jumps needs no special care.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

Outcome = Literal["success", "warning", "error", "canceled"]
Phase = Literal["queued", "running", "success", "warning", "error", "canceled"]
StepPhase = Literal["waiting", "running", "success", "warning", "error", "canceled"]

#: Steps by stage: stages follow one another, the steps of one stage run side by side.
Stages = tuple[tuple[str, ...], ...]


class Change(NamedTuple):
    """From ``at`` (unix seconds) on, the run or step is in ``phase``."""

    at: float
    phase: str


class StepLine(NamedTuple):
    """What happens to one step: its name, the index of its stage, and its changes in order of time."""

    name: str
    stage: int
    changes: tuple[Change, ...]


class Timeline(NamedTuple):
    """What happens to one run and to each of its steps, in order of time."""

    run: tuple[Change, ...]
    steps: tuple[StepLine, ...]


@dataclass(frozen=True)
class Life:
    """The script of one run.

    :param duration: seconds from leaving the queue to the end, whatever the end is; ``math.inf`` never ends
        (a killed worker)
    :param outcome: how it ends: ``"success"``, ``"warning"``, ``"error"`` or ``"canceled"`` (by somebody else)
    :param steps: names in order; a sequence inside it is a group that runs side by side. Empty: the vendor's
        own steps of the started flow
    :param failing_step: the step that a bad end comes from; default: the last one. Steps after it never run
    :param error_text: what the vendor says of an ``error``
    :param queued: seconds in the queue first; ``math.inf`` is never picked up (no worker)
    :param closing: seconds, part of ``duration``, between a good end of the last step and the end of the run
    :param runs_steps: ``False``: the vendor ends the run before any step was touched
    :param afterwards: ``(seconds after the end, outcome)`` pairs: the vendor changes its mind about an ended run
    """

    duration: float = 1.0
    outcome: Outcome = "success"
    steps: Sequence[str | Sequence[str]] = ()
    failing_step: str | None = None
    error_text: str = "scripted failure"
    queued: float = 0.0
    closing: float = 0.0
    runs_steps: bool = True
    afterwards: Sequence[tuple[float, Outcome]] = ()

    def __post_init__(self) -> None:
        outcomes = (self.outcome, *(outcome for _, outcome in self.afterwards))
        if unknown := set(outcomes) - set(get_args(Outcome)):
            raise ValueError(f"outcome must be one of {get_args(Outcome)}, got {sorted(unknown)}")
        for name in ("duration", "queued", "closing"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be zero or more seconds, got {getattr(self, name)}")
        if math.isinf(self.closing):
            raise ValueError("closing must be finite; for a run that never ends make its duration endless")
        if self.steps and self.failing_step is not None and self.failing_step not in self.step_names:
            raise ValueError(f"failing_step {self.failing_step!r} is not among the steps {self.step_names}")

    @property
    def stages(self) -> Stages:
        """The steps with every stage written as a group."""
        return tuple((step,) if isinstance(step, str) else tuple(step) for step in self.steps)

    @property
    def step_names(self) -> tuple[str, ...]:
        """All step names in order, groups flattened."""
        return tuple(name for stage in self.stages for name in stage)

    def for_steps(self, stages: Stages) -> Life:
        """Return this life with the flow's own steps, unless the script names its own.

        :raises ValueError: if the failing step is not one of them
        """
        return self if self.steps else replace(self, steps=stages)


def timeline(
    life: Life, started_at: float, *, cancelled_at: float | None = None, cancel_stops_work: bool = True
) -> Timeline:
    """Work out everything that happens to a run, past and future.

    :param life: its script
    :param started_at: unix seconds at which the vendor accepted it
    :param cancelled_at: when a cancel took effect, if one did
    :param cancel_stops_work: ``False``: the vendor says ``canceled``, but the work goes on, and whatever it does
        next overwrites the word
    """
    begin = started_at + life.queued
    end = begin + life.duration
    run: tuple[Change, ...] = (
        Change(started_at, "queued"),
        Change(begin, "running"),
        Change(end, life.outcome),
        *(Change(end + seconds, outcome) for seconds, outcome in life.afterwards),
    )
    steps = _steps(life, started_at, begin, end)
    if cancelled_at is not None:
        run = _cancelled(run, cancelled_at, stops=cancel_stops_work, only_unfinished=False)
        steps = [
            step._replace(changes=_cancelled(step.changes, cancelled_at, stops=cancel_stops_work, only_unfinished=True))
            for step in steps
        ]
    return Timeline(run, tuple(steps))


def latest(changes: Sequence[Change], now: float) -> Change:
    """Return the change that holds at ``now``: the newest that has come (the first one before any has)."""
    found = changes[0]
    for change in changes:
        if change.at > now:
            break
        found = change
    return found


def story(line: Timeline, now: float) -> list[tuple[float, str]]:
    """Return what has happened so far as ``(unix seconds, "STEP: phase")`` lines, for vendors that have logs."""
    told = [
        (change.at, f"{step.name}: {change.phase}")
        for step in line.steps
        for change in step.changes
        if change.phase != "waiting" and change.at <= now
    ]
    return sorted(told, key=lambda entry: entry[0])


def _steps(life: Life, started_at: float, begin: float, end: float) -> list[StepLine]:
    """Lay the stages evenly over the duration; those after the one that ends the run badly only wait."""
    stages, culprit = life.stages, _culprit(life)
    if not stages:
        return []
    cut_short = life.outcome in ("error", "canceled")
    stages_run = culprit[0] + 1 if cut_short and culprit is not None else len(stages)
    share = (life.duration if cut_short else max(life.duration - life.closing, 0.0)) / stages_run
    lines = []
    for index, stage in enumerate(stages):
        starts = begin + (index * share if index else 0.0)  # 0 times an endless share is not a number
        ends = min(starts + share, end)
        ending = cut_short and index == stages_run - 1
        for position, name in enumerate(stage):
            changes = [Change(started_at, "waiting")]
            if index >= stages_run or not life.runs_steps:
                if life.outcome == "canceled":
                    changes.append(Change(end, "canceled"))
            elif (index, position) == culprit or (ending and life.outcome == "canceled"):
                changes += [Change(starts, "running"), Change(end if ending else ends, life.outcome)]
            else:  # the companions of a failed step work on for a while
                changes += [Change(starts, "running"), Change(ends + (share / 2 if ending else 0.0), "success")]
            lines.append(StepLine(name, index, tuple(changes)))
    return lines


def _culprit(life: Life) -> tuple[int, int] | None:
    """Return stage and position of the step that a bad end comes from: the named one, else the last."""
    if life.outcome == "success":
        return None
    stages = life.stages
    for index, stage in enumerate(stages):
        if life.failing_step in stage:
            return index, stage.index(life.failing_step)
    return (len(stages) - 1, len(stages[-1]) - 1) if stages else None


def _cancelled(changes: Sequence[Change], at: float, *, stops: bool, only_unfinished: bool) -> tuple[Change, ...]:
    """Put a cancel among the changes; a step that has ended keeps its end, a run's word is rewritten."""
    if only_unfinished and latest(changes, at).phase not in ("waiting", "running"):
        return tuple(changes)
    before = [change for change in changes if change.at <= at]
    after = [] if stops else [change for change in changes if change.at > at]
    return (*before, Change(at, "canceled"), *after)
