"""What the demo asks a vendor's side by itself, so that the vendor's own word stands beside Airflow's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import requests

from airflow_provider_etlapis.sandbox.lives import latest

if TYPE_CHECKING:
    from airflow_provider_etlapis.sandbox.server import VendorSandbox

TIMEOUT = 10.0


@dataclass(frozen=True)
class Glance:
    """A run as its vendor describes it now."""

    status: str
    done: int = 0
    total: int = 0
    error: str | None = None
    """The vendor's own reason, of a run that failed."""


class VendorSide(Protocol):
    """A vendor's server, real or sandbox, as the demo needs it."""

    title: str
    vendor: str
    base_url: str
    connection: Mapping[str, Any]

    def start(self) -> None:
        """Wait until the server answers, starting it if that has not been done."""

    def glance(self, run_id: str) -> Glance | None:
        """Look at a run by its id, as our operators push it; None when there is no answer just now."""


class SandboxSide:
    """A vendor's sandbox in this process: its own table of runs tells, whatever its API looks like."""

    def __init__(self, sandbox: VendorSandbox) -> None:
        self._sandbox = sandbox
        self.vendor = sandbox.vendor
        self.title = f"{sandbox.vendor} sandbox"
        self.base_url = sandbox.base_url
        self.connection: Mapping[str, Any] = sandbox.connection()

    def start(self) -> None:
        """Do nothing: it serves since it was made."""

    def glance(self, run_id: str) -> Glance | None:
        """Tell the phase of a run, the ends of its steps and its scripted error."""
        # Our ids name the way to a run, such as flow and execution; some vendors number their runs by the last alone.
        runs = self._sandbox.runs
        run = runs.get(run_id) or runs.get(run_id.rpartition("/")[2])
        if run is None:
            return None
        now = self._sandbox.clock.now()
        steps = [latest(step.changes, now).phase for step in run.timeline.steps]
        phase = run.current(now).phase
        return Glance(
            status=phase,
            done=steps.count("success"),
            total=len(steps),
            error=run.life.error_text if phase == "error" else None,
        )


class DirectorSide:
    """Celery Director: one GET tells status, steps and error."""

    vendor = "celery_director"

    def __init__(self, title: str, connection: Mapping[str, str], start: Callable[[], None] = lambda: None) -> None:
        self.title = title
        self.start = start
        self.connection = connection
        self.base_url = connection["host"]
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no .netrc of the user between us and localhost
        if connection.get("login"):
            self._session.auth = (connection["login"], connection.get("password", ""))

    def glance(self, run_id: str) -> Glance | None:
        """Count the steps that have ended well; hooks are not steps."""
        try:
            answer = self._session.get(f"{self.base_url}/api/workflows/{run_id}", timeout=TIMEOUT)
        except (requests.ConnectionError, requests.Timeout):  # the table shows the last known state meanwhile
            return None
        if not answer.ok:
            return None
        run: dict[str, Any] = answer.json()
        steps = [task for task in run["tasks"] if not task["is_hook"]]
        faults = [task["result"] for task in steps if task["status"] == "error" and task["result"]]
        return Glance(
            status=run["status"],
            done=sum(task["status"] == "success" for task in steps),
            total=len(steps),
            error=faults[0]["exception"] if faults else None,
        )
