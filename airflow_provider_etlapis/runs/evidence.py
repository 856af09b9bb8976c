"""Decides what is known about a start call and its run, from facts alone: who answered, when, and what the lists show.

Between us and a vendor stand proxies, sign-on pages and slow networks, and beside us other people's runs. What must not
be relaxed: only the vendor's own answer is knowledge; a run is absent only if a complete list lacks it at a time when
the call can no longer take effect; one candidate is not proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from airflow_provider_etlapis.runs.model import RemoteRun

ACTS_AFTER_ANSWER = 2.0
"""Seconds for which a start may still show up although the vendor itself has answered it with an error."""
ACTS_AFTER_CLOSE = 5.0
"""Seconds for which a start may still take effect although its connection was closed, or something else answered it."""
ACTS_AFTER_TIMEOUT = 60.0
"""Seconds for which a start that nobody has answered may still be under way, at the vendor or in a proxy's queue."""

CLOCK_SKEW = 300.0
"""Seconds by which a vendor's clock may differ from ours where its answers carry no ``Date``."""
CLOCK_GRAIN = 2.0
"""Seconds within which two moments cannot be told apart where they do: vendors write whole seconds."""

RATE_LIMITED = 429
"""The one status that proves a refusal whoever sends it: limiters refuse before they pass a request on."""
UNDER_WAY_STATUSES = frozenset({408, 460, 499, 504, 522, 524})
"""Statuses by which a proxy gives up on a request that the server may still be working on."""
_ABOUT_THE_WAY = UNDER_WAY_STATUSES | {421, 425}


class Evidence(StrEnum):
    """What is known about the run of a start call."""

    FOUND = "found"
    """The run is there, and it is shown to be that of the call."""
    ABSENT = "absent"
    """The call surely started nothing."""
    UNSURE = "unsure"
    """It cannot be told."""
    REFUSED = "refused"
    """The vendor itself has said that it starts nothing."""


@dataclass(frozen=True, slots=True)
class FailedCall:
    """The facts about a call that did not bring its result, as the wire states them.

    :param sent: whether the request may have reached the server.
    :param by_vendor: whether the answer has the vendor's own shape.
    :param status: HTTP status of the answer, ``None`` if there was none.
    :param timed_out: whether the time for an answer ran out.
    """

    sent: bool
    by_vendor: bool
    status: int | None
    timed_out: bool


@dataclass(frozen=True, slots=True)
class CallEvidence:
    """What a failed call proves about its effect.

    :param evidence: ``ABSENT`` (never sent), ``REFUSED`` (by the vendor itself) or ``UNSURE``.
    :param acts_for: seconds for which it may still take effect.
    """

    evidence: Evidence
    acts_for: float = 0.0

    @property
    def may_have_acted(self) -> bool:
        """Whether the vendor may have done what was asked."""
        return self.evidence is Evidence.UNSURE


def judge_call(failed: FailedCall) -> CallEvidence:
    """Return what a failed call proves about its effect: the same for starts, cancels and any other write."""
    if not failed.sent:
        return CallEvidence(Evidence.ABSENT)
    status = failed.status
    if status == RATE_LIMITED:
        return CallEvidence(Evidence.REFUSED)
    if failed.by_vendor and status is not None and status < 500 and status not in _ABOUT_THE_WAY:
        return CallEvidence(Evidence.REFUSED)
    if failed.timed_out or status in UNDER_WAY_STATUSES:
        return CallEvidence(Evidence.UNSURE, ACTS_AFTER_TIMEOUT)
    return CallEvidence(Evidence.UNSURE, ACTS_AFTER_ANSWER if failed.by_vendor else ACTS_AFTER_CLOSE)


@dataclass(frozen=True, slots=True)
class StartProof:
    """What a vendor's API shows about a run that tells whose it is. One table a vendor; its page says the same.

    :param marker: where a run carries the text that recognises it, empty if nowhere.
    :param inputs: whether a run shows what it was started with: ``"shown"``, ``"hidden"``, or ``"none"`` where its
        target takes none, so that any run of it does what was asked.
    :param starter: whether a run shows by whom it was started.
    :param order: what tells that a run began after the call, empty if nothing does.
    :param source: where runs are looked for, and when that is complete.
    """

    marker: str
    inputs: Literal["shown", "hidden", "none"]
    starter: Literal["shown", "hidden"]
    order: str
    source: str

    @property
    def can_show(self) -> bool:
        """Whether a run can be shown to be ours at all."""
        shows_whose = self.inputs == "none" or (self.inputs == "shown" and self.starter == "shown")
        return bool(self.marker) or (shows_whose and bool(self.order))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that may be that of a start call, with what is known about it; ``None`` is "cannot be told".

    :param has_marker: whether it carries this task's marker; ``False`` if it surely does not.
    :param began_after: whether it began after the call, by something better than a clock.
    :param same_inputs: whether it was started with the same inputs.
    :param same_starter: whether this connection's credential has started it.
    """

    run: RemoteRun
    has_marker: bool | None = None
    began_after: bool | None = None
    same_inputs: bool | None = None
    same_starter: bool | None = None

    @property
    def is_ours(self) -> bool | None:
        """Whether it is shown to be ours, or surely not ours; ``None`` if neither."""
        if self.has_marker is not None:
            return self.has_marker
        facts = (self.began_after, self.same_inputs, self.same_starter)
        if False in facts:
            return False
        return True if all(facts) else None


@dataclass(frozen=True, slots=True)
class Search:
    """The result of looking once for the run of a start call that got no answer.

    :param looked_for: what was looked for and where, in words.
    :param candidates: runs that may be it, likeliest first.
    :param is_final: whether looking again could not show more: the run's marker was seen, or the vendor cannot be
        searched at all.
    """

    sighting: Evidence
    looked_for: str
    candidates: tuple[RemoteRun, ...] = ()
    is_final: bool = False


def weigh(candidates: Iterable[Candidate], looked_for: str, *, is_complete: bool, why_incomplete: str = "") -> Search:
    """Return what one look at a vendor's runs proves.

    A run that ended badly and may or may not be ours makes no difference: the next step is a new start either way.

    :param is_complete: whether the source surely shows each run that the call can have made by now.
    :param why_incomplete: in words, why it does not.
    """
    every = [candidate for candidate in candidates if candidate.is_ours is not False]
    ours = [candidate.run for candidate in every if candidate.is_ours]
    marked = _likeliest_first([candidate.run for candidate in every if candidate.has_marker])
    if marked:
        # An earlier try's run that has ended badly carries the same marker: the one that is looked for may still come.
        return Search(Evidence.FOUND, looked_for, tuple(marked), is_final=not _ended_badly(marked[0]))
    if len(ours) == 1:
        return Search(
            Evidence.FOUND, looked_for, tuple(ours)
        )  # until a second one shows up, which would make it unsure
    open_ones = [candidate.run for candidate in every if not _ended_badly(candidate.run)]
    if open_ones:
        return Search(Evidence.UNSURE, looked_for, tuple(_likeliest_first(open_ones)))
    if not is_complete:
        return Search(Evidence.UNSURE, f"{looked_for}; {why_incomplete or 'not all runs may be shown'}")
    return Search(Evidence.ABSENT, looked_for)


def began_before(started: float | None, call_at: float, clock_ahead: float | None, skew: float = CLOCK_SKEW) -> bool:
    """Say whether a run surely began before a call, by the vendor's clock.

    The contrary is never shown by a clock: what began within the skew of the call cannot be told.

    :param started: seconds since the epoch by the vendor's clock, ``None`` if it is not known.
    :param call_at: seconds since the epoch by ours, just before the call.
    :param clock_ahead: seconds by which the vendor's clock is ahead, by the ``Date`` of its answers.
    :param skew: seconds by which the clocks may differ where there is no ``Date``.
    """
    if started is None:
        return False
    if clock_ahead is None:
        return started < call_at - skew
    return started - clock_ahead < call_at - CLOCK_GRAIN


def _ended_badly(run: RemoteRun) -> bool:
    return run.state.is_terminal and not run.state.is_good


def _likeliest_first(runs: Sequence[RemoteRun], is_last: Callable[[RemoteRun], bool] = _ended_badly) -> list[RemoteRun]:
    return sorted(runs, key=is_last)
