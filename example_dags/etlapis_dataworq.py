"""DataWORQ: run jobs, wait for them without holding a worker, follow one that is already there.

Runs as it stands against ``etlapis sandbox``. The task ``forecast`` fails on purpose, to show what a failure is like.
DataWORQ has no call that cancels a job: a task that is killed says in its log which job goes on.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_etlapis.operators.dataworq import DataworqExecuteJobOperator
from airflow_provider_etlapis.sensors.dataworq import DataworqJobSensor

SALES_LOAD = "37bd74f9-771d-4b5b-9549-ca648a57ea34"
SALES_FORECAST = "0f6c2c2e-5a0e-4d4c-8a3e-3d9f5b8f1c02"

with DAG(
    dag_id="etlapis_dataworq",
    description="Jobs of a QueBIT DataWORQ server",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    # A retry follows the run of the try before it, so retries are safe.
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    tags=["etlapis-demo", "dataworq", "expect:forecast=failed"],
):
    # With the flow's name, a job whose start call got no answer can be found again.
    load = DataworqExecuteJobOperator(
        task_id="load",
        flow_id=SALES_LOAD,
        flow_name="SalesLoad",
        run_profile_name="nightly",
        parameters={"TABLENAME": "SALES", "DAY": "{{ ds | default('today', true) }}", "DAYS_BACK": 7},
        poll_interval=2,
    )
    # One job per region: the triggerer asks for all of them in one request.
    regions = DataworqExecuteJobOperator.partial(
        task_id="regions", flow_id=SALES_LOAD, flow_name="SalesLoad", poll_interval=2
    ).expand(parameters=[{"REGION": region} for region in ("north", "south", "west")])
    # The sensor follows a job that something else started; here, the one of the first task.
    seen = DataworqJobSensor(
        task_id="seen",
        job_id="{{ ti.xcom_pull(task_ids='load', key='run_id') }}",
        poke_interval=2,
    )
    forecast = DataworqExecuteJobOperator(
        task_id="forecast", retries=0, flow_id=SALES_FORECAST, flow_name="SalesForecast", poll_interval=2
    )

    load >> seen
