"""A real Airflow on localhost: what `LocalAirflow` promises to the stack tests."""

from __future__ import annotations

import os
import signal

import pytest

from airflow_provider_etlapis.demo.stack import LocalAirflow, clean_environment
from tests.support.stack import AddDag

DAG = """
    import sys, time
    from datetime import datetime, timedelta
    from airflow.providers.common.compat.sdk import DAG, BaseOperator
    from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

    class Waits(BaseOperator):
        def execute(self, context):
            context["ti"].xcom_push(key="run_id", value="r-1")
            self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=2)), method_name="done")

        def done(self, context, event=None):
            return {"rows": [1, 2]}

    class Sleeps(BaseOperator):
        def execute(self, context):
            print("sleeping now")
            time.sleep(60)

    class Fails(BaseOperator):
        def execute(self, context):
            raise ValueError("the reason")

    with DAG("stack_smoke", start_date=datetime(2026, 1, 1), schedule=None):
        Waits(task_id="waits")
        Sleeps(task_id="sleeps")
        Fails(task_id="fails")
"""


def test_a_deferred_task_a_failing_one_and_a_killed_one(airflow_stack: LocalAirflow, add_dag: AddDag) -> None:
    add_dag("stack_smoke", DAG)
    api = airflow_stack.api
    run_id = api.trigger("stack_smoke", conf={"a": 1})
    run = ("stack_smoke", run_id)

    api.wait_for_state(*run, "sleeps", "running")
    airflow_stack.wait_for(lambda: "sleeping now" in api.log_text(*run, "sleeps"), 20, "the log of a running task")
    workers = airflow_stack.task_processes(*run, "sleeps")
    assert workers.supervisor
    assert airflow_stack.kill_task(*run, "sleeps") == workers.task
    api.wait_for_state(*run, "sleeps", "failed")

    api.wait_for_state(*run, "waits", "success")
    assert api.xcom(*run, "waits") == {"rows": [1, 2]}
    assert api.xcom(*run, "waits", "run_id") == "r-1"
    assert api.xcom(*run, "waits", "absent") is None

    api.wait_for_state(*run, "fails", "failed")
    assert "ValueError: the reason" in api.log_text(*run, "fails")

    assert api.wait_for_run(*run) == "failed"
    assert {row["task_id"]: row["state"] for row in api.task_instances(*run)} == {
        "waits": "success",
        "sleeps": "failed",
        "fails": "failed",
    }


def test_a_cleared_task_runs_again_and_can_be_marked(airflow_stack: LocalAirflow, add_dag: AddDag) -> None:
    add_dag("stack_clear", DAG.replace("stack_smoke", "stack_clear"))
    api = airflow_stack.api
    run = ("stack_clear", api.trigger("stack_clear"))
    api.wait_for_state(*run, "waits", "success")

    api.clear(*run, ["waits"])
    assert api.wait_for_state(*run, "waits", "deferred")["try_number"] == 2
    trigger_rows = "SELECT t.* FROM trigger t JOIN task_instance i ON i.trigger_id = t.id WHERE i.run_id = ?"
    assert len(airflow_stack.query(trigger_rows, run[1])) == 1

    api.set_state(*run, "waits", "failed")
    assert api.task_instance(*run, "waits")["state"] == "failed"
    api.set_run_state(*run, "failed")
    api.wait_for_state(*run, "sleeps", "failed")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_triggerer_can_be_killed_and_another_started(airflow_stack: LocalAirflow, signum: int) -> None:
    old = airflow_stack.component("triggerer")

    airflow_stack.kill_triggerer(signum)
    new = airflow_stack.start_triggerer()

    assert old.members() == []
    assert new.pid == airflow_stack.pid("triggerer") != old.pid
    airflow_stack.wait_healthy(30)


def test_a_connection_can_be_added_and_replaced(airflow_stack: LocalAirflow) -> None:
    for host in ("http://one", "http://two"):
        airflow_stack.api.add_connection("stack_test", {"conn_type": "http", "host": host, "extra": {"a": 1}})

    connection = airflow_stack.api.get("connections/stack_test")
    assert (connection["host"], connection["extra"]) == ("http://two", '{"a": 1}')


def test_nothing_of_the_users_airflow_reaches_the_stack(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {
        "AIRFLOW_HOME": "/home/user/airflow",
        "AIRFLOW_CONFIG": "/home/user/airflow.cfg",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW_CONN_PROD": "postgres://prod",
        "_AIRFLOW_DB_MIGRATE": "true",
    }
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)

    env = clean_environment(tmp_path)

    assert {name: value for name, value in env.items() if "AIRFLOW" in name} == {"AIRFLOW_HOME": str(tmp_path)}
    assert env["PATH"] == os.environ["PATH"]


def test_every_file_of_the_stack_is_in_its_home(airflow_stack: LocalAirflow) -> None:
    assert airflow_stack.plan.database.is_relative_to(airflow_stack.home)
    assert airflow_stack.logs_dir.is_relative_to(airflow_stack.home)
    assert airflow_stack.airflow("config", "get-value", "core", "executor").strip() == "LocalExecutor"
