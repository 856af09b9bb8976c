"""Maintenance: cancel remote runs that go on although no task waits for them.

Such a run is left behind where Airflow could ask nobody to cancel it: its task was marked or cleared while no triggerer
was alive, or it was given up after an outage and had no retry left. Each sweep asks Airflow's database which tasks have
a run, and the vendors only for the runs of tasks that will not come back to them.

On Airflow 3, tasks have no access to Airflow's database: set ``ETLAPIS_AIRFLOW_DATABASE`` to its SQLAlchemy URL on the
workers that may have it (a queue of their own), or run ``etlapis runs orphans --cancel`` from cron beside the scheduler
instead of this DAG.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

with DAG(
    dag_id="etlapis_cancel_orphans",
    description="Cancel remote runs that no task waits for",
    start_date=datetime(2026, 1, 1),
    schedule=timedelta(minutes=10),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    params={"since": "7d", "grace": "2m"},
    tags=["maintenance"],
):

    @task(execution_timeout=timedelta(minutes=9))
    def cancel_orphans(params: dict[str, Any] | None = None) -> None:
        """Run one sweep; the task fails if a run could not be cancelled, or a vendor could not be asked."""
        database = os.environ.get("ETLAPIS_AIRFLOW_DATABASE")
        access = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database} if database else {}
        ages = [f"--{name}={age}" for name, age in (params or {}).items()]
        done = subprocess.run(
            [sys.executable, "-m", "airflow_provider_etlapis.cli", "runs", "orphans", "--cancel", *ages],
            env={**os.environ, **access},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(done.stdout)
        if done.returncode:
            raise RuntimeError("Some runs go on, or could not be asked for: the lines above name them")

    cancel_orphans()
