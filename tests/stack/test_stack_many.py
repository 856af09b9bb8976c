"""Fifty deferred runs of one connection in a real triggerer cost the vendor a few list requests per interval."""

from __future__ import annotations

import math

from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.celery_director.work import Definition
from airflow_provider_etlapis.sandbox.lives import Life
from tests.stack.dags import HEAD
from tests.support.stack import AddDag

RUNS = 50
INTERVAL = 5.0

SOURCE = f"""{HEAD}
with DAG("stack_many", start_date=datetime(2026, 1, 1), schedule=None, max_active_tasks=200):
    Run.partial(task_id="many", project="demo", name="LONG", celery_director_conn_id="many_director",
                deferrable=True, poll_interval={INTERVAL}).expand(payload=[{{"n": n}} for n in range({RUNS})])
"""


def test_fifty_deferred_runs_cost_three_list_requests_per_interval_and_no_single_reads(
    airflow_stack: LocalAirflow, add_dag: AddDag
) -> None:
    with CeleryDirectorSandbox() as director:
        # Every fifth run fails; none ends by itself before all are deferred.
        director.define(
            Definition(
                "demo.LONG",
                ("WORK",),
                life=lambda payload: Life(
                    duration=3600, outcome="error" if payload["n"] % 5 == 0 else "success", steps=("WORK",)
                ),
            )
        )
        airflow_stack.api.add_connection("many_director", director.connection())
        add_dag("stack_many", SOURCE)
        api = airflow_stack.api
        run_id = api.trigger("stack_many")

        def states() -> dict[int, str]:
            return {row["map_index"]: row["state"] for row in api.task_instances("stack_many", run_id)}

        airflow_stack.wait_for(lambda: list(states().values()) == ["deferred"] * RUNS, 150, "50 deferred tasks")
        first = director.clock.now()
        airflow_stack.wait_for(lambda: director.clock.now() > first + 4 * INTERVAL, 60, "four intervals")
        last = director.clock.now()
        lists = director.ledger.requests_between(first, last, "list")
        assert 3 <= len(lists) <= 3 * math.ceil((last - first) / INTERVAL)
        assert director.ledger.count("get") == 0

        director.clock.advance(3600)
        airflow_stack.wait_for(lambda: set(states().values()) <= {"success", "failed"}, 150, "50 ended tasks")
        assert states() == {n: "failed" if n % 5 == 0 else "success" for n in range(RUNS)}
        assert len(director.ledger.starts) == RUNS
        assert not director.ledger.cancels
