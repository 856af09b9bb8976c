"""Sensor for QueBIT DataWORQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from airflow_provider_etlapis.operators.arguments import SensorArguments
from airflow_provider_etlapis.sensors.base import OneRunSensor

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.dataworq import DataworqHook


class DataworqJobSensor(OneRunSensor):
    """Waits until a DataWORQ job, started by any user, has ended well.

    :param job_id: id of the job.
    :param run_id: the same, by the name under which operators push it.
    :param dataworq_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.sensors.base.RemoteRunSensor`.
    """

    template_fields: Sequence[str] = ("job_id", "run_id", "dataworq_conn_id")
    id_fields = ("job_id",)
    ui_color = "#e3e1f5"
    conn_id_field = "dataworq_conn_id"

    def __init__(
        self,
        *,
        job_id: str | None = None,
        run_id: str | None = None,
        dataworq_conn_id: str = "dataworq_default",
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.run_id = run_id
        self.dataworq_conn_id = dataworq_conn_id
        self.check_name()

    @classmethod
    def hook_class(cls) -> type[DataworqHook]:
        """Return the vendor's hook class."""
        from airflow_provider_etlapis.hooks.dataworq import DataworqHook

        return DataworqHook
