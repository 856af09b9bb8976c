"""What an Etlworks instance runs: flows, and how flows and runs look in its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_etlapis.sandbox.lives import Life, StepLine, story
from airflow_provider_etlapis.sandbox.runs import Run

_CREATED = 1715366462000
_RECORDS_A_SECOND = 1000


@dataclass(frozen=True)
class Flow:
    """A flow of the instance, and what its runs are like.

    :param id: its number
    :param name: need not be unique
    :param life: of its runs, or a function that makes one from the parameters; default: the sandbox's
    :param streaming: a stopped run of it ends as ``success``, that of a regular flow as ``error``
    :param parallel: its runs may overlap
    :param steps: what the log of a run names
    """

    id: int
    name: str
    description: str = ""
    flow_type: str = "ETL.database.event"
    tags: Sequence[str] = ()
    life: Life | Callable[[Mapping[str, str]], Life] | None = None
    streaming: bool = False
    parallel: bool = False
    steps: Sequence[str | Sequence[str]] = ("extract", "load")
    modified: int = _CREATED + 3_000_000
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What the sandbox calls it: names need not be unique, numbers are."""
        return str(self.id)

    def as_json(self, latest_status: str | None) -> dict[str, Any]:
        """Return it as the list of flows shows it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "flowType": self.flow_type,
            "tags": list(self.tags),
            "enabledSchedules": 0,
            "disabledSchedules": 0,
            "createdBy": "alice@example.com",
            "created": _CREATED,
            "modifiedBy": "alice@example.com",
            "modified": self.modified,
        }
        if latest_status is not None:
            shown["latestFinishedStatus"] = latest_status
        return {**shown, **self.more}


_BAD = Life(1.0, "error", error_text="ORA-00942: table or view does not exist")

DEMO_FLOWS = (
    Flow(12345, "Stripe to Snowflake — daily", "Daily incremental sync of charges", tags=("production", "stripe")),
    Flow(12346, "Load orders", "Orders of a day into the warehouse", tags=("production",)),
    Flow(12347, "Check balances", "Ends with a warning", life=Life(1.0, "warning")),
    Flow(12348, "Load invoices", "Broken on purpose", life=_BAD),
    Flow(12349, "Stream clicks", flow_type="ETL.stream", streaming=True, tags=("streaming",)),
)


def record(run: Run, flow: Flow, status: str, *, ended: float | None, with_details: bool) -> dict[str, Any]:
    """Return a run as a FlowAuditRecord.

    :param ended: unix seconds
    :param with_details: add what is not documented: times, user, counts, error text
    """
    shown: dict[str, Any] = {
        "auditId": int(run.id),
        "parentAuditId": None,
        "retries": None,
        "flowId": flow.id,
        "flowName": flow.name,
        "eventId": run.details.get("eventId"),
        "eventName": run.details.get("eventName"),
        "messageId": None,
        "status": status,
    }
    if with_details:
        shown |= {
            "user": run.details.get("user", "alice@example.com"),
            "started": millis(run.started_at),
            "ended": None if ended is None else millis(ended),
            "records": records_of(run, ended),
        }
        if status == "error":
            shown["exception"] = f"java.lang.RuntimeException: {run.life.error_text}"
    return shown


def reported(run: Run, flow: Flow, status: str, *, ended: float | None, include_metrics: bool) -> dict[str, Any]:
    """Return a run as an execution of the daily report."""
    shown: dict[str, Any] = {
        "flowId": flow.id,
        "auditId": int(run.id),
        "status": status,
        "user": run.details.get("user", "alice@example.com"),
        "started": millis(run.started_at),
        "ended": None if ended is None else millis(ended),
        "records": records_of(run, ended),
    }
    if include_metrics:
        shown["metrics"] = {"records": records_of(run, ended)}
    return shown


def log_text(run: Run, now: float, *, with_parameters: bool) -> str:
    """Return the log of a run, one event a line."""
    lines = [f"{_stamp(run.started_at)} INFO flow started by {run.details.get('user', 'alice@example.com')}"]
    if with_parameters:
        lines += [f"{_stamp(run.started_at)} INFO parameter {name}={value}" for name, value in run.request.items()]
    lines += [f"{_stamp(at)} INFO {text}" for at, text in story(run.timeline, now)]
    change = run.current(now)
    if change.phase == "error":
        lines.append(f"{_stamp(change.at)} ERROR java.lang.RuntimeException: {run.life.error_text}")
    return "\n".join(lines) + "\n"


def running_task(run: Run, step: StepLine, now: float) -> dict[str, Any]:
    """Return a step that goes on as a task of the tasks call."""
    began = step.changes[-1].at if step.changes[-1].at <= now else run.started_at
    return {
        "requestId": run.id,
        "owner": run.details.get("user", "alice@example.com"),
        "name": step.name,
        "started": millis(began),
        "duration": max(0.0, now - began),
        "code": "",
        "type": "load" if step.name == "load" else "extract" if step.name == "extract" else "task",
        "tenant": "",
        "language": None,
        "recordsProcessed": int(max(0.0, now - began) * _RECORDS_A_SECOND),
    }


def records_of(run: Run, ended: float | None) -> int | None:
    """Return how many records a run has moved by its end."""
    return None if ended is None else int(max(0.0, ended - run.started_at)) * _RECORDS_A_SECOND


def millis(moment: float) -> int:
    """Return unix seconds as the vendor's milliseconds."""
    return round(moment * 1000)


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(sep=" ", timespec="milliseconds")[:23]
