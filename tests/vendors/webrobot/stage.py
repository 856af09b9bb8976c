"""What WebRobot's tests share: a sandbox on a clock that stands still, and a hook on it in both colours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.endpoints import BoundListing
from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.ledger import RequestRecord
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox
from airflow_provider_etlapis.sandbox.webrobot.work import Job, Task

NOON = 1795348800.0  # 2026-11-22T12:00:00Z
JOB = ("98", "210")
TASK = ("98", "210", "1")
SPEC = {"project_id": "98", "job_id": "210", "arguments": None, "cloud_credential_ids": None, "body": {}}
TASK_SPEC = {"project_id": "98", "job_id": "210", "task_id": "1"}
PAIR = Job("98", "300", "pair", (Task("31", "left"), Task("32", "right")))

Ask = Callable[..., Any]


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: WebRobotSandbox, **overrides: Any) -> None:
    """Make the sandbox the default connection; nothing is repeated by the wire unless a test asks for it."""
    fields = sandbox.connection()
    extra = {**fields["extra"], "retries": 0, "requests_per_minute": 60_000, **overrides.pop("extra", {})}
    connection = {**fields, **overrides, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_WEBROBOT_DEFAULT", json.dumps(connection))


@pytest.fixture
def clock() -> Clock:
    """Stands still unless a test advances it."""
    return Clock(start=NOON, speed=0)


@pytest.fixture
def sandbox(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebRobotSandbox]:
    with WebRobotSandbox(clock=clock) as running:
        connect(monkeypatch, running)
        yield running


@pytest.fixture
def hook(sandbox: WebRobotSandbox) -> Iterator[WebRobotHook]:
    with WebRobotHook() as opened:
        yield opened


@pytest.fixture
def in_step(hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine go by the server's clock, and the server say what its clock is."""
    sandbox.dates_by_clock = True
    hook.channel.now = clock.now
    monkeypatch.setattr("time.time", clock.now)


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, sandbox: WebRobotSandbox) -> Ask:
    """Call an endpoint by its name, in either colour; a listing comes as a list."""

    def sync(name: str, *args: Any, **kwargs: Any) -> Any:
        with WebRobotHook() as hook:
            found = getattr(hook, name)(*args, **kwargs)
            return list(found) if isinstance(getattr(hook, name), BoundListing) else found

    async def aio(name: str, *args: Any, **kwargs: Any) -> Any:
        async with WebRobotHook() as hook:
            found = getattr(hook, name).aio(*args, **kwargs)
            if isinstance(getattr(hook, name), BoundListing):
                return [item async for item in found]
            return await found

    if request.param == "sync":
        return sync
    return lambda name, *args, **kwargs: asyncio.run(aio(name, *args, **kwargs))


def sent(sandbox: WebRobotSandbox) -> RequestRecord:
    """Return the only request that the sandbox got."""
    (record,) = sandbox.ledger.requests
    return record
