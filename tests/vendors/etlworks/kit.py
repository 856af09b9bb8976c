"""What the tests of Etlworks share: both colours of an endpoint, the requests that an instance got, tasks and modes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.sandbox.etlworks import EtlworksSandbox
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.messages import Call
from tests.support.rehearsal import Rehearsal

CONN_ID = "etlworks_default"
STRIPE, ORDERS, BALANCES, STREAM = 12345, 12346, 12347, 12349
COLOURS = ("sync", "aio")
MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
ALONE = pytest.mark.parametrize("alone", [True, False], ids=["single_instance", "overlapping"])
KEYS = pytest.mark.parametrize("key", [True, False], ids=["key", "no_key"])


class Recording(EtlworksSandbox):
    """An instance that keeps every request whole, header values included."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls: list[Call] = []

    def unwrap(self, call: Call) -> Call:
        self.calls.append(call)
        return call


def in_colour(colour: str, ask: Callable[[EtlworksHook], Any]) -> Any:
    """Return what an endpoint gives in one colour, items of listings as a list.

    :param ask: calls the endpoint with ``.aio`` left out, such as ``lambda hook: (hook.get_flow, (1,), {})``.
    """
    if colour == "sync":
        with EtlworksHook(CONN_ID) as hook:
            endpoint, args, kwargs = ask(hook)
            return _as_list(endpoint(*args, **kwargs))
    return asyncio.run(_on_loop(ask))


async def _on_loop(ask: Callable[[EtlworksHook], Any]) -> Any:
    async with EtlworksHook(CONN_ID) as hook:
        endpoint, args, kwargs = ask(hook)
        made = endpoint.aio(*args, **kwargs)
        if hasattr(made, "__aiter__"):
            return [item async for item in made]
        return await made


def _as_list(made: Any) -> Any:
    return list(made) if hasattr(made, "__next__") else made


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: EtlworksSandbox, **extra: Any) -> None:
    """Connect without a budget, which searches that follow one another at once would use up."""
    connection = sandbox.connection()
    connection["extra"] = {**connection["extra"], "requests_per_minute": 60000, **extra}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))


def shorten_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls without an answer take effect, if ever, within moments, so that looking for their runs ends sooner."""
    monkeypatch.setattr(evidence, "ACTS_AFTER_ANSWER", 0.2)
    monkeypatch.setattr(evidence, "ACTS_AFTER_CLOSE", 0.4)
    monkeypatch.setattr(evidence, "ACTS_AFTER_TIMEOUT", 2.0)


def rehearsed(*, keeps_state: bool = True, **arguments: Any) -> Rehearsal:
    """Return a task that runs a flow, with a retry."""
    wanted = {"task_id": "run", "flow_id": ORDERS, "poll_interval": 0.05, "retries": 1, **arguments}
    return Rehearsal(lambda: EtlworksRunFlowOperator(**wanted), keeps_state=keeps_state)


def somebody_else_starts(etlworks: Any, life: Life | None = None, **request: str) -> None:
    """Let another user start the same flow at the moment of our start call."""
    unwrap = etlworks.unwrap

    def note(call: Call) -> Call:
        if call.method == "POST" and call.path.endswith("/run"):
            etlworks.unwrap = unwrap
            etlworks.seed_run(life or Life(60), request=request).details["user"] = "bob@example.com"
        return call

    etlworks.unwrap = note
