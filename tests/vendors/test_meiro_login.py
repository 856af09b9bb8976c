"""Meiro's tokens: had, renewed and replaced by the hook itself, and never taken from others."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import ConnectionSettingsError, CredentialsRejectedError, EtlApiError
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.hooks.meiro_auth import MeiroAuth
from airflow_provider_etlapis.operators.meiro import MeiroRunWorkspaceOperator
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from tests.support.rehearsal import Rehearsal
from tests.vendors.meiro_stage import (  # noqa: F401 fixtures
    Carry,
    given_carry,
    given_clock,
    given_connect,
    given_hook,
    given_meiro,
)

HOUR = 3600.0

Connect = Callable[..., MeiroHook]


@pytest.fixture
def timed(hook: MeiroHook, clock: Clock) -> MeiroHook:
    """A hook that reads the sandbox's clock."""
    auth = hook.channel.auth
    assert isinstance(auth, MeiroAuth)
    auth._now = clock.now
    return hook


def asked(meiro: MeiroSandbox) -> list[str]:
    return [record.operation for record in meiro.ledger.requests]


def test_one_login_serves_many_requests(meiro: MeiroSandbox, hook: MeiroHook, carry: Carry) -> None:
    carry(hook.list_workspaces)
    carry(hook.get_workspace, 100)

    assert asked(meiro) == ["login", "workspaces", "get_workspace"]


def test_a_token_is_refreshed_before_its_end(meiro: MeiroSandbox, timed: MeiroHook, clock: Clock) -> None:
    timed.get_workspace(100)
    clock.advance(7 * HOUR)
    timed.get_workspace(100)

    assert asked(meiro) == ["login", "get_workspace", "refresh", "get_workspace"]
    assert meiro.ledger.logins == 1


def test_a_token_that_is_too_old_to_refresh_is_replaced_by_a_login(
    meiro: MeiroSandbox, timed: MeiroHook, clock: Clock
) -> None:
    timed.get_workspace(100)
    clock.advance(13 * HOUR)
    timed.get_workspace(100)

    assert asked(meiro) == ["login", "get_workspace", "login", "get_workspace"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_refresh_leads_to_a_login_when_the_token_ends(
    meiro: MeiroSandbox, timed: MeiroHook, clock: Clock, status: int
) -> None:
    timed.get_workspace(100)
    meiro.inject(Fault("refresh", status=status))
    clock.advance(7 * HOUR)
    timed.get_workspace(100)
    clock.advance(HOUR)
    timed.get_workspace(100)

    assert asked(meiro) == ["login", "get_workspace", "refresh", "get_workspace", "login", "get_workspace"]


def test_a_token_that_stops_working_early_is_replaced_once(meiro: MeiroSandbox, hook: MeiroHook, carry: Carry) -> None:
    carry(hook.get_workspace, 100)
    meiro.tokens.revoke_all()
    carry(hook.get_workspace, 100)

    assert asked(meiro) == ["login", "get_workspace", "get_workspace", "login", "get_workspace"]


def test_a_start_is_made_once_though_its_token_was_refused(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    hook.get_workspace(100)
    meiro.tokens.revoke_all()
    hook.run_workspace(100)

    assert len(meiro.ledger.starts) == 1


def test_a_login_that_gets_no_answer_does_not_make_a_start_a_lost_one(meiro: MeiroSandbox, connect: Connect) -> None:
    meiro.inject(Fault("login", "drop_after"))
    hook = connect({"retries": 1})

    hook.run_workspace(100)

    assert len(meiro.ledger.starts) == 1


@pytest.mark.parametrize("option", ["refresh_needs_header", "refresh_ends_old"])
def test_a_refresh_works_however_strict_the_server_is(
    meiro: MeiroSandbox, timed: MeiroHook, clock: Clock, option: str
) -> None:
    setattr(meiro, option, True)
    timed.get_workspace(100)
    clock.advance(7 * HOUR)
    timed.get_workspace(100)

    assert meiro.ledger.logins == 1


def test_nothing_is_ever_logged_out(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    with hook:
        hook.get_workspace(100)

    assert "DELETE" not in {record.method for record in meiro.ledger.requests}


def test_a_ready_token_needs_no_login(meiro: MeiroSandbox, connect: Connect, carry: Carry) -> None:
    hook = connect({"access_token": meiro.issue_token()}, login="", password="")

    carry(hook.get_workspace, 100)

    assert asked(meiro) == ["get_workspace"]


def test_a_ready_token_that_has_ended_is_refreshed_while_that_is_possible(
    meiro: MeiroSandbox, connect: Connect, clock: Clock
) -> None:
    hook = connect({"access_token": meiro.issue_token()}, login="", password="")
    clock.advance(9 * HOUR)

    hook.get_workspace(100)

    assert asked(meiro) == ["get_workspace", "refresh", "get_workspace"]


def test_a_ready_token_that_is_too_old_says_so(meiro: MeiroSandbox, connect: Connect, clock: Clock) -> None:
    hook = connect({"access_token": meiro.issue_token()}, login="", password="")
    clock.advance(13 * HOUR)

    with pytest.raises(CredentialsRejectedError, match="too old for refresh"):
        hook.get_workspace(100)


def each_hour(meiro: MeiroSandbox, hook: MeiroHook, clock: Clock, hours: int) -> None:
    for _ in range(hours):
        hook.get_workspace(100)
        clock.advance(HOUR)


def reading(hook: MeiroHook, clock: Clock) -> MeiroHook:
    """Let a hook read the sandbox's clock."""
    auth = hook.channel.auth if hook._channel is not None else hook.client.channel.auth
    assert isinstance(auth, MeiroAuth)
    auth._now = clock.now
    return hook


@pytest.mark.parametrize("ends_old", [False, True])
def test_a_ready_token_is_renewed_from_the_newest_again_and_again(
    meiro: MeiroSandbox, connect: Connect, clock: Clock, ends_old: bool
) -> None:
    meiro.refresh_ends_old = ends_old
    hook = reading(connect({"access_token": meiro.issue_token()}, login="", password=""), clock)

    each_hour(meiro, hook, clock, 50)

    assert meiro.ledger.count("refresh") >= 6
    assert meiro.ledger.logins == 0


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_wait_that_outlives_a_ready_token_many_times_comes_to_its_end(
    etlapis_sandbox: Any, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """In real time: a token of this server lives a second, and can be exchanged for half a second more."""
    meiro: MeiroSandbox = etlapis_sandbox.meiro(
        conn_id="meiro_default", token_life=1.0, credentials_login=False, refresh_ends_old=True
    )
    connection = meiro.connection()
    connection["extra"] = {**connection["extra"], "retries": 0, "requests_per_minute": 60_000}
    monkeypatch.setenv("AIRFLOW_CONN_MEIRO_DEFAULT", json.dumps(connection))
    meiro.plan(Life(4.0))

    manifest = Rehearsal(
        lambda: MeiroRunWorkspaceOperator(
            task_id="run", workspace_id=100, poll_interval=0.05, poll_failure_budget=1.0, deferrable=deferrable
        )
    ).run()

    assert manifest["state"] == "succeeded"
    assert meiro.ledger.count("refresh") >= 3
    assert len(meiro.ledger.starts) == 1


def test_a_second_early_end_of_a_ready_token_is_answered_by_the_newest(
    meiro: MeiroSandbox, connect: Connect, clock: Clock
) -> None:
    hook = connect({"access_token": meiro.issue_token()}, login="", password="")
    for _ in range(3):
        clock.advance(9 * HOUR)  # by our clock nothing ends: only the 401 says so
        hook.get_workspace(100)

    assert asked(meiro) == ["get_workspace", "refresh", "get_workspace"] * 3


def test_a_connection_that_is_read_again_goes_on_with_the_newest_token(
    meiro: MeiroSandbox, connect: Connect, clock: Clock
) -> None:
    hook = connect({"access_token": meiro.issue_token()}, login="", password="")
    for _ in range(3):
        clock.advance(9 * HOUR)
        hook.get_workspace(100)
        hook.close()  # as after a refused request: the connection may have been changed

    assert meiro.ledger.count("refresh") == 3


def test_a_new_ready_token_in_the_connection_is_used_at_once(meiro: MeiroSandbox, connect: Connect) -> None:
    first = connect({"access_token": meiro.issue_token()}, login="", password="")
    meiro.tokens.revoke_all()
    with pytest.raises(CredentialsRejectedError):
        first.get_workspace(100)

    second = connect({"access_token": meiro.issue_token()}, login="", password="")

    assert second.get_workspace(100)["id"] == 100


def test_two_hooks_of_one_ready_token_renew_it_once(meiro: MeiroSandbox, connect: Connect, clock: Clock) -> None:
    meiro.refresh_ends_old = True
    token = meiro.issue_token()
    first, second = (connect({"access_token": token}, login="", password="") for _ in range(2))
    first.get_workspace(100)
    second.get_workspace(100)
    clock.advance(9 * HOUR)
    first.get_workspace(100)
    second.get_workspace(100)

    assert meiro.ledger.count("refresh") == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("refresh", status=503),
        Fault("refresh", "drop_before"),
        Fault("refresh", "html"),
        Fault("refresh", "html", status=404),
    ],
    ids=["503", "dropped", "a page", "proxy's 404"],
)
def test_a_refresh_that_fails_ends_no_request_while_the_token_is_good(
    meiro: MeiroSandbox, connect: Connect, clock: Clock, fault: Fault
) -> None:
    hook = reading(connect({"access_token": meiro.issue_token()}, login="", password=""), clock)
    clock.advance(9 * HOUR)
    hook.get_workspace(100)
    meiro.inject(fault)
    clock.advance(7 * HOUR)
    hook.get_workspace(100)
    clock.advance(2 * HOUR)  # its end has passed; it can still be exchanged
    hook.get_workspace(100)

    assert meiro.ledger.count("refresh") == 3


def test_a_token_that_ends_early_after_a_failed_refresh_is_exchanged_at_once(
    meiro: MeiroSandbox, connect: Connect, clock: Clock
) -> None:
    hook = reading(connect({"access_token": meiro.issue_token()}, login="", password=""), clock)
    clock.advance(9 * HOUR)
    hook.get_workspace(100)
    meiro.inject(Fault("refresh", status=503))
    clock.advance(7 * HOUR)
    hook.get_workspace(100)
    meiro.tokens.lifetime = 6 * HOUR  # by our clock the token is still good

    assert hook.get_workspace(100)["id"] == 100


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_a_proxys_refusal_of_a_login_says_nothing_about_the_password(
    meiro: MeiroSandbox, connect: Connect, status: int
) -> None:
    meiro.inject(Fault("login", "html", status=status))
    hook = connect()

    with pytest.raises(EtlApiError) as refused:
        hook.get_workspace(100)

    assert not refused.value.by_vendor
    assert not isinstance(refused.value, CredentialsRejectedError)
    assert hook.get_workspace(100)["id"] == 100


@pytest.mark.parametrize("status", [400, 401, 422])
def test_the_vendors_own_refusal_of_a_login_is_one_of_the_password(
    meiro: MeiroSandbox, connect: Connect, status: int
) -> None:
    meiro.inject(Fault("login", status=status, body='{"message": "Invalid credentials have been provided"}'))

    with pytest.raises(CredentialsRejectedError, match="Invalid credentials"):
        connect().get_workspace(100)


@pytest.mark.parametrize("path", ["/users/login", "users/login", "/users/login/", " /users/login/ "])
def test_the_path_of_the_login_may_have_slashes_at_either_end(
    meiro: MeiroSandbox, connect: Connect, carry: Carry, path: str
) -> None:
    meiro.login_path = "/users/login"
    hook = connect({"login_path": path})

    carry(hook.get_workspace, 100)
    carry(hook.log_in, meiro.email, meiro.password)

    assert {record.path for record in meiro.ledger.requests if record.operation == "login"} == {"/users/login"}


def test_the_path_of_the_login_is_a_setting(meiro: MeiroSandbox, connect: Connect, carry: Carry) -> None:
    meiro.login_path = "/users/login"
    hook = connect()

    carry(hook.get_workspace, 100)

    assert [record.path for record in meiro.ledger.requests] == ["/users/login", "/workspaces/100"]


def test_the_login_calls_can_be_made_by_hand(meiro: MeiroSandbox, hook: MeiroHook, carry: Carry) -> None:
    token = carry(hook.log_in, meiro.email, meiro.password)
    assert carry(hook.refresh_token, token) != token
    assert carry(hook.get_auth_options)["is_credentials_login_enabled"] is True

    assert asked(meiro) == ["login", "refresh", "auth_options"]


def test_a_wrong_password_is_refused_once_and_never_shown(meiro: MeiroSandbox, connect: Connect) -> None:
    hook = connect(password="not-the-password")

    with pytest.raises(CredentialsRejectedError, match="Invalid credentials") as refused:
        hook.get_workspace(100)

    assert asked(meiro) == ["login"]
    assert "not-the-password" not in str(refused.value)


def test_the_test_of_a_connection_says_what_answered(hook: MeiroHook, meiro: MeiroSandbox) -> None:
    assert hook.test_connection() == (
        True,
        f"Meiro Integrations at {meiro.base_url} answered: the first workspace seen is 'demo ETL'",
    )


def test_the_test_of_a_connection_tells_a_wrong_password_from_an_instance_that_takes_none(
    meiro: MeiroSandbox, connect: Connect
) -> None:
    ok, message = connect(password="wrong-password").test_connection()
    assert not ok
    assert "ready token" not in message

    login = {"login": meiro.email, "password": meiro.password}
    meiro.credentials_login = False
    ok, message = connect({"access_token": ""}, **login).test_connection()
    assert not ok
    assert "put a ready token into access_token" in message


@pytest.mark.parametrize(
    ("fields", "extra", "hint"),
    [
        ({"login": "", "password": ""}, {}, "access_token"),
        ({"password": ""}, {}, "fill in both"),
        ({"login": ""}, {"access_token": "abcdef"}, "fill in both"),
        ({}, {"timezone": "Mars/Olympus"}, "timezone"),
        ({}, {"timezone": "../etc"}, "timezone"),
        ({}, {"login_path": "/"}, "login_path"),
        ({}, {"login_path": "https://elsewhere/login"}, "login_path"),
        ({}, {"login_path": "/login?next=/"}, "login_path"),
        ({}, {"login_path": "/../login"}, "login_path"),
        ({}, {"login_path": "/log in"}, "login_path"),
        ({}, {"array_parameters": "semicolon"}, "array_parameters"),
        ({"host": ""}, {}, "host"),
    ],
)
def test_a_connection_that_cannot_work_says_what_to_change(
    connect: Connect, fields: dict[str, Any], extra: dict[str, Any], hint: str
) -> None:
    with pytest.raises(ConnectionSettingsError, match=hint):
        connect(extra, **fields).get_workspace(100)


def test_no_secret_is_in_a_repr_of_what_the_hook_holds(meiro: MeiroSandbox, connect: Connect) -> None:
    hook = connect({"access_token": "ready-token-123456"})
    request = hook.channel.auth.flow
    shown = json.dumps([repr(hook.channel), repr(hook.values), repr(hook.channel.auth), repr(request)])

    assert meiro.password not in shown
    assert "ready-token-123456" not in shown
