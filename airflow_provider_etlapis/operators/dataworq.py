"""Operator for QueBIT DataWORQ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from airflow_provider_etlapis.operators.arguments import RunArguments
from airflow_provider_etlapis.operators.base import RemoteRunOperator

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.dataworq import DataworqHook


class DataworqExecuteJobOperator(RemoteRunOperator):
    """Starts a DataWORQ job, a run of a flow's run profile, and waits for it.

    DataWORQ's API documents no call that cancels a job: when the task is killed or its deadline passes, the job goes
    on, and the task's log names it. The job's own log may hold parameter values, paths and command lines in clear
    text: ``log_remote`` sets when its end is copied to the task's log (default: when the job failed).

    A start request that gets no response is never repeated blindly, and DataWORQ's API does not show whose a job is.
    So set ``flow_name``: if the job lists then show that no job was started, it is started again; if they show one
    that may be ours, or too little, the task fails and names it. Without ``flow_name`` such a task always fails and
    says what to check. ``on_lost_start="adopt"`` takes the likeliest job that began after the start request.

    :param flow_id: id of the flow, as DataWORQ shows it.
    :param run_profile_name: run profile of the flow (default ``"default"``).
    :param parameters: a dict of str, int or float values (no bool, no None), or DataWORQ's own list of
        ``{"name": ..., "type": "string" | "integer" | "float", "value": ...}``, where a template that renders a
        number as text is understood.
    :param notification_enabled: let DataWORQ notify people as the flow says (default ``False``).
    :param flow_name: name of the flow in DataWORQ's job list (the file's name without ``.flx``). It takes two list
        requests before each start; one brings the logs of up to 100 ended jobs.
    :param dataworq_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.operators.base.RemoteRunOperator`. Returns the
    manifest of the job (:meth:`~airflow_provider_etlapis.runs.model.RemoteRun.manifest`). Pushes ``run_id`` the
    moment the job is started.
    """

    template_fields: Sequence[str] = ("flow_id", "run_profile_name", "parameters", "flow_name", "dataworq_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}
    ui_color = "#e3e1f5"
    conn_id_field = "dataworq_conn_id"

    def __init__(
        self,
        *,
        flow_id: str,
        run_profile_name: str = "default",
        parameters: Mapping[str, str | int | float] | Sequence[Mapping[str, Any]] | None = None,
        notification_enabled: bool = False,
        flow_name: str | None = None,
        dataworq_conn_id: str = "dataworq_default",
        **kwargs: Unpack[RunArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.run_profile_name = run_profile_name
        self.parameters = parameters
        self.notification_enabled = notification_enabled
        self.flow_name = flow_name
        self.dataworq_conn_id = dataworq_conn_id

    @classmethod
    def hook_class(cls) -> type[DataworqHook]:
        """Return the vendor's hook class."""
        from airflow_provider_etlapis.hooks.dataworq import DataworqHook

        return DataworqHook

    def spec(self) -> dict[str, Any]:
        """Return the checked inputs."""
        from airflow_provider_etlapis.hooks.dataworq.inputs import checked_name, checked_switch, job_parameters

        return {
            "flow_id": checked_name(self.flow_id, "flow_id"),
            "run_profile_name": checked_name(self.run_profile_name, "run_profile_name"),
            "parameters": job_parameters(self.parameters),
            "notification_enabled": checked_switch(self.notification_enabled, "notification_enabled"),
            "flow_name": None if self.flow_name is None else checked_name(self.flow_name, "flow_name"),
        }
