"""Celery Director: run workflows, wait for them without holding a worker, follow one that is already there.

Runs as it stands against ``etlapis sandbox``. The task ``broken`` fails on purpose, to show what a failure looks like.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_etlapis.operators.celery_director import (
    CeleryDirectorRelaunchWorkflowOperator,
    CeleryDirectorRunWorkflowOperator,
)
from airflow_provider_etlapis.sensors.celery_director import CeleryDirectorWorkflowSensor

with DAG(
    dag_id="etlapis_celery_director",
    description="Workflows of a Celery Director",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    # A retry follows the run of the try before it, so retries are safe.
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    tags=["etlapis-demo", "celery-director", "expect:broken=failed"],
):
    etl = CeleryDirectorRunWorkflowOperator(
        task_id="etl",
        project="demo",
        name="ETL",
        payload={"day": "{{ ds | default('today', true) }}"},
        poll_interval=2,
    )
    # One run per shop: the triggerer asks for all of them in one request.
    shops = CeleryDirectorRunWorkflowOperator.partial(
        task_id="shops", project="demo", name="ETL", poll_interval=2
    ).expand(payload=[{"shop": shop} for shop in ("north", "south", "west")])
    # The sensor follows a run that something else started; here, the one of the first task.
    seen = CeleryDirectorWorkflowSensor(
        task_id="seen",
        workflow_id="{{ ti.xcom_pull(task_ids='etl', key='run_id') }}",
        poke_interval=2,
    )
    again = CeleryDirectorRelaunchWorkflowOperator(
        task_id="again",
        workflow_id="{{ ti.xcom_pull(task_ids='etl', key='run_id') }}",
        poll_interval=2,
    )
    broken = CeleryDirectorRunWorkflowOperator(
        task_id="broken", retries=0, project="demo", name="FAILS", poll_interval=2
    )

    etl >> [seen, again]
