"""What the contract suite needs of a vendor: one row. The suite itself knows no vendor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.runs.evidence import StartProof
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from airflow_provider_etlapis.sensors.base import RemoteRunSensor
from tests.contract.claims import overrides


@dataclass(frozen=True)
class Row:
    """One vendor in the contract suite.

    :param sandbox: makes a sandbox of the vendor, not started, with whatever the operator below starts in it; takes
        the options that all sandboxes have.
    :param hook: the hook class; its argument is the connection id.
    :param operator: makes an operator that starts a run in that sandbox: ``operator(task_id=..., **common)``,
        where ``common`` may hold any parameter of ``RemoteRunOperator`` and of Airflow's ``BaseOperator``.
    :param sensor: makes a sensor for a run: ``sensor(ref, task_id=..., **common)``.
    :param good, bad, cancelled: the vendor's status words for the three ends.
    :param inputs: two different sets of keyword arguments for the operator's inputs.
    :param target: what the operator starts with the first of them, named as the hook's ``runs_of`` takes it; ``None``
        where the hook has none.
    :param own_errors: odd answers, by status and form, that may be the vendor's own by all that its document says:
        they count as its word, so a start that is answered so counts as refused.
    :param warning: the vendor's status word for a good end with a warning; ``None`` where it has none.
    :param variant: tells two rows of one vendor apart.
    """

    sandbox: Callable[..., VendorSandbox]
    hook: type[RemoteRunHook]
    operator: Callable[..., RemoteRunOperator]
    sensor: Callable[..., RemoteRunSensor]
    good: str
    bad: str
    cancelled: str
    inputs: tuple[Mapping[str, Any], Mapping[str, Any]]
    target: Mapping[str, Any] | None = None
    own_errors: frozenset[tuple[int, str]] = frozenset()
    warning: str | None = None
    variant: str = ""

    @property
    def vendor(self) -> str:
        """The connection type."""
        return self.hook.conn_type

    @property
    def name(self) -> str:
        """What the row is called in the ids of tests and in the matrix."""
        return f"{self.vendor}-{self.variant}" if self.variant else self.vendor

    @property
    def hook_path(self) -> str:
        """The dotted path of the hook class, as triggers take it."""
        return f"{self.hook.__module__}.{self.hook.__qualname__}"

    @property
    def proof(self) -> StartProof | None:
        """What the vendor's API shows about a run that tells whose it is, if the hook says so."""
        return self.hook.start_proof if overrides(self.hook, "start_proof") else None

    @property
    def can_show(self) -> bool:
        """Whether the run of an unanswered start call can be shown to be the task's own."""
        can_look = self.hook.capabilities.finds_lost_starts
        return can_look and (self.proof is None or self.proof.can_show)

    @property
    def has_marker(self) -> bool:
        """Whether a run carries the text that recognises it, so that no note of the start call is needed."""
        return self.can_show and (self.proof is None or bool(self.proof.marker))

    def ref_of(self, manifest: Mapping[str, Any]) -> RunRef:
        """Return the reference of a run from its manifest."""
        return RunRef(manifest["vendor"], manifest["ids"])
