"""Sensor for QueBIT DataWORQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.sensors.base import RemoteRunSensor

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.dataworq import DataworqHook
    from airflow_provider_etlapis.runs.model import RunRef


class DataworqJobSensor(RemoteRunSensor):
    """Waits until a DataWORQ job, started by any user, has ended well.

    :param job_id: id of the job.
    :param dataworq_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.sensors.base.RemoteRunSensor`.
    """

    template_fields: Sequence[str] = ("job_id", "dataworq_conn_id")
    ui_color = "#e3e1f5"
    conn_id_field = "dataworq_conn_id"

    def __init__(self, *, job_id: str, dataworq_conn_id: str = "dataworq_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.dataworq_conn_id = dataworq_conn_id

    @classmethod
    def hook_class(cls) -> type[DataworqHook]:
        """Return the vendor's hook class."""
        from airflow_provider_etlapis.hooks.dataworq import DataworqHook

        return DataworqHook

    def ref(self) -> RunRef:
        """Return the job to wait for."""
        return self.hook_class().ref(self.job_id)
