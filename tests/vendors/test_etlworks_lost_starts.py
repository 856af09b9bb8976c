"""A start at Etlworks without an answer, over the wire: one run, of this task, or a task that says what to check."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import AlreadyRunningError, EtlApiError, StartLostError
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.sandbox.etlworks import EtlworksSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.messages import Call
from tests.support.rehearsal import Rehearsal
from tests.vendors.etlworks_kit import CONN_ID, ORDERS

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
ALONE = pytest.mark.parametrize("alone", [True, False], ids=["single_instance", "overlapping"])
KEYS = pytest.mark.parametrize("key", [True, False], ids=["key", "no_key"])


@pytest.fixture(autouse=True)
def soon_over(monkeypatch):
    """Calls without an answer take effect, if ever, within moments here: looking for their runs ends sooner."""
    monkeypatch.setattr(evidence, "ACTS_AFTER_ANSWER", 0.2)
    monkeypatch.setattr(evidence, "ACTS_AFTER_CLOSE", 0.4)
    monkeypatch.setattr(evidence, "ACTS_AFTER_TIMEOUT", 2.0)


@pytest.fixture
def etlworks(etlapis_sandbox, monkeypatch):
    sandbox = etlapis_sandbox.etlworks(conn_id=CONN_ID, default_life=Life(0.05))
    connect(monkeypatch, sandbox)
    return sandbox


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: EtlworksSandbox, **extra: Any) -> None:
    """Connect without a budget, which the looks of these tests, one after another, would use up."""
    connection = sandbox.connection()
    connection["extra"] = {**connection["extra"], "requests_per_minute": 60000, **extra}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))


def task(**arguments: Any) -> Rehearsal:
    wanted = {"task_id": "run", "flow_id": ORDERS, "poll_interval": 0.05, "retries": 1, **arguments}
    keeps_state = wanted.pop("keeps_state", True)
    return Rehearsal(lambda: EtlworksRunFlowOperator(**wanted), keeps_state=keeps_state)


def somebody_else_starts(etlworks: Any, life: Life | None = None, **request: str) -> None:
    """Let another user start the same flow at the moment of our start call."""
    unwrap = etlworks.unwrap

    def note(call: Call) -> Call:
        if call.method == "POST" and call.path.endswith("/run"):
            etlworks.unwrap = unwrap
            etlworks.seed_run(life or Life(60), request=request).details["user"] = "bob@example.com"
        return call

    etlworks.unwrap = note


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


# Nothing was written down (Airflow before 3.3)


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
