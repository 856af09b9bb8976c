"""What the contract suite needs of a vendor: one row. The suite itself knows no vendor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from airflow_provider_etlapis.sensors.base import RemoteRunSensor


@dataclass(frozen=True)
class Row:
    """One vendor in the contract suite.

    :param sandbox: makes a sandbox of the vendor, not started, with whatever the operator below starts in it.
    :param hook: the hook class; its argument is the connection id.
    :param operator: makes an operator that starts a run in that sandbox: ``operator(task_id=..., **common)``,
        where ``common`` may hold any parameter of ``RemoteRunOperator`` and of Airflow's ``BaseOperator``.
    :param sensor: makes a sensor for a run: ``sensor(ref, task_id=..., **common)``.
    :param good, bad, cancelled: the vendor's status words for the three ends.
    :param inputs: two different sets of keyword arguments for the operator's inputs.
    """

    sandbox: Callable[[], VendorSandbox]
    hook: type[RemoteRunHook]
    operator: Callable[..., RemoteRunOperator]
    sensor: Callable[..., RemoteRunSensor]
    good: str
    bad: str
    cancelled: str
    inputs: tuple[Mapping[str, Any], Mapping[str, Any]]

    @property
    def vendor(self) -> str:
        """The connection type."""
        return self.hook.conn_type

    def ref_of(self, manifest: Mapping[str, Any]) -> RunRef:
        """Return the reference of a run from its manifest."""
        return RunRef(manifest["vendor"], manifest["ids"])
