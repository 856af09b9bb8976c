"""Operators for Meiro Integrations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_etlapis.exceptions import (
    InvalidInputError,
    RemoteRunTimeoutError,
    StartLostError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.operators.follow import follow
from airflow_provider_etlapis.operators.hook_mixin import HookMixin
from airflow_provider_etlapis.operators.inputs import seconds
from airflow_provider_etlapis.runs.waiting import DEFAULT_PATIENCE, Verdict, Wait, WaitPolicy

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_etlapis.hooks.meiro import MeiroHook

_UI_COLOR = "#f7e3d0"


class _UsesMeiro(HookMixin):
    conn_id_field = "meiro_conn_id"

    @classmethod
    def hook_class(cls) -> type[MeiroHook]:
        """Return the vendor's hook class."""
        from airflow_provider_etlapis.hooks.meiro import MeiroHook

        return MeiroHook

    @property
    def meiro(self) -> MeiroHook:
        """The vendor's hook with its own endpoints."""
        from airflow_provider_etlapis.hooks.meiro import MeiroHook

        if not isinstance(self.hook, MeiroHook):
            raise TypeError(f"{self.hook!r} is no MeiroHook")
        return self.hook


class MeiroRunWorkspaceOperator(_UsesMeiro, RemoteRunOperator):
    """Starts a job of a Meiro workspace and waits for it.

    The vendor knows no settings for a single run. With ``user_id`` in the connection, a start call that got no
    answer is settled by the job of that user that is newer than any before the call; without it, see
    ``on_lost_start``. Nothing keeps two jobs of one workspace from running at the same time.

    :param workspace_id: id of the workspace; or
    :param workspace_name: its exact name, which must be the name of only one that the credential sees.
    :param meiro_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.operators.base.RemoteRunOperator`; ``log_remote=True``
    copies the job's log lines as they come. Returns the manifest of the run
    (:meth:`~airflow_provider_etlapis.runs.model.RemoteRun.manifest`); its ids are ``workspace_id`` and ``job_id``,
    its details ``user_id``, ``dawg_job_id``, ``data_volumes`` and ``files_count``.
    """

    template_fields: Sequence[str] = ("workspace_id", "workspace_name", "meiro_conn_id")
    ui_color = _UI_COLOR

    def __init__(
        self,
        *,
        workspace_id: int | str | None = None,
        workspace_name: str | None = None,
        meiro_conn_id: str = "meiro_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workspace_id = workspace_id
        self.workspace_name = workspace_name
        self.meiro_conn_id = meiro_conn_id

    def spec(self) -> dict[str, Any]:
        """Return the checked inputs."""
        from airflow_provider_etlapis.hooks.values import integer_id

        if (self.workspace_id is None) == (self.workspace_name is None):
            raise InvalidInputError("give either workspace_id or workspace_name")
        if self.workspace_id is not None:
            return {"workspace_id": integer_id(self.workspace_id, "workspace_id")}
        if not isinstance(self.workspace_name, str) or not self.workspace_name.strip():
            raise InvalidInputError(f"workspace_name must be the name of a workspace, not {self.workspace_name!r}")
        return {"workspace_name": self.workspace_name}


class MeiroCancelWorkspaceJobOperator(_UsesMeiro, BaseOperator):
    """Cancels a job of a Meiro workspace, unless it has ended, and waits until it has.

    The vendor does not say whether a job stops at once. Waiting is done on the worker: it takes seconds.

    :param workspace_id: id of the workspace.
    :param job_id: id of the job.
    :param wait_for_completion: wait until the job has ended.
    :param poll_interval: seconds between two looks.
    :param timeout: seconds (or a timedelta) after which the wait fails.
    :param meiro_conn_id: id of the Airflow connection.

    Returns the manifest of the job; its ``vendor_status`` may be any end, if that came before the cancel.
    """

    template_fields: Sequence[str] = ("workspace_id", "job_id", "meiro_conn_id")
    ui_color = _UI_COLOR

    def __init__(
        self,
        *,
        workspace_id: int | str,
        job_id: int | str,
        wait_for_completion: bool = True,
        poll_interval: float = 5.0,
        timeout: float | timedelta = 300.0,
        meiro_conn_id: str = "meiro_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workspace_id = workspace_id
        self.job_id = job_id
        self.wait_for_completion = wait_for_completion
        self.poll_interval = seconds(poll_interval, "poll_interval") or 0.0
        self.timeout = seconds(timeout, "timeout")
        self.meiro_conn_id = meiro_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Cancel the job and wait for its end."""
        ref = self.hook_class().ref(self.workspace_id, self.job_id)
        self.log.info("Cancelling: %s", self.hook.cancel_run(ref).note)
        run = self.hook.read_run(ref)
        if self.wait_for_completion and not run.state.is_terminal:
            deadline = None if self.timeout is None else time.time() + self.timeout
            wait = Wait(ref, WaitPolicy(deadline, DEFAULT_PATIENCE), seen_well=True)
            outcome = follow(wait, self.poll, self.log, interval=self.poll_interval)
            if outcome.verdict is not Verdict.DONE or wait.last is None:
                raise RemoteRunTimeoutError(f"The job was asked to stop. {outcome.message}", run.manifest())
            run = wait.last
        self.log.info("Job %s is %s", ref.run_id, run.vendor_status)
        return run.manifest()


class MeiroCloneWorkspaceOperator(_UsesMeiro, BaseOperator):
    """Copies a Meiro workspace.

    A copy call that got no answer fails the task for good, because a retry could make a second copy.

    :param workspace_id: id of the workspace to copy.
    :param name: name for the copy; default: the vendor's own, which begins with ``clone_``.
    :param meiro_conn_id: id of the Airflow connection.

    Returns ``{"workspace_id": int, "name": str, "source_workspace_id": int}``.
    """

    template_fields: Sequence[str] = ("workspace_id", "name", "meiro_conn_id")
    ui_color = _UI_COLOR

    def __init__(
        self,
        *,
        workspace_id: int | str,
        name: str | None = None,
        meiro_conn_id: str = "meiro_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workspace_id = workspace_id
        self.name = name
        self.meiro_conn_id = meiro_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Copy the workspace, and give the copy its name."""
        from airflow_provider_etlapis.hooks.values import integer_id

        source = integer_id(self.workspace_id, "workspace_id")
        if self.name is not None and not self.name.strip():
            raise InvalidInputError("name must not be empty; leave it out for the vendor's own")
        try:
            copy = self.meiro.clone_workspace(source)
        except VendorUnavailableError as error:
            if not error.may_have_acted:
                raise
            raise StartLostError(
                f"The call that copies workspace {source} got no answer: {error}. Look whether there is a copy now; "
                "clear this task if there is none."
            ) from error
        self.log.info("Workspace %s was copied to %s (%s)", source, copy["id"], copy["name"])
        if self.name is not None:
            copy = self.meiro.modify_workspace(copy["id"], name=self.name)
        return {"workspace_id": copy["id"], "name": copy["name"], "source_workspace_id": source}
