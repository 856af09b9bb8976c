"""The one run model that every vendor maps to: a reference, a state, and what is known about the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from airflow_provider_etlapis.text import clean_json

MOST_STEPS = 1_000
"""Steps of a run that its manifest holds at most."""

Newest = Literal["ended", "ended_well"]


class RunState(StrEnum):
    """Where a remote run is, in words shared by all vendors."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    WARNING = "warning"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """A status word that we do not know: taken as still going on, never as a success."""

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended, well or badly."""
        return self in _TERMINAL

    @property
    def is_good(self) -> bool:
        """Whether the run has ended well (with a warning or without)."""
        return self in _GOOD


_GOOD = frozenset({RunState.SUCCEEDED, RunState.WARNING})
_TERMINAL = _GOOD | {RunState.FAILED, RunState.CANCELLED}


@dataclass(frozen=True, slots=True)
class RunRef:
    """What is needed to find a run again, and nothing else: safe to serialise, holds no secret.

    :param vendor: the connection type of the vendor.
    :param ids: the vendor's own names and values of the ids, in the order of its paths.
    :param since: seconds since the epoch when the run was started or first seen; bounds the search in lists.
    :param newest: not this one run, but whichever run of the thing that ``ids`` names has ended at or after
        ``since``, whoever started it: ``"ended"`` takes any end, ``"ended_well"`` waits for a good one.
    :param watermark: what the vendor's side showed just before the start, as plain JSON, where its runs have no
        ids of their own: it tells the run from the one before it, which was the same thing's last.
    """

    vendor: str
    ids: Mapping[str, str]
    since: float | None = None
    newest: Newest | None = None
    watermark: Any = None
    run_id: str = field(init=False, repr=False, compare=False)
    """The ids as one text, unique within the vendor's server."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "run_id", "/".join(self.ids.values()))  # once: each look at a thousand runs asks

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON: ``{"vendor", "ids": {...}, "since", "newest"}``, and ``"watermark"`` if there is one."""
        value = {"vendor": self.vendor, "ids": dict(self.ids), "since": self.since, "newest": self.newest}
        return value if self.watermark is None else {**value, "watermark": self.watermark}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunRef:
        """Read what :meth:`to_json` wrote, by this release or an older one; unknown keys are left alone."""
        ids = {str(name): str(item) for name, item in value["ids"].items()}
        return cls(str(value["vendor"]), ids, value.get("since"), value.get("newest"), value.get("watermark"))


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a run, such as a task of a workflow."""

    name: str
    state: RunState
    vendor_status: str
    started: datetime | None = None
    ended: datetime | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the step as it stands in the manifest."""
        return {
            "name": self.name,
            "state": self.state.value,
            "vendor_status": self.vendor_status,
            "started": iso(self.started),
            "ended": iso(self.ended),
        }


@dataclass(frozen=True, slots=True)
class RemoteRun:
    """What a vendor says about a run at one moment.

    :param vendor_status: the vendor's own word, unchanged.
    :param url: a page for people about this run, where the vendor has one.
    :param error: the vendor's own error text, with the tail of its traceback or log if it gives one.
    :param details: further facts as plain JSON, in the vendor's words.
    """

    ref: RunRef
    state: RunState
    vendor_status: str
    name: str = ""
    url: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    error: str | None = None
    steps: tuple[Step, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, where both are known."""
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()

    def manifest(self) -> dict[str, Any]:
        """Return the run as small plain JSON: what an operator returns and XCom holds.

        ``{"vendor", "run_id", "ids", "name", "vendor_status", "state", "url", "started", "ended", "duration",
        "steps": [{"name", "state", "vendor_status", "started", "ended"}], "details"}``; times are ISO 8601 in
        UTC, the duration is in seconds, and what is not known is ``null``. At most 1,000 steps are kept, then with
        ``"steps_left_out"``, how many were not; texts and details are bounded, and nothing in them is invisible.
        """
        kept = {
            "vendor": self.ref.vendor,
            "run_id": self.ref.run_id,
            "ids": dict(self.ref.ids),
            "name": self.name,
            "vendor_status": self.vendor_status,
            "state": self.state.value,
            "url": self.url,
            "started": iso(self.started),
            "ended": iso(self.ended),
            "duration": self.duration,
            "steps": [step.to_json() for step in self.steps[:MOST_STEPS]],
            "details": dict(self.details),
        }
        if len(self.steps) > MOST_STEPS:
            kept["steps_left_out"] = len(self.steps) - MOST_STEPS
        cleaned: dict[str, Any] = clean_json(kept)
        return cleaned

    def facts(self) -> dict[str, Any]:
        """Return the manifest without steps and details: what an event about the run carries."""
        return {name: value for name, value in self.manifest().items() if name not in ("steps", "details")}


class TroubleKind(StrEnum):
    """What a failed look at a run means for the wait."""

    PASSING = "passing"
    """The vendor or the network fails; it may work later."""
    MISSING = "missing"
    """The vendor does not know the run (yet, or any more)."""
    CREDENTIAL = "credential"
    """The credential is refused."""
    REFUSED = "refused"
    """The request is refused."""
    WRONG = "wrong"
    """The request can never work; nothing was sent."""
    UNRECOGNIZED = "unrecognized"
    """Something answered that is not the vendor, or not in its own words."""
    DEFECT = "defect"
    """The watching itself failed; nothing is known of the run."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A poll of a run that failed: why, in words for a log.

    :param is_confirmed: whether the vendor itself says so; ``False`` where a proxy or a sign-on page may have.
    """

    kind: TroubleKind
    message: str
    is_confirmed: bool = True


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a vendor's API can do, as data: nothing above the hooks asks for a vendor's name.

    :param cancel: a run can be cancelled.
    :param bulk: one request tells the state of many runs.
    :param steps: a single read tells the steps of a run.
    :param logs: the log of a run can be read.
    :param finds_lost_starts: a run whose start call lost its answer can be looked for.
    :param cancel_note: what a user must know about cancelling: that it is not possible, or what it may not do.
    """

    cancel: bool
    bulk: bool
    steps: bool = False
    logs: bool = False
    finds_lost_starts: bool = False
    cancel_note: str = ""


def newest_first(runs: Iterable[RemoteRun], limit: int) -> list[RemoteRun]:
    """Return the runs that were started last; of those without a time, first what goes on and last what has ended."""

    def started(run: RemoteRun) -> float:
        if run.started is None:
            return float("-inf") if run.state.is_terminal else float("inf")
        return run.started.timestamp()

    return sorted(runs, key=started, reverse=True)[:limit]


def iso(moment: datetime | None) -> str | None:
    """Return a moment as ISO 8601 in UTC, such as ``2026-11-22T05:59:14+00:00``."""
    return None if moment is None else moment.astimezone(UTC).isoformat()
