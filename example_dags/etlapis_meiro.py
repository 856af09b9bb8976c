"""Meiro Integrations: run workspaces, follow jobs that something else started, cancel one.

Runs as it stands against ``etlapis sandbox``. The task ``broken`` fails on purpose, to show what a failure looks like.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_etlapis.operators.meiro import (
    MeiroCancelWorkspaceJobOperator,
    MeiroCloneWorkspaceOperator,
    MeiroRunWorkspaceOperator,
)
from airflow_provider_etlapis.sensors.meiro import MeiroWorkspaceJobSensor, MeiroWorkspaceSensor

JOB_ID = "{{ ti.xcom_pull(task_ids='%s')['ids']['job_id'] }}"

with DAG(
    dag_id="etlapis_meiro",
    description="Workspaces of Meiro Integrations",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    # A retry follows the run of the try before it, so retries are safe.
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    tags=["etlapis-demo", "meiro", "expect:broken=failed"],
):
    # The lines of the job's log come into the task log as they are written.
    etl = MeiroRunWorkspaceOperator(task_id="etl", workspace_name="demo ETL", log_remote=True, poll_interval=2)
    # The sensors follow what something else has started: one job, or whichever ended since this DAG run began.
    seen = MeiroWorkspaceJobSensor(
        task_id="seen",
        workspace_id=100,
        job_id=JOB_ID % "etl",
        poke_interval=2,
    )
    fresh = MeiroWorkspaceSensor(task_id="fresh", workspace_id=100, poke_interval=2)

    copy = MeiroCloneWorkspaceOperator(task_id="copy", workspace_id=100, name="demo ETL of {{ run_id }}")
    on_copy = MeiroRunWorkspaceOperator(
        task_id="on_copy",
        workspace_id="{{ ti.xcom_pull(task_ids='copy')['workspace_id'] }}",
        poll_interval=2,
    )

    slow = MeiroRunWorkspaceOperator(task_id="slow", workspace_id=102, wait_for_completion=False)
    stop = MeiroCancelWorkspaceJobOperator(
        task_id="stop",
        workspace_id=102,
        job_id=JOB_ID % "slow",
        poll_interval=1,
    )

    broken = MeiroRunWorkspaceOperator(task_id="broken", retries=0, workspace_id=101, poll_interval=2)

    etl >> [seen, fresh]
    copy >> on_copy
    slow >> stop
