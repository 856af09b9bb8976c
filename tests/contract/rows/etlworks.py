"""Etlworks in the contract suite, as its documents leave it: a flow that may overlap, and no call that stops a run."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.sandbox.etlworks import EtlworksSandbox
from airflow_provider_etlapis.sensors.etlworks import EtlworksFlowExecutionSensor
from tests.contract.row import Row


def _operator(**arguments: Any) -> EtlworksRunFlowOperator:
    return EtlworksRunFlowOperator(**{"flow_id": 12346, "run_key_parameter": True, **arguments})


def _sensor(ref: RunRef, **arguments: Any) -> EtlworksFlowExecutionSensor:
    return EtlworksFlowExecutionSensor(flow_id=ref.ids["flow_id"], audit_id=ref.ids["audit_id"], **arguments)


ROW = Row(
    sandbox=partial(EtlworksSandbox, credential="login", token_life=3600.0, single_instance=False),
    hook=EtlworksHook,
    operator=_operator,
    sensor=_sensor,
    good="success",
    bad="error",
    cancelled="canceled",
    inputs=({"parameters": {"runDate": "2026-11-22"}}, {"parameters": {"runDate": "2026-11-23"}}),
    target={"flow_id": "12346"},
    warning="warning",
)
