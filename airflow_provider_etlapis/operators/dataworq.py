"""Operator for QueBIT DataWORQ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.operators.base import RemoteRunOperator

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.dataworq import DataworqHook


class DataworqExecuteJobOperator(RemoteRunOperator):
    """Starts a DataWORQ job, a run of a flow's run profile, and waits for it.

    DataWORQ's API documents no call that cancels a job: when the task is killed or its deadline passes, the job goes
    on, and the task's log says which one and where. Its log may hold parameter values, paths and command lines in
    clear: ``log_remote`` says when the end of it is copied to the task's log (default: when the job failed).

    Jobs carry no text of ours. To recognise the job of a start call that got no answer, give ``flow_name``: then a
    job of that name that was started since is taken, if it is the only one. Without it such a task fails and says
    what to check (see ``on_lost_start``).

    :param flow_id: id of the flow, as DataWORQ shows it.
    :param run_profile_name: run profile of the flow.
    :param parameters: a dict of str, int or float values (no bool, no None), or DataWORQ's own list of
        ``{"name": ..., "type": "string" | "integer" | "float", "value": ...}``, where a template that renders a
        number as text is understood.
    :param notification_enabled: let DataWORQ notify people as the flow says.
    :param flow_name: name of the flow in DataWORQ's job list (the file's name without ``.flx``).
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
        **kwargs: Any,
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
        from airflow_provider_etlapis.hooks.dataworq_jobs import checked_name, job_parameters

        if not isinstance(self.notification_enabled, bool):
            raise InvalidInputError(f"notification_enabled must be True or False, not {self.notification_enabled!r}")
        return {
            "flow_id": checked_name(self.flow_id, "flow_id"),
            "run_profile_name": checked_name(self.run_profile_name, "run_profile_name"),
            "parameters": job_parameters(self.parameters),
            "notification_enabled": self.notification_enabled,
            "flow_name": None if self.flow_name is None else checked_name(self.flow_name, "flow_name"),
        }
