"""A Meiro sandbox, a hook on it, and both ways to carry out what the hook can do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.endpoints import BoundListing
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox

NOON = 1795348800.0  # 2026-11-22T12:00:00Z

Carry = Callable[..., Any]


@pytest.fixture(name="clock")
def given_clock() -> Clock:
    """Stands still unless a test advances it."""
    return Clock(start=NOON, speed=0)


@pytest.fixture(name="meiro")
def given_meiro(clock: Clock, etlapis_sandbox: Any) -> MeiroSandbox:
    """The vendor on localhost, as the connection ``meiro_default``."""
    sandbox: MeiroSandbox = etlapis_sandbox.meiro(conn_id="meiro_default", clock=clock)
    return sandbox


@pytest.fixture(name="connect")
def given_connect(meiro: MeiroSandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., MeiroHook]:
    """Change fields of the connection's extra, or whole fields, and return a hook on it."""

    def change(extra: dict[str, Any] | None = None, **fields: Any) -> MeiroHook:
        connection = meiro.connection(**fields)
        connection["extra"] = {**connection["extra"], "retries": 0, **(extra or {})}
        monkeypatch.setenv("AIRFLOW_CONN_MEIRO_DEFAULT", json.dumps(connection))
        return MeiroHook()

    return change


@pytest.fixture(name="hook")
def given_hook(connect: Callable[..., MeiroHook]) -> MeiroHook:
    """A hook on the sandbox."""
    return connect()


@pytest.fixture(name="carry", params=["worker", "triggerer"])
def given_carry(request: pytest.FixtureRequest) -> Carry:
    """Carry out an endpoint of a hook in one of both colours; a listing to its end."""

    def here(bound: Any, *args: Any, **kwargs: Any) -> Any:
        result = bound(*args, **kwargs)
        return list(result) if isinstance(bound, BoundListing) else result

    def on_a_loop(bound: Any, *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            async with bound._owner:
                if isinstance(bound, BoundListing):
                    return [item async for item in bound.aio(*args, **kwargs)]
                return await bound.aio(*args, **kwargs)

        return asyncio.run(run())

    return here if request.param == "worker" else on_a_loop
