"""Why no answer came: one sentence that names the place and what to change, the same in both colours."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_etlapis.exceptions import VendorUnavailableError
from airflow_provider_etlapis.hooks.errors import task_error
from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.policy import RetryPolicy
from tests.support.certificates import Authority
from tests.wire.conftest import Client, Server, channel_to, read

NO_RETRY = RetryPolicy(retries=0)

Listen = Callable[[bytes], str]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Serve raw bytes: each connection is read once, answered and closed."""
    open_: list[socket.socket] = []

    def serve(answer: bytes) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        open_.append(listening)

        def work() -> None:
            while True:
                try:
                    taken, _ = listening.accept()
                except OSError:
                    return
                with taken:
                    taken.recv(65536)
                    taken.sendall(answer)

        threading.Thread(target=work, daemon=True).start()
        return f"127.0.0.1:{listening.getsockname()[1]}"

    yield serve
    for each in open_:
        each.shutdown(socket.SHUT_RDWR)
        each.close()


def why(client: Client, url: str, **settings: object) -> str:
    with pytest.raises(errors.UnreachableError) as failure:
        client.send(channel_to(url, retry=NO_RETRY, **settings), read())
    message = str(failure.value)
    assert "object at 0x" not in message
    assert "Max retries" not in message
    return message


def test_where_nobody_listens_host_and_port_are_to_be_checked(client: Client, unused_port: int) -> None:
    message = why(client, f"http://127.0.0.1:{unused_port}")

    assert f"Connection refused: nobody listens at 127.0.0.1:{unused_port}; check host and port" in message


def test_a_name_that_cannot_be_looked_up(client: Client) -> None:
    assert "the name in nowhere.invalid cannot be looked up; check the connection's host" in why(
        client, "http://nowhere.invalid"
    )


def test_https_where_plain_http_is_spoken(client: Client, server: Server) -> None:
    place = server.url.removeprefix("http://")

    assert f"{place} does not speak TLS; write http:// before the host" in why(client, f"https://{place}")


def test_a_certificate_that_is_not_trusted(client: Client, tmp_path: Path) -> None:
    running = Server(Authority(tmp_path).server_context())
    try:
        message = why(client, running.url)
    finally:
        running.close()

    assert "is refused (unable to get local issuer certificate)" in message
    assert "name its authority in the extra 'ca_file'" in message


def test_what_is_not_http(client: Client, listen: Listen) -> None:
    place = listen(b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n")

    assert f"what answers at {place} is not HTTP; if it speaks TLS, write https:// before the host" in why(
        client, f"http://{place}"
    )


def test_a_connection_that_is_closed_without_an_answer(client: Client, listen: Listen) -> None:
    place = listen(b"")

    assert f"{place} has closed the connection without an answer" in why(client, f"http://{place}")


def test_a_proxy_that_refuses(client: Client, listen: Listen) -> None:
    place = listen(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    message = why(client, "https://etl.example.com", proxy=f"http://user:proxy-password@{place}")

    assert f"the proxy {place} lets nothing through (" in message
    assert "407 Proxy Authentication Required" in message
    assert "proxy-password" not in message


def test_the_task_sees_which_connection_it_was(unused_port: int) -> None:
    error = errors.UnreachableError("GET http://x: connection refused")

    message = task_error(error, "nightly")

    assert isinstance(message, VendorUnavailableError)
    assert str(message) == "GET http://x: connection refused (connection 'nightly')"
