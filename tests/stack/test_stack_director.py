"""A real Airflow drives a real Celery Director: what a user sees of a run, and what nobody is to see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.demo.stack import LocalAirflow
from tests.stack.dags import dag, run
from tests.stack.looks import wait_for_followed_run
from tests.support.stack import AddDag

pytestmark = pytest.mark.usefixtures("director_conn_id")

FEW = {"seconds": 12}
QUICKLY = {"poll_interval": 1.0}


def _without_identity(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what must be alike for two runs of the same workflow."""
    steps = [{"name": step["name"], "state": step["state"]} for step in manifest["steps"]]
    same = {name: manifest[name] for name in ("vendor", "name", "vendor_status", "state")}
    return {**same, "steps": steps, "keys": sorted(manifest)}


def test_sync_and_deferrable_differ_in_nothing_that_a_user_sees(
    airflow_stack: LocalAirflow, add_dag: AddDag, director: RealDirector
) -> None:
    dag_id = "stack_parity"
    modes = {"sync": False, "deferred": True}
    # A busy Airflow fails a task that is taken up again within seconds of its deferral.
    tasks = [
        run(f"{name.lower()}_{mode}", name, payload={"seconds": seconds}, deferrable=deferrable, **QUICKLY)
        for mode, deferrable in modes.items()
        for name, seconds in (("ETL", 3), ("FAILS", 8))
    ]
    add_dag(dag_id, dag(dag_id, *tasks))
    api = airflow_stack.api
    run_id = api.trigger(dag_id)
    assert api.wait_for_run(dag_id, run_id, 120) == "failed"
    here = (dag_id, run_id)

    states = {row["task_id"]: row["state"] for row in api.task_instances(*here)}
    assert states == {
        "etl_sync": "success",
        "etl_deferred": "success",
        "fails_sync": "failed",
        "fails_deferred": "failed",
    }
    manifests = [api.xcom(*here, f"etl_{mode}") for mode in modes]
    assert _without_identity(manifests[0]) == _without_identity(manifests[1])
    names = [step["name"] for step in manifests[0]["steps"]]
    assert (names[0], names[-1]) == ("EXTRACT", "LOAD")
    for mode, manifest in zip(modes, manifests, strict=True):
        assert director.run(manifest["run_id"])["status"] == "success"
        assert api.xcom(*here, f"etl_{mode}", "run_id") == manifest["run_id"]
        assert api.xcom(*here, f"etl_{mode}", "run_url") == manifest["url"]
    failures = []
    for mode in modes:
        failed = api.xcom(*here, f"fails_{mode}", "run_id")
        text = api.log_text(*here, f"fails_{mode}")
        reason = next(line for line in text.splitlines() if "ended as error" in line and failed in line)
        failures.append(reason.partition(failed)[2])
    assert failures[0] == failures[1]
    assert "ValueError" in failures[0]


def test_the_link_is_there_while_the_task_waits_and_the_trigger_row_holds_no_secret(
    airflow_stack: LocalAirflow, add_dag: AddDag, director_as_published: RealDirector
) -> None:
    dag_id = "stack_visible"
    conn_id = "director_with_password"
    airflow_stack.api.add_connection(conn_id, director_as_published.connection())
    tasks = [
        run(f"waits_{deferrable}".lower(), "SLOW", conn_id, payload=FEW, deferrable=deferrable, **QUICKLY)
        for deferrable in (False, True)
    ]
    add_dag(dag_id, dag(dag_id, *tasks))
    api = airflow_stack.api
    run_id = api.trigger(dag_id)
    for task_id, state in (("waits_false", "running"), ("waits_true", "deferred")):
        remote = wait_for_followed_run(airflow_stack, dag_id, run_id, task_id, state)
        path, page = f"{task_id}/links", f"{director_as_published.base_url}/{remote}"
        airflow_stack.wait_for(
            lambda at=path, page=page: (
                api.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{at}")["extra_links"] == {"Remote run": page}
            ),
            10,
            "the link",
        )
    rows = airflow_stack.query("SELECT classpath, kwargs FROM trigger")
    assert any("RemoteRunTrigger" in row["classpath"] for row in rows)
    assert api.wait_for_run(dag_id, run_id, 90) == "success"

    password = director_as_published.auth[1] if director_as_published.auth else ""
    xcoms = [
        api.xcom(dag_id, run_id, task, key)
        for task in ("waits_false", "waits_true")
        for key in ("return_value", "run_id", "run_url", "remote_run")
    ]
    logs = [log.read_text(errors="replace") for log in airflow_stack.logs_dir.rglob("*.log") if dag_id in str(log)]
    assert logs
    assert password not in json.dumps([rows, xcoms, logs], default=str)
