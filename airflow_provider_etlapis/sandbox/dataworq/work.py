"""What a DataWORQ server runs: flows, and the job status that a run of one shows, its log included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from airflow_provider_etlapis.sandbox.dataworq.log import job_log
from airflow_provider_etlapis.sandbox.lives import Life, latest
from airflow_provider_etlapis.sandbox.runs import Run

STATUSES = {
    "queued": "QUEUED",
    "running": "RUNNING",
    "success": "COMPLETED",
    "error": "ERROR",
    "canceled": "CANCELLED",
}
ENDED = frozenset({"success", "error", "canceled"})

ErrorForm = Literal["text", "object", "null"]


@dataclass(frozen=True)
class Flow:
    """A flow on the server.

    :param flow_id: its id, a UUID
    :param name: its name, unique here
    :param steps: step names in order
    :param profiles: its run profiles
    :param life: of its jobs; default: the sandbox's
    :param parameters: the values of its own parameter set, which a start may replace and add to
    """

    flow_id: str
    name: str
    steps: Sequence[str] = ("Step 1", "Step 2", "Step 3")
    profiles: Sequence[str] = ("default",)
    life: Life | None = None
    parameters: Mapping[str, str | int | float] = field(default_factory=dict)


DEMO_FLOWS = (
    Flow("37bd74f9-771d-4b5b-9549-ca648a57ea34", "SalesLoad", profiles=("default", "nightly"), life=Life(duration=4.0)),
    Flow(
        "0f6c2c2e-5a0e-4d4c-8a3e-3d9f5b8f1c02",
        "SalesForecast",
        life=Life(
            duration=3.0,
            outcome="error",
            failing_step="Step 2",
            error_text="The column UNIT_DEMAND is missing from retail_unit_demand.csv",
        ),
    ),
    Flow("b1f5a0c4-6d0b-4f3a-9f64-7be2f5f0d7a3", "CubeRefresh", life=Life(duration=6.0)),
)


@dataclass(frozen=True)
class Show:
    """How a server shows jobs, where its document leaves that open.

    :param zone: hours between UTC and the server's own time, in which its texts are written
    :param error_form: what ``error`` of a failed job is
    :param log_while_running: whether a running job has a log already
    """

    zone: float = -4.0
    error_form: ErrorForm = "text"
    log_while_running: bool = False

    def local(self, at: float) -> datetime:
        """Return a time by the server's own clock."""
        return datetime.fromtimestamp(at, UTC).replace(tzinfo=None) + timedelta(hours=self.zone)

    def stamp(self, at: float | None) -> str:
        """Write a time as in ``startTimeFormatted``; what has not come is an empty text."""
        return "" if at is None else self.local(at).isoformat(" ", "milliseconds")


def job_name(run: Run) -> str:
    """Return flow and profile as the server joins them."""
    return f"{run.flow}_{run.details['profile']}"


def job_status(run: Run, now: float, show: Show, word: str | None = None) -> dict[str, Any]:
    """Return a job as the server shows it.

    :param now: unix seconds
    :param show: how it is shown
    :param word: a status word in place of the true one
    """
    change = run.current(now)
    started = next((c.at for c in run.timeline.run if c.phase == "running" and c.at <= now), None)
    ended = change.at if change.phase in ENDED else None
    has_log = ended is not None or (show.log_while_running and started is not None)
    return {
        "id": run.id,
        "jobType": "RUNPROFILE",
        "flowName": run.flow,
        "runProfileName": run.details["profile"],
        "jobName": job_name(run),
        "startTime": _millis(started),
        "endTime": _millis(ended),
        "executionStatus": word or STATUSES[change.phase],
        "log": job_log(run, now, show.zone) if has_log else None,
        "executionPerformanceReport": None,
        "error": _error(run, show) if change.phase == "error" else None,
        **_current_step(run, now, ended),
        "runProfile": job_name(run),
        "runtimeFormatted": "" if ended is None or started is None else f"{ended - started:.3f} seconds",
        "startTimeFormatted": show.stamp(started),
        "endTimeFormatted": show.stamp(ended),
    }


def _error(run: Run, show: Show) -> Any:
    forms: dict[ErrorForm, Any] = {
        "text": run.life.error_text,
        "object": {"message": run.life.error_text, "step": run.life.failing_step},
        "null": None,
    }
    return forms[show.error_form]


def _current_step(run: Run, now: float, ended: float | None) -> dict[str, Any]:
    """Return the facts about the newest step that was touched; null before the first one is."""
    steps = run.timeline.steps
    begun = [step for step in steps if latest(step.changes, now).phase not in ("waiting", "canceled")]
    if not begun:
        names = ("currentStepId", "currentStepDescription", "currentStepStartTime", "currentStepStatus")
        return {**dict.fromkeys(names), "currentStepElapsedTime": "N/A"}
    step = begun[-1]
    change = latest(step.changes, now)
    began = next(c.at for c in step.changes if c.phase == "running")
    is_running = change.phase == "running" and ended is None
    return {
        "currentStepId": step.name,
        "currentStepDescription": f"{step.name} (0 of 1 completed)" if is_running else f"{step.name} (1)",
        "currentStepStartTime": _millis(change.at),
        "currentStepStatus": "RUNNING" if is_running else "COMPLETED",
        "currentStepElapsedTime": str(timedelta(seconds=int(now - began))) if is_running else "N/A",
    }


def _millis(at: float | None) -> int | None:
    return None if at is None else round(at * 1000)
