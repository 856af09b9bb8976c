"""Meiro's tokens: had, renewed and replaced by the hook itself, and never taken from others."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import ConnectionSettingsError, CredentialsRejectedError, EtlApiError
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.hooks.meiro.auth import MeiroAuth
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from tests.vendors.meiro.stage import (  # noqa: F401 fixtures
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
