"""Type checkers know every parameter of operators and sensors, Airflow's own included."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator

from airflow_provider_etlapis.operators.arguments import (
    AirflowSensorArguments,
    RunArguments,
    SensorArguments,
    TaskArguments,
)
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.sensors.base import RemoteRunSensor
from tests.support.releases import AIRFLOW

DAG_FILE = """
from datetime import timedelta
from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator as Run
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator as Flow
from airflow_provider_etlapis.sensors.meiro import MeiroWorkspaceJobSensor as Sensor

good = Run(task_id="a", project="p", name="n", deferrable=True, timeout=timedelta(hours=1), retries=3, pool="etl")
also = Sensor(task_id="b", run_id="1/2", poke_interval=30, mode="reschedule", meiro_conn_id="m", doc_md="text")
Run(task_id="c", project="p", name="n", poll_intervall=5)
Flow(task_id="d", flow_id=1, deferrable="yes")
Flow(task_id="e", flow_id=1, timeout="1h")
Sensor(task_id="f", run_id="1/2", poke_intervall=5)
Sensor(run_id="1/2")
"""
WRONG = {9: "poll_intervall", 10: "deferrable", 11: "timeout", 12: "poke_intervall", 13: "task_id"}


def test_a_type_checker_finds_misspelt_and_mistyped_parameters_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="it is not among the libraries of the older releases' environments")
    file = tmp_path / "dag.py"
    file.write_text(DAG_FILE)

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(file)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
        check=False,
    )

    found = re.findall(r"dag\.py:(\d+): error: (.*)", done.stdout)
    assert {int(line) for line, _ in found} == set(WRONG), done.stdout + done.stderr
    for line, message in found:
        assert WRONG[int(line)] in message


def parameters(of: type) -> set[str]:
    return set(inspect.signature(of.__init__).parameters) - {"self", "kwargs"}  # type: ignore[misc]


def test_the_names_are_those_of_the_classes() -> None:
    assert parameters(RemoteRunOperator) <= set(RunArguments.__annotations__)
    assert parameters(RemoteRunSensor) <= set(SensorArguments.__annotations__)
    assert parameters(BaseSensorOperator) <= set(AirflowSensorArguments.__annotations__)
    assert parameters(BaseOperator) <= set(TaskArguments.__annotations__)
    if AIRFLOW >= (3, 3):
        assert set(TaskArguments.__annotations__) - parameters(BaseOperator) == {"task_concurrency"}  # Airflow 2's
