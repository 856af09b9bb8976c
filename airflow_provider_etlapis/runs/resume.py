"""Decides what a try does about a run that an earlier try, or an unanswered start request, may have left.

What must not be relaxed: a retry never starts a second run while the first may be alive; a clear by a person
is not a retry; absence of knowledge is not knowledge of absence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, get_args

from airflow_provider_etlapis.runs.evidence import Evidence, Search
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef

OnLostStart = Literal["fail", "adopt", "restart"]
LOST_START_POLICIES: tuple[str, ...] = get_args(OnLostStart)


@dataclass(frozen=True, slots=True)
class Intent:
    """Who wants a run, written down before the start call; the same for each retry, another after a clear.

    :param marker: a text that recognises the run on the vendor's side, where the vendor can carry one.
    :param fingerprint: of the inputs, to notice that they changed between two tries.
    :param max_tries: the task instance's ``max_tries``: a clear raises it, a retry leaves it alone.
    :param retries: the task's ``retries`` at that time.
    :param at: seconds since the epoch, just before the start call.
    :param watermark: what the vendor's side looked like before the start call, as plain JSON; by vendor.
    :param acts_until: seconds since the epoch, by when a call without an answer has taken effect if ever; ``None``
        where the call was cut off.
    :param is_reconstructed: whether nothing was written down (Airflow 3.0 to 3.2): then ``at`` is only the earliest
        moment at which an earlier try may have called, and a run since then is not shown to be ours by its time.
    """

    marker: str
    fingerprint: str
    max_tries: int
    retries: int
    at: float
    watermark: Any = None
    acts_until: float | None = None
    is_reconstructed: bool = False


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What a try leaves for the next one: an intent, and the run once it is known.

    :param deadline: seconds since the epoch, of the wait for this run.
    :param finished: whether a try has seen the run's end.
    :param owned: whether the task started the run, rather than attached to one that somebody else started.
    :param cancelled: whether the run was seen, or asked to be, cancelled: then it is never a success, because some
        vendors call such a run something else later.
    """

    intent: Intent
    ref: RunRef | None = None
    url: str | None = None
    deadline: float | None = None
    finished: bool = False
    owned: bool = True
    cancelled: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON for the task's state store."""
        intent = self.intent
        return {
            "marker": intent.marker,
            "fingerprint": intent.fingerprint,
            "max_tries": intent.max_tries,
            "retries": intent.retries,
            "at": intent.at,
            "watermark": intent.watermark,
            "acts_until": intent.acts_until,
            "ref": self.ref.to_json() if self.ref else None,
            "url": self.url,
            "deadline": self.deadline,
            "finished": self.finished,
            "cancelled": self.cancelled,
            "owned": self.owned,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AttemptRecord:
        """Read what :meth:`to_json` wrote, by this release or an older one."""
        return cls(
            Intent(
                str(value["marker"]),
                str(value["fingerprint"]),
                int(value["max_tries"]),
                int(value.get("retries", 0)),
                float(value["at"]),
                value.get("watermark"),
                value.get("acts_until"),
            ),
            RunRef.from_json(value["ref"]) if value.get("ref") else None,
            value.get("url"),
            value.get("deadline"),
            bool(value.get("finished", False)),
            bool(value.get("owned", True)),
            bool(value.get("cancelled", False)),
        )


class AttemptPlan(StrEnum):
    """What a try has to do before it may start a run."""

    START = "start"
    """Nobody was here before, or a person cleared the task: start."""
    CHECK_RUN = "check run"
    """An earlier try knows its run: read it."""
    SEARCH = "search"
    """An earlier try was about to start a run, and it is not known whether it did: look for it."""
    SEARCH_MARKER = "search marker"
    """Nothing was written, which an earlier try may have failed to do: a run with this task's marker is its run."""


def plan(
    record: AttemptRecord | None, intent: Intent, *, earlier_tries: bool, keeps_state: bool, has_marker: bool
) -> AttemptPlan:
    """Return what a try has to do before it may start a run.

    :param record: what an earlier try left, if anything.
    :param intent: of this try.
    :param earlier_tries: whether this is a retry (automatic, not a first try or a try after a clear).
    :param keeps_state: whether there is a store that would have kept a record (not on Airflow 3.0 to 3.2).
        Where there is none, a retry has to look for the run on the vendor's side.
    :param has_marker: whether the vendor's runs carry a text that shows whose they are.
    """
    if record is None:
        if not earlier_tries:
            return AttemptPlan.START
        if not keeps_state:
            return AttemptPlan.SEARCH
        return AttemptPlan.SEARCH_MARKER if has_marker else AttemptPlan.START
    if record.intent.max_tries != intent.max_tries:
        return AttemptPlan.START
    if record.finished and record.intent.retries != intent.retries:
        # Lowering `retries` may hide a clear from max_tries. After a result was taken, a clear is the likelier cause.
        return AttemptPlan.START
    return AttemptPlan.SEARCH if record.ref is None else AttemptPlan.CHECK_RUN


def superseded(record: AttemptRecord | None, intent: Intent) -> RunRef | None:
    """Return the run of before a clear that no try has seen to its end: it must not go on beside a new one.

    :param record: what an earlier try left, if anything.
    :param intent: of this try.
    """
    if record is None or record.ref is None or record.finished or not record.owned:
        return None
    return record.ref if record.intent.max_tries != intent.max_tries else None


class Resume(StrEnum):
    """What a try does about the run of an earlier one."""

    START = "start"
    ATTACH = "attach"
    TAKE_RESULT = "take result"
    WAIT_THEN_START = "wait then start"


@dataclass(frozen=True, slots=True)
class Resumption:
    """A decision about a known run, with its reason for the log."""

    action: Resume
    reason: str


def resume(ref: RunRef, run: RemoteRun | None, *, inputs_changed: bool, cancelled: bool = False) -> Resumption:
    """Decide what to do about the run of an earlier try.

    :param run: what the vendor says; ``None`` if it does not know the run.
    :param inputs_changed: whether this try would start it with other inputs. A run that is alive or has ended
        well is taken all the same (templates that hold the time of day differ on each try, and a second run
        would be worse); the reason says so, and a clear starts a new one.
    :param cancelled: whether we have cancelled the run: then its end is awaited, and is none to take.
    """
    name = f"run {ref.run_id} of an earlier try"
    if run is None:
        return Resumption(Resume.START, f"The vendor no longer knows {name}: starting a new run")
    changed = (
        " The inputs have changed since it was started; clear the task to start a run with the present ones."
        if inputs_changed
        else ""
    )
    status = run.vendor_status
    if cancelled and not run.state.is_terminal:
        reason = f"{_upper(name)} was cancelled and is still {status}: waiting for its end, then starting a new run"
        return Resumption(Resume.WAIT_THEN_START, reason)
    if not run.state.is_terminal:
        return Resumption(Resume.ATTACH, f"Attaching to {name}, which is {status}.{changed}")
    if cancelled:
        return Resumption(Resume.START, f"{_upper(name)} was cancelled and is {status}: starting a new run")
    if run.state.is_good:
        return Resumption(Resume.TAKE_RESULT, f"Taking the result of {name}: {status}.{changed}")
    return Resumption(Resume.START, f"{_upper(name)} ended as {status}: starting a new run")


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


class LostStart(StrEnum):
    """What to do about a start request that got no usable response."""

    ATTACH = "attach"
    START = "start"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class LostStartDecision:
    """A decision about a lost start, with its reason for the log or the exception."""

    action: LostStart
    reason: str
    run: RemoteRun | None = None


def settle_lost_start(search: Search, policy: OnLostStart, cause: str) -> LostStartDecision:
    """Decide about a start request that got no usable response.

    Found: attach to it. Surely absent, or ended badly: start again. Cannot tell: ``"fail"`` refuses and says
    what to check, ``"adopt"`` takes the likeliest candidate, ``"restart"`` starts again at the risk of a second
    run.

    :param search: what was found on the vendor's side.
    :param cause: in words, why it has to be looked for.
    """
    best = search.candidates[0] if search.candidates else None
    looked = f"{cause} Looked for {search.looked_for}"
    names = ", ".join(f"{run.ref.run_id} ({run.vendor_status})" for run in search.candidates[:5])
    if search.sighting is Evidence.FOUND and best is not None:
        if best.state.is_terminal and not best.state.is_good:
            return LostStartDecision(LostStart.START, f"{looked}: found {names}, which ended badly. Starting again")
        return LostStartDecision(LostStart.ATTACH, f"{looked}: found {names}. Attaching to it", best)
    if search.sighting is Evidence.ABSENT:
        return LostStartDecision(LostStart.START, f"{looked}: not there. Starting again")
    if names:
        found = f"cannot tell whether it is one of these candidates: {names}"
    else:
        found = "it cannot be told whether it is there"
    if policy == "restart":
        return LostStartDecision(LostStart.START, f"{looked}: {found}. Starting again (on_lost_start='restart')")
    if policy == "adopt" and best is not None:
        return LostStartDecision(
            LostStart.ATTACH, f"{looked}: {found}. Attaching to {best.ref.run_id} (on_lost_start='adopt')", best
        )
    return LostStartDecision(
        LostStart.REFUSE,
        f"{looked}: {found}. No second run was started. Check on the vendor's side whether the run is there: if it "
        "is, wait for it with the sensor; if not, clear this task.",
    )


def fingerprint(inputs: Any) -> str:
    """Return a short fingerprint of a try's inputs (JSON), which does not show them."""
    try:
        text = json.dumps(inputs, sort_keys=True, default=str)
    except TypeError:  # names of more than one type have no order
        text = json.dumps(inputs, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def marker(*, dag_id: str, run_id: str, task_id: str, map_index: int, max_tries: int) -> str:
    """Return the text that recognises this task's run on the vendor's side, at most 120 characters.

    The same for every retry, another one after a clear (which raises ``max_tries``). The hash makes it unique,
    the front is for people.
    """
    whole = json.dumps([dag_id, run_id, task_id, map_index, max_tries])
    key = hashlib.sha256(whole.encode()).hexdigest()[:24]
    readable = f"{dag_id}.{task_id}" + (f"[{map_index}]" if map_index >= 0 else "")
    return f"airflow {readable[:80]} {key}"
