"""Login and password at Etlworks: one login for as long as a token can be renewed, and never a token that has ended."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import CredentialsRejectedError, VendorUnavailableError
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.hooks.etlworks.auth import PasswordAuth, life_of
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator
from airflow_provider_etlapis.sandbox.etlworks import EtlworksSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger
from airflow_provider_etlapis.wire.auth import Token
from airflow_provider_etlapis.wire.call import Response
from tests.support.airflow_context import FakeTaskInstance, context_of
from tests.support.releases import AIRFLOW
from tests.vendors.etlworks.kit import CONN_ID, ORDERS, Recording

TOKEN_LIFE = 5.0
RUN = 25.0
"""Seconds: a run that outlives five tokens, as one of five minutes outlives tokens of a minute."""


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: EtlworksSandbox, conn_id: str = CONN_ID, **extra: Any) -> None:
    connection = sandbox.connection()
    connection["extra"] = {**connection["extra"], "requests_per_minute": 6000, "retries": 0, **extra}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


@pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 lets no operator run in a thread of its own")
def test_waits_outlive_their_tokens_with_at_most_one_login_per_life(monkeypatch):
    """The worker and the triggerer, with tokens that are renewed, that only tell their end, and that tell nothing."""
    kinds = {
        "renewed": {"refreshes": True, "tells_end": True},
        "telling": {"refreshes": False, "tells_end": True},
        "opaque": {"refreshes": False, "tells_end": False},
    }
    sandboxes = {
        f"{kind}_{mode}": EtlworksSandbox(credential="login", token_life=TOKEN_LIFE, **options).start()
        for kind, options in kinds.items()
        for mode in ("worker", "triggerer")
    }
    try:
        for name, sandbox in sandboxes.items():
            connect(monkeypatch, sandbox, name)
        began = time.monotonic()
        ends = _wait_with_all(sandboxes)
        lives = (time.monotonic() - began) / TOKEN_LIFE
    finally:
        for sandbox in sandboxes.values():
            sandbox.stop()

    assert set(ends.values()) == {"succeeded"}
    logins = {name: sandbox.ledger.logins for name, sandbox in sandboxes.items()}
    # A machine that stands still for a fifth of a token's life costs a login; every life would cost five.
    assert all(logins[f"renewed_{mode}"] <= 2 for mode in ("worker", "triggerer")), logins
    assert all(4 <= logins[f"opaque_{mode}"] <= math.ceil(lives) for mode in ("worker", "triggerer")), logins
    # A token so short that is not renewed is left at 80 % of its life; of a longer one, two seconds are left.
    assert all(4 <= logins[f"telling_{mode}"] <= math.ceil(lives / 0.8) for mode in ("worker", "triggerer")), logins
    refused = [
        r for name in ("renewed_worker", "telling_worker") for r in sandboxes[name].ledger.requests if r.status == 401
    ]
    assert refused == [], "a token that tells its end is never used beyond it"


def _wait_with_all(sandboxes: dict[str, EtlworksSandbox]) -> dict[str, str]:
    async def deferred(name: str) -> str:
        run = sandboxes[name].seed_run(Life(RUN))
        ref = {"vendor": "etlworks", "ids": {"flow_id": run.flow, "audit_id": run.id}}
        waits = [
            RemoteRunTrigger(hook=EtlworksRunFlowOperator.hook_path(), conn_id=name, ref=ref, poll_interval=0.3)
            for _ in range(10)
        ]
        states = {e.payload["state"] for e in await asyncio.gather(*(anext(wait.run()) for wait in waits))}
        return states.pop() if len(states) == 1 else str(states)

    async def all_deferred(names: list[str]) -> list[str]:
        return await asyncio.gather(*(deferred(name) for name in names))

    def on_worker(name: str) -> str:
        sandboxes[name].plan(Life(RUN))
        operator = EtlworksRunFlowOperator(
            task_id="run", flow_id=ORDERS, etlworks_conn_id=name, poll_interval=0.3, deferrable=False, durable=False
        )
        return str(operator.execute(context_of(FakeTaskInstance()))["state"])

    workers = [name for name in sandboxes if name.endswith("worker")]
    others = [name for name in sandboxes if name.endswith("triggerer")]
    with ThreadPoolExecutor(len(workers)) as pool:
        ended = [pool.submit(on_worker, name) for name in workers]
        ends = dict(zip(others, asyncio.run(all_deferred(others)), strict=True))
        return {**ends, **{name: end.result() for name, end in zip(workers, ended, strict=True)}}


def test_a_token_that_the_vendor_forgot_is_replaced_once(monkeypatch):
    with EtlworksSandbox(credential="login") as sandbox:
        connect(monkeypatch, sandbox)
        with EtlworksHook(CONN_ID) as hook:
            hook.list_flows()
            sandbox.gate.revoke_all()
            hook.list_flows()

        assert sandbox.ledger.logins == 2


def test_a_wrong_password_is_tried_once_and_not_again(monkeypatch):
    with EtlworksSandbox(credential="login") as sandbox:
        connection = {**sandbox.connection(), "password": "wrong password", "extra": {"retries": 4}}
        monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))
        with EtlworksHook(CONN_ID) as hook, pytest.raises(CredentialsRejectedError) as failure:
            hook.run_flow(ORDERS)

        assert sandbox.ledger.count() == 1
        assert "wrong password" not in str(failure.value)


def test_a_refused_api_key_is_not_tried_again(monkeypatch):
    with EtlworksSandbox() as sandbox:
        sandbox.gate.api_key = "exchanged for another one"
        connect(monkeypatch, sandbox, retries=4)
        connection = {**sandbox.connection(), "password": "an old key", "extra": {"retries": 4}}
        monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))
        with EtlworksHook(CONN_ID) as hook, pytest.raises(CredentialsRejectedError):
            hook.list_flows()

        assert sandbox.ledger.count() == 1


def test_a_login_that_fails_for_a_while_starts_nothing_and_is_no_lost_start(monkeypatch):
    with EtlworksSandbox(credential="login") as sandbox:
        connect(monkeypatch, sandbox)
        sandbox.inject(Fault("login", "status", status=503))
        with EtlworksHook(CONN_ID) as hook, pytest.raises(VendorUnavailableError) as failure:
            hook.run_flow(ORDERS)

        assert failure.value.may_have_acted is False
        assert sandbox.ledger.starts == []


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_token_that_the_vendor_does_not_renew_serves_nearly_to_its_end(monkeypatch, status):
    with EtlworksSandbox(credential="login", token_life=12.0) as sandbox:
        connect(monkeypatch, sandbox)
        sandbox.inject(Fault("refresh", "status", status=status))
        with EtlworksHook(CONN_ID) as hook:
            auth = hook.channel.auth
            for later in (0.0, 9.7, 9.8, 10.1):  # of 12: renewed from 9.6 on, not used from 10.0 on
                monkeypatch.setattr(auth, "_now", lambda later=later: time.time() + later)
                hook.list_flows()

        assert [record.operation for record in sandbox.ledger.requests] == [
            *("login", "flows"),
            *("refresh", "flows"),
            "flows",
            *("login", "flows"),
        ]


def test_a_login_its_switch_and_its_refresh_may_be_repeated_because_each_only_makes_one_more_token():
    auth = PasswordAuth("https://etl.example.com", "alice", "secret", headers={}, tenant="42")
    flow = auth.login()
    login = next(flow)
    switch = flow.send(Response(200, {}, b'{"token": "t"}'))
    alone = PasswordAuth("https://etl.example.com", "alice", "secret", headers={})
    refresh = next(alone.refresh(Token("t", issued=0.0)))

    assert [request.url.rpartition("/rest")[2] for request in (login, switch, refresh)] == [
        "/v1/token-auth",
        "/v1/token-auth/tenants/42",
        "/v1/token-auth/refresh",
    ]
    assert login.repeatable
    assert switch.repeatable
    assert refresh.repeatable


def test_a_refresh_asks_with_the_token_and_no_body(monkeypatch):
    with Recording(credential="login", token_life=2.0) as sandbox:
        connect(monkeypatch, sandbox)
        with EtlworksHook(CONN_ID) as hook:
            hook.list_flows()
            time.sleep(1.7)
            hook.list_flows()

    _, first, refresh, second = sandbox.calls
    assert (refresh.method, refresh.path, refresh.body) == ("POST", "/rest/v1/token-auth/refresh", b"")
    assert refresh.headers["authorization"] == first.headers["authorization"] != second.headers["authorization"]


def test_the_older_spelling_of_the_login_is_a_setting(monkeypatch):
    with Recording(credential="login") as sandbox:
        connect(monkeypatch, sandbox, login_path="/v1/token-auth/issue")
        with EtlworksHook(CONN_ID) as hook:
            hook.list_flows()

    assert sandbox.calls[0].path == "/rest/v1/token-auth/issue"


def test_a_super_administrator_switches_to_a_tenant_after_each_login(monkeypatch):
    with Recording(credential="login", role="super_admin") as sandbox:
        connect(monkeypatch, sandbox, tenant_id=42)
        with EtlworksHook(CONN_ID) as hook:
            hook.list_flows()

    login, switch, flows = sandbox.calls
    assert (switch.method, switch.path, switch.body) == ("POST", "/rest/v1/token-auth/tenants/42", b"")
    assert switch.headers["content-type"] == "application/json"
    assert sandbox.gate.tenant(flows.headers["authorization"].removeprefix("Bearer ")) == "42"
    assert login.path == "/rest/v1/token-auth"


def jwt(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJIUzI1NiJ9.{body}.c2ln"


@pytest.mark.parametrize(
    ("token", "life"),
    [
        (jwt({"iat": 1000, "exp": 1600}), 600),
        (jwt({"exp": 5600}), 600),
        (jwt({"iat": 9_000_000, "exp": 9_000_600}), 600),
        (jwt({"exp": 4000}), None),
        (jwt({"iat": 1000}), None),
        (jwt({"exp": "soon"}), None),
        (jwt({"exp": True}), None),
        (jwt([1]), None),
        ("eyJ.not base64!.sig", None),
        ("k7Qm2Zx9Lp4Vt1Rb8Ws6", None),
        ("", None),
    ],
)
def test_the_life_of_a_token_is_the_span_that_it_tells(token, life):
    assert life_of(token, now=5000) == life
