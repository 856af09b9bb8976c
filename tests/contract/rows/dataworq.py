"""DataWORQ in the contract suite."""

from __future__ import annotations

from typing import Any

from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.operators.dataworq import DataworqExecuteJobOperator
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.dataworq.work import DEMO_FLOWS
from airflow_provider_etlapis.sensors.dataworq import DataworqJobSensor
from tests.contract.row import Row


def _operator(**arguments: Any) -> DataworqExecuteJobOperator:
    flow = DEMO_FLOWS[0]
    return DataworqExecuteJobOperator(**{"flow_id": flow.flow_id, "flow_name": flow.name, **arguments})


def _sensor(ref: RunRef, **arguments: Any) -> DataworqJobSensor:
    return DataworqJobSensor(job_id=ref.ids["job_id"], **arguments)


ROW = Row(
    sandbox=DataworqSandbox,
    hook=DataworqHook,
    operator=_operator,
    sensor=_sensor,
    good="COMPLETED",
    bad="ERROR",
    cancelled="CANCELLED",
    inputs=({"parameters": {"N": 1}}, {"parameters": {"N": 2}}),
    own_errors=frozenset({(400, "text")}),
    target={"flow_name": DEMO_FLOWS[0].name, "run_profile_name": "default"},
)
