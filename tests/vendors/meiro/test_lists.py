"""Meiro's lists over many jobs: refused now and then, by the vendor or by a proxy, and never given up for good."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.hooks.meiro import runs as runs_module
from airflow_provider_etlapis.hooks.meiro.runs import RefusedLists
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.meiro.work import Workspace
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger
from tests.vendors.meiro.stage import given_clock, given_connect, given_hook, given_meiro  # noqa: F401 fixtures

PROXY = {
    "own 403": Fault("list", "status", status=403, times=None),
    "own 404": Fault("list", "status", status=404, times=None),
    "own 400": Fault("list", "status", status=400, times=None),
    "proxy's 404": Fault("list", "status", status=404, body="default backend - 404", times=None),
    "proxy's 403": Fault("list", "html", status=403, times=None),
}


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def ticks(hook: MeiroHook) -> Ticks:
    ticks = Ticks()
    hook._refused = RefusedLists(ticks)
    return ticks


def listed(meiro: MeiroSandbox) -> list[str]:
    return [record.path for record in meiro.ledger.requests if record.operation == "list"]


def many(meiro: MeiroSandbox, count: int = 5) -> list[RunRef]:
    for number in range(count):
        meiro.define(Workspace(1000 + number, f"w{number}"))
    jobs = [meiro.seed_run(Life(60.0), flow=str(1000 + number)) for number in range(count)]
    return [MeiroHook.ref(*job.id.split("/")) for job in jobs]


@pytest.mark.parametrize("refused", ["last_jobs", "workspace_jobs"])
def test_a_list_that_is_refused_is_replaced_by_the_other(meiro: MeiroSandbox, hook: MeiroHook, refused: str) -> None:
    refs = many(meiro)
    meiro.refused_lists = {refused}

    for _ in range(3):
        assert set(hook.read_runs(refs)) == {ref.run_id for ref in refs}

    assert hook.reads_in_bulk


@pytest.mark.parametrize("answer", PROXY)
def test_one_odd_answer_switches_no_list_off(meiro: MeiroSandbox, hook: MeiroHook, answer: str) -> None:
    refs = many(meiro)
    odd = meiro.inject(PROXY[answer])
    assert hook.read_runs(refs) == {}
    odd.remove()

    assert hook.reads_in_bulk
    assert set(hook.read_runs(refs)) == {ref.run_id for ref in refs}


@pytest.mark.parametrize("answer", PROXY)
def test_lists_refused_twice_are_left_out_for_a_minute_and_asked_again(
    meiro: MeiroSandbox, hook: MeiroHook, ticks: Ticks, answer: str
) -> None:
    refs = many(meiro)
    odd = meiro.inject(PROXY[answer])
    hook.read_runs(refs)
    hook.read_runs(refs)
    odd.remove()

    asked = len(listed(meiro))
    assert not hook.reads_in_bulk
    assert hook.read_runs(refs) == {}
    assert len(listed(meiro)) == asked, "while they are left out, they are not asked"

    ticks.at += 61.0
    assert hook.reads_in_bulk
    assert set(hook.read_runs(refs)) == {ref.run_id for ref in refs}


def test_a_list_that_stays_refused_is_asked_less_and_less_often_and_never_given_up(
    meiro: MeiroSandbox, hook: MeiroHook, ticks: Ticks
) -> None:
    refs = many(meiro)
    meiro.inject(PROXY["proxy's 404"])

    asked_at = []
    for _ in range(24 * 60):  # a day, looking every minute
        before = len(listed(meiro))
        hook.read_runs(refs)
        if len(listed(meiro)) > before:
            asked_at.append(ticks.at)
        ticks.at += 60.0

    pauses = [later - earlier for earlier, later in itertools.pairwise(asked_at)]
    assert pauses[:6] == [60.0, 60.0, 120.0, 240.0, 480.0, 900.0]
    assert set(pauses[6:]) == {900.0}, "every 15 minutes, to the end"


def test_a_good_answer_between_two_odd_ones_forgets_the_first(
    meiro: MeiroSandbox, hook: MeiroHook, ticks: Ticks
) -> None:
    refs = many(meiro)
    for _ in range(3):
        odd = meiro.inject(PROXY["proxy's 404"])
        hook.read_runs(refs)
        odd.remove()
        hook.read_runs(refs)

    assert hook.reads_in_bulk
    assert not hook._refused.is_left_out("last_jobs")


def test_a_server_fault_of_a_list_is_no_refusal(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    refs = many(meiro)
    meiro.inject(Fault("list", "status", status=500, times=3))
    for _ in range(3):
        with pytest.raises(Exception, match="500"):
            hook.read_runs(refs)

    assert set(hook.read_runs(refs)) == {ref.run_id for ref in refs}


async def test_a_hundred_waits_are_read_by_lists_again_after_a_proxy_refused_these(
    etlapis_sandbox: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "_FIRST_PAUSE", 0.5)
    meiro: MeiroSandbox = etlapis_sandbox.meiro(conn_id="meiro_default")  # type: ignore[attr-defined]  # any vendor
    connection = meiro.connection()
    connection["extra"] = {**connection["extra"], "retries": 0, "requests_per_minute": 60_000}
    monkeypatch.setenv("AIRFLOW_CONN_MEIRO_DEFAULT", json.dumps(connection))
    refs = many(meiro, 100)
    odd = meiro.inject(PROXY["proxy's 404"])

    async def wait_for(ref: RunRef) -> Any:
        trigger = RemoteRunTrigger(
            hook="airflow_provider_etlapis.hooks.meiro.MeiroHook",
            conn_id="meiro_default",
            ref=ref.to_json(),
            poll_interval=0.5,
            deadline=time.time() + 30,
        )
        return (await anext(trigger.run())).payload

    waits = [asyncio.create_task(wait_for(ref)) for ref in refs]
    await asyncio.sleep(2.0)
    odd.remove()
    await asyncio.sleep(2.5)
    since = time.monotonic()
    await asyncio.sleep(2.0)
    quiet = [record.operation for record in meiro.ledger.requests if record.monotonic >= since]
    meiro.clock.advance(7200.0)
    events = await asyncio.gather(*waits)

    assert set(quiet) == {"list"}
    assert {event["state"] for event in events} == {"succeeded"}
