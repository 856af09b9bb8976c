"""A DAG that runs whenever a workflow of a Celery Director has ended well, whoever started it (Airflow 3.0 and later).

The triggerer watches the vendor; no task waits. Earlier Airflow has no asset watchers, and finds no DAG here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_etlapis.triggers.finished import celery_director_workflow_finished

try:
    from airflow.sdk import DAG, Asset, AssetWatcher, task
except ImportError:  # Airflow 2
    AssetWatcher = None  # type: ignore[assignment, misc]

if AssetWatcher is not None:
    orders = Asset(
        "etlapis_orders",
        watchers=[
            AssetWatcher(
                name="etl_finished",
                trigger=celery_director_workflow_finished(project="demo", name="ETL", poll_interval=30),
            )
        ],
    )

    with DAG(
        dag_id="etlapis_events",
        description="After each run of demo.ETL, whoever started it",
        start_date=datetime(2026, 1, 1),
        schedule=[orders],
        catchup=False,
        tags=["celery-director"],
    ):

        @task
        def report(triggering_asset_events: Any = None) -> list[str]:
            """Return the runs that this DAG run is about: more than one, if several have ended at a time."""
            runs = [event.extra["payload"] for event in triggering_asset_events[orders]]
            for run in runs:
                print(f"{run['name']} run {run['run_id']} ended as {run['vendor_status']} at {run['ended']}")
            return [run["run_id"] for run in runs]

        report()
