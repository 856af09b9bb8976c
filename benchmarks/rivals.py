"""Stand-ins for the status calls of the rivals' vendors: the least that their triggers accept as an answer.

They are served by the same machinery as our sandboxes, so that every contestant meets the same server. Nothing here
is a rival's fault or merit: no login is asked for, and bodies are smaller than the real ones.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.messages import Call, Reply, route
from airflow_provider_etlapis.sandbox.server import VendorSandbox


class _StandIn(VendorSandbox):
    """A vendor with numbered runs and one status call."""

    default_flow = "job"
    host_field: ClassVar[str] = "{base_url}"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._numbers = itertools.count(1)

    def credentials(self) -> dict[str, Any]:
        """Return no login."""
        return {}

    def script(self, flow: str, request: Mapping[str, Any], life: Life | None) -> Life:
        """Take the life as it is."""
        return life or self.default_life

    def new_run_id(self) -> str:
        """Count."""
        return str(next(self._numbers))

    def refuse_login(self, call: Call) -> Reply | None:
        """Let everybody in."""
        return None

    def error(self, status: int, text: str | None = None, *, path: str = "") -> Reply:
        """Answer in JSON."""
        return Reply.json(status, {"message": text or "error"})

    def has_ended(self, run_id: str) -> bool:
        """Say whether a run has ended."""
        return not self.runs[run_id].is_live(self.clock.now())


class DbtCloudStandIn(_StandIn):
    """The v2 call that shows a run."""

    vendor = connection_type = "dbt_cloud"

    def credentials(self) -> dict[str, Any]:
        """Return a token; the provider does not go without one, and always speaks https."""
        return {"host": self.base_url.removeprefix("https://"), "login": "1", "password": "token"}

    @route("status", "GET", "/api/v2/accounts/{account_id}/runs/{run_id}/")
    def get_run(self, call: Call) -> Reply:
        """Show a run."""
        run_id = call.parameters["run_id"]
        return Reply.json(200, {"data": {"id": int(run_id), "status": 10 if self.has_ended(run_id) else 3}})


class AirbyteStandIn(_StandIn):
    """The public API's call that shows a job."""

    vendor = connection_type = "airbyte"

    @route("status", "GET", "/jobs/{job_id}")
    def get_job(self, call: Call) -> Reply:
        """Show a job."""
        job_id = call.parameters["job_id"]
        job = {
            "jobId": int(job_id),
            "connectionId": "00000000-0000-0000-0000-000000000000",
            "jobType": "sync",
            "startTime": "2026-01-01T00:00:00Z",
            "status": "succeeded" if self.has_ended(job_id) else "running",
        }
        return Reply.json(200, job)


class DatabricksStandIn(_StandIn):
    """The jobs API's call that shows a run."""

    vendor = connection_type = "databricks"

    def credentials(self) -> dict[str, Any]:
        """Return a token; the port is a field of its own."""
        host, _, port = self.base_url.rpartition(":")
        return {"host": host, "port": int(port), "password": "token", "extra": {}}

    @route("status", "GET", "/api/2.2/jobs/runs/get")
    def get_run(self, call: Call) -> Reply:
        """Show a run."""
        run_id = str(json.loads(call.body)["run_id"])
        state = {"life_cycle_state": "RUNNING", "state_message": ""}
        if self.has_ended(run_id):
            state = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": ""}
        return Reply.json(200, {"run_id": int(run_id), "state": state, "tasks": []})


class HttpStandIn(_StandIn):
    """What the HTTP sensor waits for: a resource that is not there yet."""

    vendor = connection_type = "http"

    @route("status", "GET", "/runs/{run_id}")
    def get_run(self, call: Call) -> Reply:
        """Say 404 until the run has ended."""
        run_id = call.parameters["run_id"]
        return Reply.json(200 if self.has_ended(run_id) else 404, {"id": run_id})


STAND_INS: dict[str, type[VendorSandbox]] = {
    stand_in.vendor: stand_in for stand_in in (DbtCloudStandIn, AirbyteStandIn, DatabricksStandIn, HttpStandIn)
}
