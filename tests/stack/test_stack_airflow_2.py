"""A real Airflow 2.11 drives a real Celery Director: the promises that its triggers and its tries have to keep.

Its triggers are told of no kill, and its tasks have no state store.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest

from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.demo.stack import LocalAirflow
from tests.stack.dags import dag, run
from tests.support.stack import AddDag

CONN_ID = "celery_director_default"
ENDS = "ends_on_airflow2"
EXITS = "exits_on_airflow2"
QUICKLY = {"poll_interval": 1.0}
RETRIED = {"retries": 2, "retry_delay": 1}


@dataclass(frozen=True)
class Play:
    """Two DAG runs that are under way at once, since most of a test's time is waiting."""

    airflow: LocalAirflow
    director: RealDirector
    runs: dict[str, str]

    def remote(self, dag_id: str, task_id: str, state: str) -> str:
        """Wait until a task follows its remote run, and return the id of that run."""
        here = (dag_id, self.runs[dag_id], task_id)
        self.airflow.api.wait_for_state(*here, state)
        self.airflow.wait_for(lambda: self.airflow.api.xcom(*here, "run_id") is not None, 30, "a started run")
        remote = str(self.airflow.api.xcom(*here, "run_id"))
        told = f"Run {remote} is progress"
        self.airflow.wait_for(lambda: told in self.airflow.api.log_text(*here), 30, f"{task_id} watching {remote}")
        return remote

    def remote_runs(self, task_id: str) -> list[str]:
        """Ids of all runs that the Director has of a task, newest first."""
        mark = f"airflow {EXITS}.{task_id}"
        return [str(row["id"]) for row in self.director.runs() if mark in str(row.get("comment"))]


@pytest.fixture(scope="module")
def play(airflow_2_stack: LocalAirflow, add_dag_2: AddDag, director: RealDirector) -> Play:
    """Start both DAGs."""
    api = airflow_2_stack.api
    api.add_connection(CONN_ID, director.connection())
    ends = [
        run(f"{name.lower()}_{mode}", name, payload={"seconds": 0.2}, deferrable=mode == "deferred", **QUICKLY)
        for mode in ("sync", "deferred")
        for name in ("QUICK", "FAILS")
    ]
    exits = [
        run("killed", "SLOW", payload={"seconds": 25}, deferrable=False, **RETRIED, **QUICKLY),
        run("marked", "SLOW", payload={"seconds": 90}, deferrable=True, **QUICKLY),
        run("moved", "SLOW", payload={"seconds": 60}, deferrable=True, **QUICKLY),
    ]
    for dag_id, tasks in ((EXITS, exits), (ENDS, ends)):
        add_dag_2(dag_id, dag(dag_id, *tasks))
    return Play(airflow_2_stack, director, {dag_id: api.trigger(dag_id) for dag_id in (EXITS, ENDS)})


def test_a_retry_after_the_worker_was_killed_follows_the_same_run(play: Play) -> None:
    remote = play.remote(EXITS, "killed", "running")

    play.airflow.kill_task(EXITS, play.runs[EXITS], "killed")

    ended = play.airflow.api.wait_for_state(EXITS, play.runs[EXITS], "killed", {"success", "failed"}, 90)
    assert (ended["state"], ended["try_number"]) == ("success", 2)
    assert play.airflow.api.xcom(EXITS, play.runs[EXITS], "killed")["run_id"] == remote
    assert play.remote_runs("killed") == [remote]


def test_marking_a_deferred_task_failed_cancels_its_run_and_its_link_is_there_by_then(play: Play) -> None:
    remote = play.remote(EXITS, "marked", "deferred")
    links = play.airflow.api.get(f"dags/{EXITS}/dagRuns/{play.runs[EXITS]}/taskInstances/marked/links")
    assert f"{play.director.base_url}/{remote}" in str(links)

    play.airflow.api.set_state(EXITS, play.runs[EXITS], "marked", "failed")

    play.airflow.wait_for(lambda: play.director.run(remote)["status"] == "canceled", 30, "the run canceled")
    assert play.airflow.api.task_instance(EXITS, play.runs[EXITS], "marked")["state"] == "failed"


def test_a_triggerer_that_ends_cancels_nothing_and_the_next_one_goes_on(play: Play) -> None:
    remote = play.remote(EXITS, "moved", "deferred")

    play.airflow.kill_triggerer(signal.SIGTERM)
    status = play.director.run(remote)["status"]
    play.airflow.start_triggerer()

    assert status == "progress"
    play.airflow.api.wait_for_state(EXITS, play.runs[EXITS], "moved", "success", 90)
    assert play.remote_runs("moved") == [remote]
    assert play.director.run(remote)["status"] == "success"


def test_sync_and_deferrable_end_alike(play: Play) -> None:
    api, here = play.airflow.api, (ENDS, play.runs[ENDS])
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
