"""Bounds in both colours: no answer takes more time, memory or attention than it may, whatever a server sends."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_etlapis.sandbox.messages import Reply
from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.aio import AsyncClient
from airflow_provider_etlapis.wire.call import Response
from airflow_provider_etlapis.wire.policy import RetryPolicy
from airflow_provider_etlapis.wire.sync import SyncClient
from tests.wire.conftest import GOOD, Client, Server, channel_to, read, start
from tests.wire.hostile import (
    LONGEST_STALL,
    MOST_MEMORY,
    HostileServer,
    answer,
    memory,
    quietest,
    stopwatch,
    trickle,
)

NO_RETRY = RetryPolicy(retries=0)
OK = b"HTTP/1.1 200 OK\r\n"


def ends_with(client: Client, url: str, error: type[errors.WireError], **settings: Any) -> tuple[Any, float]:
    """Send one read that must fail; return the failure and the seconds it took."""
    began = time.monotonic()
    with pytest.raises(error) as failure:
        client.send(channel_to(url, **{"retry": NO_RETRY, **settings}), read())
    return failure.value, time.monotonic() - began


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
        error, seconds = ends_with(client, server.url, errors.UnreachableError, read_timeout=0.3, total_timeout=0.6)

    assert seconds < 2
    assert error.sent


def test_the_total_time_is_named_with_its_setting(client: Client) -> None:
    with HostileServer(trickle(OK + b"Content-Length: 100000\r\n\r\n")) as server:
        error, _ = ends_with(client, server.url, errors.UnreachableError, read_timeout=0.3, total_timeout=0.5)

    assert "no whole answer within 0.5 s, the total_timeout of the connection" in str(error)
    assert error.timed_out


def test_a_read_timeout_that_is_longer_than_the_total_time_counts(client: Client, server: Server) -> None:
    server.script(GOOD.held(0.5))

    assert client.send(channel_to(server.url, read_timeout=5.0, total_timeout=0.1), read()) == {"answer": 42}


def test_a_silent_server_is_given_up_after_the_read_timeout(client: Client) -> None:
    with HostileServer(lambda connection: time.sleep(5)) as server:
        error, seconds = ends_with(client, server.url, errors.UnreachableError, read_timeout=0.3)

    assert seconds < 2
    assert error.timed_out


def test_an_address_that_takes_no_connection_was_not_sent_anything_when_the_time_is_over(client: Client) -> None:
    from airflow_provider_etlapis.wire import deadline
    from tests.wire.test_wire_ways import _deaf_server

    with _deaf_server() as port, deadline.within(0.4):
        error, seconds = ends_with(client, f"http://127.0.0.1:{port}", errors.UnreachableError)

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
        error, seconds = ends_with(client, server.url, errors.StatusError, retry=RetryPolicy(retries=4))

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
        error, seconds = ends_with(client, server.url, errors.UnreachableError, retry=RetryPolicy(retries=4))

    assert seconds < 2
    assert error.timed_out
    assert error.sent
    assert "the time that the caller has left" in str(error)


def test_nothing_is_sent_when_no_time_is_left(client: Client, server: Server) -> None:
    with within(0):
        error, _ = ends_with(client, server.url, errors.WireError)

    assert error.sent is False
    assert server.received == []


def test_the_nearer_of_two_deadlines_holds(client: Client, server: Server) -> None:
    server.script(GOOD.held(3))

    with within(0.3), within(60):
        _, seconds = ends_with(client, server.url, errors.UnreachableError)

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


# Size


def test_an_answer_that_says_it_is_too_large_is_refused_at_once(client: Client) -> None:
    with HostileServer(trickle(OK + b"Content-Length: 999999999999\r\n\r\n")) as server:
        error, seconds = ends_with(client, server.url, _too_large())

    assert seconds < 2
    assert "50 MB" in str(error)
    assert "max_response_mb" in str(error)


def test_an_answer_that_becomes_too_large_is_refused_as_soon_as_it_is(client: Client) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(4_000):
            connection.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    with HostileServer(speak) as server, memory() as used:
        error, _ = ends_with(client, server.url, _too_large())

    assert "max_response_mb" in str(error)
    assert used["grown"] < MOST_MEMORY


def test_the_limit_is_that_of_the_connection(client: Client, server: Server) -> None:
    server.script(Reply(200, b'"' + b"x" * 300_000 + b'"'))

    assert len(client.send(channel_to(server.url, max_response_mb=0.4), read(parse=Response.json))) == 300_000
    ends_with(client, server.url, _too_large(), max_response_mb=0.2)


def test_what_is_too_large_is_not_asked_for_again(client: Client, server: Server) -> None:
    server.script(Reply(200, b'"' + b"x" * 300_000 + b'"'))

    ends_with(client, server.url, _too_large(), max_response_mb=0.2, retry=RetryPolicy(retries=4))

    assert len(server.received) == 1


def _too_large() -> type[errors.WireError]:
    return errors.AnswerTooLargeError


def _bomb(encoding: str) -> bytes:
    """Return about a megabyte that becomes a gigabyte."""
    if encoding == "gzip":
        squeeze = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    else:
        squeeze = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS if encoding == "deflate" else -zlib.MAX_WBITS)
    block = b"[" * 1_000_000
    made = b"".join(squeeze.compress(block) for _ in range(1_000)) + squeeze.flush()
    assert len(made) < 2_000_000
    return made


BOMBS = {name: _bomb(name) for name in ("gzip", "deflate", "raw deflate")}


@pytest.mark.parametrize("encoding", BOMBS)
def test_a_megabyte_that_becomes_a_gigabyte_is_refused_by_the_size_that_it_becomes(
    client: Client, encoding: str
) -> None:
    body = answer(BOMBS[encoding], f"Content-Encoding: {encoding.split()[-1]}")

    def measure() -> int:
        with HostileServer(body) as server, memory() as used:
            error, _ = ends_with(client, server.url, _too_large())
            assert "max_response_mb" in str(error)
        return used["grown"]

    assert quietest(measure, lambda grown: grown < MOST_MEMORY) < MOST_MEMORY


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "\x1b[31m"])
def test_an_encoding_that_was_not_asked_for_is_refused_and_hides_no_status(
    client: Client, encoding: str, status: int
) -> None:
    with HostileServer(answer(b"\x8b\x00\x80", f"Content-Encoding: {encoding}", status=f"{status} X")) as server:
        error, _ = ends_with(client, server.url, errors.WireError)
        head = server.requests[0].lower()

    assert error.status == status
    assert isinstance(error, errors.MalformedAnswerError if status == 200 else errors.ServerFaultError)
    assert "\x1b" not in str(error)
    assert b"accept-encoding: gzip, deflate\r\n" in head


GOOD_JSON = b'{"answer": 42}'


def _deflated(data: bytes, bits: int) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, bits)
    return squeeze.compress(data) + squeeze.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(GOOD_JSON)),
        ("x-gzip", gzip.compress(GOOD_JSON)),
        ("GZIP", gzip.compress(GOOD_JSON)),
        ("gzip", gzip.compress(GOOD_JSON[:5]) + gzip.compress(GOOD_JSON[5:])),
        ("gzip", gzip.compress(GOOD_JSON) + b"\0\0\0 trailing"),
        ("deflate", _deflated(GOOD_JSON, zlib.MAX_WBITS)),
        ("deflate", _deflated(GOOD_JSON, -zlib.MAX_WBITS)),
        ("identity", GOOD_JSON),
    ],
    ids=["gzip", "x-gzip", "upper", "two members", "trailing", "deflate", "raw deflate", "identity"],
)
@pytest.mark.parametrize("cut", [1, 7, 100_000], ids=lambda size: f"pieces of {size}")
def test_compressed_answers_are_read(client: Client, encoding: str, body: bytes, cut: int) -> None:
    def speak(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(OK + f"Content-Encoding: {encoding}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for at in range(0, len(body), cut):
            piece = body[at : at + cut]
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")

    with HostileServer(speak) as server:
        assert client.send(channel_to(server.url, retry=NO_RETRY), read()) == {"answer": 42}


def test_a_compressed_answer_larger_than_a_step_is_read_whole(client: Client) -> None:
    rows = [{"number": number, "text": "x" * 50} for number in range(20_000)]
    body = gzip.compress(json.dumps(rows).encode())

    with HostileServer(answer(body, "Content-Encoding: gzip")) as server:
        assert client.send(channel_to(server.url, retry=NO_RETRY), read(parse=Response.json)) == rows


@pytest.mark.parametrize(
    "body",
    [gzip.compress(GOOD_JSON)[:-9], b"not gzip at all", gzip.compress(b"x")[:1], gzip.compress(b"") * 1_100],
    ids=["cut", "other", "one byte", "a thousand members"],
)
def test_damaged_compressed_data_is_a_damaged_answer(client: Client, body: bytes) -> None:
    with HostileServer(answer(body, "Content-Encoding: gzip")) as server:
        error, _ = ends_with(client, server.url, errors.MalformedAnswerError)

    assert error.status == 200


def test_of_an_error_page_only_the_beginning_is_read(client: Client) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 503 Down\r\nTransfer-Encoding: chunked\r\nRetry-After: 7\r\n\r\n")
        for _ in range(3_000):
            connection.sendall(b"10000\r\n" + b"words " * 10_922 + b"1234\r\n")

    with HostileServer(speak) as server, memory() as used:
        error, seconds = ends_with(client, server.url, errors.ServerFaultError)

    assert error.retry_after == 7
    assert len(str(error)) < 1_000
    assert used["grown"] < MOST_MEMORY
    assert seconds < 5


# Attention: nothing holds up the event loop


def _page(text: str, size: int) -> bytes:
    return answer((text * (size // len(text) + 1))[:size].encode(), "Content-Type: text/html", status="500 Oops")


TEXTS = ("token", "a", "password=", "Bearer ", "&#34;", "\\", '"', " ", "://u:", "<p>Sorry</p>\n")
HOLDERS: dict[str, Callable[[], bytes]] = {
    **{
        f"error page of {size:,} characters {text!r}": (lambda text=text, size=size: _page(text, size))
        for size in (4_000, 64_000, 10_000_000)
        for text in TEXTS
    },
    **{
        f"{name} bomb": (lambda name=name: answer(BOMBS[name], f"Content-Encoding: {name.split()[-1]}"))
        for name in BOMBS
    },
    "JSON of 100,000 levels": lambda: answer(b"[" * 100_000 + b"]" * 100_000),
    "objects of 100,000 levels": lambda: answer(b'{"a":' * 100_000),
    "an error of 100,000 levels": lambda: answer(b"[" * 100_000 + b"]" * 100_000, status="400 Bad"),
    "4 MB of numbers": lambda: answer(b"[" + b"1," * 1_900_000 + b"1]"),
    "5 MB of log lines": lambda: answer(json.dumps(["2026-11-22 INFO step, of: [many] {x}"] * 130_000).encode()),
    "20 MB in one text": lambda: answer(b'"' + b"line\\n" * 3_300_000 + b'"'),
    "20 MB of blanks": lambda: answer(b" " * 20_000_000),
    "a 20 MB page": lambda: answer(b"<html>" + b"word " * 4_000_000),
    "1 MB of small chunks": lambda: OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n[\r\n" * 150_000 + b"0\r\n\r\n",
    "a charset that takes its time": lambda: answer(
        b"a" * 60_000, "Content-Type: text/html; charset=punycode", status="500 Oops"
    ),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_no_answer_holds_up_the_event_loop(name: str) -> None:
    assert _held_up_by(HOLDERS[name](), LONGEST_STALL) < LONGEST_STALL


MANY_VALUES: dict[str, Callable[[], bytes]] = {
    "a list of 100,000 runs": lambda: answer(
        json.dumps([{"id": n, "status": "running", "payload": {"n": [n]}, "by": "me"} for n in range(100_000)]).encode()
    ),
    "48 MB of empty lists": lambda: answer(b"[" + b"[]," * 16_000_000 + b"[]]"),
}


@pytest.mark.parametrize("name", MANY_VALUES)
def test_an_answer_of_very_many_values_holds_up_the_event_loop_for_moments_only(name: str) -> None:
    """Python's garbage collector goes through all of them at one go, and they are freed at one go."""
    assert _held_up_by(MANY_VALUES[name](), 0.25) < 0.25


def _held_up_by(whole: bytes, longest: float) -> float:
    """Return the seconds for which an answer has held up the event loop at one time."""

    async def worst() -> float:
        client = AsyncClient(channel_to(server.url, retry=NO_RETRY, total_timeout=60))
        async with stopwatch() as late:
            outcome = await asyncio.gather(
                client.send(read(parse=lambda response: response.text and response.json() and None)),
                return_exceptions=True,
            )
        await client.aclose()
        assert outcome[0] is None or isinstance(outcome[0], errors.WireError), outcome
        return max(late)

    with HostileServer(whole) as server:
        found: float = quietest(lambda: asyncio.run(worst()), lambda seconds: seconds < longest)
    return found


def test_json_is_nested_at_most_as_deep_as_it_can_be_parsed(client: Client) -> None:
    for body in (b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000, b"[" * 900_000):
        with HostileServer(answer(body)) as server:
            error, _ = ends_with(client, server.url, errors.MalformedAnswerError)
        assert "nested too deep" in str(error)


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
            servers.append(HostileServer(answer(GOOD_JSON), unused_port))

    pauses: list[float] = []
    client = SyncClient(channel_to(f"http://127.0.0.1:{unused_port}", retry=RetryPolicy()), sleep=sleep)
    try:
        assert client.send(start(starts_run=True)) == {"answer": 42}
    finally:
        client.close()
        for server in servers:
            server.close()
    assert len(servers[0].requests) == 1, "started once"


def test_a_refused_connection_is_not_tried_beyond_the_callers_time(client: Client, unused_port: int) -> None:
    with within(2):
        error, _ = ends_with(
            client, f"http://127.0.0.1:{unused_port}", errors.UnreachableError, retry=RetryPolicy(base=0.1, cap=0.5)
        )

    assert sum(client.pauses) < 31
    assert error.sent is False


def test_with_no_retries_a_refused_connection_is_not_tried_again(client: Client, unused_port: int) -> None:
    ends_with(client, f"http://127.0.0.1:{unused_port}", errors.UnreachableError)

    assert client.pauses == []


@pytest.mark.parametrize("host", ["no-such-host.invalid", "127.0.0.1"])
def test_only_a_refused_connection_has_the_patience_of_a_restart(client: Client, server: Server, host: str) -> None:
    """A name that nobody knows is more likely mistyped, and a certificate that nobody trusts stays so."""
    url = server.url.replace("http:", "https:") if host == "127.0.0.1" else f"http://{host}"

    ends_with(client, url, errors.UnreachableError, retry=RetryPolicy(retries=2))

    assert len(client.pauses) == 2
