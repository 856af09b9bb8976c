"""Looks at a task that waits for its remote run."""

from __future__ import annotations

from airflow_provider_etlapis.demo.stack import LocalAirflow


def wait_for_followed_run(airflow: LocalAirflow, dag_id: str, run_id: str, task_id: str, state: str) -> str:
    """Wait until a task waits for its remote run, and return the id of that run."""
    airflow.api.wait_for_state(dag_id, run_id, task_id, state)
    airflow.wait_for(lambda: airflow.api.xcom(dag_id, run_id, task_id, "run_id") is not None, 60, "a started run")
    return str(airflow.api.xcom(dag_id, run_id, task_id, "run_id"))
