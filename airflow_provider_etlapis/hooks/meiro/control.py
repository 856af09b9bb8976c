"""Starts and cancels the jobs of Meiro Integrations' workspaces, and searches for one whose start was not answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_etlapis.exceptions import EtlApiError, NotFoundError, RequestRefusedError, VendorUnavailableError
from airflow_provider_etlapis.hooks.base import CancelReport
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.meiro.auth import MeiroAuth
from airflow_provider_etlapis.hooks.meiro.calls import PAGE_SIZE
from airflow_provider_etlapis.hooks.meiro.lookup import WorkspaceLookup
from airflow_provider_etlapis.hooks.meiro.runs import JobRuns
from airflow_provider_etlapis.hooks.meiro.shapes import WorkspaceJob
from airflow_provider_etlapis.hooks.meiro.starts import START_PROOF, Caller, NewestJobs, Watermark
from airflow_provider_etlapis.runs.evidence import Candidate, Search, weigh
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.wire.call import Call, Page

_MOST_PAGES = 10
_WRONG_ZONE = 600.0
"""Seconds by which the time of a job just started may differ from the server's clock."""


class JobControl(WorkspaceLookup, JobRuns):
    """The writing half of the run interface."""

    start_proof = START_PROOF

    def __init__(self, conn_id: str) -> None:
        super().__init__(conn_id)
        self._is_zone_checked = False

    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start a job of a workspace.

        :param spec: ``{"workspace_id": int}`` or ``{"workspace_name": str}``.
        :param marker: not used: a job carries no text of ours.
        """
        workspace_id = yield from self._workspace_id(spec)
        job = yield from self.run_workspace.plan(workspace_id)
        run = self.run_of(job)
        self._learn_from(job)
        return run

    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        """Cancel a job that has not ended.

        After a refusal, or an answer that does not acknowledge the cancel, the job is read again: it may have ended.

        :raises RequestRefusedError: if the vendor refuses and the job goes on.
        :raises VendorUnavailableError: if the cancel got no answer, or one that is not the vendor's.
        """
        return (yield from self.cancel_seen.plan((yield from self._job_run(ref))))

    @endpoint
    def cancel_seen(self, run: RemoteRun) -> Program[CancelReport]:
        """Cancel a job that was just read, unless it has ended; as :meth:`cancel_run`."""
        ref = run.ref
        if not run.state.is_terminal:
            try:
                yield from self.cancel_job.plan(ref.ids["workspace_id"], ref.ids["job_id"])
            except EtlApiError as error:
                if not isinstance(error, RequestRefusedError | NotFoundError) and not _is_success(error.status):
                    raise
                run = yield from self._read_after(error, run)
                if not run.state.is_terminal:
                    raise _not_cancelled(error, run) from error
            else:
                return CancelReport(True, f"asked to cancel job {ref.run_id}. {self.capabilities.cancel_note}")
        return CancelReport(False, f"job {ref.run_id} had ended already: {run.vendor_status}")

    def _job_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Read a job without the last line of its log."""
        return self.run_of((yield from self.get_job.plan(ref.ids["workspace_id"], ref.ids["job_id"])), ref)

    def _read_after(self, error: EtlApiError, before: RemoteRun) -> Program[RemoteRun]:
        try:
            return (yield from self._job_run(before.ref))
        except EtlApiError:
            raise _not_cancelled(error, before) from error

    # Start calls whose answer was lost

    @endpoint
    def before_start(self, spec: Mapping[str, Any]) -> Program[Any]:
        """Return what the workspace shows before a start: ``{"newest_job_id": int}``, with ``"user_id"`` if known.

        The highest job id is 0 for a workspace without jobs, and ``None`` where the list does not come newest first.
        """
        workspace_id = yield from self._workspace_id(spec)
        page: Page[WorkspaceJob] = yield self.list_workspace_jobs.first(workspace_id, page_size=2)
        return Watermark.before(page.items, self._caller(None)).to_json()

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Search once for a job of the workspace that began after the call and that this user has started."""
        workspace_id = yield from self._workspace_id(spec)
        mark = Watermark.of(intent)
        caller = self._caller(mark.user_id)
        call_at = intent.at

        def began_after(job: WorkspaceJob) -> bool | None:
            return mark.began_after(job, self.moment(job.get("created")), call_at, self.clock_ahead)

        jobs, why_incomplete = yield from self._jobs_down_to(workspace_id, lambda job: began_after(job) is False)
        return weigh(
            [
                Candidate(self.run_of(job), None, began_after(job), True, caller.has_started(job))
                for job in sorted(jobs, key=lambda job: -job["id"])
            ],
            f"jobs of workspace {workspace_id} {mark.describe(call_at)} {caller.describe()}",
            is_complete=not why_incomplete,
            why_incomplete=why_incomplete,
        )

    def _jobs_down_to(
        self, workspace_id: int, is_old: Callable[[WorkspaceJob], bool]
    ) -> Program[tuple[list[WorkspaceJob], str]]:
        """Return the jobs of a workspace that are not old, and why some may be missing, if so."""
        read = NewestJobs()
        call: Call[Page[WorkspaceJob]] | None = self.list_workspace_jobs.first(workspace_id, page_size=PAGE_SIZE)
        pages = 0
        while call is not None and pages < _MOST_PAGES:
            page: Page[WorkspaceJob] = yield call
            pages += 1
            read.take(page.items)
            is_deep_enough = read.is_newest_first and bool(page.items) and is_old(page.items[-1])
            call = None if is_deep_enough else page.following
        why_incomplete = f"only {len(read.jobs):,} jobs of the workspace were read" if call is not None else ""
        return [job for job in read.jobs if not is_old(job)], why_incomplete

    # Who we are

    def _caller(self, confirmed: int | None) -> Caller:
        """Return whose jobs are ours.

        :param confirmed: the user that a watermark holds, for which a job of ours has stood before.
        """
        auth = self.channel.auth
        known = auth.user_id if isinstance(auth, MeiroAuth) and auth.user_id is not None else confirmed
        return Caller(self.values.extras["user_id"], False) if known is None else Caller(known, True)

    def _learn_from(self, job: WorkspaceJob) -> None:
        """Take from a job that this credential has just started who its user is, and what its clock shows."""
        auth, user_id, configured = self.channel.auth, job.get("user_id"), self.values.extras["user_id"]
        if isinstance(auth, MeiroAuth) and isinstance(user_id, int) and auth.user_id != user_id:
            auth.user_id = user_id
            if configured is not None and configured != user_id:
                self.log.warning(
                    "Connection %r has user_id %s, but the job that it has just started is of user %s. Set user_id to "
                    "%s: a start request whose response is lost cannot be settled by a wrong one",
                    self.conn_id,
                    configured,
                    user_id,
                    user_id,
                )
        created = self.moment(job.get("created"))
        if created is None or self._is_zone_checked:
            return
        self._is_zone_checked = True
        off = created.timestamp() - self.channel.now() - (self.clock_ahead or 0.0)
        if abs(off) > _WRONG_ZONE:
            self.log.warning(
                "The job that was just started has the time %s, which is %.1f hours from the present by the time zone "
                "%s of connection %r. Set timezone to that of the server's timestamps",
                job.get("created"),
                off / 3600,
                self.values.extras["timezone"],
                self.conn_id,
            )


def _is_success(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def _not_cancelled(error: EtlApiError, run: RemoteRun) -> EtlApiError:
    """Return the error of a cancel that was not acknowledged while the job goes on."""
    if not error.may_have_acted:
        return error
    made = VendorUnavailableError(
        f"The cancel request for job {run.ref.run_id}, which is {run.vendor_status}, was not acknowledged: {error}",
        may_have_acted=False,
        status=error.status,
    )
    made.by_vendor = error.by_vendor
    return made
