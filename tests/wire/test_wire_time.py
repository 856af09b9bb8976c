"""Time in both colours: of an answer, of what the caller has left, and of a server that restarts."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from airflow_provider_etlapis.sandbox.messages import Reply
from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.aio import AsyncClient
from airflow_provider_etlapis.wire.auth import Token, TokenAuth
from airflow_provider_etlapis.wire.call import Call, Response
from airflow_provider_etlapis.wire.exchange import Channel
from airflow_provider_etlapis.wire.policy import RetryPolicy
from airflow_provider_etlapis.wire.sync import SyncClient
from tests.wire.conftest import GOOD, Client, Server, channel_to, failure_of, read, send_with_real_pauses, start
from tests.wire.hostile import (
    OK,
    HostileServer,
    answer,
    trickle,
)

NO_RETRY = RetryPolicy(retries=0)


# Time


@pytest.mark.parametrize(
    "speak",
    [
        pytest.param(trickle(OK + b"Content-Length: 100000\r\n\r\n"), id="body"),
        pytest.param(trickle(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), id="chunks"),
        pytest.param(
            trickle(
                OK
                + b"Content-Encoding: gzip\r\nContent-Length: 60000\r\n\r\n"
                + b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x01\xff\xff\x00\x00"  # 65,535 bytes as they are
            ),
            id="gzip",
        ),
        pytest.param(trickle(OK + b"X-Long: "), id="header"),
        pytest.param(trickle(OK, b"X: y\r\n"), id="headers"),
        pytest.param(trickle(b"", b"H"), id="status line"),
        pytest.param(trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="interim answers"),
    ],
)
def test_a_server_that_keeps_sending_is_given_up_after_the_total_time(client: Client, speak: Any) -> None:
    with HostileServer(speak) as server:
        error, seconds = failure_of(client, server.url, errors.UnreachableError, read_timeout=0.3, total_timeout=0.6)

    assert seconds < 2
    assert error.sent


def test_the_total_time_is_named_with_its_setting(client: Client) -> None:
    with HostileServer(trickle(OK + b"Content-Length: 100000\r\n\r\n")) as server:
        error, _ = failure_of(client, server.url, errors.UnreachableError, read_timeout=0.3, total_timeout=0.5)

    assert "no whole answer within 0.5 s, the total_timeout of the connection" in str(error)
    assert error.timed_out


def test_a_read_timeout_that_is_longer_than_the_total_time_counts(client: Client, server: Server) -> None:
    server.script(GOOD.held(0.5))

    assert client.send(channel_to(server.url, read_timeout=5.0, total_timeout=0.1), read()) == {"answer": 42}


def test_a_silent_server_is_given_up_after_the_read_timeout(client: Client) -> None:
    with HostileServer(lambda connection: time.sleep(5)) as server:
        error, seconds = failure_of(client, server.url, errors.UnreachableError, read_timeout=0.3)

    assert seconds < 2
    assert error.timed_out


def test_an_address_that_takes_no_connection_was_not_sent_anything_when_the_time_is_over(client: Client) -> None:
    from airflow_provider_etlapis.wire import deadline
    from tests.wire.test_wire_ways import _deaf_server

    with _deaf_server() as port, deadline.within(0.4):
        error, seconds = failure_of(client, f"http://127.0.0.1:{port}", errors.UnreachableError)

    assert seconds < 2
    assert error.sent is False


# The time that a caller has left


def within(seconds: float) -> Any:
    from airflow_provider_etlapis.wire import deadline

    return deadline.within(seconds)


@pytest.mark.parametrize("status", [429, 503])
def test_the_delay_that_a_vendor_asks_for_is_not_waited_beyond_what_the_caller_has_left(
    client: Client, server: Server, status: int
) -> None:
    server.script(Reply(status, b"", None, {"Retry-After": "200"}))

    with within(8):
        error, seconds = failure_of(client, server.url, errors.StatusError, retry=RetryPolicy(retries=4))

    assert seconds < 2
    assert client.pauses == []
    assert error.status == status
    assert error.retry_after == 200
    assert "after the deadline" in str(error)


def test_the_delay_that_a_vendor_asks_for_is_waited_where_there_is_time(client: Client, server: Server) -> None:
    server.script(Reply(429, b"", None, {"Retry-After": "4"}), GOOD)

    with within(8):
        assert client.send(channel_to(server.url), read()) == {"answer": 42}

    assert max(client.pauses) >= 4


def test_a_place_in_the_budget_that_comes_too_late_is_not_waited_for_and_given_back(
    client: Client, server: Server
) -> None:
    channel = channel_to(server.url, requests_per_minute=6.0, retry=RetryPolicy(retries=4))
    stands_still = 5.0
    channel.monotonic = lambda: stands_still
    client.send(channel, read())
    client.pauses.clear()

    for _ in range(50):
        with within(8), pytest.raises(errors.WireError, match="requests_per_minute") as failure:
            client.send(channel, read())
        assert failure.value.sent is False
    client.send(channel, read())

    assert [round(pause) for pause in client.pauses] == [10], "the places of the fifty are free again"
    assert len(server.received) == 2


def test_an_answer_is_waited_for_no_longer_than_the_caller_has_left(client: Client, server: Server) -> None:
    server.script(GOOD.held(5))

    with within(0.5):
        error, seconds = failure_of(client, server.url, errors.UnreachableError, retry=RetryPolicy(retries=4))

    assert seconds < 2
    assert error.timed_out
    assert error.sent
    assert "the time that the caller has left" in str(error)


def test_nothing_is_sent_when_no_time_is_left(client: Client, server: Server) -> None:
    with within(0):
        error, _ = failure_of(client, server.url, errors.WireError)

    assert error.sent is False
    assert server.received == []


def test_the_nearer_of_two_deadlines_holds(client: Client, server: Server) -> None:
    server.script(GOOD.held(3))

    with within(0.3), within(60):
        _, seconds = failure_of(client, server.url, errors.UnreachableError)

    assert seconds < 2


async def test_a_request_that_waits_for_others_to_end_is_given_up_in_time(server: Server) -> None:
    server.script(GOOD.held(3))
    client = AsyncClient(channel_to(server.url, max_in_flight=1, retry=NO_RETRY))
    first = asyncio.create_task(client.send(read()))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    with within(0.3), pytest.raises(errors.WireError, match="max_in_flight") as failure:
        await client.send(read())

    assert time.monotonic() - began < 2
    assert failure.value.sent is False
    first.cancel()
    await client.aclose()


class SlowLogin(TokenAuth):
    """Logs in by a request that takes as long as the server likes."""

    url = ""

    def login(self) -> Any:
        yield Call("POST", "login", Response.json).request(self.url, {})
        return Token("token-1", issued=0.0)

    def refresh(self, token: Token) -> Any:
        raise AssertionError("not refreshable")

    def signed(self, request: Any, token: Token) -> Any:
        return request.with_headers({"X-Token": token.value})


async def test_the_login_of_another_call_is_waited_for_in_time_on_the_event_loop(server: Server) -> None:
    server.script(GOOD.held(2))
    client = AsyncClient(_with_slow_login(server.url))
    first = asyncio.create_task(client.send(read()))
    await asyncio.sleep(0.2)
    began = time.monotonic()

    with within(0.3), pytest.raises(errors.WireError, match="the login of another call") as failure:
        await client.send(start(starts_run=True))

    assert time.monotonic() - began < 1
    assert failure.value.sent is False
    first.cancel()
    await client.aclose()


def test_the_login_of_another_call_is_waited_for_in_time_in_a_worker(server: Server) -> None:
    server.script(GOOD.held(1.5))
    client = SyncClient(_with_slow_login(server.url))
    first = threading.Thread(target=client.send, args=(read(),))
    first.start()
    time.sleep(0.2)
    began = time.monotonic()

    with within(0.3), pytest.raises(errors.WireError, match="the login of another call") as failure:
        client.send(start(starts_run=True))

    assert time.monotonic() - began < 1
    assert failure.value.sent is False
    first.join()
    client.close()


def _with_slow_login(url: str) -> Channel:
    auth = SlowLogin()
    auth.url = url
    return channel_to(url, auth, retry=NO_RETRY)


# Restarts: connections that are refused


@pytest.mark.parametrize("call", [read(), start(), start(starts_run=True)], ids=["read", "write", "start"])
def test_a_refused_call_is_tried_again_for_half_a_minute(client: Client, unused_port: int, call: Any) -> None:
    channel = channel_to(f"http://127.0.0.1:{unused_port}", retry=RetryPolicy())

    with pytest.raises(errors.UnreachableError) as failure:
        client.send(channel, call)

    assert failure.value.sent is False
    assert 25 < sum(client.pauses) <= 31
    assert max(client.pauses) <= 5


def test_a_start_while_the_server_restarts_for_five_seconds_is_made_once_it_is_back(unused_port: int) -> None:
    servers: list[HostileServer] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if sum(pauses) > 5 and not servers:
            servers.append(HostileServer(answer(b'{"answer": 42}'), unused_port))

    pauses: list[float] = []
    client = SyncClient(channel_to(f"http://127.0.0.1:{unused_port}", retry=RetryPolicy()), sleep=sleep)
    try:
        assert client.send(start(starts_run=True)) == {"answer": 42}
    finally:
        client.close()
        for server in servers:
            server.close()
    assert len(servers[0].requests) == 1, "started once"


def test_a_refused_connection_is_not_tried_beyond_the_callers_time(colour: str, unused_port: int) -> None:
    channel = channel_to(f"http://127.0.0.1:{unused_port}", retry=RetryPolicy(base=0.1))
    began = time.monotonic()

    with within(1), pytest.raises(errors.UnreachableError) as failure:
        send_with_real_pauses(colour, channel, start())

    assert 0.3 < time.monotonic() - began < 1.5
    assert failure.value.sent is False
    assert "after the deadline" in str(failure.value)


def test_with_no_retries_a_refused_connection_is_not_tried_again(client: Client, unused_port: int) -> None:
    failure_of(client, f"http://127.0.0.1:{unused_port}", errors.UnreachableError)

    assert client.pauses == []


@pytest.mark.parametrize("host", ["no-such-host.invalid", "127.0.0.1"])
def test_only_a_refused_connection_has_the_patience_of_a_restart(client: Client, server: Server, host: str) -> None:
    """A name that nobody knows is more likely mistyped, and a certificate that nobody trusts stays so."""
    url = server.url.replace("http:", "https:") if host == "127.0.0.1" else f"http://{host}"

    failure_of(client, url, errors.UnreachableError, retry=RetryPolicy(retries=2))

    assert len(client.pauses) == 2
