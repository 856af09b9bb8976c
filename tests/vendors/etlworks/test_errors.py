"""What counts as Etlworks' own word: errors in its documented shape, refusals that say so, a flow that never ran."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import (
    ConflictError,
    EtlApiError,
    NotFoundError,
    PermissionDeniedError,
    RequestRefusedError,
    StartLostError,
    UnrecognizedAnswerError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.wire.call import Response
from tests.support.airflow_context import task_log  # noqa: F401 a fixture
from tests.support.rehearsal import Rehearsal
from tests.vendors.etlworks.kit import COLOURS, CONN_ID, ORDERS, STRIPE, in_colour

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
SPEC: dict[str, Any] = {"flow_id": str(ORDERS), "parameters": {}}


@pytest.fixture
def etlworks(etlapis_sandbox, monkeypatch):
    monkeypatch.setattr(evidence, "ACTS_AFTER_ANSWER", 0.2)
    monkeypatch.setattr(evidence, "ACTS_AFTER_CLOSE", 0.2)
    sandbox = etlapis_sandbox.etlworks(conn_id=CONN_ID, default_life=Life(0.05))
    connection = {**sandbox.connection(), "extra": {"requests_per_minute": 60000, "retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))
    return sandbox


def task(**arguments: Any) -> Rehearsal:
    wanted = {"task_id": "run", "flow_id": ORDERS, "poll_interval": 0.05, "retries": 3, **arguments}
    return Rehearsal(lambda: EtlworksRunFlowOperator(**wanted))


def own(status: int, message: str = "Not there", **more: Any) -> str:
    return json.dumps({"status": status, "error": "Error", "message": message, **more})


# The shape of its errors


@pytest.mark.parametrize(
    "body",
    [
        '{"status": 404, "error": "Not Found", "message": "no such flow", "path": "/rest/v1/flows/7"}',
        '{"status": 404, "error": "Not Found", "message": "no such flow"}',
        '{"status": 404, "error": "Not Found", "message": "", "path": null, "timestamp": 1}',
        '{"success": false, "error": "no such flow"}',
    ],
)
def test_the_documented_shape_is_the_vendors_own(body):
    assert EtlworksHook.is_own_error(Response(404, {}, body.encode()))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "default backend - 404",
        "<html><h1>404 Not Found</h1></html>",
        "{",
        "null",
        "[]",
        "404",
        '"Not Found"',
        '{"message": "no Route matched with those values"}',
        '{"status": 502, "error": "Not Found", "message": "no such flow"}',
        '{"status": "404", "error": "Not Found", "message": "no such flow"}',
        '{"status": 404, "error": null, "message": "no such flow"}',
        '{"status": 404, "error": "Not Found", "message": {"text": "no such flow"}}',
        '{"kind": "Status", "status": "Failure", "message": "no endpoints available", "code": 404}',
        '{"success": true, "error": "no such flow"}',
        '{"success": false}',
    ],
)
def test_any_other_shape_may_be_that_of_something_in_between(body):
    assert not EtlworksHook.is_own_error(Response(404, {}, body.encode()))


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RequestRefusedError), (404, NotFoundError), (409, ConflictError), (415, RequestRefusedError)],
)
def test_a_refusal_is_one_only_in_the_vendors_words(etlworks, colour, status, error):
    etlworks.inject(Fault("flow", "status", status=status))
    with pytest.raises(error):
        in_colour(colour, lambda hook: (hook.get_flow, (STRIPE,), {}))

    etlworks.inject(Fault("flow", "status", status=status, body="<h1>Proxy</h1>"))
    with pytest.raises(UnrecognizedAnswerError) as failure:
        in_colour(colour, lambda hook: (hook.get_flow, (STRIPE,), {}))
    assert failure.value.retry_helps


def test_the_test_button_takes_a_missing_right_from_the_vendor_only(etlworks):
    etlworks.inject(Fault("flows", "status", status=403))
    assert EtlworksHook(CONN_ID).test_connection()[0] is True

    etlworks.inject(Fault("flows", "status", status=403, body="<h1>Forbidden</h1>", times=None))
    good, words = EtlworksHook(CONN_ID).test_connection()
    assert good is False
    assert "the credential is good" not in words


@pytest.mark.parametrize("body", [None, "<h1>Forbidden</h1>"])
def test_the_runs_of_all_flows_are_for_administrators_only_where_the_vendor_says_so(etlworks, body):
    etlworks.inject(Fault("list", "status", status=403, body=body))

    with EtlworksHook(CONN_ID) as hook, pytest.raises(EtlApiError) as failure:
        hook.recent_runs(5)

    assert ("for administrators" in str(failure.value)) is (body is None)
    assert isinstance(failure.value, PermissionDeniedError) is (body is not None)


# A start that is refused for now


@MODES
@pytest.mark.parametrize("single_instance", [True, False])
def test_too_many_runs_at_once_are_no_lost_start(etlworks, deferrable, single_instance):
    etlworks.most_running, etlworks.single_instance = 1, single_instance
    other = etlworks.seed_run(Life(60), flow=str(STRIPE))
    refused = task(deferrable=deferrable)

    with pytest.raises(VendorUnavailableError, match="Too many concurrent executions") as failure:
        refused.run()

    assert failure.value.may_have_acted is False
    assert (etlworks.ledger.count("start"), etlworks.ledger.count("history")) == (1, 0)
    etlworks.cancel_run(other)
    assert refused.retry().run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, own(503, "Maximum number of concurrent flows reached")),
        (503, own(503, "Executions are suspended by the administrator")),
        (400, own(400, "All executions are suspended")),
        (200, '{"success": false, "error": "Too many running flows"}'),
    ],
)
def test_a_start_that_the_vendor_does_not_make_for_now_may_be_tried_again(etlworks, status, body):
    etlworks.inject(Fault("start", "status", status=status, body=body))

    with EtlworksHook(CONN_ID) as hook, pytest.raises(VendorUnavailableError) as failure:
        hook.start_run(SPEC, "m")

    assert failure.value.retry_helps
    assert failure.value.may_have_acted is False
    assert json.loads(body).get("message", json.loads(body)["error"]) in str(failure.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, own(500, "Too many executions of a batch")),
        (500, own(500, "java.io.IOException: Too many open files")),
        (503, own(503, "The node restarts")),
        (503, own(503, "Too many open files")),
        (503, "Too many concurrent executions"),
        (503, "<h1>Too many concurrent executions</h1>"),
    ],
)
def test_any_other_fault_leaves_open_whether_a_run_was_started(etlworks, status, body):
    etlworks.inject(Fault("start", "status", status=status, body=body))

    with EtlworksHook(CONN_ID) as hook, pytest.raises(VendorUnavailableError) as failure:
        hook.start_run(SPEC, "m")

    assert failure.value.may_have_acted is True


@MODES
@pytest.mark.parametrize("applied", [True, False])
def test_a_fault_after_which_a_run_is_there_or_not_makes_one_run(etlworks, deferrable, applied):
    etlworks.inject(Fault("start", "status", status=503, body=own(503, "The node restarts"), applied=applied))

    assert task(run_key_parameter=True, deferrable=deferrable).run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


# A flow that never ran


@MODES
@pytest.mark.parametrize("never_ran", ["404", "null", "empty"])
def test_a_flow_that_never_ran_can_be_started(etlworks, deferrable, never_ran):
    etlworks.never_ran = never_ran

    assert task(deferrable=deferrable).run()["state"] == "succeeded"


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("never_ran", "record"),
    [
        ("null", {"auditId": None, "flowId": ORDERS, "flowName": "Load orders", "status": None}),
        ("empty", {"status": None}),
    ],
)
def test_the_record_of_a_flow_that_never_ran_has_no_status(etlworks, colour, never_ran, record):
    etlworks.never_ran = never_ran

    assert in_colour(colour, lambda hook: (hook.get_execution, (ORDERS,), {})) == record


@pytest.mark.parametrize(
    "body", ['{"auditId": 5, "status": null}', '{"state": "up"}', '{"status": 3}', "[]", "null", ""]
)
def test_an_answer_that_is_no_record_says_nothing_about_the_flow(etlworks, body):
    etlworks.inject(Fault("get", "status", status=200, body=body))

    with EtlworksHook(CONN_ID) as hook, pytest.raises(VendorUnavailableError):
        hook.before_start(SPEC)


@pytest.mark.parametrize(
    ("runs", "ids", "known"), [(0, True, {"audit_id": None}), (1, True, {"audit_id": 8721934}), (1, False, {})]
)
def test_what_was_there_before_the_call_is_known_only_where_it_is_shown(etlworks, runs, ids, known):
    etlworks.tells_ids = ids
    for _ in range(runs):
        etlworks.seed_run(Life(0))

    with EtlworksHook(CONN_ID) as hook:
        assert hook.before_start(SPEC) == known


def test_nothing_in_the_way_of_a_flow_that_never_ran(etlworks):
    etlworks.never_ran = "null"

    with EtlworksHook(CONN_ID) as hook:
        assert hook.find_running(SPEC) is None


# What an error quotes


@pytest.mark.parametrize("code", [1, 2, 6, 0, 5])
def test_the_answer_to_a_start_is_quoted_in_short_and_without_secrets(etlworks, code):
    """The vendor may echo what was sent, in fields that nobody knows, and in stack traces."""
    key = etlworks.gate.api_key
    trace = f"java.lang.Boom: login of bob/tiger-tiger with {key} failed\n" + "\tat com.example.Flow.run\n" * 100_000
    answer = {"status": code, "exception": trace, "parameters": {"db_password": "tiger-tiger"}, "authorization": key}
    etlworks.inject(Fault("start", "status", status=200, body=json.dumps(answer)))
    spec = {"flow_id": str(ORDERS), "parameters": {"db_password": "tiger-tiger", "day": "2026-11-22"}}

    with EtlworksHook(CONN_ID) as hook, pytest.raises(EtlApiError, match=r"java\.lang\.Boom") as failure:
        hook.start_run(spec, "m")

    text = str(failure.value)
    assert len(text) < 800
    assert key[:16] not in text
    assert "tiger-tiger" not in text
    assert "parameters" not in text


def test_the_log_of_a_lost_start_shows_no_secret_parameter(etlworks, task_log):  # noqa: F811
    etlworks.inject(Fault("start", "status", status=200, body='{"status": 9, "error": "tiger-tiger is wrong"}'))
    etlworks.seed_run(Life(0.01))
    etlworks.inject(Fault("history", "status", status=403, times=None))

    with pytest.raises(StartLostError):
        task(parameters={"db_password": "tiger-tiger"}).run()

    assert "is wrong" in task_log.text
    assert "tiger-tiger" not in task_log.text


def test_what_the_vendor_writes_about_a_run_is_bounded_and_plain(etlworks):
    record = {
        "status": "error",
        "auditId": 8,
        "flowName": "n" * 10**6,
        "exception": "e\x1b[2J" * 10**6,
        "user": "u" * 10**6,
    }
    etlworks.inject(Fault("get", "status", status=200, body=json.dumps(record)))

    with EtlworksHook(CONN_ID) as hook:
        run = hook.read_run(hook.ref(ORDERS, 8))

    assert len(run.error or "") <= 2000
    assert "\x1b" not in (run.error or "")
    assert len(json.dumps(run.manifest())) < 2000
