"""Every operation of Etlworks' documents over the wire, in both colours: exact method, path, query, headers, body."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from airflow_provider_etlapis.exceptions import InvalidInputError, NotFoundError
from airflow_provider_etlapis.sandbox.lives import Life
from tests.vendors.etlworks.kit import COLOURS, CONN_ID, ORDERS, STRIPE, Recording, in_colour

UUID = "7e2f3f5e-3b7a-4a57-9a35-3f3ad1e0c7a1"
RUN = "8721934"

ENDPOINTS = [
    ("list_flows", (), {}, "GET", "/rest/v1/flows", []),
    (
        "list_flows",
        (),
        {"q": "stripe & co", "tag": ["production", "stripe"], "sort": "-name", "since": "2026-05-01T00:00:00Z"},
        "GET",
        "/rest/v1/flows",
        [
            ("q", "stripe & co"),
            ("tag", "production"),
            ("tag", "stripe"),
            ("sort", "-name"),
            ("since", "2026-05-01T00:00:00Z"),
        ],
    ),
    (
        "list_flows",
        (),
        {"since": datetime(2026, 5, 1, tzinfo=UTC), "tag": "production"},
        "GET",
        "/rest/v1/flows",
        [("tag", "production"), ("since", "2026-05-01T00:00:00Z")],
    ),
    ("get_flow", (STRIPE,), {}, "GET", "/rest/v1/flows/12345", []),
    ("get_execution", (ORDERS, RUN), {}, "GET", "/rest/v1/executions/12346", [("auditId", RUN)]),
    ("get_execution", (str(ORDERS),), {}, "GET", "/rest/v1/executions/12346", []),
    (
        "get_execution",
        (ORDERS,),
        {"message_id": UUID, "status": "success"},
        "GET",
        "/rest/v1/executions/12346",
        [("messageId", UUID), ("status", "success")],
    ),
    (
        "iter_history",
        (ORDERS,),
        {},
        "GET",
        "/rest/v1/executions/12346/history",
        [("limit", "50"), ("offset", "0")],
    ),
    (
        "iter_history",
        (ORDERS, 200, 1),
        {},
        "GET",
        "/rest/v1/executions/12346/history",
        [("limit", "200"), ("offset", "1")],
    ),
    (
        "download_log",
        (ORDERS, RUN),
        {},
        "GET",
        "/rest/v1/executions/console/download",
        [("flowId", "12346"), ("auditId", RUN)],
    ),
    ("list_running_tasks", (RUN,), {}, "GET", f"/etl/rest/v1/tasks/{RUN}/", []),
    ("list_running_tasks", (RUN, "load"), {}, "GET", f"/etl/rest/v1/tasks/{RUN}/", [("type", "load")]),
    ("get_executions_report", (), {}, "GET", "/rest/v1/metrics/executions", []),
    (
        "get_executions_report",
        (date(2026, 11, 22),),
        {"include_metrics": True, "tenant_id": 7},
        "GET",
        "/rest/v1/metrics/executions",
        [("date", "2026-11-22"), ("includeMetrics", "true"), ("tenantId", "7")],
    ),
    ("get_executions_report", (), {"days_back": 1}, "GET", "/rest/v1/metrics/executions", [("offset", "1")]),
    ("iter_audit_trail", (), {}, "GET", "/rest/v1/audit", [("limit", "50"), ("offset", "0")]),
    (
        "iter_audit_trail",
        (100,),
        {"with_exceptions": True},
        "GET",
        "/rest/v1/audit",
        [("exception", "true"), ("limit", "100"), ("offset", "0")],
    ),
    ("iter_items", ("/v1/audit",), {}, "GET", "/rest/v1/audit", [("limit", "50"), ("offset", "0")]),
    ("get_health", (), {}, "GET", "/health", []),
]


@pytest.fixture
def etlworks(monkeypatch):
    with Recording() as sandbox:
        sandbox.seed_run(Life(3600))
        monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(sandbox.connection()))
        yield sandbox


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(("name", "args", "kwargs", "method", "path", "query"), ENDPOINTS)
def test_a_read(etlworks, colour, name, args, kwargs, method, path, query):
    in_colour(colour, lambda hook: (getattr(hook, name), args, kwargs))

    (call,) = etlworks.calls
    assert (call.method, call.path, list(call.query), call.body) == (method, path, query, b"")
    assert call.headers["authorization"] == f"Bearer {etlworks.gate.api_key}"
    assert call.headers["accept"] == ("*/*" if name == "download_log" else "application/json")
    assert "content-type" not in call.headers
    assert [record.status for record in etlworks.ledger.requests] == [200]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("parameters", [{"runDate": "2026-05-09"}, {}, None])
def test_a_start_by_id(etlworks, colour, parameters):
    answer = in_colour(colour, lambda hook: (hook.run_flow, (STRIPE, parameters), {}))

    (call,) = etlworks.calls
    assert (call.method, call.path, call.query) == ("POST", "/rest/v1/flows/12345/run", ())
    assert call.headers["content-type"] == "application/json"
    assert json.loads(call.body) == (parameters or {})
    assert answer == {"flowId": 12345, "auditId": 8721935, "status": 0}


@pytest.mark.parametrize("colour", COLOURS)
def test_a_start_by_name_encodes_it_as_one_segment(etlworks, colour):
    answer = in_colour(colour, lambda hook: (hook.run_flow_by_name, ("Stripe to Snowflake — daily",), {}))

    (call,) = etlworks.calls
    assert call.path == "/rest/v1/flows/flow-name/Stripe%20to%20Snowflake%20%E2%80%94%20daily/run"
    assert call.body == b"{}"
    assert (answer["flowId"], answer["status"]) == (12345, 0)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_login_and_its_refresh(monkeypatch, colour):
    with Recording(credential="login") as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(sandbox.connection()))
        in_colour(colour, lambda hook: (hook.get_health, (), {}))
        (login, health) = sandbox.calls

        assert (login.method, login.path, login.query) == ("POST", "/rest/v1/token-auth", ())
        assert json.loads(login.body) == {
            "login": "alice@example.com",
            "password": "correct horse battery staple",
        }
        assert login.headers["content-type"] == "application/json"
        assert "authorization" not in login.headers
        assert health.headers["authorization"].startswith("Bearer eyJ")


@pytest.mark.parametrize(
    "ask",
    [
        lambda hook: hook.get_flow("a/b"),
        lambda hook: hook.get_flow(True),
        lambda hook: hook.get_execution(1, "1 OR 2"),
        lambda hook: hook.iter_history(1, 0),
        lambda hook: list(hook.iter_history(1, 201)),
        lambda hook: list(hook.iter_audit_trail(offset=-1)),
        lambda hook: hook.get_executions_report("22.11.2026"),
        lambda hook: hook.get_executions_report("2026-11-22", days_back=1),
        lambda hook: hook.get_executions_report(days_back=-1),
        lambda hook: hook.list_running_tasks(1, "sleep"),
        lambda hook: hook.list_flows(since="soon"),
        lambda hook: hook.list_flows(since=datetime(2026, 5, 1)),
        lambda hook: hook.run_flow(1, {"n": 1}),
        lambda hook: hook.find_flow(" "),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_sent(etlworks, ask):
    from airflow_provider_etlapis.hooks.etlworks import EtlworksHook

    with EtlworksHook(CONN_ID) as hook, pytest.raises(InvalidInputError):
        ask(hook)

    assert etlworks.calls == []


def test_a_404_tells_of_what_may_only_be_invisible(etlworks):
    with pytest.raises(NotFoundError, match="not visible to the credential"):
        in_colour("sync", lambda hook: (hook.get_flow, (99,), {}))


@pytest.mark.parametrize("colour", COLOURS)
def test_a_flow_is_found_by_its_exact_name(etlworks, colour):
    flow = in_colour(colour, lambda hook: (hook.find_flow, ("Load orders",), {}))

    assert flow["id"] == ORDERS
    assert [list(call.query) for call in etlworks.calls] == [[("q", "Load orders")]]


@pytest.mark.parametrize(
    ("name", "told"), [("Load", "no flow visible"), ("Twice", "2 flows have the name 'Twice': 1, 2")]
)
def test_none_and_several_flows_of_a_name_are_errors(etlworks, name, told):
    from airflow_provider_etlapis.sandbox.etlworks.work import Flow

    etlworks.define(Flow(1, "Twice"))
    etlworks.define(Flow(2, "Twice"))

    with pytest.raises(InvalidInputError, match=told):
        in_colour("sync", lambda hook: (hook.find_flow, (name,), {}))
