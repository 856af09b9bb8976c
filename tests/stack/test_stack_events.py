"""Runs that the vendor's own scheduler starts make DAG runs, across triggerer restarts: none repeated, none missed.

``EVENTS_COUNT`` (runs before each restart) and ``EVENTS_EVERY`` (seconds) make it longer and slower: with 9 and 20, 20
runs in eight minutes.
"""

from __future__ import annotations

import json
import os
import signal
import time

from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.celery_director.work import Definition
from airflow_provider_etlapis.sandbox.lives import Life
from tests.support.stack import AddDag

COUNT = int(os.environ.get("EVENTS_COUNT", "2"))
EVERY = float(os.environ.get("EVENTS_EVERY", "3"))

SOURCE = """
from datetime import datetime
from airflow.sdk import DAG, Asset, AssetWatcher
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow_provider_etlapis.triggers.finished import celery_director_workflow_finished as finished

def watched(name):
    trigger = finished(project="demo", name=name, conn_id="events_director", poll_interval=1)
    return Asset(f"stack_events_{name.lower()}", watchers=[AssetWatcher(name="ended", trigger=trigger)])

for name in ("NIGHTLY", "OTHER"):
    with DAG(f"stack_events_{name.lower()}", start_date=datetime(2026, 1, 1), schedule=[watched(name)]):
        EmptyOperator(task_id="done")
"""


def vendor_starts(director: CeleryDirectorSandbox, started: list[str], count: int) -> None:
    """Let the vendor start runs, one after another, and one that fails beside the first."""
    director.seed_run(Life(duration=0.5, outcome="error"), flow="demo.NIGHTLY")
    for _ in range(count):
        started.append(director.seed_run(Life(duration=0.5), flow="demo.NIGHTLY").id)
        time.sleep(EVERY)


def told(airflow: LocalAirflow, dag_id: str) -> list[list[str]]:
    """Return the runs that the DAG's runs were about, by DAG run."""
    rows = airflow.query(
        "SELECT dag_run.run_id, asset_event.extra FROM dagrun_asset_event"
        " JOIN dag_run ON dag_run.id = dagrun_asset_event.dag_run_id"
        " JOIN asset_event ON asset_event.id = dagrun_asset_event.event_id"
        " WHERE dag_run.dag_id = ? ORDER BY dag_run.id, asset_event.id",
        dag_id,
    )
    runs: dict[str, list[str]] = {}
    for row in rows:
        runs.setdefault(row["run_id"], []).append(json.loads(row["extra"])["payload"]["run_id"])
    return list(runs.values())


def test_each_run_of_the_vendors_scheduler_makes_a_dag_run_across_triggerer_restarts(
    airflow_stack: LocalAirflow, add_dag: AddDag
) -> None:
    dag_id = "stack_events_nightly"
    with CeleryDirectorSandbox() as director:
        director.define(Definition("demo.NIGHTLY", ("WORK",)))
        director.define(Definition("demo.OTHER", ("WORK",)))
        director.seed_run(Life(duration=0.5), flow="demo.NIGHTLY", age=60)  # before anybody watches
        airflow_stack.api.add_connection("events_director", director.connection())
        add_dag("stack_events_nightly", SOURCE)
        api = airflow_stack.api
        api.unpause(dag_id)
        api.unpause("stack_events_other")

        def positions() -> list[str]:
            rows = airflow_stack.query("SELECT value FROM asset_state_store WHERE key LIKE 'etlapis-%'")
            return [str(row["value"]) for row in rows]

        airflow_stack.wait_for(lambda: len(positions()) == 2, 180, "the first look")

        started: list[str] = []

        def is_followed() -> bool:
            return [run_id for each in told(airflow_stack, dag_id) for run_id in each] == started

        def is_at_rest() -> bool:
            """An event is kept a second or two before its position: who dies in between tells it again."""
            return is_followed() and any(f'"{started[-1]}": ' in position for position in positions())

        for signum in (signal.SIGTERM, signal.SIGKILL):
            vendor_starts(director, started, COUNT)
            airflow_stack.wait_for(is_at_rest, 90, "a DAG run for each, and the position")
            gone_at = time.monotonic()
            airflow_stack.kill_triggerer(signum)
            vendor_starts(director, started, 1)  # while nobody looks
            airflow_stack.start_triggerer()
            print(f"triggerer away for {time.monotonic() - gone_at:.1f} s after {signum.name}")
        airflow_stack.wait_for(is_followed, 90, "a DAG run for each")

        # What could still come, comes.
        count = director.ledger.count("list")
        airflow_stack.wait_for(lambda: director.ledger.count("list") > count + 2, 30, "three more looks")
        seen = told(airflow_stack, dag_id)
        print([len(each) for each in seen])
        assert [run_id for each in seen for run_id in each] == started
        assert len(seen) == len(started) == 2 * COUNT + 2
        assert told(airflow_stack, "stack_events_other") == []
        # One list a look serves both watchers.
        first, last = director.ledger.requests[0].at, director.clock.now()
        assert director.ledger.count("list") <= (last - first) / 0.75 + 10
