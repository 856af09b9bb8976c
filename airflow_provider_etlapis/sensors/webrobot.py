"""Sensors for WebRobot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Unpack

from airflow_provider_etlapis.operators.arguments import SensorArguments
from airflow_provider_etlapis.sensors.base import OneRunSensor, RemoteRunSensor

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
    from airflow_provider_etlapis.runs.model import RunRef

_COLOR = "#dde7f3"
# The name is missing from the context of a run without a data interval, and not only empty.
_END_OF_INTERVAL = "{{ data_interval_end | default(dag_run.run_after, true) }}"


class _Arguments(SensorArguments, total=False):
    webrobot_conn_id: str


class _WebRobotSensor(RemoteRunSensor):
    conn_id_field = "webrobot_conn_id"

    def __init__(self, *, webrobot_conn_id: str = "webrobot_default", **kwargs: Unpack[SensorArguments]) -> None:
        super().__init__(**kwargs)
        self.webrobot_conn_id = webrobot_conn_id

    @classmethod
    def hook_class(cls) -> type[WebRobotHook]:
        """Return the vendor's hook class."""
        from airflow_provider_etlapis.hooks.webrobot import WebRobotHook

        return WebRobotHook


class WebRobotExecutionSensor(_WebRobotSensor, OneRunSensor):
    """Waits until a WebRobot execution, started by anyone, has ended well.

    :param project_id: id of the project.
    :param job_id: id of the job.
    :param execution_id: id of the execution, such as ``spark-2d53940045a6-95379617``.
    :param run_id: the run as operators push it under ``run_id``, in place of the ids.
    :param webrobot_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.sensors.base.RemoteRunSensor`.
    """

    template_fields: Sequence[str] = ("project_id", "job_id", "execution_id", "run_id", "webrobot_conn_id")
    id_fields = ("project_id", "job_id", "execution_id")
    ui_color = _COLOR

    def __init__(
        self,
        *,
        project_id: str | None = None,
        job_id: str | None = None,
        execution_id: str | None = None,
        run_id: str | None = None,
        **kwargs: Unpack[_Arguments],
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.job_id = job_id
        self.execution_id = execution_id
        self.run_id = run_id
        self.check_name()

    def named_ref(self, *ids: str) -> RunRef:
        """Return the execution that the ids name."""
        return self.hook_class().execution_ref(*ids)


class WebRobotTaskSensor(_WebRobotSensor):
    """Waits until the last run of a WebRobot task, started by anyone, has ended well at or after a moment.

    A task's status says nothing about when: its metrics do, or else the last change of the task itself. A run that
    ends badly is not the end of the wait: the next one may end well.

    :param project_id: id of the project.
    :param job_id: id of the job.
    :param webrobot_task_id: id of the task in WebRobot (``task_id`` is Airflow's).
    :param since: a datetime or ISO 8601 text, UTC where it names no zone. Default: the end of the data interval;
        empty: the last run counts, however old, and a bad end fails the sensor.
    :param webrobot_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.sensors.base.RemoteRunSensor`.
    """

    template_fields: Sequence[str] = ("project_id", "job_id", "webrobot_task_id", "since", "webrobot_conn_id")
    ui_color = _COLOR

    def __init__(
        self,
        *,
        project_id: str,
        job_id: str,
        webrobot_task_id: str,
        since: datetime | str | None = _END_OF_INTERVAL,
        **kwargs: Unpack[_Arguments],
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.job_id = job_id
        self.webrobot_task_id = webrobot_task_id
        self.since = since

    def ref(self) -> RunRef:
        """Return what to wait for."""
        return _since(self.hook_class().task_ref(self.project_id, self.job_id, self.webrobot_task_id), self.since)


class WebRobotJobSensor(_WebRobotSensor):
    """Waits until any run of a WebRobot job, started by anyone, has ended well at or after a moment.

    The job's tasks name its last execution, which says when it ended; the job's metrics count the good ends since. A
    run that ends badly is not the end of the wait: the next one may end well.

    :param project_id: id of the project.
    :param job_id: id of the job.
    :param since: a datetime or ISO 8601 text, UTC where it names no zone. Default: the end of the data interval;
        empty: the last run counts, however old, and a bad end fails the sensor.
    :param webrobot_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.sensors.base.RemoteRunSensor`.
    """

    template_fields: Sequence[str] = ("project_id", "job_id", "since", "webrobot_conn_id")
    ui_color = _COLOR

    def __init__(
        self,
        *,
        project_id: str,
        job_id: str,
        since: datetime | str | None = _END_OF_INTERVAL,
        **kwargs: Unpack[_Arguments],
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.job_id = job_id
        self.since = since

    def ref(self) -> RunRef:
        """Return what to wait for."""
        return _since(self.hook_class().job_ref(self.project_id, self.job_id), self.since)


def _since(ref: RunRef, since: datetime | str | None) -> RunRef:
    from airflow_provider_etlapis.hooks.webrobot.inputs import instant

    moment = instant(since, "since")
    if moment is None:
        return replace(ref, newest="ended")
    return replace(ref, since=moment.timestamp(), newest="ended_well")
