"""DAG sources for the stack tests: small, with an id of their own each."""

from __future__ import annotations

HEAD = """
from datetime import datetime, timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator as Run
"""


def dag(dag_id: str, *tasks: str) -> str:
    """Return a DAG file with these tasks, each an expression, none depending on another."""
    body = "".join(f"    {task}\n" for task in tasks)
    return (
        f"{HEAD}\nwith DAG({dag_id!r}, start_date=datetime(2026, 1, 1), schedule=None, max_active_tasks=200):\n{body}"
    )


def run(task_id: str, name: str, conn_id: str = "celery_director_default", **arguments: object) -> str:
    """Return the expression of a task that runs a workflow of the project `demo`."""
    fields = {"task_id": task_id, "project": "demo", "name": name, "celery_director_conn_id": conn_id, **arguments}
    return f"Run({', '.join(f'{field}={value!r}' for field, value in fields.items())})"
