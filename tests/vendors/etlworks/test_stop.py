"""Stopping runs of Etlworks: only through the connection's setting, and a stopped run is never a success."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import (
    RemoteRunCancelledError,
    RemoteRunTimeoutError,
    SensedRunFailedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sensors.etlworks import EtlworksFlowExecutionSensor
from tests.support.airflow_context import task_log  # noqa: F401 a fixture
from tests.support.rehearsal import Rehearsal
from tests.vendors.etlworks.kit import COLOURS, CONN_ID, ORDERS, STREAM, Recording, in_colour

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
STOP = "/v1/flows/{flow_id}/stop"


@pytest.fixture
def etlworks(etlapis_sandbox):
    return etlapis_sandbox.etlworks(
        conn_id=CONN_ID, stop_path=STOP, stop_seconds=0.3, role="editor", default_life=Life(60)
    )


def task(**arguments: Any) -> Rehearsal:
    wanted = {"task_id": "run", "flow_id": ORDERS, "poll_interval": 0.05, "retries": 3, **arguments}
    return Rehearsal(lambda: EtlworksRunFlowOperator(**wanted))


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("setting", "method", "path", "query", "body"),
    [
        ("POST /v1/flows/{flow_id}/stop", "POST", "/rest/v1/flows/12346/stop", (), b"{}"),
        ("/rest/v1/flows/{flow_id}/stop", "POST", "/rest/v1/flows/12346/stop", (), b"{}"),
        ("delete /v1/executions/{audit_id}", "DELETE", "/rest/v1/executions/8721934", (), b""),
        (
            "PUT /v1/flows/{flow_id}/stop?auditId={audit_id}",
            "PUT",
            "/rest/v1/flows/12346/stop",
            (("auditId", "8721934"),),
            b"{}",
        ),
    ],
)
def test_the_setting_names_the_call(monkeypatch, colour, setting, method, path, query, body):
    with Recording() as sandbox:
        run = sandbox.seed_run(Life(60))
        connection = {**sandbox.connection(), "extra": {"stop_endpoint": setting, "retries": 0}}
        monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))
        ref = EtlworksHook.ref(run.flow, run.id)
        try:
            in_colour(colour, lambda hook: (hook.cancel_run, (ref,), {}))
        except Exception as error:  # noqa: BLE001 an instance without that call; the request is what counts here
            assert "404" in str(error) or "405" in str(error)  # noqa: PT017 not every spelling is served

    call = sandbox.calls[1]  # after a look at the run
    assert (call.method, call.path, call.query, call.body) == (method, path, query, body)


@MODES
def test_a_task_that_a_person_ends_stops_its_run(etlworks, deferrable, task_log):  # noqa: F811
    task(deferrable=deferrable).kill()

    assert len(etlworks.ledger.cancels) == 1
    assert "it has stopped: error" in task_log.text


@MODES
def test_without_the_setting_the_run_goes_on_and_the_log_says_so(
    etlworks,
    monkeypatch,
    deferrable,
    task_log,  # noqa: F811
):
    connection = {**etlworks.connection(), "extra": {}}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))

    task(deferrable=deferrable).kill()

    assert etlworks.ledger.cancels == []
    assert len(etlworks.ledger.live_runs()) == 1
    assert "stop_endpoint" in task_log.text


@MODES
def test_a_deadline_stops_the_run_and_its_retry_never_takes_what_it_ends_as(etlworks, deferrable):
    """A stopped run of a streaming flow ends as ``success``: that is not what the task was to do."""
    etlworks.plan(Life(60), Life(0.1))
    late = task(flow_id=STREAM, timeout=0.3, deferrable=deferrable)
    with pytest.raises(RemoteRunTimeoutError, match="asked to stop run"):
        late.run()
    stopped = etlworks.ledger.starts[0]

    manifest = late.retry().run()

    assert manifest["state"] == "succeeded"
    assert manifest["ids"]["audit_id"] != stopped
    assert len(etlworks.ledger.starts) == 2


@MODES
def test_a_run_that_somebody_stops_fails_the_task_and_its_retry_starts_anew(etlworks, deferrable):
    etlworks.plan(Life(0.2, "canceled", afterwards=[(0.5, "success")]), Life(0.1))
    stopped = task(flow_id=STREAM, deferrable=deferrable)
    with pytest.raises(RemoteRunCancelledError):
        stopped.run()
    etlworks.clock.advance(10)

    assert stopped.retry().run()["ids"]["audit_id"] != etlworks.ledger.starts[0]


def test_a_retry_waits_for_the_end_of_a_run_that_may_be_stopping_and_does_not_take_it(etlworks):
    """The stop got no answer: no second run while the first may be alive, and no success of it."""
    etlworks.plan(Life(1.0), Life(0.05))
    etlworks.inject(Fault("cancel", "drop_before", times=None))
    late = task(timeout=0.5)
    with pytest.raises(RemoteRunTimeoutError, match="may go on"):
        late.run()

    manifest = late.retry().run()

    first, second = etlworks.ledger.runs
    assert manifest["run_id"].endswith(second.id)
    assert manifest["state"] == "succeeded"
    assert second.started_at >= first.started_at + 1.0, "never beside the first"


def test_a_stop_that_was_surely_refused_takes_nothing_from_the_run(etlworks):
    etlworks.plan(Life(1.0))
    etlworks.role = "operator"
    late = task(timeout=0.5)
    with pytest.raises(RemoteRunTimeoutError, match="403"):
        late.run()

    assert late.retry().run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


@pytest.mark.parametrize("after", ["success", "error"])
def test_a_sensor_does_not_take_what_a_canceled_run_ends_as(etlworks, after):
    run = etlworks.seed_run(Life(0.3, "canceled", afterwards=[(0.4, after)]), flow="Stream clicks")
    wanted = {"task_id": "sense", "flow_id": STREAM, "audit_id": run.id, "poke_interval": 0.1, "deferrable": True}
    sensing = Rehearsal(lambda: EtlworksFlowExecutionSensor(**wanted))
    resumed = sensing._resumed

    def later(deferred: Any) -> Any:
        etlworks.role = "operator"  # the report is not for this key: single reads
        return resumed(deferred)

    sensing._resumed = later  # type: ignore[method-assign]  # between the trigger and the worker, time passes
    event_of = sensing._event_of

    async def event_and_pause(deferred: Any) -> Any:
        event = await event_of(deferred)
        etlworks.clock.advance(5)
        return event

    sensing._event_of = event_and_pause  # type: ignore[method-assign]

    with pytest.raises(SensedRunFailedError, match=f"ended as {after}"):
        sensing.run()

    assert sensing.events[-1]["state"] == "cancelled"


# Refused, or answered by something else

NO_STOPS = {
    "refused": ("stop_answer", "The execution cannot be stopped"),
    "page": (Fault("cancel", "html", times=None), "an HTML page"),
    "text": (Fault("cancel", "status", status=200, body="OK", times=None), "not Etlworks' own"),
    "false": (Fault("cancel", "status", status=200, body="false", times=None), "success: false"),
    "as_text": (Fault("cancel", "status", status=200, body='{"success": "false"}', times=None), "success: false"),
}


def refuse_stops(etlworks: Any, way: str) -> str:
    what, words = NO_STOPS[way]
    if isinstance(what, Fault):
        etlworks.inject(what)
    else:
        etlworks.stop_answer = "refused"
    return words


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("way", NO_STOPS)
def test_a_stop_that_is_not_accepted_was_not_asked_for(etlworks, colour, way):
    words = refuse_stops(etlworks, way)
    run = etlworks.seed_run(Life(60))

    report = in_colour(colour, lambda hook: (hook.cancel_run, (hook.ref(run.flow, run.id),), {}))

    assert report.asked is False
    assert words in report.note
    assert "may go on" in report.note


@MODES
@pytest.mark.parametrize("way", NO_STOPS)
def test_the_good_end_of_a_run_whose_stop_was_not_accepted_is_taken(etlworks, deferrable, way):
    """Nothing was cancelled, so the retry takes what the run has come to, and starts no second one."""
    words = refuse_stops(etlworks, way)
    late = task(timeout=0.3, deferrable=deferrable)
    with pytest.raises(RemoteRunTimeoutError, match=words):
        late.run()
    etlworks.clock.advance(100)

    manifest = late.retry().run()

    assert (manifest["state"], manifest["ids"]["audit_id"]) == ("succeeded", etlworks.ledger.starts[0])
    assert len(etlworks.ledger.starts) == 1


@pytest.mark.parametrize("colour", COLOURS)
def test_a_stop_whose_answer_was_lost_on_the_way_is_known_by_the_run(etlworks, colour):
    etlworks.stop_seconds = 60.0
    etlworks.inject(Fault("cancel", "html", applied=True))
    run = etlworks.seed_run(Life(60))

    report = in_colour(colour, lambda hook: (hook.cancel_run, (hook.ref(run.flow, run.id),), {}))

    assert report.asked is True
    assert "the run is canceled" in report.note


@pytest.mark.parametrize("body", ["", "{}", "[]", "null", "true", '{"status": "canceled"}', '{"success": true}'])
def test_no_body_and_json_that_refuses_nothing_accept_a_stop(etlworks, body):
    etlworks.inject(Fault("cancel", "status", status=200, body=body, applied=True))
    run = etlworks.seed_run(Life(60))

    with EtlworksHook(CONN_ID) as hook:
        report = hook.cancel_run(hook.ref(run.flow, run.id))

    assert (report.asked, etlworks.ledger.cancels) == (True, [run.id])


def test_the_words_of_a_refusal_are_short_and_show_no_secret(etlworks):
    words = json.dumps({"success": False, "error": f"key {etlworks.gate.api_key} \x1b[2J" + "x" * 100_000})
    etlworks.inject(Fault("cancel", "status", status=200, body=words))
    run = etlworks.seed_run(Life(60))

    with EtlworksHook(CONN_ID) as hook:
        report = hook.cancel_run(hook.ref(run.flow, run.id))

    assert len(report.note) < 600
    assert etlworks.gate.api_key[:20] not in report.note
    assert "\x1b" not in report.note


@pytest.mark.parametrize(
    ("setting", "sent"),
    [
        ("POST /v1/flows/{flow_id}/stop", 1),
        ("POST /v1/executions/{audit_id}/stop", 3),
        ("POST /v1/flows/{flow_id}/stop?auditId={audit_id}", 3),
    ],
)
def test_only_a_stop_that_names_its_run_is_sent_twice(etlworks, monkeypatch, setting, sent):
    """The second stop of a flow could stop another run than the first."""
    connection = {**etlworks.connection(), "extra": {"stop_endpoint": setting, "retries": 2}}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))
    etlworks.inject(Fault("cancel", "drop_before", times=None))
    run = etlworks.seed_run(Life(60))

    with EtlworksHook(CONN_ID) as hook, pytest.raises(VendorUnavailableError):
        hook.cancel_run(hook.ref(run.flow, run.id))

    assert etlworks.ledger.count("cancel") == sent


def test_an_ended_run_is_not_stopped(etlworks):
    run = etlworks.seed_run(Life(0))
    with EtlworksHook(CONN_ID) as hook:
        report = hook.cancel_run(hook.ref(run.flow, run.id))

    assert (report.asked, report.note) == (False, f"run 12346/{run.id} had ended already: success")
    assert etlworks.ledger.cancels == []
