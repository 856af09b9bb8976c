"""One pipeline across all five vendors: scrape, extract, load, model, publish.

Each task waits without holding a worker, hands its run's manifest on, and is never started twice by a retry. Runs as it
stands against ``etlapis sandbox``.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator
from airflow_provider_etlapis.operators.dataworq import DataworqExecuteJobOperator
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator
from airflow_provider_etlapis.operators.meiro import MeiroRunWorkspaceOperator
from airflow_provider_etlapis.operators.webrobot import WebRobotExecuteJobOperator

DAY = "{{ ds | default('today', true) }}"

with DAG(
    dag_id="etlapis_all_vendors",
    description="Five vendors, one pipeline",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    default_args={"poll_interval": 2, "timeout": 1800, "retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["etlapis-demo", "all-vendors"],
):
    # Where the vendor lets a thing run only once at a time, wait for the run that is there and start then.
    scrape_prices = WebRobotExecuteJobOperator(
        task_id="scrape_prices", project_id="98", job_id="210", on_already_running="wait"
    )
    extract_orders = EtlworksRunFlowOperator(
        task_id="extract_orders", flow_id=12346, parameters={"runDate": DAY}, on_already_running="wait"
    )
    transform = CeleryDirectorRunWorkflowOperator(
        task_id="transform",
        project="demo",
        name="ETL",
        payload={
            "day": DAY,
            "prices": "{{ ti.xcom_pull(task_ids='scrape_prices', key='run_id') }}",
            "orders": "{{ ti.xcom_pull(task_ids='extract_orders', key='run_id') }}",
        },
    )
    load_sales = DataworqExecuteJobOperator(
        task_id="load_sales",
        flow_id="37bd74f9-771d-4b5b-9549-ca648a57ea34",
        flow_name="SalesLoad",
        parameters={"DAY": DAY, "SOURCE_RUN": "{{ ti.xcom_pull(task_ids='transform', key='run_id') }}"},
    )
    publish_profiles = MeiroRunWorkspaceOperator(task_id="publish_profiles", workspace_id=100)

    [scrape_prices, extract_orders] >> transform >> load_sales >> publish_profiles
