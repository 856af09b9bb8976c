"""One DAG, played with `dag.test()`: what Airflow users expect of any operator and sensor, on every Airflow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.celery_director.work import Definition
from airflow_provider_etlapis.sandbox.lives import Life

SOURCE = """
from datetime import datetime, timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator as Run
from airflow_provider_etlapis.sensors.celery_director import CeleryDirectorWorkflowSensor as Sense

AMPLE = timedelta(seconds=60)
COMMON = {"celery_director_conn_id": "vendor", "project": "demo", "poll_interval": 0.2, "deferrable": True,
          "poke_interval": 0.5, "timeout": 60.0, "retries": 0}

with DAG("played", start_date=datetime(2026, 1, 1), schedule=None, default_args=COMMON,
         render_template_as_native_obj=True) as the_dag:
    Run(task_id="native", name="GOOD", payload="{{ {'n': 7, 'task': task.task_id} }}")
    ends = [{"name": "GOOD", "payload": {"n": 1}}, {"name": "BAD"}]
    Run.partial(task_id="mapped", deferrable=False).expand_kwargs(ends)

    start = Run(task_id="start", name="LATER", wait_for_completion=False)
    pulled = "{{ ti.xcom_pull('start')['run_id'] }}"
    start >> Sense.partial(task_id="sense", deferrable=False, mode="reschedule").expand(workflow_id=[pulled])
"""

pytestmark = pytest.mark.xdist_group("played_dag")  # it is played once

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def vendor() -> Iterator[CeleryDirectorSandbox]:
    """A Director with runs that end well, badly, and after a while."""
    with CeleryDirectorSandbox() as director:
        lives = {"GOOD": Life(duration=0.3), "LATER": Life(duration=3.0), "BAD": Life(duration=0.1, outcome="error")}
        for name, life in lives.items():
            director.define(Definition(f"demo.{name}", ("WORK",), life=lambda payload, life=life: life))
        yield director


@pytest.fixture(scope="module")
def states(vendor: CeleryDirectorSandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Play the DAG, and return the state of each task."""
    home = tmp_path_factory.mktemp("played")
    file = home / "dags" / "played.py"
    file.parent.mkdir()
    file.write_text(SOURCE)
    airflow = LocalAirflow(home, file.parent, connections={"vendor": vendor.connection()})
    airflow.make_database()
    try:
        return _play(file, airflow)
    finally:
        airflow.stop()


def _play(file: Path, airflow: LocalAirflow) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.releases.play_dag", str(file)],
        env={**airflow.env, "PYTHONPATH": str(CHECKOUT)},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("STATES ")]
    assert told, done.stdout[-4000:] + done.stderr[-4000:]
    states: dict[str, str] = json.loads(told[-1].removeprefix("STATES "))
    return states


def test_native_rendering_hands_over_a_dict_and_default_args_hold(
    states: dict[str, str], vendor: CeleryDirectorSandbox
) -> None:
    assert states["native"] == "success"
    assert {"n": 7, "task": "native"} in _payloads(vendor)


def test_mapped_tasks_each_have_a_run_and_an_end_of_their_own(
    states: dict[str, str], vendor: CeleryDirectorSandbox
) -> None:
    assert (states["mapped[0]"], states["mapped[1]"]) == ("success", "failed")
    assert {"n": 1} in _payloads(vendor)


def test_a_mapped_and_rescheduled_sensor_waits_for_the_run_of_another_task(states: dict[str, str]) -> None:
    assert states["sense[0]"] == "success"


def test_every_task_started_one_run_and_cancelled_none(states: dict[str, str], vendor: CeleryDirectorSandbox) -> None:
    starting = [name for name in states if not name.startswith("sense")]
    assert len(vendor.ledger.starts) == len(starting)
    assert vendor.ledger.cancels == []


def _payloads(vendor: CeleryDirectorSandbox) -> list[object]:
    return [run.request.get("payload") for run in vendor.ledger.runs]
