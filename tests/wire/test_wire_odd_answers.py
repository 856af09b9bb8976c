"""Whatever comes back, and whatever an address holds, ends in an error of the wire, in both colours alike."""

from __future__ import annotations

import random
from typing import Any

import pytest

from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.auth import HeaderAuth
from airflow_provider_etlapis.wire.call import Response
from airflow_provider_etlapis.wire.policy import RetryPolicy
from tests.wire.conftest import Client, channel_to, read
from tests.wire.hostile import HostileServer, answer

NO_RETRY = RetryPolicy(retries=0)


def failure_of(client: Client, url: str, **settings: Any) -> errors.WireError:
    with pytest.raises(errors.WireError) as failure:
        client.send(channel_to(url, **{"retry": NO_RETRY, "read_timeout": 2.0, **settings}), read())
    return failure.value


@pytest.mark.parametrize(
    "location",
    [
        b"http://[bad",
        b"//[",
        b"\xff\xfe\x80",
        b"http://h:port/",
        b"http://a..b/",
        b"/x\x00y",
        b"x" * 20_000,
        b"\xe2\x98\x83",
    ],
    ids=["bracket", "only a bracket", "bytes", "port", "empty label", "nul", "long", "UTF-8"],
)
def test_a_redirect_is_a_redirect_wherever_it_leads(client: Client, location: bytes) -> None:
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    with HostileServer(head) as server:
        error = failure_of(client, server.url)

    if b"\x00" not in location:  # which no header may hold: the libraries may refuse the whole answer
        assert isinstance(error, errors.RedirectedError)
    assert len(str(error)) < 1_000
    if location == b"\xe2\x98\x83":
        assert "\u2603" in str(error)


ODD: dict[str, bytes] = {
    "chunk size of -5": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "chunk size of words": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\nhello\r\n0\r\n\r\n",
    "chunk size without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 100_000,
    "length of -5": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "length of words": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
    "length of very many digits": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n[",
    "status of -1": b"HTTP/1.1 -1 Odd\r\nContent-Length: 0\r\n\r\n",
    "status of 99": b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
    "status of 1000": b"HTTP/1.1 1000 Odd\r\nContent-Length: 0\r\n\r\n",
    "status of 999": b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n",
    "HTTP/9": b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\nno",
    "header without a colon": b"HTTP/1.1 200 OK\r\nContent-Length 5\r\n\r\n",
    "header of one line that does not end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    "a thousand headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000 + b"Content-Length: 1\r\n\r\n[",
    "bytes in a header": b"HTTP/1.1 200 OK\r\nContent-Type: \xff\xfe\r\nContent-Length: 1\r\n\r\n[",
    "a charset of bytes": answer(b"hello", "Content-Type: text/html; charset=\xff"),
    "a NUL in a header": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 1\r\n\r\n[",
    "a CR in a header's name": b"HTTP/1.1 200 OK\r\nX\rY: b\r\nContent-Length: 1\r\n\r\n[",
    "nothing": b"",
    "a date of no calendar": answer(b"[", "Date: Mon, 99 Foo 99999 99:99:99 +99999999999999999"),
    "bytes that are no text": answer(b"\xff\xfe\x00\xd8\x00"),
    "half a surrogate pair": answer(b'{"a": "\\ud800"'),
    "a number of many digits": answer(b"[" + b"9" * 200_000 + b"]"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_is_an_error_of_the_wire(client: Client, name: str) -> None:
    with HostileServer(ODD[name]) as server:
        error = failure_of(client, server.url)

    assert len(str(error)) < 2_000
    str(error).encode()


@pytest.mark.parametrize(
    "value",
    [
        "Mon, 20 Nov 2026 00:00:00 +99999999999999999",
        "Mon, 20 Nov 2026 00:00:00 -99999999999999999",
        "99999999999999999999999999999 Nov 2026",
        "9" * 10_000,
        "nan",
        "-1e400",
        "\x85",
        "Mon, 20 Nov 99999999999 00:00:00 GMT",
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_delay_that_makes_no_sense_is_ignored(client: Client, status: int, value: str) -> None:
    with HostileServer(answer(b"", f"Retry-After: {value}", f"Date: {value}", status=f"{status} Busy")) as server:
        error = failure_of(client, server.url)

    assert error.status == status
    assert error.retry_after in (None, 0.0)


@pytest.mark.parametrize(
    "url",
    [
        "http://a..b",
        "http://[::1",
        "http://" + "a" * 70 + ".example",
        "http://\udc80.example",
        "http://host name",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:-1",
        "http://",
        "no address at all",
        "ftp://127.0.0.1",
    ],
)
def test_an_address_that_cannot_work_was_surely_not_sent_to(client: Client, url: str) -> None:
    error = failure_of(client, url)

    assert error.sent is False
    str(error).encode()


@pytest.mark.parametrize("name", ["X\rEvil", "X\nEvil: 1", "X Y", "", "X:", "Schlüssel", "\ud800"])
def test_the_name_of_a_header_that_is_none_is_refused_before_anything_is_sent(client: Client, name: str) -> None:
    with (
        HostileServer(answer(b"{}")) as server,
        pytest.raises(errors.BadRequestError, match="not the name of a header") as failure,
    ):
        client.send(channel_to(server.url, HeaderAuth({name: "value-of-it"}), retry=NO_RETRY), read())

    assert server.requests == []
    assert "value-of-it" not in str(failure.value)
    assert "\r" not in str(failure.value)
    assert "\n" not in str(failure.value)


def test_numbers_that_json_does_not_have_are_none(client: Client) -> None:
    with HostileServer(answer(b'{"a": [NaN, Infinity, -Infinity, 1e999, -1e999, 1.5]}')) as server:
        got = client.send(channel_to(server.url, retry=NO_RETRY), read(parse=Response.json))

    assert got == {"a": [None, None, None, None, None, 1.5]}


def test_answers_with_bytes_changed_at_random_are_answers_or_errors_of_the_wire(client: Client) -> None:
    whole = answer(b'{"answer": 42, "text": "\\u00e9"}', "Content-Type: application/json", "Retry-After: 3")
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    chunked = head + b"5\r\n\x1f\x8b\x08\x00\x00\r\n0\r\n\r\n"
    draw = random.Random(20261122)

    def speak(connection: Any) -> None:
        said = bytearray(draw.choice((whole, chunked)))
        for _ in range(draw.randint(1, 6)):
            at = draw.randrange(len(said))
            if draw.random() < 0.3:
                del said[at : at + draw.randint(1, 20)]
            else:
                said[at : at + draw.randint(0, 2)] = draw.randbytes(draw.randint(0, 3))
            if not said:
                break
        connection.sendall(bytes(said))

    with HostileServer(speak) as server:
        for _ in range(150):
            try:
                client.send(
                    channel_to(server.url, retry=NO_RETRY, read_timeout=0.5), read(parse=lambda answer: answer.json())
                )
            except errors.WireError as error:
                str(error).encode()
