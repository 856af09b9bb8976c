"""Etlworks' daily report: many runs in one request, left alone for a while where it is of no use, never for good."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import RateLimitedError, VendorUnavailableError
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.hooks.etlworks import report as report_module
from airflow_provider_etlapis.hooks.etlworks.report import ReportUse
from airflow_provider_etlapis.runs.model import RunRef, RunState
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger
from tests.vendors.etlworks.kit import CONN_ID, ORDERS

PROXY = {
    "404": Fault("list", "status", status=404, body="default backend - 404", times=None),
    "403": Fault("list", "status", status=403, body="<h1>Forbidden</h1>", times=None),
    "302": Fault("list", "status", status=302, body="", headers={"Location": "/login"}, times=None),
    "page": Fault("list", "html", times=None),
    "503": Fault("list", "status", status=503, times=None),
}


class Ticking:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def etlworks(etlapis_sandbox, monkeypatch):
    sandbox = etlapis_sandbox.etlworks(conn_id=CONN_ID, default_life=Life(60))
    connection = {**sandbox.connection(), "extra": {"requests_per_minute": 60000, "retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))
    return sandbox


@pytest.fixture
def clock():
    return Ticking()


@pytest.fixture
def hook(etlworks, clock):
    with EtlworksHook(CONN_ID) as opened:
        opened._report = ReportUse(clock)
        yield opened


def refs_of(runs: Any) -> list[RunRef]:
    return [RunRef("etlworks", {"flow_id": run.flow, "audit_id": run.id}, run.started_at) for run in runs]


# What it shows


def test_the_report_shows_runs_that_go_on_and_leaves_ended_ones_to_a_read_of_their_own(etlworks, hook):
    going, ended, other = etlworks.seed_run(Life(60)), etlworks.seed_run(Life(0)), etlworks.seed_run(Life(60))

    found = hook.read_runs(refs_of([going, ended]))

    assert {run_id: run.state for run_id, run in found.items()} == {f"{ORDERS}/{going.id}": RunState.RUNNING}
    assert other.id not in str(found)
    assert etlworks.ledger.count() == 1


def test_a_run_that_the_report_calls_canceled_is_no_success_when_it_is_read(etlworks, hook):
    run = etlworks.seed_run(Life(0, "canceled", afterwards=[(0.2, "success")]))
    (ref,) = refs_of([run])
    assert hook.read_runs([ref]) == {}

    etlworks.clock.advance(1)

    assert hook.read_run(ref).state is RunState.CANCELLED


def test_runs_of_yesterday_are_looked_for_in_its_report(etlapis_sandbox):
    clock = Clock()
    etlworks = etlapis_sandbox.etlworks(conn_id=CONN_ID, clock=clock)
    run = etlworks.seed_run(Life(200_000), age=86_400)

    with EtlworksHook(CONN_ID) as hook:
        assert len(hook.read_runs(refs_of([run]))) == 1

    assert [record.query for record in etlworks.ledger.requests] == [(("offset", "0"),), (("offset", "1"),)]


def test_nothing_is_asked_for_no_runs(etlworks, hook):
    assert hook.read_runs([]) == {}
    assert etlworks.ledger.count() == 0


def test_a_report_that_is_switched_off_by_the_connection_is_never_asked_for(etlworks, monkeypatch):
    connection = {**etlworks.connection(), "extra": {"daily_report": False}}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))

    with EtlworksHook(CONN_ID) as hook:
        assert hook.read_runs(refs_of([etlworks.seed_run(Life(60))])) == {}
        assert not hook.reads_in_bulk

    assert etlworks.ledger.count() == 0


# When it is left alone


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_report_that_the_vendor_refuses_is_asked_for_again_after_a_while(etlworks, hook, clock, status):
    refused = etlworks.inject(Fault("list", "status", status=status, times=None))
    refs = refs_of([etlworks.seed_run(Life(60))])
    assert hook.reads_in_bulk

    assert hook.read_runs(refs) == {}
    assert not hook.reads_in_bulk

    refused.remove()  # a person has given the right
    clock.now += 60
    assert hook.reads_in_bulk
    assert len(hook.read_runs(refs)) == 1


@pytest.mark.parametrize("fault", PROXY.values(), ids=PROXY)
def test_one_odd_answer_switches_nothing_off(etlworks, hook, fault):
    odd = etlworks.inject(fault)
    refs = refs_of([etlworks.seed_run(Life(60))])

    for _ in range(2):
        with pytest.raises(VendorUnavailableError):
            hook.read_runs(refs)
        assert hook.reads_in_bulk

    odd.remove()
    assert len(hook.read_runs(refs)) == 1


@pytest.mark.parametrize("fault", PROXY.values(), ids=PROXY)
def test_a_report_that_fails_again_and_again_leaves_runs_to_reads_of_their_own(etlworks, hook, fault, clock):
    odd = etlworks.inject(fault)
    refs = refs_of([etlworks.seed_run(Life(60))])
    for _ in range(2):
        with pytest.raises(VendorUnavailableError):
            hook.read_runs(refs)

    assert hook.read_runs(refs) == {}
    assert not hook.reads_in_bulk

    clock.now += 60
    assert hook.read_runs(refs) == {}, "after a pause, one more failure begins the next"
    assert not hook.reads_in_bulk
    odd.remove()
    clock.now += 120
    assert len(hook.read_runs(refs)) == 1
    assert hook.reads_in_bulk


def test_a_rate_limit_says_nothing_about_the_report(etlworks, hook):
    etlworks.inject(Fault("list", "status", status=429, retry_after=0, times=None))
    refs = refs_of([etlworks.seed_run(Life(60))])

    for _ in range(5):
        with pytest.raises(RateLimitedError):
            hook.read_runs(refs)
        assert hook.reads_in_bulk


def test_a_report_that_shows_runs_only_when_they_have_ended_is_left_alone(etlworks, hook, clock):
    etlworks.report_names_running = False
    refs = refs_of([etlworks.seed_run(Life(60))])

    for _ in range(3):
        assert hook.reads_in_bulk
        hook.read_runs(refs)

    assert not hook.reads_in_bulk
    clock.now += 60
    assert hook.reads_in_bulk


def test_pauses_grow_to_an_hour_and_begin_again_after_a_good_report(clock):
    use = ReportUse(clock)
    pauses = []
    for _ in range(9):
        pauses.append(use.note_refused())
        assert not use.is_due
        clock.now += pauses[-1]
        assert use.is_due

    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    use.note_good()
    assert [use.note_odd(), use.note_odd(), use.note_odd()] == [None, None, 60]


# In a triggerer


def ends_of(runs: Any) -> Counter[str]:
    """Wait for runs as a triggerer does."""

    async def ends() -> list[str]:
        path = "airflow_provider_etlapis.hooks.etlworks.EtlworksHook"
        waits = [
            RemoteRunTrigger(hook=path, conn_id=CONN_ID, ref=ref.to_json(), poll_interval=0.1) for ref in refs_of(runs)
        ]
        events = await asyncio.gather(*(anext(wait.run()) for wait in waits))
        return [event.payload["state"] for event in events]

    return Counter(asyncio.run(ends()))


def test_an_operators_key_polls_each_run_quietly(etlworks, caplog):
    etlworks.role = "operator"
    runs = [etlworks.seed_run(Life(0.4)) for _ in range(5)]

    with caplog.at_level(logging.INFO):
        assert ends_of(runs) == {"succeeded": 5}

    assert etlworks.ledger.count("list") == 1
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


@pytest.mark.parametrize("status", [403, 404])
def test_two_odd_answers_of_a_proxy_leave_a_hundred_waits_to_the_report(etlworks, status):
    etlworks.inject(Fault("list", "status", status=status, body="<h1>Proxy</h1>", times=2))
    runs = [etlworks.seed_run(Life(1.0)) for _ in range(100)]

    assert ends_of(runs) == {"succeeded": 100}

    assert etlworks.ledger.count("get") <= 110, "each ended run costs one read of its own, and going ones none"


def test_a_report_that_comes_back_serves_the_same_waits_again(etlworks, monkeypatch):
    monkeypatch.setattr(report_module, "FIRST_PAUSE", 0.5)
    etlworks.inject(Fault("list", "status", status=404, body="default backend - 404", times=4))
    runs = [etlworks.seed_run(Life(3.0)) for _ in range(5)]

    assert ends_of(runs) == {"succeeded": 5}

    answers = [record.status for record in etlworks.ledger.requests if record.operation == "list"]
    assert answers[:4] == [404] * 4
    assert answers.count(200) > 5
