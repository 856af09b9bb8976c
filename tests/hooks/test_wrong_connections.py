"""A connection that cannot work ends in a typed error that names it and the field, in both colours.

It is found when the connection is read: nothing is sent, and the Test button says it in words.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import ConnectionSettingsError, EtlApiError, VendorUnavailableError
from airflow_provider_etlapis.hooks import connected
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from tests.contract.row import Row
from tests.contract.rows import ROWS
from tests.support.releases import AIRFLOW
from tests.wire.hostile import HostileServer, trickle

GOOD = {"conn_type": "celery_director", "host": "https://127.0.0.1:9", "login": "jane", "password": "pass-word-7"}


def list_definitions(colour: str, conn_id: str = "wrong") -> Any:
    hook = CeleryDirectorHook(conn_id)
    if colour == "sync":
        with hook:
            return hook.list_definitions()

    async def ask() -> Any:
        async with hook:
            return await hook.list_definitions.aio()

    return asyncio.run(ask())


@pytest.fixture(params=["sync", "aio"])
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    path = tmp_path / "empty.pem"
    path.touch()
    return str(path)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "host with an empty label": ({"host": "http://a..b"}, "host"),
    "host with half a bracket": ({"host": "http://[::1"}, "host"),
    "host with half a bracket and a port": ({"host": "http://[::1", "port": 8000}, "host"),
    "extra that is a list": ({"extra": "[1, 2]"}, "extra must be a JSON object"),
    "extra that is a text": ({"extra": '"text"'}, "extra must be a JSON object"),
    "extra that is a number": ({"extra": "7"}, "extra must be a JSON object"),
    "timeout without end": ({"extra": {"read_timeout": "inf"}}, "read_timeout"),
    "timeout below 0": ({"extra": {"total_timeout": -5}}, "total_timeout"),
    "header name with CR": ({"extra": {"secret_headers": '{"X\\rEvil": "1"}'}}, "secret_headers"),
    "header value with LF": ({"extra": {"secret_headers": '{"X-Key": "a\\nb"}'}}, "secret_headers"),
    "header value with half a pair": ({"extra": {"secret_headers": '{"X-Key": "\\ud800"}'}}, "secret_headers"),
    "proxy with half a bracket": ({"extra": {"proxy": "http://[::1"}}, "'proxy'"),
    "proxy without a host": ({"extra": {"proxy": "http://:3128"}}, "'proxy'"),
    "socks": ({"extra": {"proxy": "socks5://proxy.example:1080"}}, "SOCKS proxies are not supported"),
    "proxy password": (
        {"extra": {"proxy": "http://p:1", "proxy_login": "j", "proxy_password": "\u0434a"}},
        "proxy_password",
    ),
    "missing authority": ({"extra": {"ca_file": "/no/such/ca.pem"}}, "ca_file"),
    "missing certificate": ({"extra": {"client_certificate": "/no/such/c.pem"}}, "client_certificate"),
    "another system's type": ({"conn_type": "snowflake"}, "needs one of the type 'celery_director'"),
    "a misspelt extra": ({"extra": {"read_timeuot": 5}}, "extra 'read_timeuot' is not known; is it 'read_timeout'"),
    "key alone": ({"extra": {"client_key_file": "/no/such/c.key"}}, "client_certificate"),
}
if (3, 0) <= AIRFLOW < (3, 3):  # it may not be able to read such a connection, and says that there is none
    WRONG = {case: wrong for case, wrong in WRONG.items() if not case.startswith("extra that is")}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_work_names_the_connection_and_the_field(
    colour: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields, named = WRONG[case]
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps({**GOOD, **fields}))

    with pytest.raises(ConnectionSettingsError, match="'wrong'") as failure:
        list_definitions(colour)

    assert named in str(failure.value)
    assert "pass-word-7" not in str(failure.value)
    assert "\r" not in str(failure.value)
    str(failure.value).encode()


@pytest.mark.parametrize(
    "stored", ['{"conn_type": "celery_director", "port": "many"}', "{not JSON", "[]", '"text"', "7", "::::"]
)
def test_a_connection_that_airflow_itself_cannot_read_is_an_error_that_names_it(
    colour: str, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", stored)

    with pytest.raises(EtlApiError, match=r"'wrong'|host must be"):
        list_definitions(colour)


def test_the_authorities_of_the_environment_are_checked_too(
    colour: str, certificate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps(GOOD))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)

    with pytest.raises(
        ConnectionSettingsError, match="Connection 'wrong': the environment variable REQUESTS_CA_BUNDLE"
    ):
        list_definitions(colour)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.vendor)
def test_a_connection_of_another_vendor_is_refused_before_its_credential_is_sent(
    row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = next(each.vendor for each in ROWS if each.vendor != row.vendor)
    with row.sandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps({**sandbox.connection(), "conn_type": other}))

        with row.hook("wrong") as hook, pytest.raises(ConnectionSettingsError, match=f"has the type '{other}'"):
            hook.check()

        assert sandbox.ledger.requests == []


def test_a_key_of_the_extra_that_nothing_reads_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_UNREAD", json.dumps({**GOOD, "extra": {"region": "eu"}}))

    logged = []
    for _ in range(2):
        with CeleryDirectorHook("unread") as hook:
            assert hook.settings.base_url == GOOD["host"]
        logged.append(caplog.text + capsys.readouterr().out)
        caplog.clear()

    assert "Connection 'unread': nothing reads 'region' of its extra" in logged[0]
    assert "nothing reads" not in logged[1]


@pytest.mark.parametrize("case", WRONG)
def test_the_test_button_says_what_cannot_work(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields, named = WRONG[case]
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps({**GOOD, **fields}))

    ok, said = CeleryDirectorHook("wrong").test_connection()

    assert not ok
    assert named in said
    assert "pass-word-7" not in said


@pytest.mark.parametrize(
    "speak",
    [
        trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        trickle(b"HTTP/1.1 200 OK\r\nX: "),
        lambda connection: time.sleep(20),
        lambda connection: connection.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 429 Busy\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=["trickle", "headers", "silence", "503", "429"],
)
def test_the_test_button_answers_within_its_time_all_requests_together(
    speak: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connected, "_TEST_TIMEOUT", 1.0)
    with HostileServer(speak) as server:
        monkeypatch.setenv("AIRFLOW_CONN_SLOW", json.dumps({**GOOD, "host": server.url}))
        began = time.monotonic()
        ok, said = CeleryDirectorHook("slow").test_connection()

    assert time.monotonic() - began < 2.5
    assert not ok
    assert said


def test_the_test_button_does_not_wait_for_a_server_that_refuses(
    unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps({**GOOD, "host": f"http://127.0.0.1:{unused_tcp_port}"}))
    began = time.monotonic()

    ok, said = CeleryDirectorHook("away").test_connection()

    assert not ok
    assert "refused" in said
    assert time.monotonic() - began < 3


def test_the_test_button_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GOOD", json.dumps(GOOD))

    def stumble(hook: CeleryDirectorHook, program: Any) -> Any:
        program.close()
        raise ZeroDivisionError("pass-word-7")

    monkeypatch.setattr(CeleryDirectorHook, "run", stumble)

    ok, said = CeleryDirectorHook("good").test_connection()

    assert not ok
    assert "ZeroDivisionError" in said
    assert "pass-word-7" not in said


def test_an_answer_that_is_too_large_names_the_limit_and_the_setting(
    colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HostileServer(b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n[") as server:
        monkeypatch.setenv("AIRFLOW_CONN_LARGE", json.dumps({**GOOD, "host": server.url, "extra": {"retries": 0}}))
        with pytest.raises(VendorUnavailableError, match=r"50 MB.*max_response_mb"):
            list_definitions(colour, "large")
