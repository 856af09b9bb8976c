"""Sensors for Etlworks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Unpack

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.operators.arguments import SensorArguments
from airflow_provider_etlapis.operators.etlworks import ON_WARNING, OnWarning, which_flow
from airflow_provider_etlapis.operators.inputs import one_of
from airflow_provider_etlapis.sensors.base import OneRunSensor, RemoteRunSensor

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
    from airflow_provider_etlapis.runs.model import RunRef

# The name is missing from the context of a run without a data interval, and not only empty.
DATA_INTERVAL_END = "{{ data_interval_end | default(dag_run.run_after, true) }}"


class _Arguments(SensorArguments, total=False):
    on_warning: OnWarning
    etlworks_conn_id: str


class _EtlworksSensor(RemoteRunSensor):
    ui_color = "#e3ecf7"
    conn_id_field = "etlworks_conn_id"

    def __init__(
        self,
        *,
        on_warning: OnWarning = "succeed",
        etlworks_conn_id: str = "etlworks_default",
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        one_of("on_warning", on_warning, ON_WARNING)
        self.on_warning = on_warning
        self.etlworks_conn_id = etlworks_conn_id
        self.warning_is_failure = on_warning == "fail"

    @classmethod
    def hook_class(cls) -> type[EtlworksHook]:
        """Return the vendor's hook class."""
        from airflow_provider_etlapis.hooks.etlworks import EtlworksHook

        return EtlworksHook


class EtlworksFlowExecutionSensor(_EtlworksSensor, OneRunSensor):
    """Waits until one run of an Etlworks flow, whoever started it, has ended well.

    :param flow_id: number of the flow.
    :param audit_id: number of the run.
    :param run_id: the run as operators push it under ``run_id``, in place of the ids.
    :param on_warning: whether an end with a warning is a success (``"succeed"``) or a failure (``"fail"``).
    :param etlworks_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.sensors.base.RemoteRunSensor`.
    """

    template_fields: Sequence[str] = ("flow_id", "audit_id", "run_id", "etlworks_conn_id")
    id_fields = ("flow_id", "audit_id")

    def __init__(
        self,
        *,
        flow_id: int | str | None = None,
        audit_id: int | str | None = None,
        run_id: str | None = None,
        **kwargs: Unpack[_Arguments],
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.audit_id = audit_id
        self.run_id = run_id
        self.check_name()


class EtlworksFlowSensor(_EtlworksSensor):
    """Waits until any run of an Etlworks flow, whoever started it, has ended well at or after a moment.

    A run that ends badly is not the end of the wait: the next one may end well. When runs ended is read from the
    flow's history, or, where that does not tell, from the daily report, which takes an administrator's credential.

    :param flow_id: number of the flow; this or ``flow_name``.
    :param flow_name: exact name of the flow.
    :param since: the moment, a datetime or ISO 8601, without an offset in UTC. Default: the data interval's end.
    :param on_warning: whether an end with a warning is a success (``"succeed"``) or a failure (``"fail"``).
    :param etlworks_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.sensors.base.RemoteRunSensor`.
    """

    template_fields: Sequence[str] = ("flow_id", "flow_name", "since", "etlworks_conn_id")

    def __init__(
        self,
        *,
        flow_id: int | str | None = None,
        flow_name: str | None = None,
        since: datetime | str = DATA_INTERVAL_END,
        **kwargs: Unpack[_Arguments],
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.flow_name = flow_name
        self.since = since

    def ref(self) -> RunRef:
        """Return what to wait for."""
        from airflow_provider_etlapis.hooks.values import moment
        from airflow_provider_etlapis.runs.model import RunRef

        since = moment(str(self.since))
        if since is None:
            raise InvalidInputError(f"since must be a datetime or ISO 8601, not {self.since!r}")
        vendor = self.hook_class().conn_type
        return RunRef(vendor, which_flow(self.flow_id, self.flow_name), since.timestamp(), newest="ended_well")
