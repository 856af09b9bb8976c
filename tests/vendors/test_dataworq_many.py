"""A hundred deferred DataWORQ jobs are watched with one list, not with a hundred reads."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.ledger import RequestRecord
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger
from tests.vendors.dataworq_support import connect

JOBS = 100
INTERVAL = 0.5
QUIET = 1.7
"""Seconds in which nothing changes."""


def _trigger(job: str, interval: float) -> RemoteRunTrigger:
    return RemoteRunTrigger(
        hook=f"{DataworqHook.__module__}.{DataworqHook.__qualname__}",
        conn_id="dataworq_default",
        ref=DataworqHook.ref(job).to_json(),
        poll_interval=interval,
    )


async def _first(trigger: RemoteRunTrigger) -> dict[str, Any]:
    event = await anext(trigger.run())
    payload: dict[str, Any] = event.payload
    return payload


async def _waited_for(
    jobs: list[str], sandbox: DataworqSandbox, clock: Clock
) -> tuple[list[RequestRecord], list[RequestRecord]]:
    """Wait until all jobs have ended, and return the requests while nothing changed, and those after."""
    waits = [asyncio.create_task(_first(_trigger(job, INTERVAL))) for job in jobs]
    await asyncio.sleep(QUIET)
    quiet = sandbox.ledger.requests
    clock.advance(7200)
    async with asyncio.timeout(10):
        events = await asyncio.gather(*waits)
    assert {event["status"] for event in events} == {"done"}
    assert {event["ref"]["ids"]["job_id"] for event in events} == set(jobs)
    return quiet, sandbox.ledger.requests[len(quiet) :]


async def test_a_hundred_deferred_jobs_take_at_most_three_list_requests_an_interval(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(speed=0)
    with DataworqSandbox(clock=clock) as sandbox:
        connect(monkeypatch, sandbox)
        jobs = [sandbox.seed_run(Life(duration=3600)).id for _ in range(JOBS)]
        quiet, seen = await _waited_for(jobs, sandbox, clock)

    assert {record.operation for record in quiet} == {"list"}, "while nothing changes, no job is read singly"
    assert 2 <= len(quiet) <= QUIET / INTERVAL
    assert max(_in_any_interval([record.monotonic for record in quiet])) <= 3
    assert {record.operation for record in seen} == {"list"}, "how they ended, the list tells as well"


async def test_a_job_that_leaves_the_list_of_active_ones_is_read_singly(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(speed=0)
    with DataworqSandbox(clock=clock) as sandbox:
        connect(monkeypatch, sandbox)
        jobs = [sandbox.seed_run(Life(duration=3600)).id for _ in range(JOBS - 1)]
        sandbox.seed_run(Life(duration=1, steps=["Copy " + "cells" * 200_000]), age=5)
        quiet, seen = await _waited_for(jobs, sandbox, clock)

    assert [dict(record.query).get("filter") for record in quiet[:2]] == [None, "active"]
    singly = [record for record in seen if record.operation == "get"]
    assert len(singly) == len(jobs), "each job that left the list is confirmed once"
    assert {record.query for record in singly} == {(("filter", "executionStatus"),)}, "without its log"


async def test_jobs_beyond_the_lists_end_are_read_singly_and_seen_to_their_end(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(speed=0)
    with DataworqSandbox(clock=clock) as sandbox:
        connect(monkeypatch, sandbox)
        pushed_out = sandbox.seed_run(Life(duration=3600), age=60).id
        for _ in range(JOBS):
            sandbox.seed_run(Life(duration=36_000))
        wait = asyncio.create_task(_first(_trigger(pushed_out, 0.2)))
        await asyncio.sleep(0.7)
        assert not wait.done(), "absence from a list is no end"
        assert sandbox.ledger.count("get") >= 2
        clock.advance(7200)
        began = time.monotonic()

        assert (await wait)["state"] == "succeeded"
        assert time.monotonic() - began < 2


def _in_any_interval(moments: list[float]) -> list[int]:
    return [sum(start <= moment < start + INTERVAL for moment in moments) for start in moments]
