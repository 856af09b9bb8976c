"""Meiro Integrations' jobs as runs: their states and times, one or many at once, the newest, and their logs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_etlapis.connection_forms import MEIRO
from airflow_provider_etlapis.exceptions import (
    EtlApiError,
    NotFoundError,
    PermissionDeniedError,
    RequestRefusedError,
    UnrecognizedAnswerError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.meiro.calls import id_number
from airflow_provider_etlapis.hooks.meiro.jobs import Id, JobEndpoints
from airflow_provider_etlapis.hooks.meiro.shapes import LogRow, WorkspaceJob
from airflow_provider_etlapis.runs.model import Newest, RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.watching import LogLines
from airflow_provider_etlapis.wire.call import Call, Page

VENDOR = MEIRO.conn_type

_STATES = {
    "waiting": RunState.QUEUED,
    "running": RunState.RUNNING,
    "finished": RunState.SUCCEEDED,
    "error": RunState.FAILED,
    "canceled": RunState.CANCELLED,
}
_ERROR_LEVELS = frozenset({"error", "critical", "fatal"})

_WORKSPACES_AT_ONCE = 200
_FEWER_SINGLY = 3
_MOST_PAGES = 10
_MOST_LOG_PAGES = 100
_LINES_FOR_ERROR = 50

LIST_REFUSALS = (PermissionDeniedError, NotFoundError, RequestRefusedError, UnrecognizedAnswerError)
"""By which a list may be refused to a user, or kept from it by something in between: others may still serve."""

_LISTS = ("last_jobs", "workspace_jobs")
_FIRST_PAUSE = 60.0
_LONGEST_PAUSE = 900.0


class RefusedLists:
    """Which lists are left out at the moment, because they were refused.

    One refusal changes nothing. From the second in a row, a list is left out for a while, each time twice as long and
    at most 15 minutes; then it is requested again. No refusal is final.

    :param monotonic: clock; settable for tests.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._refusals: dict[str, int] = {}
        self._left_out_until: dict[str, float] = {}

    def is_left_out(self, name: str) -> bool:
        """Return whether a list is not to be requested now."""
        return self._monotonic() < self._left_out_until.get(name, float("-inf"))

    def note_refusal(self, name: str) -> float:
        """Note that a list was refused; return for how many seconds it is left out."""
        count = self._refusals[name] = self._refusals.get(name, 0) + 1
        if count < 2:
            return 0.0
        seconds = min(_FIRST_PAUSE * 2.0 ** min(count - 2, 10), _LONGEST_PAUSE)
        self._left_out_until[name] = self._monotonic() + seconds
        return seconds

    def note_answer(self, name: str) -> None:
        """Note that a list was answered."""
        self._refusals.pop(name, None)


def state_of(status: str) -> RunState:
    """Return what a status word means; one that is not known goes on."""
    return _STATES.get(status, RunState.UNKNOWN)


class JobRuns(JobEndpoints):
    """The reading half of the run interface."""

    def __init__(self, conn_id: str) -> None:
        super().__init__(conn_id)
        self._refused = RefusedLists()

    @staticmethod
    def ref(workspace_id: Id, job_id: Id) -> RunRef:
        """Return the reference of a job.

        :raises InvalidInputError: if an id is no whole number.
        """
        ids = {"workspace_id": workspace_id, "job_id": job_id}
        return RunRef(VENDOR, {name: str(id_number(value, name)) for name, value in ids.items()})

    @staticmethod
    def newest_ref(workspace_id: Id, since: datetime, newest: Newest = "ended") -> RunRef:
        """Return the reference to whichever job of a workspace has ended since a moment.

        :param newest: ``"ended"`` takes any end, ``"ended_well"`` waits for a good one.
        :raises InvalidInputError: if the id is no whole number.
        """
        ids = {"workspace_id": str(id_number(workspace_id, "workspace_id"))}
        return RunRef(VENDOR, ids, since.timestamp(), newest)

    # One

    @endpoint
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Return a job; of one that ended in an error with the last error line of its log, for it has no other."""
        job = yield from self.get_job.plan(ref.ids["workspace_id"], ref.ids["job_id"])
        return (yield from self._with_last_words(self.run_of(job, ref)))

    @endpoint
    def read_newest(self, ref: RunRef) -> Program[RemoteRun]:
        """Return the newest job of a workspace that has ended at or after ``ref.since``, whoever started it.

        Under ``"ended_well"`` a good end goes before a newer bad one.
        """
        since = math.floor(ref.since or 0.0)  # the vendor's times are whole seconds
        page = yield self.list_workspace_jobs.first(ref.ids["workspace_id"])
        runs = [self.run_of(job) for job in page.items]
        ended = [run for run in runs if run.state.is_terminal and _moment_of(run) >= since]
        if ref.newest == "ended_well":
            ended.sort(key=lambda run: not run.state.is_good)
        if ended:
            return (yield from self._with_last_words(ended[0]))
        if runs and not runs[0].state.is_terminal:
            return replace(runs[0], ref=ref)
        status = f"without a job since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M:%S} UTC"
        return RemoteRun(ref, RunState.QUEUED, status, name=f"workspace {ref.ids['workspace_id']}")

    def _with_last_words(self, run: RemoteRun) -> Program[RemoteRun]:
        if run.state is not RunState.FAILED:
            return run
        try:
            rows = yield from self._last_rows(run.ref, _LINES_FOR_ERROR)
        except EtlApiError as error:
            return replace(run, error=f"(its log could not be read: {error})")
        errors = [row for row in rows if str(row.get("level", "")).lower() in _ERROR_LEVELS]
        said = (errors or rows)[-1:]
        return replace(run, error=str(said[0].get("text", "")) if said else None)

    # Many

    @property
    def reads_in_bulk(self) -> bool:
        """Whether a list serves this connection now: either may be refused to its user."""
        return not all(map(self._refused.is_left_out, _LISTS))

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        """Return jobs that few lists show: the last job of each workspace, and the project's newest jobs.

        What neither shows (a newer job has taken its place, and it lies too deep) is left out.
        """
        wanted = {ref.run_id: ref for ref in refs}
        found: dict[str, RemoteRun] = {}
        for name, read in zip(_LISTS, (self._from_last_jobs, self._from_all_jobs), strict=True):
            missing = {run_id: ref for run_id, ref in wanted.items() if run_id not in found}
            if not missing or self._refused.is_left_out(name):
                continue
            try:
                is_answered = yield from read(missing, found)
            except LIST_REFUSALS as error:
                seconds = self._refused.note_refusal(name)
                until = f"the next {seconds:.0f} s" if seconds else "this poll"
                self.log.warning("The list %s was refused; going on without it for %s: %s", name, until, error)
            else:
                if is_answered:
                    self._refused.note_answer(name)
        return found

    def _from_last_jobs(self, wanted: Mapping[str, RunRef], found: dict[str, RemoteRun]) -> Program[bool]:
        """Read the last jobs of the workspaces of which one job is wanted; return whether a list was read."""
        jobs_of: dict[str, int] = {}
        for ref in wanted.values():
            jobs_of[ref.ids["workspace_id"]] = jobs_of.get(ref.ids["workspace_id"], 0) + 1
        alone = [workspace for workspace, jobs in jobs_of.items() if jobs == 1]
        for start in range(0, len(alone), _WORKSPACES_AT_ONCE):
            rows = yield from self.list_last_jobs.plan(alone[start : start + _WORKSPACES_AT_ONCE])
            self._note([job for row in rows if (job := row.get("last_job"))], wanted, found)
        return bool(alone)

    def _from_all_jobs(self, wanted: Mapping[str, RunRef], found: dict[str, RemoteRun]) -> Program[bool]:
        """Read the project's jobs, newest first, down to the oldest wanted one; return whether one was read."""
        oldest = min(int(ref.ids["job_id"]) for ref in wanted.values())
        call: Call[Page[WorkspaceJob]] | None = self.list_jobs.first(include_deleted_workspaces_jobs=True)
        for read in range(_MOST_PAGES):
            if call is None or sum(run_id not in found for run_id in wanted) <= _FEWER_SINGLY:
                return read > 0
            page: Page[WorkspaceJob] = yield call
            self._note(page.items, wanted, found)
            call = page.following
            if any(job["id"] < oldest for job in page.items):
                break
        return True

    def _note(self, jobs: Sequence[WorkspaceJob], wanted: Mapping[str, RunRef], found: dict[str, RemoteRun]) -> None:
        for job in jobs:
            ref = wanted.get(f"{job.get('workspace_id')}/{job.get('id')}")
            if ref is not None:
                found[ref.run_id] = self.run_of(job, ref)

    # The log

    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        """Return the lines since a cursor.

        :param cursor: ``{"offset": lines taken, "id": of the last one}``; the id drops lines that come twice.
        """
        offset, last = (cursor["offset"], cursor["id"]) if cursor else (0, -1)
        call = self.list_job_logs.first(ref.ids["workspace_id"], ref.ids["job_id"], offset=offset)
        lines: list[str] = []
        for _ in range(_MOST_LOG_PAGES):
            page: Page[LogRow] = yield call
            offset += len(page.items)
            new = [row for row in page.items if row["id"] > last]
            lines += [line_of(row) for row in new]
            last = max([last, *(row["id"] for row in new)])
            if page.following is None:
                break
            call = page.following
        return LogLines(tuple(lines), {"offset": offset, "id": last})

    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        """Return the last lines of a job's log, in their order."""
        rows = yield from self._last_rows(ref, lines)
        return tuple(line_of(row) for row in rows)

    def _last_rows(self, ref: RunRef, count: int) -> Program[list[LogRow]]:
        call: Call[Page[LogRow]] | None = self.list_job_logs.first(
            ref.ids["workspace_id"], ref.ids["job_id"], page_size=count, order_dir="DESC"
        )
        rows: list[LogRow] = []
        while call is not None and len(rows) < count:
            page: Page[LogRow] = yield call
            rows += page.items
            call = page.following
        return rows[:count][::-1]

    # A job as a run

    def run_of(self, job: WorkspaceJob, ref: RunRef | None = None) -> RemoteRun:
        """Return a job as a run. Its settings and variables stay out: they may hold secrets.

        :param ref: its reference, where it is known already.
        :raises VendorUnavailableError: if the job lacks its ids or its status.
        """
        if not all(isinstance(job.get(name), kind) for name, kind in (("id", int), ("workspace_id", int))):
            raise VendorUnavailableError(f"a job without its ids was answered; it has {', '.join(sorted(job))}")
        status = str(job.get("status"))
        state = state_of(status)
        stats: Mapping[str, Any] = _object(job.get("stats"))
        times = _object(stats.get("statuses_history"))
        created = self.moment(job.get("created"))
        since = created.timestamp() if created else None
        return RemoteRun(
            ref=ref or replace(self.ref(job["workspace_id"], job["id"]), since=since),
            state=state,
            vendor_status=status,
            name=f"workspace {job['workspace_id']}",
            started=self.moment(times.get("running")) or created,
            # That `error` and `canceled` are keys here as `finished` is, is an assumption (c).
            ended=self.moment(times.get(status)) if state.is_terminal else None,
            details={
                "user_id": job.get("user_id"),
                "dawg_job_id": job.get("dawg_job_id"),
                "data_volumes": stats.get("data_volumes"),
                "files_count": stats.get("files_count"),
            },
        )

    def moment(self, text: object) -> datetime | None:
        """Return a timestamp of the vendor, in the connection's time zone, as a moment in UTC."""
        try:
            parsed = datetime.fromisoformat(str(text))
        except ValueError:
            return None
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=ZoneInfo(self.values.extras["timezone"]))
        return parsed.astimezone(UTC)


def line_of(row: LogRow) -> str:
    """Return a row of a job's log as a line."""
    return " ".join(str(part) for part in (row.get("created"), row.get("level"), row.get("text")) if part)


def _moment_of(run: RemoteRun) -> float:
    moment = run.ended or run.started
    return moment.timestamp() if moment else 0.0


def _object(value: object) -> Mapping[str, Any]:
    """Return an object, also where an empty one came as another type."""
    return value if isinstance(value, Mapping) else {}
