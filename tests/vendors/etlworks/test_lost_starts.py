"""A start at Etlworks without an answer, over the wire: its run is found by its key, or it is started again."""

from __future__ import annotations

import time

import pytest

from airflow_provider_etlapis.exceptions import EtlApiError, StartLostError
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.messages import Call
from tests.vendors.etlworks.kit import (
    ALONE,
    CONN_ID,
    KEYS,
    MODES,
    connect,
    shorten_searches,
)
from tests.vendors.etlworks.kit import rehearsed as task


@pytest.fixture
def etlworks(etlapis_sandbox, monkeypatch):
    shorten_searches(monkeypatch)
    sandbox = etlapis_sandbox.etlworks(conn_id=CONN_ID, default_life=Life(0.05))
    connect(monkeypatch, sandbox)
    return sandbox


# The run key


@MODES
@ALONE
@pytest.mark.parametrize("details", [True, False], ids=["with_times", "bare_records"])
@pytest.mark.parametrize("history", ["newest", "oldest"])
def test_a_run_that_shows_our_key_is_followed(etlworks, deferrable, alone, details, history):
    etlworks.tells_details, etlworks.history_order, etlworks.single_instance = details, history, alone
    for _ in range(3):
        etlworks.seed_run(Life(0.01), age=900)
    etlworks.inject(Fault("start", "drop_after"))

    manifest = task(run_key_parameter=True, deferrable=deferrable).run()

    assert (manifest["state"], manifest["ids"]["audit_id"]) == ("succeeded", etlworks.ledger.starts[0])
    assert len(etlworks.ledger.starts) == 1


def test_a_record_that_shows_the_key_is_enough(etlworks):
    etlworks.tells_parameters, etlworks.log_tells_parameters = True, False
    etlworks.inject(Fault("start", "drop_after"))

    assert task(run_key_parameter=True).run()["state"] == "succeeded"
    assert etlworks.ledger.count("history") == etlworks.ledger.count("log") == 0


def test_a_history_that_may_not_be_read_does_not_matter_to_a_run_that_shows_our_key(etlworks):
    etlworks.inject(Fault("history", "status", status=403, times=None))
    etlworks.inject(Fault("start", "drop_after"))

    assert task(run_key_parameter=True).run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


@pytest.mark.parametrize("status", [404, 500])
def test_a_log_that_is_not_there_yet_is_read_at_the_next_look(etlworks, status):
    etlworks.plan(Life(0.5))
    etlworks.inject(Fault("log", "status", status=status, times=2))
    etlworks.inject(Fault("start", "drop_after"))

    assert task(run_key_parameter=True).run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


def test_a_record_that_comes_late_is_found(etlworks):
    etlworks.plan(Life(0.5))
    etlworks.record_delay = 0.2
    etlworks.inject(Fault("start", "drop_after"))

    assert task(run_key_parameter=True).run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


def test_a_second_start_that_finds_the_flow_running_looks_again_for_the_first(etlworks):
    """The record of the first start comes later than all looks for it."""
    etlworks.plan(Life(60))
    etlworks.record_delay = 3600.0
    etlworks.inject(Fault("start", "drop_after"))
    unwrap = etlworks.unwrap

    def note(call: Call) -> Call:
        if call.path.endswith("/run") and etlworks.ledger.count("start") == 1:
            etlworks.record_delay = 0.0
        return unwrap(call)

    etlworks.unwrap = note
    mine = task(run_key_parameter=True)

    manifest = mine.run(when_known=lambda: etlworks.clock.advance(100))

    assert manifest["state"] == "succeeded"
    assert etlworks.ledger.count("start") == 2
    assert len(etlworks.ledger.starts) == 1


# Something in between answers the start call


@pytest.mark.parametrize("status", [400, 404, 405, 408, 409, 413, 421, 425, 460, 499, 504, 524])
def test_a_proxys_answer_to_a_start_that_took_effect_starts_no_second_run(etlworks, status):
    etlworks.single_instance = False
    etlworks.inject(Fault("start", "status", status=status, body="<h1>Proxy</h1>", applied=True))

    manifest = task(run_key_parameter=True).run()

    assert manifest["ids"]["audit_id"] == etlworks.ledger.starts[0]
    assert len(etlworks.ledger.starts) == 1


@MODES
@ALONE
def test_so_it_is_in_every_mode(etlworks, deferrable, alone):
    etlworks.single_instance = alone
    etlworks.inject(Fault("start", "status", status=408, body="<h1>Proxy</h1>", applied=True))

    assert task(run_key_parameter=True, deferrable=deferrable).run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


@ALONE
def test_a_start_that_takes_effect_after_we_gave_up_on_its_answer_is_found(etlworks, monkeypatch, alone):
    etlworks.single_instance = alone
    connect(monkeypatch, etlworks, read_timeout=0.3, retries=0)
    etlworks.inject(Fault("start", "delay", seconds=1.2))
    began = time.monotonic()

    assert task(run_key_parameter=True).run()["state"] == "succeeded"
    time.sleep(max(0.0, began + 1.8 - time.monotonic()))  # by then the late start has surely been made
    assert len(etlworks.ledger.starts) == 1


@pytest.mark.parametrize("code", [6, 17, -1])
def test_an_outcome_that_is_not_documented_leaves_open_whether_a_run_was_started(etlworks, code):
    etlworks.inject(Fault("start", "status", status=200, body=f'{{"status": {code}}}', applied=True))

    assert task(run_key_parameter=True).run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


@pytest.mark.parametrize("body", ["default backend - 404", "<h1>404</h1>", '{"message": "no Route matched"}'])
def test_one_answer_of_something_else_about_our_run_is_no_reason_for_a_second_start(etlworks, body):
    etlworks.plan(Life(60))
    mine = task(retries=3, run_key_parameter=True)
    mine.lose_process()
    etlworks.inject(Fault("get", "status", status=404, body=body))

    try:
        manifest = mine.retry().run(when_known=lambda: etlworks.clock.advance(100))
    except EtlApiError as error:
        if not error.retry_helps:
            raise
        manifest = mine.retry().run(when_known=lambda: etlworks.clock.advance(100))

    assert manifest["ids"]["audit_id"] == etlworks.ledger.starts[0]
    assert etlworks.ledger.count("start") == 1


# A start that came to nothing


@MODES
@KEYS
@pytest.mark.parametrize("never_ran", ["404", "null", "empty"])
def test_a_flow_that_never_ran_is_started_again_when_the_call_did_not_arrive(etlworks, deferrable, key, never_ran):
    etlworks.never_ran = never_ran
    etlworks.inject(Fault("start", "drop_before"))

    assert task(run_key_parameter=key, deferrable=deferrable).run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


@MODES
@KEYS
def test_a_flow_that_has_run_before_is_started_again_when_the_call_did_not_arrive(etlworks, deferrable, key):
    etlworks.seed_run(Life(1), age=5)
    etlworks.inject(Fault("start", "drop_before"))

    assert task(run_key_parameter=key, deferrable=deferrable).run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


def test_where_the_history_cannot_be_read_absence_is_not_shown(etlworks):
    etlworks.seed_run(Life(1), age=5)
    etlworks.inject(Fault("history", "status", status=403, times=None))
    etlworks.inject(Fault("start", "drop_before"))

    with pytest.raises(StartLostError, match="its history could not be read"):
        task(run_key_parameter=True).run()

    assert etlworks.ledger.count("start") == 1
