"""The Etlworks on localhost is as strict as the documents: what a client gets wrong is refused in the vendor's body."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.etlworks import EtlworksSandbox
from airflow_provider_etlapis.sandbox.lives import Life
from tests.vendors.etlworks.kit import ORDERS, STREAM

NOON = 1795348800.0


@pytest.fixture
def etlworks():
    with EtlworksSandbox(clock=Clock(start=NOON, speed=0)) as sandbox:
        yield sandbox


def ask(etlworks: EtlworksSandbox, method: str, path: str, **options: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {etlworks.gate.api_key}", **options.pop("headers", {})}
    return requests.request(method, f"{etlworks.base_url}{path}", headers=headers, timeout=5, **options)


RUN = f"/rest/v1/flows/{ORDERS}/run"


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/v1/flows", {}, 404),
        ("GET", "/rest/v1/nothing", {}, 404),
        ("DELETE", "/rest/v1/flows", {}, 405),
        ("GET", "/rest/v1/flows?page=2", {}, 400),
        ("GET", "/rest/v1/flows?since=soon", {}, 400),
        ("GET", "/rest/v1/flows/abc", {}, 400),
        ("GET", "/rest/v1/flows/99", {}, 404),
        ("POST", RUN, {}, 415),
        ("POST", RUN, {"data": "{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", RUN, {"data": "{", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", RUN, {"json": ["a"]}, 400),
        ("POST", RUN, {"json": {"params": {"a": "b"}}}, 400),
        ("POST", RUN, {"json": {"a": 1}}, 400),
        ("POST", f"/rest/v1/flows/{ORDERS}/stop", {"json": {}}, 404),
        ("POST", "/rest/v1/flows/flow-name/Nothing/run", {"json": {}}, 404),
        ("POST", "/rest/v1/flows/flow-name/Load%20orders/run", {"json": {"a": "b"}}, 400),
        ("GET", f"/rest/v1/executions/{ORDERS}", {}, 404),
        ("GET", f"/rest/v1/executions/{ORDERS}?auditId=1", {}, 404),
        ("GET", f"/rest/v1/executions/{ORDERS}/history?limit=many", {}, 400),
        ("GET", "/rest/v1/metrics/executions?date=yesterday", {}, 400),
        ("POST", "/rest/v1/token-auth", {"json": {"username": "a", "password": "b"}}, 400),
        ("POST", "/rest/v1/token-auth", {"json": {"login": "a", "password": "b"}}, 401),
        ("POST", "/rest/v1/token-auth/refresh", {}, 401),
    ],
)
def test_a_wrong_request_is_refused_in_the_vendors_words(etlworks, method, path, options, status):
    answer = ask(etlworks, method, path, **options)

    assert answer.status_code == status
    assert set(answer.json()) == {"status", "error", "message", "path"}
    assert (answer.json()["status"], answer.json()["path"]) == (status, path.partition("?")[0])
    assert etlworks.ledger.starts == []


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer  {}", 'Bearer "{}"', "bearer {}", "{}", "Basic {}"])
def test_a_credential_must_be_exactly_as_written(etlworks, header):
    wrong = {"Authorization": header.format(etlworks.gate.api_key)}

    assert ask(etlworks, "GET", "/rest/v1/flows", headers=wrong).status_code == 401


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("viewer", {"flows"}),
        ("operator", {"flows", "run", "status"}),
        ("editor", {"flows", "run", "status"}),
        ("administrator", {"flows", "run", "status", "report", "audit"}),
    ],
)
def test_roles_may_do_what_the_documents_say(etlworks, role, allowed):
    etlworks.role = role
    etlworks.seed_run(flow="Stream clicks")
    answers = {
        "flows": ask(etlworks, "GET", "/rest/v1/flows"),
        "run": ask(etlworks, "POST", RUN, json={}),
        "status": ask(etlworks, "GET", f"/rest/v1/executions/{STREAM}"),
        "report": ask(etlworks, "GET", "/rest/v1/metrics/executions"),
        "audit": ask(etlworks, "GET", "/rest/v1/audit"),
    }

    assert {name for name, answer in answers.items() if answer.status_code == 200} == allowed
    assert {answer.status_code for name, answer in answers.items() if name not in allowed} <= {403}


def test_a_flow_runs_once_at_a_time(etlworks):
    first = ask(etlworks, "POST", RUN, json={}).json()
    second = ask(etlworks, "POST", RUN, json={}).json()
    etlworks.clock.advance(60)
    third = ask(etlworks, "POST", RUN, json={}).json()

    assert (first["status"], third["status"]) == (0, 0)
    assert second == {"flowId": ORDERS, "status": 1}


@pytest.mark.parametrize(("flow", "end"), [(ORDERS, "error"), (STREAM, "success")])
def test_a_stopped_run_is_canceled_at_once_and_something_else_when_it_has_stopped(etlworks, flow, end):
    etlworks.stop_path, etlworks.stop_seconds = "/v1/flows/{flow_id}/stop", 30
    etlworks.plan(Life(3600))
    run = ask(etlworks, "POST", f"/rest/v1/flows/{flow}/run", json={}).json()["auditId"]

    def word() -> str:
        return str(ask(etlworks, "GET", f"/rest/v1/executions/{flow}?auditId={run}").json()["status"])

    assert word() == "running"
    assert ask(etlworks, "POST", f"/rest/v1/flows/{flow}/stop", json={}).status_code == 200
    assert word() == "canceled"
    etlworks.clock.advance(30)
    assert word() == end


def test_a_login_ends_when_its_life_does(etlworks):
    etlworks.gate.life = 600
    login = {"login": "alice@example.com", "password": "correct horse battery staple"}
    token = ask(etlworks, "POST", "/rest/v1/token-auth", json=login).json()["token"]
    header = {"Authorization": f"Bearer {token}"}

    etlworks.clock.advance(599)
    assert ask(etlworks, "GET", "/rest/v1/flows", headers=header).status_code == 200
    etlworks.clock.advance(1)
    assert ask(etlworks, "GET", "/rest/v1/flows", headers=header).status_code == 401
    assert ask(etlworks, "POST", "/rest/v1/token-auth/refresh", headers=header).status_code == 401
    assert etlworks.ledger.logins == 1


def test_the_report_has_a_day_in_the_accounts_zone_and_milliseconds(etlworks):
    etlworks.utc_offset = 14
    run = etlworks.seed_run(Life(10), age=100)

    assert ask(etlworks, "GET", "/rest/v1/metrics/executions?date=2026-11-22").json() == []
    (flow,) = ask(etlworks, "GET", "/rest/v1/metrics/executions?date=2026-11-23").json()
    assert (flow["flowId"], flow["name"]) == (ORDERS, "Load orders")
    (execution,) = flow["executions"]
    assert execution == {
        "flowId": ORDERS,
        "auditId": int(run.id),
        "status": "success",
        "user": "scheduler",
        "started": 1795348700000,
        "ended": 1795348710000,
        "records": 10000,
    }


def test_over_the_limit_is_a_429_that_says_when_to_come_again(etlworks):
    etlworks.rate_limit = 2
    answers = [ask(etlworks, "GET", "/rest/v1/flows") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert answers[2].json()["error"] == "Too Many Requests"


STATUS = f"/rest/v1/executions/{ORDERS}"


@pytest.mark.parametrize(
    ("never_ran", "status", "body"),
    [
        ("404", 404, None),
        ("null", 200, {"auditId": None, "flowId": ORDERS, "flowName": "Load orders", "status": None}),
        ("empty", 200, {}),
    ],
)
def test_a_flow_without_runs_is_answered_in_one_of_three_ways(etlworks, never_ran, status, body):
    etlworks.never_ran = never_ran
    answer = ask(etlworks, "GET", STATUS)

    assert answer.status_code == status
    assert body is None or answer.json() == body
    assert ask(etlworks, "GET", f"{STATUS}?auditId=1").status_code == 404, "a run that is named and not there"


def test_a_record_may_hold_its_status_alone(etlworks):
    etlworks.tells_ids = False
    etlworks.seed_run(Life(60))

    assert ask(etlworks, "GET", STATUS).json() == {"status": "running"}
    assert ask(etlworks, "GET", f"{STATUS}/history").json() == [{"status": "running"}]


def test_a_record_may_hold_what_the_run_was_started_with(etlworks):
    etlworks.tells_parameters = True
    ask(etlworks, "POST", RUN, json={"day": "2026-11-22"})

    assert ask(etlworks, "GET", STATUS).json()["parameters"] == {"day": "2026-11-22"}


def test_a_record_may_come_late(etlworks):
    etlworks.record_delay = 5
    run = ask(etlworks, "POST", RUN, json={}).json()["auditId"]
    paths = (STATUS, f"{STATUS}?auditId={run}")

    assert [ask(etlworks, "GET", path).status_code for path in paths] == [404, 404]
    assert ask(etlworks, "GET", f"{STATUS}/history").json() == []
    etlworks.clock.advance(5)
    assert [ask(etlworks, "GET", path).status_code for path in paths] == [200, 200]


def test_a_start_too_many_is_refused_in_the_vendors_own_shape(etlworks):
    etlworks.most_running = 1
    etlworks.seed_run(Life(60), flow=str(STREAM))
    answer = ask(etlworks, "POST", RUN, json={})

    assert answer.status_code == answer.json()["status"] == 503
    assert answer.json()["message"] == "Too many concurrent executions"
    etlworks.clock.advance(60)
    assert ask(etlworks, "POST", RUN, json={}).json()["status"] == 0


@pytest.mark.parametrize(
    ("way", "body", "word"),
    [
        ("success", {"success": True}, "canceled"),
        ("empty", None, "canceled"),
        ("refused", {"success": False, "error": "The execution cannot be stopped"}, "running"),
    ],
)
def test_a_stop_is_answered_in_one_of_three_ways(etlworks, way, body, word):
    etlworks.stop_path, etlworks.stop_answer = "/v1/flows/{flow_id}/stop", way
    etlworks.seed_run(Life(60))
    answer = ask(etlworks, "POST", f"/rest/v1/flows/{ORDERS}/stop", json={})

    assert answer.status_code == 200
    assert (answer.json() if answer.content else None) == body
    assert ask(etlworks, "GET", STATUS).json()["status"] == word
