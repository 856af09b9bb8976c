"""Meiro's ready tokens: each is exchanged for the next, for as long as the process lives."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import CredentialsRejectedError
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.hooks.meiro.auth import MeiroAuth
from airflow_provider_etlapis.operators.meiro import MeiroRunWorkspaceOperator
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from tests.support.rehearsal import Rehearsal
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


def asked(meiro: MeiroSandbox) -> list[str]:
    return [record.operation for record in meiro.ledger.requests]


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
