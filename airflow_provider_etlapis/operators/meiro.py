"""Operators for Meiro Integrations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack

from airflow_provider_etlapis.exceptions import EtlApiError, InvalidInputError, VendorUnavailableError
from airflow_provider_etlapis.operators.action import ActionStep, ActionSteps, Finding, VendorActionOperator
from airflow_provider_etlapis.operators.arguments import RunArguments, TaskArguments
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.operators.hook_mixin import HookMixin
from airflow_provider_etlapis.operators.inputs import seconds
from airflow_provider_etlapis.runs.evidence import Evidence

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.meiro import MeiroHook
    from airflow_provider_etlapis.operators.action_records import StepRecord
    from airflow_provider_etlapis.runs.model import RemoteRun, RunRef

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

    :param workspace_id: id of the workspace, an int or its text; or
    :param workspace_name: its exact name, which must be the name of only one that the credential sees. An empty text
        counts as not given, for both.
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
        **kwargs: Unpack[RunArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.workspace_id = workspace_id
        self.workspace_name = workspace_name
        self.meiro_conn_id = meiro_conn_id

    def spec(self) -> dict[str, Any]:
        """Return the checked inputs."""
        from airflow_provider_etlapis.hooks.meiro.calls import id_number, name_text

        by_id, by_name = _is_given(self.workspace_id), _is_given(self.workspace_name)
        if by_id == by_name:
            raise InvalidInputError(f"give either workspace_id or workspace_name, not {'both' if by_id else 'neither'}")
        if by_id:
            return {"workspace_id": id_number(self.workspace_id, "workspace_id")}
        return {"workspace_name": name_text(self.workspace_name, "workspace_name")}


class MeiroCancelWorkspaceJobOperator(_UsesMeiro, VendorActionOperator):
    """Cancels a job of a Meiro workspace, unless it has ended, and waits until it has.

    The vendor does not say whether a job stops at once. Waiting is done on the worker: it takes seconds. A cancel whose
    answer is lost is settled by the job itself; a retry asks again, which is harmless.

    :param workspace_id: id of the workspace, an int or its text.
    :param job_id: id of the job, an int or its text.
    :param wait_for_completion: wait until the job has ended. Default: ``True``.
    :param poll_interval: seconds (or a timedelta) between two reads of the job. Default: 5.
    :param timeout: seconds (or a timedelta) after which the wait fails, ``None`` for no limit. Default: 300.
    :param meiro_conn_id: id of the Airflow connection.

    Returns the manifest of the job; its ``vendor_status`` may be any end, if that came before the cancel. A job that
    has not ended in time raises ``RemoteRunTimeoutError``; one that could not be read any more ``PollingGaveUpError``.
    """

    template_fields: Sequence[str] = ("workspace_id", "job_id", "meiro_conn_id")
    ui_color = _UI_COLOR

    def __init__(
        self,
        *,
        workspace_id: int | str,
        job_id: int | str,
        wait_for_completion: bool = True,
        poll_interval: float | timedelta = 5.0,
        timeout: float | timedelta | None = 300.0,
        meiro_conn_id: str = "meiro_default",
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.workspace_id = workspace_id
        self.job_id = job_id
        self.wait_for_completion = wait_for_completion
        self.poll_interval = seconds(poll_interval, "poll_interval")
        self.timeout = None if timeout is None else seconds(timeout, "timeout")
        self.meiro_conn_id = meiro_conn_id

    def act(self, steps: ActionSteps) -> dict[str, Any]:
        """Cancel the job and wait for its end."""
        ref = self.hook_class().ref(self.workspace_id, self.job_id)
        run = self.poll(ref)
        if run.state.is_terminal:
            self.log.info("Job %s had ended already: %s", ref.run_id, run.vendor_status)
            return run.manifest()
        lost = self._cancel(ref)
        if self.wait_for_completion:
            asked = "The job was asked to stop."
            if lost is not None:
                asked = (
                    f"The cancel request got no usable response, so the job may not have been asked to stop: {lost}."
                )
            run = self.wait_for_end(ref, self.poll_interval, self.timeout, asked)
        else:
            run = self._read_once_more(run, lost)
        self.log.info("Job %s is %s", ref.run_id, run.vendor_status)
        return run.manifest()

    def _cancel(self, ref: RunRef) -> EtlApiError | None:
        """Ask for the cancel; return the error if it is not known whether the vendor was asked."""
        try:
            self.log.info("Cancelling: %s", self.hook.cancel_run(ref).note)
        except EtlApiError as error:
            if not error.may_have_acted:
                raise
            self.log.warning("The cancel request for job %s got no usable response: %s", ref.run_id, error)
            return error
        return None

    def _read_once_more(self, before: RemoteRun, lost: EtlApiError | None) -> RemoteRun:
        """Return the job as it is after the cancel. A failure to read it does not make the cancel a failure."""
        try:
            run = self.poll(before.ref)
        except EtlApiError as error:
            if lost is not None:
                raise lost from error
            self.log.warning("Job %s was asked to stop, and could not be read since: %s", before.ref.run_id, error)
            return before
        if lost is not None and not run.state.is_terminal:
            raise lost
        return run


class MeiroCloneWorkspaceOperator(_UsesMeiro, VendorActionOperator):
    """Copies a Meiro workspace.

    A retry after the copy was made goes on with it (not on Airflow 3.0 to 3.2) and makes no second. A copy call that
    got no answer is made again only if no workspace is newer than the call; otherwise the task fails for good and names
    the new workspaces, because nothing in a workspace shows what it is a copy of.

    :param workspace_id: id of the workspace to copy, an int or its text.
    :param name: name for the copy; ``None`` or an empty text: the vendor's own, which begins with ``clone_``.
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
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.workspace_id = workspace_id
        self.name = name
        self.meiro_conn_id = meiro_conn_id

    def act(self, steps: ActionSteps) -> dict[str, Any]:
        """Copy the workspace, and give the copy its name."""
        from airflow_provider_etlapis.hooks.meiro.calls import id_number, name_text

        source = id_number(self.workspace_id, "workspace_id")
        name = name_text(self.name, "name") if _is_given(self.name) else None
        copy = steps.do(
            ActionStep(
                key="copy",
                doing=f"copying workspace {source}",
                act=lambda: self._copy(source),
                done=lambda made: f"workspace {made['source_workspace_id']} was copied to {made['workspace_id']}",
                inputs={"workspace_id": source},
                before=self.meiro.newest_workspace_id,
                check_outcome=self._find_copy,
                if_lost="Check in Meiro whether there is a copy; clear this task only if there is none.",
            )
        )
        if name is None:
            return copy
        copy_id = copy["workspace_id"]
        given = steps.do(
            ActionStep(
                key="name",
                doing=f"naming workspace {copy_id} {name!r}",
                act=lambda: str(self.meiro.modify_workspace(copy_id, name=name).get("name", name)),
                done=lambda given: f"workspace {copy_id} was named {given!r}",
                inputs={"name": name},
                is_repeatable=True,
            )
        )
        return {**copy, "name": given}

    def _copy(self, source: int) -> dict[str, Any]:
        copy = self.meiro.clone_workspace(source)
        if not isinstance(copy.get("id"), int):
            raise VendorUnavailableError(f"The copy of workspace {source} was answered without its id")
        return {"workspace_id": copy["id"], "name": str(copy.get("name", "")), "source_workspace_id": source}

    def _find_copy(self, record: StepRecord) -> Finding[dict[str, Any]]:
        """Return which workspaces are newer than the copy call; that one of them is its copy cannot be shown."""
        if record.before is None:
            return Finding(Evidence.UNSURE, "it is not known which workspaces were there before")
        newer = self.meiro.workspaces_above(record.before)
        if not newer:
            return Finding(Evidence.ABSENT, f"there is no workspace above id {record.before}")
        shown = ", ".join(f"{workspace['id']} ({workspace['name']!r:.100})" for workspace in newer[:5])
        return Finding(Evidence.UNSURE, f"these workspaces are new, and nothing shows which is its copy: {shown}")


def _is_given(value: Any) -> bool:
    """Return whether an input is given: a template that renders to nothing gives an empty text."""
    return value is not None and not (isinstance(value, str) and not value.strip())
