"""Starting a flow at Etlworks: every outcome of the call, parameters as text, a flow that is already running."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import (
    AlreadyRunningError,
    EtlApiError,
    InvalidInputError,
    RemoteRunFailedError,
    RemoteRunTimeoutError,
    RequestRefusedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator
from airflow_provider_etlapis.runs.model import RunState
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from tests.support.airflow_context import task_log  # noqa: F401 a fixture
from tests.support.rehearsal import Rehearsal
from tests.vendors.etlworks.kit import CONN_ID, ORDERS

HOST = "https://etl.example.com"
SPEC: dict[str, Any] = {"flow_id": str(ORDERS), "parameters": {}}


@pytest.fixture
def mocked(monkeypatch):
    connection = {"conn_type": "etlworks", "host": HOST, "password": "k" * 32, "extra": {"retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))
    with EtlworksHook(CONN_ID) as hook:
        yield hook


@pytest.fixture
def etlworks(etlapis_sandbox):
    return etlapis_sandbox.etlworks(conn_id=CONN_ID, default_life=Life(0.05))


def task(**arguments: Any) -> Rehearsal:
    wanted = {"task_id": "run", "flow_id": ORDERS, "poll_interval": 0.05, "retries": 3, **arguments}
    return Rehearsal(lambda: EtlworksRunFlowOperator(**wanted))


# The answer to a start


@pytest.mark.parametrize("audit_id", [8721934, "8721934"])
def test_started_with_a_number_in_either_form(mocked, requests_mock, audit_id):
    requests_mock.post(f"{HOST}/rest/v1/flows/{ORDERS}/run", json={"status": 0, "auditId": audit_id}, status_code=201)

    assert mocked.start_run(SPEC, "m").ref.ids["audit_id"] == "8721934"


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        ({"status": 1}, AlreadyRunningError, "already running"),
        ({"status": 1, "auditId": 5}, AlreadyRunningError, "already running"),
        ({"status": 2}, VendorUnavailableError, "suspended"),
        ({"status": 3}, VendorUnavailableError, "was not running"),
        ({"status": 5, "exception": "java.lang.Boom"}, RemoteRunFailedError, "java.lang.Boom"),
        ({"status": 6, "auditId": 7}, RequestRefusedError, "status 6, auditId 7, which is not documented"),
        ({"status": -1}, RequestRefusedError, "status -1, which is not documented"),
        ({"status": 0}, VendorUnavailableError, "without the auditId"),
        ({"status": 0, "auditId": None}, VendorUnavailableError, "without the auditId"),
        ({"auditId": 7}, VendorUnavailableError, "no whole number as status"),
        ({"status": True, "auditId": 7}, VendorUnavailableError, "no whole number as status"),
    ],
)
def test_every_other_outcome_is_an_error_that_quotes_the_answer(mocked, requests_mock, answer, error, told):
    requests_mock.post(f"{HOST}/rest/v1/flows/{ORDERS}/run", json=answer)

    with pytest.raises(error, match=told):
        mocked.start_run(SPEC, "m")


@pytest.mark.parametrize(
    ("answer", "acted"),
    [
        ({"status": 1}, False),
        ({"status": 2}, False),
        ({"status": 3}, False),
        ({"success": False, "error": "no"}, False),
        ({"status": 0}, True),
        ({"status": 6, "auditId": 7}, True),
        ({}, True),
    ],
)
def test_only_an_outcome_that_says_so_surely_started_nothing(mocked, requests_mock, answer, acted):
    requests_mock.post(f"{HOST}/rest/v1/flows/{ORDERS}/run", json=answer)

    with pytest.raises(EtlApiError) as failure:
        mocked.start_run(SPEC, "m")

    assert failure.value.may_have_acted is acted


@pytest.mark.parametrize("ask", [lambda hook: hook.run_flow(ORDERS), lambda hook: hook.run_flow_by_name("Load orders")])
@pytest.mark.parametrize("fault", [Fault("*", "status", status=503, times=None), Fault("*", "drop_before", times=None)])
def test_a_start_is_never_sent_twice(etlworks, monkeypatch, ask, fault):
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps({**etlworks.connection(), "extra": {"retries": 3}}))
    etlworks.inject(fault)

    with EtlworksHook(CONN_ID) as hook, pytest.raises(VendorUnavailableError):
        ask(hook)

    assert etlworks.ledger.count() == 1


@pytest.mark.parametrize("code", [4, 5])
def test_a_run_that_ended_within_the_call_is_confirmed_by_its_record(mocked, requests_mock, code):
    requests_mock.post(f"{HOST}/rest/v1/flows/{ORDERS}/run", json={"status": code, "auditId": 7})
    requests_mock.get(f"{HOST}/rest/v1/executions/{ORDERS}?auditId=7", json={"status": "success", "auditId": 7})

    assert mocked.start_run(SPEC, "m").state is RunState.SUCCEEDED


@pytest.mark.parametrize("way", ["status", "409"])
def test_a_flow_that_runs_is_not_started_again(etlworks, way):
    etlworks.refuses_by = way
    etlworks.seed_run(Life(60))

    with pytest.raises(AlreadyRunningError):
        task().run()

    assert etlworks.ledger.starts == []


def test_a_suspended_instance_costs_the_task_one_of_its_retries(etlworks):
    etlworks.suspended = True
    failing = task()
    with pytest.raises(VendorUnavailableError, match="suspended"):
        failing.run()

    etlworks.suspended = False
    assert failing.retry().run()["state"] == "succeeded"


# Which flow, with what


def test_a_flow_is_started_by_its_name(etlworks):
    manifest = task(flow_id=None, flow_name="Load orders").run()

    assert manifest["ids"]["flow_id"] == str(ORDERS)
    assert manifest["name"] == "Load orders"


@pytest.mark.parametrize(
    "which",
    [
        {"flow_id": None},
        {"flow_id": "", "flow_name": ""},
        {"flow_name": "Load orders"},
        {"flow_id": "12x"},
        {"flow_id": None, "flow_name": "  "},
        {"flow_id": -1},
    ],
)
def test_a_task_must_name_one_flow(etlworks, which):
    with pytest.raises(InvalidInputError, match="flow_"):
        task(**which).run()

    assert etlworks.ledger.count() == 0


def test_parameters_become_text(etlworks):
    given = {
        "text": "a b",
        "empty": "",
        "number": 7,
        "share": 0.5,
        "money": Decimal("1.10"),
        "flag": True,
        "day": date(2026, 11, 22),
        "moment": datetime(2026, 11, 22, 6, tzinfo=UTC),
    }

    task(parameters=given).run()

    (run,) = etlworks.ledger.runs
    assert run.request == {
        "text": "a b",
        "empty": "",
        "number": "7",
        "share": "0.5",
        "money": "1.10",
        "flag": "true",
        "day": "2026-11-22",
        "moment": "2026-11-22T06:00:00+00:00",
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"a": None},
        {"a": {"b": "c"}},
        {"a": ["b"]},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": b"bytes"},
        {1: "a"},
        {"": "a"},
        ["a"],
        "a=b",
    ],
)
def test_parameters_that_cannot_be_text_are_refused_before_anything_is_sent(etlworks, parameters):
    with pytest.raises(InvalidInputError, match="parameters"):
        task(parameters=parameters).run()

    assert etlworks.ledger.count() == 0


@pytest.mark.parametrize(
    ("by_task", "by_connection", "name"),
    [
        (None, None, None),
        (True, None, "airflow_run_key"),
        ("job_key", None, "job_key"),
        (None, "job_key", "job_key"),
        (None, "true", "airflow_run_key"),
        (False, "job_key", None),
    ],
)
def test_the_run_key_is_sent_only_where_it_is_wanted(etlworks, monkeypatch, by_task, by_connection, name):
    connection = {**etlworks.connection(), "extra": {"run_key_parameter": by_connection}}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))

    task(run_key_parameter=by_task, parameters={"a": "b"}).run()

    (run,) = etlworks.ledger.runs
    assert set(run.request) == {"a"} | ({name} if name else set())
    assert all(value.startswith("airflow dag.run ") for key, value in run.request.items() if key != "a")


@pytest.mark.parametrize(("by_task", "by_connection"), [("k", None), (None, "k")])
def test_a_parameter_of_the_users_own_is_never_overwritten(etlworks, monkeypatch, by_task, by_connection):
    connection = {**etlworks.connection(), "extra": {"run_key_parameter": by_connection}}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))

    with pytest.raises(InvalidInputError, match="must leave 'k'"):
        task(run_key_parameter=by_task, parameters={"k": "mine"}).run()

    assert etlworks.ledger.starts == []


# Warnings


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_warning_is_a_success_that_the_log_tells(etlworks, task_log, deferrable):  # noqa: F811
    etlworks.plan(Life(0.1, "warning"))

    manifest = task(deferrable=deferrable).run()

    assert (manifest["state"], manifest["vendor_status"]) == ("warning", "warning")
    assert [line for line in task_log.warnings() if "ended as warning" in line]


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_warning_is_a_failure_if_the_user_says_so(etlworks, deferrable):
    etlworks.plan(Life(0.1, "warning"))

    with pytest.raises(RemoteRunFailedError, match="ended as warning"):
        task(deferrable=deferrable, on_warning="fail").run()


def test_an_unknown_word_for_warnings_is_refused_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="on_warning must be one of 'succeed', 'fail'"):
        EtlworksRunFlowOperator(task_id="run", flow_id=1, on_warning="ignore")  # type: ignore[arg-type]


# A flow that is already running


@pytest.mark.parametrize("deferrable", [False, True])
def test_waiting_for_the_run_in_the_way_starts_one_of_our_own_after_it(etlworks, deferrable):
    theirs = etlworks.seed_run(Life(0.5))
    etlworks.plan(Life(0.2))

    manifest = task(on_already_running="wait", deferrable=deferrable).run()

    assert manifest["ids"]["audit_id"] != theirs.id
    assert len(etlworks.ledger.starts) == 1
    assert etlworks.ledger.cancels == []


@pytest.mark.parametrize("deferrable", [False, True])
def test_attaching_takes_the_result_of_the_run_in_the_way(etlworks, deferrable):
    theirs = etlworks.seed_run(Life(0.5))

    manifest = task(on_already_running="attach", deferrable=deferrable).run()

    assert manifest["ids"]["audit_id"] == theirs.id
    assert etlworks.ledger.starts == []


@pytest.mark.parametrize("policy", ["wait", "attach"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_run_in_the_way_that_is_not_ours_is_never_stopped(etlworks, monkeypatch, policy, deferrable):
    etlworks.stop_path = "/v1/flows/{flow_id}/stop"
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(etlworks.connection()))
    etlworks.seed_run(Life(60))

    with pytest.raises(RemoteRunTimeoutError, match="not started by this task"):
        task(on_already_running=policy, deferrable=deferrable, timeout=0.3).run()

    assert etlworks.ledger.cancels == []


def test_a_flow_that_is_still_stopping_is_asked_again_without_haste(etlworks, monkeypatch):
    """``canceled`` says that a stop was asked for: the flow is not free yet."""
    etlworks.stop_seconds = 0.6
    theirs = etlworks.seed_run(Life(60))
    etlworks.cancel_run(theirs)
    manifest = task(on_already_running="wait", poll_interval=0.2).run()

    assert manifest["state"] == "succeeded"
    assert 2 <= etlworks.ledger.count("start") < 20


def test_attaching_when_nothing_runs_any_more_starts(etlworks):
    etlworks.inject(Fault("start", "status", status=409))

    assert task(on_already_running="attach").run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1
