"""A small demo DAG: one workflow that ends well, and one that fails on purpose."""

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator

with DAG(
    "director_standin",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
    tags=["etlapis-demo", "expect:fails=failed"],
):
    for task_id, name in {"etl": "ETL", "fails": "FAILS"}.items():
        CeleryDirectorRunWorkflowOperator(
            task_id=task_id, project="demo", name=name, payload={"seconds": 4}, poll_interval=1
        )
