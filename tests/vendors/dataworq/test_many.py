"""A hundred deferred DataWORQ jobs are watched with one list, not with a hundred reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.hooks.dataworq.lists import Suspension
from airflow_provider_etlapis.runs.model import RunState
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.ledger import RequestRecord
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger
from tests.vendors.dataworq.support import connect

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
    jobs: list[str], sandbox: DataworqSandbox, clock: Clock, *, polls: int = 0
) -> tuple[list[RequestRecord], list[RequestRecord]]:
    """Wait until all jobs have ended, and return the requests while nothing changed, and those after.

    :param polls: how many lists are to be read while nothing changes, however long that takes.
    """
    waits = [asyncio.create_task(_first(_trigger(job, INTERVAL))) for job in jobs]
    await asyncio.sleep(QUIET)
    for _ in range(500):
        if sandbox.ledger.count("list") >= polls:
            break
        await asyncio.sleep(0.02)
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

    assert {record.operation for record in quiet} == {"list"}, "while nothing changes, no job is read by its id"
    assert 2 <= len(quiet) <= QUIET / INTERVAL
    assert max(_in_any_interval([record.monotonic for record in quiet])) <= 3
    assert {record.operation for record in seen} == {"list"}, "the list shows as well how they ended"


async def test_a_job_that_leaves_the_list_of_active_ones_is_read_by_its_id(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(speed=0)
    with DataworqSandbox(clock=clock) as sandbox:
        connect(monkeypatch, sandbox)
        jobs = [sandbox.seed_run(Life(duration=3600)).id for _ in range(JOBS - 1)]
        sandbox.seed_run(Life(duration=1, steps=["Copy " + "cells" * 200_000]), age=5)
        quiet, seen = await _waited_for(jobs, sandbox, clock, polls=3)

    assert [dict(record.query).get("filter") for record in quiet[:3]] == [None, None, "active"]
    by_id = [record for record in seen if record.operation == "get"]
    assert len(by_id) == len(jobs), "each job that left the list is confirmed once"
    assert {record.query for record in by_id} == {(("filter", "executionStatus"),)}, "without its log"


@pytest.mark.parametrize("status", [404, 403])
async def test_a_proxy_that_answers_lists_twice_does_not_end_reading_in_bulk(
    monkeypatch: pytest.MonkeyPatch, status: int
):
    clock = Clock(speed=0)
    with DataworqSandbox(clock=clock) as sandbox:
        connect(monkeypatch, sandbox)
        jobs = [sandbox.seed_run(Life(duration=3600)).id for _ in range(JOBS)]
        sandbox.inject(Fault("list", "html", status=status, times=2))
        quiet, seen = await _waited_for(jobs, sandbox, clock, polls=3)

    assert [record.status for record in quiet[:3]] == [status, status, 200]
    assert {record.operation for record in (*quiet, *seen)} == {"list"}


async def test_jobs_beyond_the_lists_end_are_read_by_id_and_seen_to_their_end(monkeypatch: pytest.MonkeyPatch):
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


# Which of the two lists is read


@pytest.fixture
def sandbox() -> Iterator[DataworqSandbox]:
    with DataworqSandbox() as running:
        yield running


@pytest.fixture
def hook(sandbox: DataworqSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataworqHook]:
    with connect(monkeypatch, sandbox) as made:
        yield made


def lists(sandbox: DataworqSandbox) -> list[str]:
    """Return the filters of the lists that were asked for."""
    return [dict(record.query).get("filter", "") for record in sandbox.ledger.requests]


def seed_heavy_job(sandbox: DataworqSandbox) -> None:
    """Add an ended job with a log of a million characters."""
    sandbox.seed_run(Life(duration=1, steps=["Copy " + "cells" * 200_000]), age=5)


def test_one_list_shows_all_jobs_and_how_they_ended(sandbox: DataworqSandbox, hook: DataworqHook):
    live = [hook.ref(sandbox.seed_run(Life(duration=60)).id) for _ in range(3)]
    over = [hook.ref(sandbox.seed_run(Life(duration=1, outcome=how), age=5).id) for how in ("success", "error")]

    found = hook.read_runs([*live, *over])

    states = [found[ref.run_id].state for ref in (*live, *over)]
    assert states == [RunState.RUNNING] * 3 + [RunState.SUCCEEDED, RunState.FAILED]
    assert lists(sandbox) == [""]


def test_a_list_that_stays_heavy_with_logs_is_left_out_after_two_polls(sandbox: DataworqSandbox, hook: DataworqHook):
    live = [hook.ref(sandbox.seed_run(Life(duration=60)).id) for _ in range(2)]
    seed_heavy_job(sandbox)

    for _ in range(4):
        assert set(hook.read_runs(live)) == {ref.run_id for ref in live}

    assert lists(sandbox) == ["", "", "active", "active"]


def test_a_list_that_keeps_leaving_jobs_out_gives_way_to_the_list_of_active_jobs(
    sandbox: DataworqSandbox, hook: DataworqHook
):
    live = [hook.ref(sandbox.seed_run(Life(duration=600), age=300).id) for _ in range(2)]
    over = hook.ref(sandbox.seed_run(Life(duration=1), age=300).id)
    for _ in range(100):
        sandbox.seed_run(Life(duration=1), age=5)

    for _ in range(3):
        assert set(hook.read_runs([*live, over])) == {ref.run_id for ref in live}

    assert lists(sandbox) == ["", "active", "", "active", "active"]


@pytest.mark.parametrize("body", ["[]", '[{"id": "another", "executionStatus": "RUNNING"}]'])
def test_one_odd_list_changes_nothing(sandbox: DataworqSandbox, hook: DataworqHook, body: str):
    live = [hook.ref(sandbox.seed_run(Life(duration=60)).id) for _ in range(3)]

    for _ in range(3):
        sandbox.inject(Fault("list", "status", status=200, body=body))
        for _ in range(2):
            assert set(hook.read_runs(live)) == {ref.run_id for ref in live}

    assert lists(sandbox) == ["", "active", ""] * 3


def test_a_list_that_was_left_out_is_read_again_after_a_while(
    sandbox: DataworqSandbox, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("airflow_provider_etlapis.hooks.dataworq.hook._LEFT_OUT_FOR", 0.3)
    hook = connect(monkeypatch, sandbox)
    live = [hook.ref(sandbox.seed_run(Life(duration=60)).id) for _ in range(2)]
    sandbox.inject(Fault("list", "status", status=200, body="[]", times=1))
    sandbox.inject(Fault("list", "status", status=200, body="[]", times=1, skip=1))
    for _ in range(3):
        hook.read_runs(live)
    time.sleep(0.4)
    for _ in range(2):
        assert len(hook.read_runs(live)) == 2

    assert lists(sandbox) == ["", "active", "", "active", "active", "", ""]


def test_a_suspension_needs_two_useless_answers_in_a_row_and_passes():
    now = 100.0
    suspension = Suspension(60.0, monotonic=lambda: now)
    for useful in (False, True, False):
        suspension.note(is_useful=useful)
        assert suspension.is_over
    suspension.note(is_useful=False)
    assert not suspension.is_over
    now = 159.9
    assert not suspension.is_over
    now = 160.0
    assert suspension.is_over
    suspension.note(is_useful=False)
    assert suspension.is_over, "it takes two again"


def test_jobs_that_a_full_list_leaves_out_are_read_by_their_ids(sandbox: DataworqSandbox, hook: DataworqHook):
    ours = hook.ref(sandbox.seed_run(Life(duration=600), age=300).id)
    for _ in range(100):
        sandbox.seed_run(Life(duration=600))

    assert hook.read_runs([ours]) == {}
    assert hook.look(ours).state is RunState.RUNNING


def _in_any_interval(moments: list[float]) -> list[int]:
    return [sum(start <= moment < start + INTERVAL for moment in moments) for start in moments]
