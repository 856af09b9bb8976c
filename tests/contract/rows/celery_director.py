"""Celery Director in the contract suite."""

from __future__ import annotations

from typing import Any

from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sensors.celery_director import CeleryDirectorWorkflowSensor
from tests.contract.row import Row


def _operator(**arguments: Any) -> CeleryDirectorRunWorkflowOperator:
    return CeleryDirectorRunWorkflowOperator(**{"project": "demo", "name": "ETL", **arguments})


def _sensor(ref: RunRef, **arguments: Any) -> CeleryDirectorWorkflowSensor:
    return CeleryDirectorWorkflowSensor(workflow_id=ref.ids["workflow_id"], **arguments)


ROW = Row(
    sandbox=CeleryDirectorSandbox,
    hook=CeleryDirectorHook,
    operator=_operator,
    sensor=_sensor,
    good="success",
    bad="error",
    cancelled="canceled",
    inputs=({"payload": {"n": 1}}, {"payload": {"n": 2}}),
    target={"project": "demo", "name": "ETL"},
)
