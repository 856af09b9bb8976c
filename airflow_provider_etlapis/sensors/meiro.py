"""Sensors for Meiro Integrations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Unpack

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.operators.arguments import SensorArguments
from airflow_provider_etlapis.sensors.base import OneRunSensor, RemoteRunSensor

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.meiro import MeiroHook
    from airflow_provider_etlapis.runs.model import Newest, RunRef


class _Arguments(SensorArguments, total=False):
    meiro_conn_id: str


class _MeiroSensor(RemoteRunSensor):
    conn_id_field = "meiro_conn_id"
    ui_color = "#f7e3d0"

    def __init__(self, *, meiro_conn_id: str = "meiro_default", **kwargs: Unpack[SensorArguments]) -> None:
        super().__init__(**kwargs)
        self.meiro_conn_id = meiro_conn_id

    @classmethod
    def hook_class(cls) -> type[MeiroHook]:
        """Return the vendor's hook class."""
        from airflow_provider_etlapis.hooks.meiro import MeiroHook

        return MeiroHook


class MeiroWorkspaceJobSensor(_MeiroSensor, OneRunSensor):
    """Waits until one job of a Meiro workspace, whoever started it, has ended well.

    :param workspace_id: id of the workspace.
    :param job_id: id of the job.
    :param run_id: the run as operators push it under ``run_id``, in place of the ids.
    :param meiro_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.sensors.base.RemoteRunSensor`.
    """

    template_fields: Sequence[str] = ("workspace_id", "job_id", "run_id", "meiro_conn_id")
    id_fields = ("workspace_id", "job_id")

    def __init__(
        self,
        *,
        workspace_id: int | str | None = None,
        job_id: int | str | None = None,
        run_id: str | None = None,
        **kwargs: Unpack[_Arguments],
    ) -> None:
        super().__init__(**kwargs)
        self.workspace_id = workspace_id
        self.job_id = job_id
        self.run_id = run_id
        self.check_name()


class MeiroWorkspaceSensor(_MeiroSensor):
    """Waits until a job of a Meiro workspace, whichever and whoever started it, has ended since a moment.

    :param workspace_id: id of the workspace.
    :param since: moment from which on an end counts: a datetime, or its ISO 8601 text (without an offset: UTC).
        Default: when this DAG run began.
    :param until: ``"ended"`` takes the newest end and fails on a bad one; ``"ended_well"`` passes bad ends over.
    :param meiro_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.sensors.base.RemoteRunSensor`. Returns the manifest of
    the job that ended.
    """

    template_fields: Sequence[str] = ("workspace_id", "since", "meiro_conn_id")

    def __init__(
        self,
        *,
        workspace_id: int | str,
        since: datetime | str = "{{ dag_run.start_date }}",
        until: Newest = "ended",
        **kwargs: Unpack[_Arguments],
    ) -> None:
        super().__init__(**kwargs)
        if until not in ("ended", "ended_well"):
            raise ValueError(f"until must be 'ended' or 'ended_well', not {until!r}")
        self.workspace_id = workspace_id
        self.since = since
        self.until: Newest = until

    def ref(self) -> RunRef:
        """Return what to wait for: whichever job of the workspace has ended since."""
        return self.hook_class().newest_ref(self.workspace_id, self._moment(), self.until)

    def _moment(self) -> datetime:
        if isinstance(self.since, datetime):
            return self.since if self.since.tzinfo else self.since.replace(tzinfo=UTC)
        from airflow_provider_etlapis.hooks.values import moment

        found = moment(self.since)
        if found is None:
            raise InvalidInputError(f"since must be a moment such as 2026-11-22T06:00:00+00:00, not {self.since!r}")
        return found
