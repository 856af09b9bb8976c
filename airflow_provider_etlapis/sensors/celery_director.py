"""Sensor for Celery Director."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from airflow_provider_etlapis.operators.arguments import SensorArguments
from airflow_provider_etlapis.operators.inputs import true_or_false
from airflow_provider_etlapis.sensors.base import OneRunSensor

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
    from airflow_provider_etlapis.runs.model import RunRef


class CeleryDirectorWorkflowSensor(OneRunSensor):
    """Waits until a Celery Director run, whoever started it, has ended well.

    :param workflow_id: UUID of the run.
    :param run_id: the same, by the name under which operators push it.
    :param wait_for_all_tasks: a run that has ended counts as running until no task of it is at work or still to
        start: the other members of a group after one of them has failed, and the success hook.
    :param celery_director_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.sensors.base.RemoteRunSensor`.
    """

    template_fields: Sequence[str] = ("workflow_id", "run_id", "celery_director_conn_id")
    id_fields = ("workflow_id",)
    ui_color = "#dcefe4"
    conn_id_field = "celery_director_conn_id"

    def __init__(
        self,
        *,
        workflow_id: str | None = None,
        run_id: str | None = None,
        wait_for_all_tasks: bool = False,
        celery_director_conn_id: str = "celery_director_default",
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        true_or_false(wait_for_all_tasks=wait_for_all_tasks)
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.wait_for_all_tasks = wait_for_all_tasks
        self.celery_director_conn_id = celery_director_conn_id
        self.check_name()

    @classmethod
    def hook_class(cls) -> type[CeleryDirectorHook]:
        """Return the vendor's hook class."""
        from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook

        return CeleryDirectorHook

    def ref(self) -> RunRef:
        """Return the run to wait for."""
        from airflow_provider_etlapis.hooks.celery_director.answers import waiting_for_all_tasks

        return waiting_for_all_tasks(super().ref()) if self.wait_for_all_tasks else super().ref()
