"""WebRobot: execute jobs, start and stop single tasks, read metrics, wait for what others have started.

Runs as it stands against ``etlapis sandbox``. The task ``broken`` fails on purpose, to show what a failure looks like.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_etlapis.operators.webrobot import (
    WebRobotExecuteJobOperator,
    WebRobotMetricsOperator,
    WebRobotStartTaskOperator,
    WebRobotStopTaskOperator,
)
from airflow_provider_etlapis.sensors.webrobot import (
    WebRobotExecutionSensor,
    WebRobotJobSensor,
    WebRobotTaskSensor,
)

with DAG(
    dag_id="etlapis_webrobot",
    description="Jobs and tasks of WebRobot",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    # A retry follows the run of the try before it, so retries are safe.
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    tags=["etlapis-demo", "webrobot", "expect:broken=failed"],
):
    prices = WebRobotExecuteJobOperator(
        task_id="prices",
        project_id="98",
        job_id="210",
        arguments=["--day", "{{ ds | default('today', true) }}"],
        on_already_running="wait",
        poll_interval=2,
    )
    # The sensors wait for runs that something else started; here, those of the tasks before.
    seen = WebRobotExecutionSensor(
        task_id="seen",
        project_id="98",
        job_id="210",
        execution_id="{{ ti.xcom_pull(task_ids='prices')['ids']['execution_id'] }}",
        poke_interval=2,
    )
    job_done = WebRobotJobSensor(
        task_id="job_done",
        project_id="98",
        job_id="210",
        since="{{ ti.xcom_pull(task_ids='prices')['started'] }}",
        poke_interval=2,
    )
    job_metrics = WebRobotMetricsOperator(
        task_id="job_metrics",
        project_id="98",
        job_id="210",
        start_time="{{ ti.xcom_pull(task_ids='prices')['started'] }}",
    )
    # One task of a job by itself.
    stock = WebRobotStartTaskOperator(
        task_id="stock",
        project_id="98",
        job_id="220",
        webrobot_task_id="229",
        on_already_running="wait",
        poll_interval=2,
    )
    stock_done = WebRobotTaskSensor(
        task_id="stock_done",
        project_id="98",
        job_id="220",
        webrobot_task_id="229",
        since="{{ ti.xcom_pull(task_ids='stock')['started'] }}",
        poke_interval=2,
    )
    task_metrics = WebRobotMetricsOperator(
        task_id="task_metrics", project_id="98", job_id="220", webrobot_task_id="229"
    )
    # A task that does not run (any more) counts as stopped.
    tidy_up = WebRobotStopTaskOperator(task_id="tidy_up", project_id="98", job_id="240", webrobot_task_id="241")
    broken = WebRobotExecuteJobOperator(
        task_id="broken", retries=0, project_id="98", job_id="230", on_already_running="wait", poll_interval=2
    )

    prices >> [seen, job_done, job_metrics]
    stock >> [stock_done, task_metrics]
    crawl = WebRobotExecuteJobOperator(
        task_id="crawl",
        project_id="98",
        job_id="240",
        body={"parameters": {"seconds": 600}},
        on_already_running="attach",
        wait_for_completion=False,
    )
    crawl >> tidy_up
