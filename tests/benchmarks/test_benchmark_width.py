"""How many runs are read singly at a time: few, as each may cost a TLS connection, unless the vendor is slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Any

import pytest

from airflow_provider_etlapis.runs import watching
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Trouble
from airflow_provider_etlapis.runs.watching import LogLines, Watcher
from airflow_provider_etlapis.wire.budget import RequestBudget


class Source:
    """A vendor without lists; each read waits for its place in the budget, and takes a while."""

    reads_in_bulk = False

    def __init__(self, seconds: float, requests_per_minute: float | None = None) -> None:
        self.seconds = seconds
        self.requests_per_minute = requests_per_minute
        self.budget = RequestBudget(requests_per_minute, burst=1)
        self.reads = self.under_way = self.most = 0

    async def look_at(self, ref: RunRef) -> RemoteRun | Trouble:
        self.reads += 1
        await asyncio.sleep(self.budget.reserve(time.monotonic()))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self.seconds)
        self.under_way -= 1
        return RemoteRun(ref, RunState.RUNNING, "running")

    async def look_at_many(self, refs: Collection[RunRef]) -> Mapping[str, RemoteRun] | Trouble:
        raise AssertionError("this vendor has no list")

    async def read_log(self, ref: RunRef, cursor: Any) -> LogLines | Trouble:
        raise AssertionError("nobody asked for a log")

    async def renew(self) -> None:
        return

    async def aclose(self) -> None:
        return


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_ONE_MORE_AFTER", 0.3)


async def _watch(source: Source, waits: int, seconds: float) -> None:
    watcher = Watcher(lambda: source, "vendor")
    places = [watcher.subscribe(RunRef("vendor", {"id": str(number)}), 0.3) for number in range(waits)]
    await asyncio.sleep(seconds)
    for place in places:
        watcher.unsubscribe(place)
    await asyncio.sleep(0.1)


async def test_a_fast_vendor_is_read_two_at_a_time() -> None:
    source = Source(0.001)

    await _watch(source, 40, 2.0)

    assert source.reads > 80
    assert source.most <= 2


async def test_a_slow_vendor_is_read_by_more_and_more_up_to_a_bound() -> None:
    source = Source(0.25)

    await _watch(source, 200, 4.0)

    assert 6 <= source.most <= 16


async def test_waiting_for_the_budget_is_no_reason_for_more_at_a_time() -> None:
    source = Source(0.002, requests_per_minute=1200)

    await _watch(source, 200, 3.0)

    assert 45 <= source.reads <= 75
    assert source.most <= 2
