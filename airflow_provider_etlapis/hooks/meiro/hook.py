"""Meiro Integrations: starts, follows and cancels the jobs of workspaces.

Sources: the vendor's document on workspaces (a), all of whose operations are in the modules for workspaces and jobs
beside this one, and other public pages of the product (b). What neither says is an assumption (c): a setting of the
connection, or read tolerantly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_etlapis.connection_forms import MEIRO
from airflow_provider_etlapis.exceptions import (
    CredentialsRejectedError,
    EtlApiError,
    InvalidInputError,
)
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.meiro.auth import MeiroAuth, login_call, login_path, options_call, refresh_call
from airflow_provider_etlapis.hooks.meiro.calls import id_number
from airflow_provider_etlapis.hooks.meiro.control import JobControl
from airflow_provider_etlapis.hooks.meiro.runs import LIST_REFUSALS, VENDOR
from airflow_provider_etlapis.hooks.meiro.shapes import AuthOptions, Workspace, WorkspaceJob
from airflow_provider_etlapis.hooks.values import named
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, newest_first
from airflow_provider_etlapis.wire.auth import Auth
from airflow_provider_etlapis.wire.call import Call, Page


class MeiroHook(JobControl):
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

    def address(self, values: ConnectionValues) -> str:
        """Return the API's address."""
        return values.base_url()

    def auth(self, values: ConnectionValues) -> Auth:
        """Return the token's keeper, for a ready token or for e-mail and password."""
        extras = values.extras
        ready_token = (extras["access_token"] or "").strip()
        if bool(values.login) != bool(values.password) or not (values.password or ready_token):
            raise values.fault("fill in both e-mail (login) and password, or access_token with a ready token")
        try:
            path = login_path(extras["login_path"] or "")
        except ValueError as error:
            raise values.fault(str(error)) from None
        try:
            ZoneInfo(extras["timezone"])
        except (KeyError, ValueError):  # unknown, and no name of a zone at all
            raise values.fault(f"timezone must be a name such as Europe/Prague, not {extras['timezone']!r}") from None
        return MeiroAuth(
            self.address(values), path, values.login, values.password, ready_token, extras["secret_headers"]
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
        token: str = yield login_call(login_path(self.values.extras["login_path"]), email, password)
        return token

    @endpoint
    def refresh_token(self, token: str) -> Program[str]:
        """Return a new token for one that is at most 12 hours old. It is a secret.

        :raises CredentialsRejectedError: if it is too old, or none.
        """
        yield from ()
        renewed: str = yield refresh_call(login_path(self.values.extras["login_path"]), token)
        return renewed

    # The run interface; most of it is in the classes below this one

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
    def runs_of(self, what: Mapping[str, Any], since: float, shared: Any = None) -> Program[list[RemoteRun]]:
        """Return the jobs of a workspace that were created since, by its own list.

        Only the newest 1,000 jobs of the workspace are looked through.

        :param what: ``{"workspace_id"}`` or ``{"workspace_name"}``.
        """
        workspace_id = yield from self._workspace_id(_named(what))

        def is_old(job: WorkspaceJob) -> bool:
            created = self.moment(job.get("created"))
            return created is not None and created.timestamp() < since

        jobs, _ = yield from self._jobs_down_to(workspace_id, is_old)
        return [self.run_of(job) for job in jobs]

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        """Return the newest jobs of a workspace, or of the project, by its list of jobs.

        Where that list is refused to the user: the last job of each workspace, which are fewer.

        :param of: ``{"workspace_id"}`` or ``{"workspace_name"}``.
        """
        if of is not None:
            workspace_id = yield from self._workspace_id(_named(of))
            jobs = yield from self._first_jobs(self.list_workspace_jobs.first(workspace_id, page_size=limit), limit)
        else:
            try:
                jobs = yield from self._first_jobs(self.list_jobs.first(page_size=limit), limit)
            except LIST_REFUSALS as error:
                self.log.info("The list of all jobs is refused; using the last job of each workspace: %s", error)
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


def _named(what: Mapping[str, Any]) -> dict[str, str]:
    """Return what names a workspace, checked before it becomes text."""
    if not isinstance(what, Mapping):
        raise InvalidInputError(f"workspace_id or workspace_name must name a workspace, not {type(what).__name__}")
    given = {name: value for name, value in what.items() if value is not None}
    if "workspace_id" in given:
        given["workspace_id"] = id_number(given["workspace_id"], "workspace_id")
    return named(given, ("workspace_id",), ("workspace_name",))
