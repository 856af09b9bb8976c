"""Runs that the vendor's own scheduler starts make DAG runs, across a triggerer restart: none repeated, none missed.

``EVENTS_COUNT``, ``EVENTS_EVERY`` (seconds) and ``EVENTS_SIGNAL`` (``SIGKILL``) make it longer, slower and harder.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.celery_director_work import Definition
from airflow_provider_etlapis.sandbox.lives import Life
from tests.support.stack import AddDag

RUNS = int(os.environ.get("EVENTS_COUNT", "10"))
EVERY = float(os.environ.get("EVENTS_EVERY", "5"))
SIGNAL = signal.Signals[os.environ.get("EVENTS_SIGNAL", "SIGTERM")]

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


@contextmanager
def scheduled(director: CeleryDirectorSandbox, started: list[str]) -> Iterator[threading.Thread]:
    """Let the vendor start a run every few seconds, and one that fails beside each third."""
    stop = threading.Event()

    def work() -> None:
        for number in range(RUNS):
            started.append(director.seed_run(Life(duration=0.5), flow="demo.NIGHTLY").id)
            if number % 3 == 0:
                director.seed_run(Life(duration=0.5, outcome="error"), flow="demo.NIGHTLY")
            if stop.wait(EVERY):
                return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join()


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


def test_each_run_of_the_vendors_scheduler_makes_a_dag_run_across_a_triggerer_restart(
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
        keys = "SELECT count(*) AS n FROM asset_state_store WHERE key LIKE 'etlapis-%'"
        airflow_stack.wait_for(lambda: airflow_stack.query(keys)[0]["n"] == 2, 180, "the first look")

        started: list[str] = []
        with scheduled(director, started) as scheduler:

            def followed(number: int) -> bool:
                return sum(map(len, told(airflow_stack, dag_id))) >= number

            airflow_stack.wait_for(lambda: followed(RUNS // 3), RUNS * EVERY + 30, "the first DAG runs", interval=0.5)
            time.sleep(2.0)  # not within the second in which an event is kept and its position is not yet
            gone_at = time.monotonic()
            airflow_stack.kill_triggerer(SIGNAL)
            airflow_stack.start_triggerer()
            print(f"triggerer away for {time.monotonic() - gone_at:.1f} s")
            airflow_stack.wait_for(lambda: followed(RUNS), RUNS * EVERY + 180, "a DAG run for each", interval=0.5)
            scheduler.join()

        # What could still come, comes.
        count = director.ledger.count("list")
        airflow_stack.wait_for(lambda: director.ledger.count("list") > count + 2, 30, "three more looks")
        seen = told(airflow_stack, dag_id)
        print([len(each) for each in seen])
        assert [run_id for each in seen for run_id in each] == started
        assert len(seen) == RUNS
        assert told(airflow_stack, "stack_events_other") == []
        # One list a look serves both watchers.
        first, last = director.ledger.requests[0].at, director.clock.now()
        assert director.ledger.count("list") <= (last - first) / 0.75 + 10
