"""Collects what DataWORQ's lists show about the job of a start request that got no usable response. Does no I/O.

A job carries no text of ours, shows no user, and shows its parameters only in the log that it has when it has ended.
So no job is ever shown to be ours: what can be shown is that a job is not, and that there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_etlapis.hooks.dataworq.jobs import LONGEST_LIST, JobStatus, run_of
from airflow_provider_etlapis.hooks.dataworq.log import logged_start, same_inputs
from airflow_provider_etlapis.runs.evidence import Candidate, Search, StartProof, began_before, weigh
from airflow_provider_etlapis.runs.model import RemoteRun, RunState
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.runs.waiting import utc

START_PROOF = StartProof(
    marker="",
    inputs="hidden",  # only the log of an ended job shows any, which can rule it out
    starter="hidden",  # an API key belongs to one user, and a job shows none
    order="its id was in neither of the two lists that were read just before the start request",
    source="the lists of active and of all jobs; complete while the latter has fewer than 100 rows, because there is "
    "no second page and the order is not documented",
)

_GOING_ON = frozenset({RunState.QUEUED, RunState.RUNNING})


@dataclass(frozen=True, slots=True)
class Lists:
    """Both lists at one moment. The active jobs were read first, so a job that ends in between is in either.

    :param active: the list of active jobs.
    :param all_jobs: the list without a filter, which has the logs of ended jobs.
    """

    active: list[JobStatus]
    all_jobs: list[JobStatus]

    @property
    def by_id(self) -> dict[str, JobStatus]:
        """Every job that either list shows, as the later one shows it."""
        return {job["id"]: job for job in (*self.active, *self.all_jobs)}


@dataclass(frozen=True, slots=True)
class Before:
    """What both lists showed before a start request: what the watermark of an intent holds.

    :param ids: of the jobs that were there already and may be of the same flow and run profile.
    :param active: number of rows in the list of active jobs; ``None`` if it was not noted.
    :param all_jobs: number of rows in the list of all jobs; ``None`` if it was not noted.
    :param is_named: whether a job of the flow's name was among them.
    """

    ids: frozenset[str] = frozenset()
    active: int | None = None
    all_jobs: int | None = None
    is_named: bool = False

    @classmethod
    def seen(cls, lists: Lists, spec: Mapping[str, Any]) -> Before:
        """Return what is to be noted of the lists before a start."""
        is_named = _is_named(lists.by_id.values(), spec)
        ids = frozenset(job["id"] for job in _jobs_in_question(lists, spec, is_named=is_named))
        return cls(ids, len(lists.active), len(lists.all_jobs), is_named)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON for the watermark of an intent."""
        return {"ids": sorted(self.ids), "active": self.active, "all_jobs": self.all_jobs, "is_named": self.is_named}

    @classmethod
    def from_json(cls, value: Any) -> Before:
        """Read a watermark, also that of an older release: a list of the ids of active jobs."""
        if isinstance(value, list):
            return cls(frozenset(value))
        if not isinstance(value, Mapping):
            return cls()
        return cls(frozenset(value["ids"]), value["active"], value["all_jobs"], bool(value["is_named"]))

    @property
    def shows_active(self) -> bool:
        """Whether a job that was active then must be among the ids."""
        return self.active is not None and self.active < LONGEST_LIST

    @property
    def shows_all(self) -> bool:
        """Whether a job that was there then, active or ended, must be among the ids."""
        return self.all_jobs is not None and self.all_jobs < LONGEST_LIST


def search(spec: Mapping[str, Any], intent: Intent, lists: Lists, clock_ahead: float | None) -> Search:
    """Return what one look at both lists proves about a start request.

    :param spec: what was to be started.
    :param intent: of the start.
    :param clock_ahead: seconds by which the clock behind the ``Date`` header is ahead of ours.
    """
    # What a reconstructed intent holds was not noted at the start, so it shows no order.
    before = Before() if intent.is_reconstructed else Before.from_json(intent.watermark)
    is_named = before.is_named or _is_named(lists.by_id.values(), spec)
    candidates = []
    for job in _jobs_in_question(lists, spec, is_named=is_named):
        run = run_of(job)
        candidates.append(
            Candidate(
                run,
                began_after=_began_after(run, before, intent.at, clock_ahead),
                same_inputs=same_inputs(spec["parameters"], job.get("log")),
                same_starter=None,
            )
        )
    candidates.sort(key=_likeliest_first)
    why_incomplete = _why_incomplete(lists, before)
    found = weigh(candidates, _looked_for(spec, intent), is_complete=not why_incomplete, why_incomplete=why_incomplete)
    if intent.is_reconstructed:
        return found  # no order is known of any: whoever says on_lost_start="adopt" takes the likeliest all the same
    later = {candidate.run.ref.run_id for candidate in candidates if candidate.began_after}
    return _without_those_of_unknown_order(found, later)


def _jobs_in_question(lists: Lists, spec: Mapping[str, Any], *, is_named: bool) -> list[JobStatus]:
    return [job for job in lists.by_id.values() if not _is_another(job, spec, is_named=is_named)]


def _is_another(job: JobStatus, spec: Mapping[str, Any], *, is_named: bool) -> bool:
    """Return whether a row surely shows another flow or run profile; a field that is not there shows nothing.

    :param is_named: whether a job of the flow's name was seen. Until then the name that the user gave may be wrong,
        so another name rules nothing out.
    """
    profile, flow = _plain(job.get("runProfileName")), _plain(job.get("flowName"))
    if profile and profile != _plain(spec["run_profile_name"]):
        return True
    if _plain(logged_start(job.get("log")).flow_id) == _plain(spec["flow_id"]):
        return False
    # That a log shows another flow id rules nothing out: in the vendor's own examples it differs from the start's.
    if flow:
        return is_named and flow != _plain(spec["flow_name"])
    joined = _plain(job.get("jobName") or job.get("runProfile"))
    return is_named and bool(joined) and joined != _plain(f"{spec['flow_name']}_{spec['run_profile_name']}")


def _is_named(jobs: Iterable[JobStatus], spec: Mapping[str, Any]) -> bool:
    return any(_plain(job.get("flowName")) == _plain(spec["flow_name"]) for job in jobs)


def _plain(name: Any) -> str:
    """Return a name as it is compared: users type the name of a flow's file, and in other cases."""
    return name.strip().removesuffix(".flx").casefold() if isinstance(name, str) else ""


def _began_after(run: RemoteRun, before: Before, call_at: float, clock_ahead: float | None) -> bool | None:
    """Return whether a job began after the lists were read before the start; ``None`` if that cannot be told."""
    if run.ref.run_id in before.ids:
        return False
    if before.shows_all or (before.shows_active and run.state in _GOING_ON):
        return True
    started = run.started.timestamp() if run.started else None
    # What sends the Date header is not documented: the server, a proxy before it or the Cloud Connector. So a job
    # counts as older only if it is by either clock, with the allowance for clocks that are not known.
    is_older = all(began_before(started, call_at + ahead, None) for ahead in (0.0, clock_ahead or 0.0))
    return False if is_older else None


def _likeliest_first(candidate: Candidate) -> tuple[bool, float]:
    started = candidate.run.started
    return candidate.same_inputs is not True, started.timestamp() if started else float("inf")


def _why_incomplete(lists: Lists, before: Before) -> str:
    """Return why the list of all jobs may leave some out, empty if it cannot."""
    rows = len(lists.all_jobs)
    if rows >= LONGEST_LIST:
        return f"DataWORQ's list of all jobs is full ({rows} rows) and may leave some out"
    if {job["id"] for job in lists.active} - {job["id"] for job in lists.all_jobs}:
        return "DataWORQ's list of all jobs leaves out active ones"
    if before.all_jobs is not None and rows < before.all_jobs:
        return f"DataWORQ listed {before.all_jobs} jobs before the start and lists {rows} now"
    return ""


def _looked_for(spec: Mapping[str, Any], intent: Intent) -> str:
    since = "the DAG run began" if intent.is_reconstructed else "the start request"
    return (
        f"a job of flow {spec['flow_name']!r} with run profile {spec['run_profile_name']!r} that began after {since} "
        f"({utc(intent.at)}), in DataWORQ's lists of active and of all jobs"
    )


def _without_those_of_unknown_order(found: Search, later: set[str]) -> Search:
    """Return a search whose candidates surely began after the start; the others are named in words only.

    So ``on_lost_start="adopt"``, which takes the likeliest candidate, never takes a job that may be an older one.
    """
    unknown = [f"{run.ref.run_id} ({run.vendor_status})" for run in found.candidates if run.ref.run_id not in later]
    if not found.candidates:
        return found
    looked_for = f"{found.looked_for}; DataWORQ does not show who started a job"
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        looked_for += f", nor whether {', '.join(unknown[:5])}{more} began before the start request"
    candidates = tuple(run for run in found.candidates if run.ref.run_id in later)
    return replace(found, looked_for=looked_for, candidates=candidates)
