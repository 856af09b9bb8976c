"""A real Airflow 2.11 drives a real Celery Director and a sandbox: the promises that its triggers and tries keep.

Its triggers are told of no kill, and its tasks have no state store.
"""

from __future__ import annotations

import pytest

from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.demo.stack import LocalAirflow
from tests.stack import test_stack_exits as exits
from tests.stack.dags import dag, run
from tests.stack.exits import Stage
from tests.support.stack import AddDag

pytestmark = pytest.mark.exits

CONN_ID = "celery_director_default"
ENDS = "ends_on_airflow2"
QUICKLY = {"poll_interval": 1.0}


@pytest.fixture(scope="module")
def airflow(airflow_2_stack: LocalAirflow) -> LocalAirflow:
    """The Airflow in which the rows are played."""
    return airflow_2_stack


class TestDeferred(exits.TestDeferred):
    """Every row of the exit list, and one more."""

    def test_the_link_is_there_while_the_task_waits(self, stage: Stage) -> None:
        for place in stage.places("deferred", "outlives"):
            place.followed()
            instance = f"dags/{place.dag_id}/dagRuns/{place.run_id}/taskInstances/{place.task_id}"
            assert str(place.xcom("run_url")) in str(stage.airflow.api.get(f"{instance}/links"))


class TestRunning(exits.TestRunning):
    """Every row of the exit list."""


class TestOrphans(exits.TestOrphans):
    """Runs whose task is over while nobody could cancel them."""


def test_sync_and_deferrable_end_alike(
    airflow_2_stack: LocalAirflow, add_dag_2: AddDag, director: RealDirector
) -> None:
    api = airflow_2_stack.api
    api.add_connection(CONN_ID, director.connection())
    tasks = [
        run(f"{name.lower()}_{mode}", name, payload={"seconds": 0.2}, deferrable=mode == "deferred", **QUICKLY)
        for mode in ("sync", "deferred")
        for name in ("QUICK", "FAILS")
    ]
    add_dag_2(ENDS, dag(ENDS, *tasks))
    here = (ENDS, api.trigger(ENDS))
    assert api.wait_for_run(*here, 90) == "failed"

    states = {row["task_id"]: row["state"] for row in api.task_instances(*here)}
    assert states == {
        "quick_sync": "success",
        "quick_deferred": "success",
        "fails_sync": "failed",
        "fails_deferred": "failed",
    }
    manifests = [api.xcom(*here, f"quick_{mode}") for mode in ("sync", "deferred")]
    assert sorted(manifests[0]) == sorted(manifests[1])
    assert {manifest["state"] for manifest in manifests} == {"succeeded"}
    reasons = []
    for mode in ("sync", "deferred"):
        remote = api.xcom(*here, f"fails_{mode}", "run_id")
        text = api.log_text(*here, f"fails_{mode}")
        reason = next(line for line in text.splitlines() if "ended as error" in line and remote in line)
        reasons.append(reason.partition(remote)[2])
    assert reasons[0] == reasons[1]
    assert "ValueError" in reasons[0]
