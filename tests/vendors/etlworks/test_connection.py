"""The connection of Etlworks: the address in every spelling, both credentials, settings that cannot work."""

from __future__ import annotations

import json

import pytest

from airflow_provider_etlapis.exceptions import ConnectionSettingsError
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from tests.vendors.etlworks.kit import CONN_ID

KEY = "k7Qm2Zx9Lp4Vt1Rb8Ws6Yd3Nf5Hj0GcA"


def connect(monkeypatch: pytest.MonkeyPatch, **fields: object) -> EtlworksHook:
    connection = {"conn_type": "etlworks", "host": "https://etl.example.com", "password": KEY, **fields}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))
    return EtlworksHook(CONN_ID)


@pytest.mark.parametrize(
    "typed",
    [
        "etl.example.com",
        "https://etl.example.com",
        "https://etl.example.com/",
        "https://etl.example.com/rest",
        "https://etl.example.com/rest/",
        "https://etl.example.com/rest/rest",
        "https://etl.example.com/rest/v1",
        "https://etl.example.com/rest/v1/flows",
    ],
)
def test_rest_is_in_every_address_exactly_once(monkeypatch, requests_mock, typed):
    flows = requests_mock.get("https://etl.example.com/rest/v1/flows", json=[])
    health = requests_mock.get("https://etl.example.com/health", json={"status": "UP"})

    with connect(monkeypatch, host=typed) as hook:
        hook.list_flows()
        hook.get_health()

    assert (flows.call_count, health.call_count) == (1, 1)


def test_an_on_premise_port_is_kept(monkeypatch, requests_mock):
    requests_mock.get("http://etl.local:8080/rest/v1/flows", json=[])

    with connect(monkeypatch, host="etl.local", port=8080, schema="http") as hook:
        assert hook.list_flows() == []


def test_no_host_is_the_vendors_cloud(monkeypatch, requests_mock):
    requests_mock.get("https://app.etlworks.com/rest/v1/flows", json=[])

    with connect(monkeypatch, host="") as hook:
        assert hook.list_flows() == []


@pytest.mark.parametrize("pasted", [KEY, f"Bearer {KEY}", f'"{KEY}"', f" {KEY}\n"])
def test_a_key_is_sent_with_one_space_and_no_quotes(monkeypatch, requests_mock, pasted):
    asked = requests_mock.get("https://etl.example.com/rest/v1/flows", json=[])

    with connect(monkeypatch, password=pasted) as hook:
        hook.list_flows()
        assert KEY not in repr(hook.values) + repr(hook.settings) + repr(hook.channel.redact)
        assert hook.channel.redact(f"oops {KEY}") == "oops ***"

    assert asked.last_request.headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"password": ""}, "API key"),
        ({"login": "alice@example.com", "password": ""}, "login and its password"),
        ({"extra": {"tenant_id": 3}}, "an API key belongs to one tenant"),
        ({"extra": {"tenant_id": "x"}}, "tenant_id"),
        ({"extra": {"login_path": "/login"}}, "login_path"),
        ({"extra": {"stop_endpoint": "stop it"}}, "stop_endpoint"),
        ({"extra": {"stop_endpoint": "POST /v1/flows/stop"}}, "stop_endpoint"),
        ({"extra": {"stop_endpoint": "POST /v1/flows/{run_id}/stop"}}, "stop_endpoint"),
        ({"host": "https://user:pass@etl.example.com"}, "login and password"),
        ({"host": "https://app.etlworks.com/#/flows"}, "host"),
    ],
)
def test_a_setting_that_cannot_work_is_named(monkeypatch, fields, told):
    with connect(monkeypatch, **fields) as hook, pytest.raises(ConnectionSettingsError, match=told) as failure:
        hook.list_flows()

    assert "etlworks_default" in str(failure.value)
    assert KEY not in str(failure.value)


def test_the_budget_is_half_of_what_the_vendor_allows(monkeypatch):
    with connect(monkeypatch) as hook:
        assert hook.settings.requests_per_minute == 300


def test_the_button_says_what_answered(etlapis_sandbox):
    sandbox = etlapis_sandbox.etlworks(conn_id=CONN_ID)

    told = f"Etlworks at {sandbox.base_url} answered: 5 flows are visible"
    assert EtlworksHook(CONN_ID).test_connection() == (True, told)


def test_the_button_finds_a_wrong_key(etlapis_sandbox):
    sandbox = etlapis_sandbox.etlworks(conn_id=CONN_ID)
    sandbox.gate.api_key = "another"

    good, told = EtlworksHook(CONN_ID).test_connection()

    assert not good
    assert "check its login, password or key" in told


def test_the_button_takes_a_key_that_may_run_flows_but_not_list_them(etlapis_sandbox):
    etlapis_sandbox.etlworks(conn_id=CONN_ID, role="operator", list_needs_editor=True)

    good, told = EtlworksHook(CONN_ID).test_connection()

    assert good
    assert "may not list flows" in told


def test_what_can_be_done_depends_on_the_connection(monkeypatch):
    assert EtlworksHook.capabilities.cancel is False
    with connect(monkeypatch) as hook:
        hook.get_conn()
        assert hook.capabilities.cancel is False
    with connect(monkeypatch, extra={"stop_endpoint": "/v1/flows/{flow_id}/stop"}) as hook:
        hook.get_conn()
        assert hook.capabilities.cancel is True
        assert hook.hasty_copy(1).capabilities.cancel is True
    assert EtlworksHook.capabilities.cancel is False
