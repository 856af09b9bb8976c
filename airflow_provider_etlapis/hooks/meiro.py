"""Meiro Integrations: starts, follows and cancels the jobs of workspaces.

Sources: the vendor's document on workspaces (a), all of whose operations are in the two endpoint modules beside
this one, and other public pages of the product (b). What neither says is an assumption (c): a setting of the
connection, or read tolerantly.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_etlapis.connection_forms import MEIRO
from airflow_provider_etlapis.exceptions import (
    CredentialsRejectedError,
    EtlApiError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    RequestRefusedError,
)
from airflow_provider_etlapis.hooks.base import CancelReport
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.meiro_auth import MeiroAuth, login_call, options_call, refresh_call
from airflow_provider_etlapis.hooks.meiro_calls import PAGE_SIZE
from airflow_provider_etlapis.hooks.meiro_runs import VENDOR, JobRuns
from airflow_provider_etlapis.hooks.meiro_shapes import AuthOptions, Workspace, WorkspaceJob
from airflow_provider_etlapis.hooks.meiro_workspaces import WorkspaceEndpoints
from airflow_provider_etlapis.hooks.values import integer_id, named
from airflow_provider_etlapis.runs.evidence import Evidence as Sighting
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, RunRef, newest_first
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.wire.auth import Auth
from airflow_provider_etlapis.wire.call import Call, Page
from airflow_provider_etlapis.wire.exchange import Pause

# Without a watermark, a job may be up to this much older than our call, by the server's clock.
_CLOCK_SKEW = timedelta(minutes=5)
_LOOKS_FOR_LOST_START = 3
_PAUSE_BETWEEN_LOOKS = 2.0
_MOST_PAGES = 10


class MeiroHook(WorkspaceEndpoints, JobRuns):
    """Meiro Integrations' HTTP API.

    The connection (type ``meiro``): host is the API's address, such as ``https://api.acme.meiro.io``; login and
    password are e-mail and password of a user; or the extra ``access_token`` holds a ready token, for instances
    that offer Okta only.

    :param meiro_conn_id: id of the Airflow connection.
    """

    conn_name_attr = "meiro_conn_id"
    default_conn_name = "meiro_default"
    conn_type = VENDOR
    hook_name = MEIRO.hook_name
    form = MEIRO
    capabilities = Capabilities(
        cancel=True,
        bulk=True,
        logs=True,
        finds_lost_starts=True,
        cancel_note="Meiro Integrations does not say whether a job stops at once",
    )

    def __init__(self, meiro_conn_id: str = default_conn_name) -> None:
        super().__init__(meiro_conn_id)
        self.meiro_conn_id = meiro_conn_id
        self._ids_of_names: dict[str, int] = {}

    def address(self, values: ConnectionValues) -> str:
        """Return the API's address."""
        return values.base_url()

    def auth(self, values: ConnectionValues) -> Auth:
        """Return the token's keeper, for a ready token or for e-mail and password."""
        extras = values.extras
        if bool(values.login) != bool(values.password) or not (values.password or extras["access_token"]):
            raise values.fault("fill in both e-mail (login) and password, or access_token with a ready token")
        if not (extras["login_path"] or "").strip("/"):
            raise values.fault("login_path must be a path, such as /login")
        try:
            ZoneInfo(extras["timezone"])
        except (KeyError, ValueError):  # unknown, and no name of a zone at all
            raise values.fault(f"timezone must be a name such as Europe/Prague, not {extras['timezone']!r}") from None
        return MeiroAuth(
            self.address(values),
            extras["login_path"],
            values.login,
            values.password,
            extras["access_token"] or "",
            extras["secret_headers"],
        )

    # Login: from the product's authentication page (b). The hook does all this by itself.

    @endpoint
    def get_auth_options(self) -> Call[AuthOptions]:
        """Return which ways to log in the instance offers; needs no credential.

        ``{"is_credentials_login_enabled": bool, "is_okta_login_enabled": bool, "okta_auth_link": str | None}``.
        """
        return options_call()

    @endpoint
    def log_in(self, email: str, password: str) -> Program[str]:
        """Return a new token for a user, good for 8 hours. It is a secret.

        :raises CredentialsRejectedError: if the user or the password is wrong.
        """
        yield from ()  # the path is known once the connection has been read
        token: str = yield login_call(self.values.extras["login_path"], email, password)
        return token

    @endpoint
    def refresh_token(self, token: str) -> Program[str]:
        """Return a new token for one that is at most 12 hours old. It is a secret.

        :raises CredentialsRejectedError: if it is too old, or none.
        """
        yield from ()
        renewed: str = yield refresh_call(self.values.extras["login_path"], token)
        return renewed

    # The run interface; its reading half is in the class for jobs

    @endpoint
    def check(self) -> Program[str]:
        """Prove the address and the credential with a list of one workspace."""
        try:
            page: Page[Workspace] = yield self.list_workspaces.first(page_size=1)
        except CredentialsRejectedError as error:
            if (yield from self._takes_passwords()):
                raise
            raise CredentialsRejectedError(
                f"{error}. This instance takes no passwords: put a ready token into access_token"
            ) from error
        seen = f"the first workspace seen is {page.items[0]['name']!r}" if page.items else "it shows no workspace"
        return f"Meiro Integrations at {self.settings.base_url} answered: {seen}"

    def _takes_passwords(self) -> Program[bool]:
        try:
            options = yield from self.get_auth_options.plan()
        except EtlApiError as error:
            self.log.info("The ways to log in could not be asked for: %s", error)
            return True
        return options.get("is_credentials_login_enabled", True)

    @endpoint
    def find_workspace(self, name: str) -> Program[Workspace]:
        """Return the workspace with exactly this name.

        The server's filter is only used to read less: how it compares is not stated (c), so all names are read
        if it shows none.

        :raises NotFoundError: if the credential sees none.
        :raises InvalidInputError: if there are several; the message has their ids.
        """
        found: list[Workspace] = []
        for name_filter in (name, None):
            call: Call[Page[Workspace]] | None = self.list_workspaces.first(
                name_filter=name_filter, show_enabled=True, show_disabled=True
            )
            while call is not None:
                page: Page[Workspace] = yield call
                found += [workspace for workspace in page.items if workspace["name"] == name]
                call = page.following
            if found:
                break
        ids = sorted({workspace["id"] for workspace in found})
        if not ids:
            raise NotFoundError(f"There is no workspace {name!r} that connection {self.conn_id!r} may see")
        if len(ids) > 1:
            raise InvalidInputError(f"{len(ids)} workspaces have the name {name!r}: use one of the ids {ids}")
        return found[0]

    def _workspace_id(self, spec: Mapping[str, Any]) -> Program[int]:
        if spec.get("workspace_id") is not None:
            return integer_id(spec["workspace_id"], "workspace_id")
        name = spec["workspace_name"]
        if name not in self._ids_of_names:
            self._ids_of_names[name] = (yield from self.find_workspace.plan(name))["id"]
        return self._ids_of_names[name]

    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start a job of a workspace.

        :param spec: ``{"workspace_id": int}`` or ``{"workspace_name": str}``.
        :param marker: not used: a job carries no text of ours.
        """
        workspace_id = yield from self._workspace_id(spec)
        return self.run_of((yield from self.run_workspace.plan(workspace_id)))

    @endpoint
    def runs_of(self, what: Mapping[str, Any], since: float, shared: Any = None) -> Program[list[RemoteRun]]:
        """Return the jobs of a workspace that were created since, by its own list.

        Only the newest 1,000 jobs of the workspace are looked through.

        :param what: ``{"workspace_id"}`` or ``{"workspace_name"}``.
        """
        workspace_id = yield from self._workspace_id(named(what, ("workspace_id",), ("workspace_name",)))
        jobs = yield from self._newer_jobs(workspace_id, None, datetime.fromtimestamp(since, UTC))
        return [self.run_of(job) for job in jobs]

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        """Return the newest jobs of a workspace, or of the project, by its list of jobs.

        Where that list is refused to the user: the last job of each workspace, which are fewer.

        :param of: ``{"workspace_id"}`` or ``{"workspace_name"}``.
        """
        if of is not None:
            workspace_id = yield from self._workspace_id(named(of, ("workspace_id",), ("workspace_name",)))
            jobs = yield from self._first_jobs(self.list_workspace_jobs.first(workspace_id, page_size=limit), limit)
        else:
            try:
                jobs = yield from self._first_jobs(self.list_jobs.first(page_size=limit), limit)
            except (PermissionDeniedError, NotFoundError, RequestRefusedError) as error:
                self.log.info("The list of all jobs is refused, the last job of each workspace serves: %s", error)
                rows = yield from self.list_last_jobs.plan()
                jobs = [job for row in rows if (job := row.get("last_job"))]
        return newest_first((self.run_of(job) for job in sorted(jobs, key=lambda job: -job["id"])), limit)

    def _first_jobs(self, call: Call[Page[WorkspaceJob]] | None, limit: int) -> Program[list[WorkspaceJob]]:
        jobs: dict[int, WorkspaceJob] = {}
        while call is not None and len(jobs) < limit:
            page: Page[WorkspaceJob] = yield call
            jobs |= {job["id"]: job for job in page.items}
            call = page.following
        return list(jobs.values())

    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        """Cancel a job that has not ended. A refusal is taken for an end that came first, if it has come."""
        ids = ref.ids["workspace_id"], ref.ids["job_id"]
        job = yield from self.get_job.plan(*ids)
        if not self.run_of(job, ref).state.is_terminal:
            try:
                yield from self.cancel_job.plan(*ids)
            except (RequestRefusedError, NotFoundError):
                job = yield from self.get_job.plan(*ids)
                if not self.run_of(job, ref).state.is_terminal:
                    raise
            else:
                return CancelReport(True, f"asked to cancel job {ref.run_id}. {self.capabilities.cancel_note}")
        return CancelReport(False, f"job {ref.run_id} had ended already: {job['status']}")

    @endpoint
    def before_start(self, spec: Mapping[str, Any]) -> Program[Any]:
        """Return the highest job id of the workspace, 0 if it has none: ``{"newest_job_id": int}``."""
        workspace_id = yield from self._workspace_id(spec)
        page: Page[WorkspaceJob] = yield self.list_workspace_jobs.first(workspace_id, page_size=1)
        return {"newest_job_id": max((job["id"] for job in page.items), default=0)}

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Look for a job above the watermark that the connection's user has started, a few times.

        No call tells who the caller is: the connection's ``user_id`` does. Without it any newer job may be somebody
        else's or a schedule's, so it is a candidate only; so are two that are alive or ended well.
        """
        workspace_id = yield from self._workspace_id(spec)
        user_id = self.values.extras["user_id"]
        known = intent.watermark if isinstance(intent.watermark, Mapping) else {}
        newest_before = known.get("newest_job_id")
        since = datetime.fromtimestamp(intent.at, UTC) - _CLOCK_SKEW
        looked_for = f"jobs of workspace {workspace_id} "
        looked_for += f"since {since:%Y-%m-%d %H:%M:%S} UTC" if newest_before is None else f"above id {newest_before}"
        looked_for += " by any user (the connection has no user_id)" if user_id is None else f" by user {user_id}"
        ours: list[RemoteRun] = []
        for look in range(_LOOKS_FOR_LOST_START):
            if look:
                yield Pause(_PAUSE_BETWEEN_LOOKS)
            newer = yield from self._newer_jobs(workspace_id, newest_before, since)
            ours = [self.run_of(job) for job in newer if user_id is None or job.get("user_id") == user_id]
            if ours:
                break
        if not ours:
            return Search(Sighting.ABSENT, looked_for)
        ours.sort(key=lambda run: run.state.is_terminal and not run.state.is_good)
        hopeful = [run for run in ours if run.state.is_good or not run.state.is_terminal]
        sure = user_id is not None and len(hopeful) <= 1
        return Search(Sighting.FOUND if sure else Sighting.UNSURE, looked_for, tuple(ours))

    def _newer_jobs(self, workspace_id: int, newest_before: int | None, since: datetime) -> Program[list[WorkspaceJob]]:
        jobs: dict[int, WorkspaceJob] = {}
        call: Call[Page[WorkspaceJob]] | None = self.list_workspace_jobs.first(workspace_id, page_size=PAGE_SIZE)
        for _ in range(_MOST_PAGES):
            if call is None:
                break
            page: Page[WorkspaceJob] = yield call
            newer = [job for job in page.items if self._is_newer(job, newest_before, since)]
            jobs |= {job["id"]: job for job in newer}
            call = page.following if len(newer) == len(page.items) else None
        return list(jobs.values())

    def _is_newer(self, job: WorkspaceJob, newest_before: int | None, since: datetime) -> bool:
        if newest_before is not None:
            return job["id"] > newest_before
        return (self.moment(job.get("created")) or since) >= since
