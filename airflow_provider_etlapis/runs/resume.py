"""Decides what a try does about a run that an earlier try, or an unanswered start call, may have left.

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

from airflow_provider_etlapis.runs.evidence import Evidence as Sighting
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef

__all__ = ["Search", "Sighting"]

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
    :param is_reconstructed: whether nothing was written down (Airflow before 3.3): then ``at`` is only the earliest
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
class Memory:
    """What a try leaves for the next one: an intent, and the run once it is known.

    :param deadline: seconds since the epoch, of the wait for this run.
    :param finished: whether a try has seen the run's end.
    :param owned: whether the task started the run, rather than attached to one of somebody else.
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
    def from_json(cls, value: Mapping[str, Any]) -> Memory:
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


class Recall(StrEnum):
    """What a try has to look at first."""

    NOTHING = "nothing"
    """Nobody was here before, or a person cleared the task: start."""
    RUN = "run"
    """An earlier try knows its run: read it."""
    INTENT = "intent"
    """An earlier try was about to start one and did not get to know it: look for it."""


def recall(memory: Memory | None, intent: Intent, *, earlier_tries: bool, keeps_memory: bool) -> Recall:
    """Say what a try has to look at before it may start a run.

    :param memory: what an earlier try left, if anything.
    :param intent: of this try.
    :param earlier_tries: whether this is a retry (automatic, not a first try or a try after a clear).
    :param keeps_memory: whether there is a store that would have kept a memory (Airflow 3.3 and later).
        Where there is none, a retry has to look for the run by its marker.
    """
    if memory is None:
        return Recall.INTENT if earlier_tries and not keeps_memory else Recall.NOTHING
    if memory.intent.max_tries != intent.max_tries:
        return Recall.NOTHING
    if memory.finished and memory.intent.retries != intent.retries:
        # Lowering `retries` may hide a clear from max_tries. After a result was taken, a clear is the likelier cause.
        return Recall.NOTHING
    return Recall.INTENT if memory.ref is None else Recall.RUN


def superseded(memory: Memory | None, intent: Intent) -> RunRef | None:
    """Return the run of before a clear that no try has seen to its end: it must not go on beside a new one.

    :param memory: what an earlier try left, if anything.
    :param intent: of this try.
    """
    if memory is None or memory.ref is None or memory.finished or not memory.owned:
        return None
    return memory.ref if memory.intent.max_tries != intent.max_tries else None


class Resume(StrEnum):
    """What a try does about the run of an earlier one."""

    START = "start"
    FOLLOW = "follow"
    TAKE = "take"


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
        would be worse); the reason says so, and a clear starts anew.
    :param cancelled: whether the run was cancelled: then its end is awaited, and is none to take.
    """
    name = f"run {ref.run_id} of an earlier try"
    if run is None:
        return Resumption(Resume.START, f"The vendor does not know {name} any more: starting a new one")
    changed = (
        " The inputs have changed since it was started; clear the task to start anew with the present ones."
        if inputs_changed
        else ""
    )
    if not run.state.is_terminal:
        return Resumption(Resume.FOLLOW, f"Following {name}, which is {run.vendor_status}.{changed}")
    if cancelled:
        return Resumption(Resume.START, f"The {name} was cancelled and is {run.vendor_status}: starting a new one")
    if run.state.is_good:
        return Resumption(Resume.TAKE, f"Taking the result of {name}: {run.vendor_status}.{changed}")
    return Resumption(Resume.START, f"The {name} ended as {run.vendor_status}: starting a new one")


class LostStart(StrEnum):
    """What to do about a start call that got no answer."""

    ADOPT = "adopt"
    START = "start"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class LostStartDecision:
    """A decision about an unanswered start, with its reason for the log or the exception."""

    action: LostStart
    reason: str
    run: RemoteRun | None = None


def settle_lost_start(search: Search, policy: OnLostStart) -> LostStartDecision:
    """Decide about a start call that got no answer.

    Found: it is adopted. Surely absent, or ended badly: started again. Cannot tell: ``"fail"`` refuses and says
    what to check, ``"adopt"`` takes the likeliest candidate, ``"restart"`` starts again at the risk of a second
    run.
    """
    best = search.candidates[0] if search.candidates else None
    looked = f"The start call got no answer. Looked for {search.looked_for}"
    names = ", ".join(f"{run.ref.run_id} ({run.vendor_status})" for run in search.candidates[:5])
    if search.sighting is Sighting.FOUND and best is not None:
        if best.state.is_terminal and not best.state.is_good:
            return LostStartDecision(LostStart.START, f"{looked}: found {names}, which ended badly: starting again")
        return LostStartDecision(LostStart.ADOPT, f"{looked}: found {names}, following it", best)
    if search.sighting is Sighting.ABSENT:
        return LostStartDecision(LostStart.START, f"{looked}: nothing there, starting again")
    found = f"candidates: {names}" if names else "that cannot be told from here"
    if policy == "restart":
        return LostStartDecision(LostStart.START, f"{looked}: {found}. Starting again (on_lost_start='restart')")
    if policy == "adopt" and best is not None:
        return LostStartDecision(
            LostStart.ADOPT, f"{looked}: {found}. Following {best.ref.run_id} (on_lost_start='adopt')", best
        )
    return LostStartDecision(
        LostStart.REFUSE,
        f"{looked}: {found}. Nothing more was started. Check on the vendor's side whether the run is there: if it "
        "is, wait for it with the sensor; if not, clear this task.",
    )


def fingerprint(inputs: Any) -> str:
    """Return a short fingerprint of a try's inputs (JSON), which does not show them."""
    text = json.dumps(inputs, sort_keys=True, default=str)
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
