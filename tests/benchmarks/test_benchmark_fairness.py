"""Connections do not pay for one another: one that hangs or is refused costs its own waits only."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger

HOOK = f"{CeleryDirectorHook.__module__}.{CeleryDirectorHook.__qualname__}"
INTERVAL = 0.5


async def _end_seen(conn_id: str, run: Any, *, singly: bool = False) -> float:
    trigger = RemoteRunTrigger(
        hook=HOOK,
        conn_id=conn_id,
        ref=CeleryDirectorHook.ref(run.id).to_json(),
        poll_interval=INTERVAL,
        singly=singly,
    )
    async for event in trigger.run():
        assert event.payload["state"] == "succeeded"
    return time.monotonic()


async def _cancelled(*waits: asyncio.Task[float]) -> None:
    """End waits, and let their watchers close what they hold."""
    for wait in waits:
        wait.cancel()
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=5)


async def test_a_vendor_that_hangs_costs_its_own_waits_only(etlapis_sandbox: Any) -> None:
    hanging = etlapis_sandbox.celery_director(conn_id="hanging")
    healthy = etlapis_sandbox.celery_director(conn_id="healthy")
    hanging.inject(Fault("*", "delay", times=None, seconds=20.0))
    stuck = [asyncio.create_task(_end_seen("hanging", hanging.seed_run(Life(0.1)))) for _ in range(100)]
    began = time.monotonic()

    seen = await asyncio.gather(*(_end_seen("healthy", healthy.seed_run(Life(1.0))) for _ in range(100)))

    assert not any(task.done() for task in stuck)
    assert max(seen) - began < 1.0 + INTERVAL + 1.5
    await _cancelled(*stuck)


async def test_one_read_that_hangs_does_not_hold_up_the_list_of_its_connection(etlapis_sandbox: Any) -> None:
    director = etlapis_sandbox.celery_director(conn_id="director")
    director.inject(Fault("get", "delay", times=None, seconds=20.0))
    stuck = asyncio.create_task(_end_seen("director", director.seed_run(Life(60.0)), singly=True))
    await asyncio.sleep(INTERVAL)
    began = time.monotonic()

    seen = await asyncio.gather(*(_end_seen("director", director.seed_run(Life(1.0))) for _ in range(20)))

    assert max(seen) - began < 1.0 + INTERVAL + 1.5
    await _cancelled(stuck)


async def test_a_429_stops_one_connection_as_long_as_asked_and_nothing_bursts_after_it(etlapis_sandbox: Any) -> None:
    refused = etlapis_sandbox.celery_director(conn_id="refused")
    other = etlapis_sandbox.celery_director(conn_id="other")
    refused.inject(Fault("get", "status", status=429, retry_after=2.0, skip=5))
    refused.inject(Fault("get", "delay", times=None, seconds=0.1))  # reads one after another are no burst
    began = time.monotonic()

    await asyncio.gather(
        *(_end_seen("refused", refused.seed_run(Life(1.0)), singly=True) for _ in range(40)),
        *(_end_seen("other", other.seed_run(Life(3.0)), singly=True) for _ in range(5)),
    )

    at = {record.monotonic: record.status for record in refused.ledger.requests}
    [stop] = [moment for moment, status in at.items() if status == 429]
    under_way = [moment for moment in at if stop < moment < stop + 0.2]
    assert len(under_way) <= 2, "what was on its way already"
    again = min(moment for moment in at if moment > stop + 0.2)
    assert again > stop + 1.9, "asked again before the time was over"
    together = [moment for moment in at if again <= moment < again + 0.05]
    assert len(together) <= 3, f"{len(together)} requests in the first moment"
    meanwhile = [r for r in other.ledger.requests if stop + 0.2 < r.monotonic < stop + 1.9]
    assert len(meanwhile) >= 5, "the other connection goes on"
    assert time.monotonic() - began < 20
