"""What the tests of Etlworks share: both colours of an endpoint, and the exact requests that an instance got."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.sandbox.etlworks import EtlworksSandbox
from airflow_provider_etlapis.sandbox.messages import Call

CONN_ID = "etlworks_default"
STRIPE, ORDERS, BALANCES, STREAM = 12345, 12346, 12347, 12349
COLOURS = ("sync", "aio")


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
