"""Etlworks: run flows, wait for them without holding a worker, follow runs that something else started.

Runs as it stands against ``etlapis sandbox``. The task ``load_invoices`` fails on purpose, to show what a failure looks
like.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator
from airflow_provider_etlapis.sensors.etlworks import EtlworksFlowExecutionSensor, EtlworksFlowSensor

with DAG(
    dag_id="etlapis_etlworks",
    description="Flows of an Etlworks Integrator",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    # A retry follows the run of the try before it, so retries are safe.
    default_args={
        "poll_interval": 2,
        "poke_interval": 2,
        "timeout": 600,
        "retries": 2,
        "retry_delay": timedelta(seconds=5),
    },
    tags=["etlapis-demo", "etlworks", "expect:load_invoices=failed"],
):
    # A flow runs once at a time: wait for the run that is there, if there is one, and start then.
    load_orders = EtlworksRunFlowOperator(
        task_id="load_orders",
        flow_name="Load orders",
        parameters={"runDate": "{{ ds | default('today', true) }}", "full": False},
        run_key_parameter=True,
        on_already_running="wait",
    )
    # Any run of the flow that ended well since this DAG run began will do, whoever started it; here, the one above.
    orders_are_there = EtlworksFlowSensor(
        task_id="orders_are_there", flow_name="Load orders", since="{{ dag_run.start_date }}"
    )
    check_balances = EtlworksRunFlowOperator(
        task_id="check_balances", flow_id=12347, on_warning="succeed", on_already_running="wait"
    )
    # Started here and followed by another task.
    start_charges = EtlworksRunFlowOperator(
        task_id="start_charges", flow_id=12345, wait_for_completion=False, on_already_running="attach"
    )
    charges_are_there = EtlworksFlowExecutionSensor(
        task_id="charges_are_there",
        flow_id=12345,
        audit_id="{{ ti.xcom_pull(task_ids='start_charges')['ids']['audit_id'] }}",
    )
    load_invoices = EtlworksRunFlowOperator(
        task_id="load_invoices", retries=0, flow_id=12348, on_already_running="wait"
    )

    load_orders >> orders_are_there >> check_balances
    start_charges >> charges_are_there
