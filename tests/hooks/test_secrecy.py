"""Secrets that come to be known reach Airflow's masker; a connection that gives its own away is warned about once."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any
from unittest import mock

import pytest
from airflow.providers.common.compat import sdk

from airflow_provider_etlapis.hooks import secrecy
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from tests.wire.hostile import HostileServer, answer


@pytest.fixture(autouse=True)
def _nothing_was_warned_about_or_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrecy, "_warned", set())
    monkeypatch.setattr(secrecy, "_masked", set())


def ask(hook: Any, colour: str, name: str) -> None:
    async def on_the_loop() -> None:
        async with hook:
            await getattr(hook, name).aio()

    if colour == "aio":
        asyncio.run(on_the_loop())
    else:
        with hook:
            getattr(hook, name)()


@pytest.fixture(params=["sync", "aio"])
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_airflow_hides_the_token_of_a_login(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with MeiroSandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_MEIRO_HERE", json.dumps(sandbox.connection()))
        hook = MeiroHook("meiro_here")
        with mock.patch.object(hook, "close"):  # what it knows is looked at afterwards
            ask(hook, colour, "check")
    token = hook.channel.auth._token.value  # type: ignore[attr-defined]  # of the kind that logs in

    assert len(token) > 10
    assert token not in sdk.redact(f"a log line with {token} in it")


def test_airflow_hides_the_password_of_the_environments_proxy(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileServer(answer(b"[]")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//jane:pr0xy-password@"))
        monkeypatch.setenv(
            "AIRFLOW_CONN_BEHIND", json.dumps({"conn_type": "celery_director", "host": "http://api.vendor.example"})
        )
        ask(CeleryDirectorHook("behind"), colour, "list_definitions")

    assert "pr0xy-password" not in sdk.redact("a log line with pr0xy-password in it")


async def test_a_supervisor_that_does_not_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(secrets: tuple[str, ...]) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(secrecy, "_amask", hang)
    monkeypatch.setattr(secrecy, "_PATIENCE", 0.1)
    began = time.monotonic()

    await secrecy.amask(("some-secret",))

    assert time.monotonic() - began < 2


async def test_a_triggerer_that_logs_in_for_weeks_does_not_make_airflows_masker_slower_and_slower() -> None:
    with mock.patch.object(sdk, "mask_secret") as masked:
        for day in range(1_000):
            secrecy.mask((f"token-of-login-{day}", f"token-of-login-{day}"))

    assert [call.args[0] for call in masked.call_args_list] == [f"token-of-login-{n}" for n in range(64)]


def test_a_masker_that_fails_holds_nothing_up() -> None:
    with mock.patch.object(sdk, "mask_secret", side_effect=RuntimeError("no supervisor")):
        secrecy.mask(("some-secret",))


# Warnings


def warnings_of(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], conn_id: str, times: int = 3
) -> str:
    for _ in range(times):
        with CeleryDirectorHook(conn_id) as hook:
            assert hook.settings
    return caplog.text + capsys.readouterr().out


def connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, host: str, **fields: Any) -> str:
    credential = {"login": "jane", "password": "pass-word-7"}
    value = {"conn_type": "celery_director", "host": host, **credential, **fields}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(value))
    return conn_id


@pytest.mark.parametrize(
    ("host", "fields", "words"),
    [
        ("http://etl.example.com", {}, "sends its credential unencrypted"),
        ("https://etl.example.com", {"extra": {"verify_tls": False}}, "does not verify the server's certificate"),
    ],
)
def test_a_connection_that_gives_its_credential_away_is_warned_about_once(
    host: str,
    fields: dict[str, Any],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.WARNING)
    text = warnings_of(caplog, capsys, connection(monkeypatch, "given_away", host, **fields))

    logged = caplog.text if words in caplog.text else text  # Airflow 2 logs and prints a line
    assert logged.count(words) == 1
    assert "given_away" in text
    assert "pass-word-7" not in text


@pytest.mark.parametrize(
    ("host", "fields"),
    [
        ("https://etl.example.com", {}),
        ("http://127.0.0.1:8000", {}),
        ("http://localhost:8000", {}),
        ("http://[::1]:8000", {}),
        ("http://etl.example.com", {"login": None, "password": None}),
        ("http://localhost:8000", {"extra": {"verify_tls": False}}),
    ],
)
def test_a_connection_that_gives_nothing_away_is_not_warned_about(
    host: str,
    fields: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.WARNING)

    assert "credential" not in warnings_of(caplog, capsys, connection(monkeypatch, "careful", host, **fields))
