"""WebRobot in the contract suite."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.operators.webrobot import WebRobotExecuteJobOperator
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox
from airflow_provider_etlapis.sensors.webrobot import WebRobotExecutionSensor
from tests.contract.row import Row


def _operator(**arguments: Any) -> WebRobotExecuteJobOperator:
    return WebRobotExecuteJobOperator(**{"project_id": "98", "job_id": "210", **arguments})


def _sensor(ref: RunRef, **arguments: Any) -> WebRobotExecutionSensor:
    return WebRobotExecutionSensor(**ref.ids, **arguments)


ROW = Row(
    # No document tells the status of a stopped run; this is the word that the vendor's own clients look for.
    sandbox=partial(WebRobotSandbox, stopped_status="CANCELLED"),
    hook=WebRobotHook,
    operator=_operator,
    sensor=_sensor,
    good="COMPLETED",
    bad="FAILED",
    cancelled="CANCELLED",
    inputs=({"arguments": ["--day", "1"]}, {"arguments": ["--day", "2"]}),
    target={"project_id": "98", "job_id": "210"},
)
