"""Meiro Integrations in the contract suite."""

from __future__ import annotations

from typing import Any

from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.operators.meiro import MeiroRunWorkspaceOperator
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sensors.meiro import MeiroWorkspaceJobSensor
from tests.contract.row import Row


def _operator(**arguments: Any) -> MeiroRunWorkspaceOperator:
    return MeiroRunWorkspaceOperator(**{"workspace_id": 100, **arguments})


def _sensor(ref: RunRef, **arguments: Any) -> MeiroWorkspaceJobSensor:
    return MeiroWorkspaceJobSensor(workspace_id=ref.ids["workspace_id"], job_id=ref.ids["job_id"], **arguments)


ROW = Row(
    sandbox=MeiroSandbox,
    hook=MeiroHook,
    operator=_operator,
    sensor=_sensor,
    good="finished",
    bad="error",
    cancelled="canceled",
    inputs=({"workspace_id": 100}, {"workspace_id": 101}),
    target={"workspace_id": "100"},
)
