"""A start at Etlworks without an answer, over the wire: a run that may be somebody else's is never taken."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import AlreadyRunningError, EtlApiError, StartLostError
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from tests.vendors.etlworks.kit import (
    ALONE,
    CONN_ID,
    KEYS,
    MODES,
    ORDERS,
    connect,
    shorten_searches,
    somebody_else_starts,
)
from tests.vendors.etlworks.kit import rehearsed as task


@pytest.fixture
def etlworks(etlapis_sandbox, monkeypatch):
    shorten_searches(monkeypatch)
    sandbox = etlapis_sandbox.etlworks(conn_id=CONN_ID, default_life=Life(0.05))
    connect(monkeypatch, sandbox)
    return sandbox


# Without a key


@MODES
@ALONE
def test_without_a_key_a_new_run_is_for_a_person_to_look_at(etlworks, deferrable, alone):
    etlworks.single_instance = alone
    etlworks.inject(Fault("start", "drop_after"))

    with pytest.raises(StartLostError, match=r"12346/8721934 .*Check on the vendor's side") as failure:
        task(deferrable=deferrable).run()

    assert "no run_key_parameter was sent" in str(failure.value)
    assert len(etlworks.ledger.starts) == 1


def test_a_record_that_shows_inputs_and_user_is_proof_as_well(etlapis_sandbox):
    etlworks = etlapis_sandbox.etlworks(conn_id=CONN_ID, credential="login", tells_parameters=True)
    etlworks.inject(Fault("start", "drop_after"))

    assert task(parameters={"REGION": "A"}).run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


def test_two_new_runs_without_a_key_are_for_a_person_to_tell_apart(etlworks):
    etlworks.single_instance = False
    somebody_else_starts(etlworks)
    etlworks.inject(Fault("start", "drop_after"))

    with pytest.raises(StartLostError, match=r"12346/8721935 .*, 12346/8721934"):
        task().run()


# Somebody else's run


@MODES
@ALONE
@KEYS
def test_a_run_that_somebody_else_starts_at_that_moment_is_not_taken(etlworks, deferrable, alone, key):
    """Our start was not applied; the new run of the flow has other parameters, and shows no key of ours."""
    etlworks.single_instance = alone
    somebody_else_starts(etlworks, Life(0.01), REGION="B")
    etlworks.inject(Fault("start", "drop_before"))

    with pytest.raises(StartLostError, match="12346/8721934"):
        task(parameters={"REGION": "A"}, run_key_parameter=key, deferrable=deferrable).run()

    assert etlworks.ledger.starts == []


@MODES
def test_a_run_of_another_task_shows_its_own_key_so_ours_is_started(etlworks, deferrable):
    etlworks.single_instance = False
    somebody_else_starts(etlworks, airflow_run_key="airflow dag.other 99999999999999999999ffff")
    etlworks.inject(Fault("start", "drop_before"))

    manifest = task(run_key_parameter=True, deferrable=deferrable).run()

    assert manifest["ids"]["audit_id"] == etlworks.ledger.starts[0] == "8721935"


def test_where_the_other_run_is_in_the_way_the_task_says_so(etlworks):
    somebody_else_starts(etlworks, airflow_run_key="airflow dag.other 99999999999999999999ffff")
    etlworks.inject(Fault("start", "drop_before"))

    with pytest.raises(AlreadyRunningError):
        task(run_key_parameter=True).run()

    assert etlworks.ledger.starts == []


@pytest.mark.parametrize("by", [{"eventId": 3}, {"eventName": "nightly"}])
def test_a_run_of_a_schedule_is_not_taken(etlworks, by):
    etlworks.single_instance = False
    somebody_else_starts(etlworks)
    begin = etlworks.begin_run

    def begin_by_schedule(*args: Any, **options: Any) -> Any:
        etlworks.begin_run = begin
        run = begin(*args, **options)
        run.details.update(by)
        return run

    etlworks.begin_run = begin_by_schedule
    etlworks.inject(Fault("start", "drop_before"))

    manifest = task().run()

    assert manifest["ids"]["audit_id"] == etlworks.ledger.starts[0] == "8721935"


# Nothing was written down (Airflow 3.0 to 3.2)


@MODES
@ALONE
def test_without_a_store_the_run_is_found_by_its_key(etlworks, deferrable, alone):
    etlworks.single_instance = alone
    mine = task(run_key_parameter=True, keeps_state=False, deferrable=deferrable)
    etlworks.plan(Life(60))
    mine.lose_process()
    if not alone:
        etlworks.seed_run(Life(60)).details["user"] = "bob@example.com"

    etlworks.clock.advance(60)
    manifest = mine.retry().run()

    assert manifest["ids"]["audit_id"] == etlworks.ledger.starts[0]
    assert len(etlworks.ledger.starts) == 1


@MODES
@KEYS
@pytest.mark.parametrize("life", [Life(60), Life(0.01)], ids=["running", "ended_well"])
def test_without_a_store_no_run_is_taken_that_may_be_another_tasks(etlworks, deferrable, key, life):
    """The first try started nothing, and somebody else has run the same flow since."""
    mine = task(run_key_parameter=key, keeps_state=False, deferrable=deferrable)
    refused = etlworks.inject(Fault("start", "status", status=500, times=None))
    with pytest.raises(EtlApiError):
        mine.run()
    refused.remove()
    etlworks.seed_run(life).details["user"] = "bob@example.com"
    etlworks.clock.advance(1)

    with pytest.raises(StartLostError, match="12346/8721934"):
        mine.retry().run()

    assert etlworks.ledger.starts == []


# Records that show less


@MODES
@ALONE
@KEYS
@pytest.mark.parametrize("ends", [False, True], ids=["running", "ended_well"])
def test_a_record_without_its_id_is_never_absence(etlworks, deferrable, alone, key, ends):
    etlworks.tells_ids, etlworks.single_instance = False, alone
    etlworks.plan(Life(0.01 if ends else 60))
    etlworks.inject(Fault("start", "drop_after"))

    with pytest.raises(StartLostError, match="no auditId"):
        task(run_key_parameter=key, deferrable=deferrable).run()

    assert etlworks.ledger.count("start") == len(etlworks.ledger.starts) == 1


@MODES
def test_a_user_who_adopts_such_a_run_waits_for_what_the_flow_runs(etlworks, monkeypatch, deferrable):
    etlworks.stop_path, etlworks.tells_ids = "/v1/flows/{flow_id}/stop", False
    connect(monkeypatch, etlworks)
    etlworks.plan(Life(60))
    etlworks.inject(Fault("start", "drop_after"))
    mine = task(on_lost_start="adopt", deferrable=deferrable)

    manifest = mine.run(when_known=lambda: etlworks.clock.advance(100))

    assert (manifest["state"], manifest["ids"]) == ("succeeded", {"flow_id": str(ORDERS)})
    with EtlworksHook(CONN_ID) as hook:
        report = hook.cancel_run(RunRef("etlworks", {"flow_id": str(ORDERS)}))
    assert (report.asked, etlworks.ledger.cancels) == (False, []), "it may not be the task's own"


@MODES
def test_a_run_in_the_way_that_shows_no_id_is_waited_for(etlworks, deferrable):
    etlworks.tells_ids = False
    etlworks.seed_run(Life(0.5))

    manifest = task(on_already_running="wait", deferrable=deferrable).run()

    assert manifest["ids"]["audit_id"] == etlworks.ledger.starts[0]
