"""Sizes in both colours: an answer is counted after decompression, and read in pieces."""

from __future__ import annotations

import gzip
import json
import socket
import zlib

import pytest

from airflow_provider_etlapis.sandbox.messages import Reply
from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.call import Response
from airflow_provider_etlapis.wire.policy import RetryPolicy
from tests.wire.conftest import Client, Server, channel_to, failure_of, read
from tests.wire.hostile import (
    BOMBS,
    MOST_MEMORY,
    OK,
    HostileServer,
    answer,
    bomb,
    memory,
    quietest,
    trickle,
)

NO_RETRY = RetryPolicy(retries=0)


# Size


def test_an_answer_that_says_it_is_too_large_is_refused_at_once(client: Client) -> None:
    with HostileServer(trickle(OK + b"Content-Length: 999999999999\r\n\r\n")) as server:
        error, seconds = failure_of(client, server.url, _too_large())

    assert seconds < 2
    assert "50 MB" in str(error)
    assert "max_response_mb" in str(error)


def test_an_answer_that_becomes_too_large_is_refused_as_soon_as_it_is(client: Client) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(4_000):
            connection.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    with HostileServer(speak) as server, memory() as used:
        error, _ = failure_of(client, server.url, _too_large())

    assert "max_response_mb" in str(error)
    assert used["grown"] < MOST_MEMORY


def test_the_limit_is_that_of_the_connection(client: Client, server: Server) -> None:
    server.script(Reply(200, b'"' + b"x" * 300_000 + b'"'))

    assert len(client.send(channel_to(server.url, max_response_mb=0.4), read(parse=Response.json))) == 300_000
    failure_of(client, server.url, _too_large(), max_response_mb=0.2)


def test_what_is_too_large_is_not_asked_for_again(client: Client, server: Server) -> None:
    server.script(Reply(200, b'"' + b"x" * 300_000 + b'"'))

    failure_of(client, server.url, _too_large(), max_response_mb=0.2, retry=RetryPolicy(retries=4))

    assert len(server.received) == 1


def _too_large() -> type[errors.WireError]:
    return errors.AnswerTooLargeError


@pytest.mark.parametrize("encoding", BOMBS)
def test_a_megabyte_that_becomes_a_gigabyte_is_refused_by_the_size_that_it_becomes(
    client: Client, encoding: str
) -> None:
    def measure() -> int:
        with HostileServer(bomb(encoding)) as server, memory() as used:
            error, _ = failure_of(client, server.url, _too_large())
            assert "max_response_mb" in str(error)
        return used["grown"]

    assert quietest(measure, lambda grown: grown < MOST_MEMORY) < MOST_MEMORY


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "\x1b[31m"])
def test_an_encoding_that_was_not_asked_for_is_refused_and_hides_no_status(
    client: Client, encoding: str, status: int
) -> None:
    with HostileServer(answer(b"\x8b\x00\x80", f"Content-Encoding: {encoding}", status=f"{status} X")) as server:
        error, _ = failure_of(client, server.url, errors.WireError)
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
        error, _ = failure_of(client, server.url, errors.MalformedAnswerError)

    assert error.status == 200


def test_of_an_error_page_only_the_beginning_is_read(client: Client) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 503 Down\r\nTransfer-Encoding: chunked\r\nRetry-After: 7\r\n\r\n")
        for _ in range(3_000):
            connection.sendall(b"10000\r\n" + b"words " * 10_922 + b"1234\r\n")

    with HostileServer(speak) as server, memory() as used:
        error, seconds = failure_of(client, server.url, errors.ServerFaultError)

    assert error.retry_after == 7
    assert len(str(error)) < 1_000
    assert used["grown"] < MOST_MEMORY
    assert seconds < 5
