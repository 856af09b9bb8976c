"""How each of our vendors' sandboxes is set up for the benchmark: one row a contestant of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.runs import Run
from airflow_provider_etlapis.sandbox.server import VendorSandbox

_PROJECTS = 10
_FIRST_WORKSPACE = 1000


@dataclass(frozen=True)
class Vendor:
    """One of our vendors on the benchmark's server.

    :param sandbox_name: key of the sandbox.
    :param ids: the ids by which the hook finds a run of the sandbox.
    :param options: of the sandbox, beyond those that all have.
    :param extra: of the connection.
    :param flow: makes what the run with this number is a run of, and returns its name; ``None``: the sandbox's own.
    """

    sandbox_name: str
    ids: Callable[[Run], Mapping[str, str]]
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    flow: Callable[[Any, int], str] | None = None

    def sandbox(self, make: Callable[..., VendorSandbox], options: Mapping[str, Any]) -> VendorSandbox:
        """Return the sandbox, not started."""
        return make(**options, **self.options)

    def connection(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the connection's fields with the benchmark's extras."""
        return {**fields, "extra": {**fields.get("extra", {}), **self.extra}}

    def seed(self, sandbox: VendorSandbox, life: Life, age: float, index: int) -> dict[str, Any]:
        """Add one run, and return its reference as a trigger takes it."""
        flow = self.flow(sandbox, index) if self.flow else None
        run = sandbox.seed_run(life, age=age, flow=flow)
        return {"vendor": sandbox.connection_type, "ids": dict(self.ids(run)), "since": run.started_at}


def _workspace(sandbox: Any, index: int) -> str:
    from airflow_provider_etlapis.sandbox.meiro.work import Workspace

    workspace = sandbox.define(Workspace(_FIRST_WORKSPACE + index, f"workspace {index}"))
    return str(workspace.id)


def _job(sandbox: Any, index: int) -> str:
    from airflow_provider_etlapis.sandbox.webrobot.work import Job

    job = sandbox.define(
        Job(project=str(500 + index % _PROJECTS), id=str(10_000 + index), name=f"job {index}", tasks=())
    )
    return f"{job.project}/{job.id}"


def _parts(*names: str) -> Callable[[Run], Mapping[str, str]]:
    return lambda run: dict(zip(names, run.id.split("/"), strict=True))


def _flow_and_audit(run: Run) -> Mapping[str, str]:
    return {"flow_id": run.flow, "audit_id": run.id}


VENDORS: dict[str, Vendor] = {
    "celery_director": Vendor("celery_director", _parts("workflow_id")),
    "meiro": Vendor("meiro", _parts("workspace_id", "job_id"), flow=_workspace),
    "webrobot": Vendor("webrobot", _parts("project_id", "job_id", "execution_id"), flow=_job),
    "dataworq": Vendor("dataworq", _parts("job_id")),
    # A budget that leaves the vendor's limit of 600 a minute some room for the first burst.
    "etlworks_admin": Vendor("etlworks", _flow_and_audit, extra={"requests_per_minute": 540}),
    # A key that may not read the report: each run is read on its own.
    "etlworks": Vendor("etlworks", _flow_and_audit, {"role": "operator"}, {"requests_per_minute": 540}),
}
