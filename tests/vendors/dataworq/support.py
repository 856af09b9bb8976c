"""What the tests of DataWORQ share."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.operators.dataworq import DataworqExecuteJobOperator
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.dataworq.work import DEMO_FLOWS
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.runs import Run

EXAMPLES: dict[str, Any] = json.loads((Path(__file__).parent / "examples.json").read_text())
"""The four JSON examples of the vendor's reference, whole. None was broken."""

FLOW = DEMO_FLOWS[0]
JOB_ID = "54d9d784-e574-4160-9f44-6fb95317fecb"
SPEC = {
    "flow_id": FLOW.flow_id,
    "run_profile_name": "default",
    "parameters": [],
    "notification_enabled": False,
    "flow_name": FLOW.name,
}


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: DataworqSandbox, **extra: Any) -> DataworqHook:
    """Make the sandbox the default connection and return a hook on it. The wire repeats nothing unless asked."""
    connection = sandbox.connection()
    connection["extra"] = {**connection["extra"], "retries": 0, **extra}
    monkeypatch.setenv("AIRFLOW_CONN_DATAWORQ_DEFAULT", json.dumps(connection))
    return DataworqHook()


async def in_colour(colour: str, hook: DataworqHook, endpoint: str, *args: Any, **kwargs: Any) -> Any:
    """Call an endpoint as a worker or as a triggerer does."""
    bound = getattr(hook, endpoint)
    if colour == "sync":
        return bound(*args, **kwargs)
    async with hook:
        return await bound.aio(*args, **kwargs)


def operator(**arguments: Any) -> DataworqExecuteJobOperator:
    """Return an operator for the sandbox's first flow."""
    wanted = {"task_id": "job", "flow_id": FLOW.flow_id, "flow_name": FLOW.name, "poll_interval": 0.05}
    return DataworqExecuteJobOperator(**{**wanted, **arguments})


def maker(**arguments: Any) -> Callable[[], DataworqExecuteJobOperator]:
    """Return what makes such an operator."""
    return lambda: operator(**arguments)


def intent(at: float, watermark: Any = None) -> Intent:
    """Return who wants a job."""
    return Intent("marker", "fingerprint", 0, 0, at, watermark)


def region(value: str) -> dict[str, Any]:
    """Return the request of a start of that flow with one parameter."""
    parameters = [{"name": "REGION", "type": "string", "value": value}]
    return {"runProfileName": "default", "parameters": parameters}


def another_users_job(sandbox: DataworqSandbox, life: Life, value: str = "B", **more: Any) -> Run:
    """Add a job of the same flow and run profile that another user starts now, with another region."""
    return sandbox.seed_run(life, request=region(value), **more)


@contextlib.contextmanager
def when_a_start_arrives(sandbox: DataworqSandbox, act: Callable[[], object]) -> Iterator[None]:
    """Let somebody act when a start request has arrived; its fault is to hold it back for a moment."""
    is_over = threading.Event()

    def wait() -> None:
        while not is_over.wait(0.005):
            if sandbox.ledger.count("start"):
                act()
                return

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        yield
    finally:
        is_over.set()
        waiting.join()
