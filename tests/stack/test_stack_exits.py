"""Every way in which a wait can end before its run does, in a real Airflow with a real Director."""

from __future__ import annotations

import signal

import pytest

from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.demo.stack import LocalAirflow
from tests.stack.dags import dag, run
from tests.stack.looks import wait_for_followed_run, wait_for_watching
from tests.support.stack import AddDag

pytestmark = pytest.mark.usefixtures("director_conn_id")

LONG = {"seconds": 90}
QUICKLY = {"poll_interval": 1.0}
SHORT = 6


def test_a_deadline_cancels_the_run_or_leaves_it_as_asked_and_the_task_says_which(
    airflow_stack: LocalAirflow, add_dag: AddDag, director: RealDirector
) -> None:
    dag_id = "exit_deadlines"
    limits = {"timeout": {"timeout": SHORT}, "execution_timeout": {"execution_timeout": f"timedelta(seconds={SHORT})"}}
    tasks = []
    for name, limit in limits.items():
        for mode, deferrable in (("sync", False), ("deferred", True)):
            task = run(f"{name}_{mode}", "SLOW", payload=LONG, deferrable=deferrable, **limit, **QUICKLY)
            tasks.append(task.replace("'timedelta", "timedelta").replace(")'", ")"))
    left = {"timeout": SHORT, "cancel_on_timeout": False, "deferrable": True}
    tasks.append(run("left_alone", "SLOW", payload=LONG, **left, **QUICKLY))
    add_dag(dag_id, dag(dag_id, *tasks))
    api = airflow_stack.api
    run_id = api.trigger(dag_id)
    assert api.wait_for_run(dag_id, run_id, 90) == "failed"

    for row in api.task_instances(dag_id, run_id):
        task_id = row["task_id"]
        remote = api.xcom(dag_id, run_id, task_id, "run_id")
        text = api.log_text(dag_id, run_id, task_id)
        if task_id == "left_alone":
            assert director.run(remote)["status"] == "progress"
            director.cancel(remote)
        assert row["state"] == "failed"
        assert "had not ended by its deadline" in text, task_id
        assert director.run(remote)["status"] == "canceled", task_id
        assert ("was left alone" if task_id == "left_alone" else "asked to cancel") in text


def test_marking_a_task_success_or_its_dag_run_failed_cancels_the_run(
    airflow_stack: LocalAirflow, add_dag: AddDag, director: RealDirector
) -> None:
    dag_id = "exit_by_hand"
    waiting = {"payload": LONG, **QUICKLY}
    names = {"marked": True, "deferred": True, "running": False}
    add_dag(dag_id, dag(dag_id, *(run(name, "SLOW", deferrable=mode, **waiting) for name, mode in names.items())))
    api = airflow_stack.api
    run_id = api.trigger(dag_id)
    here = (dag_id, run_id)
    remotes = {
        name: wait_for_followed_run(airflow_stack, *here, name, "deferred" if deferrable else "running")
        for name, deferrable in names.items()
    }
    for name in ("marked", "deferred"):
        wait_for_watching(airflow_stack, *here, name, remotes[name])

    api.set_state(*here, "marked", "success")
    airflow_stack.wait_for(lambda: director.run(remotes["marked"])["status"] == "canceled", 30, "a canceled run")
    assert director.run(remotes["deferred"])["status"] == "progress"
    api.set_run_state(*here, "failed")

    for name in ("deferred", "running"):
        airflow_stack.wait_for(lambda r=remotes[name]: director.run(r)["status"] == "canceled", 30, f"{name} canceled")
    assert api.task_instance(*here, "marked")["state"] == "success"


def test_a_deadline_holds_when_no_triggerer_is_alive(
    airflow_stack: LocalAirflow, add_dag: AddDag, director: RealDirector
) -> None:
    dag_id = "exit_no_triggerer"
    add_dag(dag_id, dag(dag_id, run("waits", "SLOW", payload=LONG, deferrable=True, timeout=3, **QUICKLY)))
    api = airflow_stack.api
    airflow_stack.kill_triggerer(signal.SIGKILL)
    try:
        run_id = api.trigger(dag_id)
        remote = wait_for_followed_run(airflow_stack, dag_id, run_id, "waits", "deferred")

        assert api.wait_for_run(dag_id, run_id, 120) == "failed"

        assert "no triggerer ended the wait in time" in api.log_text(dag_id, run_id, "waits")
        assert director.run(remote)["status"] == "canceled"
    finally:
        airflow_stack.start_triggerer()


def test_a_crashed_trigger_leaves_the_run_and_a_retry_follows_it(
    airflow_stack: LocalAirflow, add_dag: AddDag, director: RealDirector
) -> None:
    dag_id = "exit_trigger_crash"
    # A hook path that cannot be imported in the triggerer stands for any defect there.
    broken = """
class Broken(Run):
    @classmethod
    def hook_path(cls):
        return "no.such.Hook"
    def execute(self, context):
        self.deferrable = context["ti"].try_number == 1
        return super().execute(context)

"""
    task = run("waits", "SLOW", payload={"seconds": 20}, retries=1, retry_delay=1, **QUICKLY)
    source = dag(dag_id, task.replace("Run(", "Broken(", 1)).replace("\nwith DAG", f"{broken}\nwith DAG")
    add_dag(dag_id, source)
    api = airflow_stack.api
    run_id = api.trigger(dag_id)
    assert api.wait_for_run(dag_id, run_id, 120) == "success"

    ours = [row for row in director.runs() if f"airflow {dag_id}." in str(row.get("comment"))]
    assert len(ours) == 1
    assert "was left alone; a retry of the task follows it again" in api.log_text(dag_id, run_id, "waits", try_number=1)
    assert api.xcom(dag_id, run_id, "waits")["run_id"] == ours[0]["id"]
