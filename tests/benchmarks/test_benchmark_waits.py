"""What thousands of waits may cost: no request, look-up or login of their own, and no other trigger's time."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import selectors
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_etlapis.hooks import opening
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro.work import Workspace
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger
from airflow_provider_etlapis.wire.call import Call, Response
from airflow_provider_etlapis.wire.exchange import Channel
from airflow_provider_etlapis.wire.settings import WireSettings

MOST_WAITS = 5000
INTERVAL = 0.5
PAGE = 1000


def _id(number: int) -> str:
    return str(UUID(int=number))


def _row(status: str, number: int) -> bytes:
    created = datetime(2026, 1, 1) - timedelta(seconds=number)  # newest first
    row = {
        "id": _id(number),
        "project": "demo",
        "name": "ETL",
        "fullname": "demo.ETL",
        "status": status,
        "periodic": False,
        "created": created.isoformat(),
        "updated": created.isoformat(),
    }
    return json.dumps(row).encode()


ROWS = {status: [_row(status, number) for number in range(MOST_WAITS)] for status in ("progress", "success")}


class CannedDirector(CeleryDirectorHook):
    """A Director hook whose server answers from memory: everything but the network is the real thing."""

    status = "progress"
    rows = PAGE
    lists = 0
    look_ups = 0

    async def aclient(self) -> Any:
        if self._channel is None:
            type(self).look_ups += 1
            self._channel = Channel(WireSettings("http://127.0.0.1"))
        return self

    async def send(self, call: Call[Any]) -> Any:
        assert call.path == "api/workflows", f"{call.describe()}: a read of one run"
        type(self).lists += 1
        await asyncio.sleep(0.01)
        number, size = int(call.query["page"]), int(call.query["per_page"])
        rows = ROWS[self.status][: self.rows][(number - 1) * size : number * size]
        if not rows:
            return call.parse(Response(404, {}, b"{}"))
        return call.parse(Response(200, {}, b"[" + b",".join(rows) + b"]"))


class BusySelector(selectors.DefaultSelector):
    """Notes the processor time of each turn of the loop: what others do on this machine is not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[float] = []
        self._since: float | None = None

    def reset(self) -> None:
        self.turns.clear()
        self._since = None

    def select(self, timeout: float | None = None) -> Any:
        if self._since is not None:
            self.turns.append(time.thread_time() - self._since)
        ready = super().select(timeout)
        self._since = time.thread_time()
        return ready


def _trigger(number: int) -> RemoteRunTrigger:
    return RemoteRunTrigger(
        hook=f"{__name__}.CannedDirector",
        conn_id="canned",
        ref={"vendor": "celery_director", "ids": {"workflow_id": _id(number)}},
        poll_interval=INTERVAL,
        deadline=time.time() + 60,
    )


@pytest.mark.parametrize(("waits", "longest"), [(1000, 0.05), (5000, 0.1)])
def test_waits_that_begin_and_end_together_never_hold_up_the_event_loop(
    waits: int, longest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CannedDirector, "rows", waits)
    logging.getLogger("airflow").setLevel(logging.INFO)
    selector = BusySelector()
    loop = asyncio.SelectorEventLoop(selector)

    ended_in_turn: Counter[int] = Counter()

    async def state_of(number: int) -> Any:
        states = [event.payload["state"] async for event in _trigger(number).run()]
        ended_in_turn[len(selector.turns)] += 1
        return states

    async def some_at_first() -> None:
        await asyncio.gather(*map(state_of, range(20)))

    async def play() -> list[Any]:
        tasks = []
        for number in range(waits):
            tasks.append(asyncio.create_task(state_of(number)))
            if number % 20 == 19:  # a triggerer makes room between the triggers that it loads
                await asyncio.sleep(0)
        await asyncio.sleep(2.5 * INTERVAL)
        CannedDirector.status = "success"
        return await asyncio.gather(*tasks)

    try:
        CannedDirector.status = "success"
        loop.run_until_complete(some_at_first())  # what is done once in a process is done
        CannedDirector.status, CannedDirector.lists, CannedDirector.look_ups = "progress", 0, 0
        gc.collect()
        gc.freeze()  # a collection of all that Airflow holds takes longer than anything here, and is not ours
        ended_in_turn.clear()
        selector.reset()
        states = loop.run_until_complete(play())
    finally:
        gc.unfreeze()
        loop.close()

    assert states == [["succeeded"]] * waits
    assert max(ended_in_turn.values()) <= 100, "others get their turn while so many waits end"
    slowest = sorted(selector.turns)[-5:]
    assert slowest[-1] < longest, f"the slowest turns of the loop: {slowest}"
    assert CannedDirector.look_ups == 1
    assert CannedDirector.lists <= 5 * (waits // PAGE + 1)  # pages overlap by a row


def test_more_waits_do_not_make_more_requests() -> None:
    async def lists_for(waits: int) -> int:
        CannedDirector.status, CannedDirector.lists = "progress", 0
        tasks = [asyncio.create_task(anext(_trigger(number).run())) for number in range(waits)]
        await asyncio.sleep(4.6 * INTERVAL)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return CannedDirector.lists

    few, many = asyncio.run(lists_for(4)), asyncio.run(lists_for(600))

    assert 3 <= few <= 4
    assert many <= few


async def test_triggers_that_load_together_make_one_look_up_one_login_and_one_connection(
    etlapis_sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    real = opening.get_async_connection

    async def counting(conn_id: str, *more: Any, **others: Any) -> Any:
        looked_up.append(conn_id)
        return await real(conn_id, *more, **others)

    monkeypatch.setattr(opening, "get_async_connection", counting)
    meiro = etlapis_sandbox.meiro(conn_id="meiro_default")
    runs = []
    for number in range(300):
        meiro.define(Workspace(1000 + number, f"workspace {number}"))
        runs.append(meiro.seed_run(Life(1.0), flow=str(1000 + number)))

    async def state_of(run_id: str) -> Any:
        trigger = RemoteRunTrigger(
            hook=f"{MeiroHook.__module__}.{MeiroHook.__qualname__}",
            conn_id="meiro_default",
            ref=MeiroHook.ref(*run_id.split("/")).to_json(),
            poll_interval=0.6,
        )
        return [event.payload["state"] async for event in trigger.run()]

    states = await asyncio.gather(*(state_of(run.id) for run in runs))

    assert states == [["succeeded"]] * 300
    assert looked_up == ["meiro_default"]
    assert meiro.ledger.logins == 1
    assert meiro.ledger.connections <= 2
