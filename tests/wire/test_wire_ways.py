"""The way to the vendor, in both colours: what was surely not sent, timeouts, TLS, proxies."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from airflow_provider_etlapis.sandbox.messages import Reply
from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.policy import RetryPolicy
from tests.support.certificates import Authority
from tests.wire.conftest import GOOD, Client, Server, channel_to, read, start

NO_RETRY = RetryPolicy(retries=0)


def test_a_refused_connection_was_surely_not_sent_so_even_a_start_is_tried_again(
    client: Client, unused_port: int
) -> None:
    with pytest.raises(errors.UnreachableError) as failure:
        client.send(channel_to(f"http://127.0.0.1:{unused_port}"), start())

    assert failure.value.sent is False
    assert sum(client.pauses) == pytest.approx(30, abs=1)


def test_a_name_that_nobody_knows_was_surely_not_sent(client: Client) -> None:
    with pytest.raises(errors.UnreachableError) as failure:
        client.send(channel_to("http://no-such-host.invalid", retry=NO_RETRY), start())

    assert failure.value.sent is False


def test_a_connection_cut_after_the_request_may_have_been_sent(client: Client, server: Server) -> None:
    server.script(Reply.nothing())

    with pytest.raises(errors.UnreachableError) as failure:
        client.send(channel_to(server.url, retry=NO_RETRY), start())

    assert failure.value.sent is True


def test_half_a_body_is_no_answer(client: Client, server: Server) -> None:
    from dataclasses import replace

    server.script(replace(GOOD, delivery="half"))

    with pytest.raises(errors.UnreachableError) as failure:
        client.send(channel_to(server.url, retry=NO_RETRY), read())

    assert failure.value.sent is True


def test_a_read_is_made_again_after_every_kind_of_failure_on_the_way(client: Client, server: Server) -> None:
    from dataclasses import replace

    server.script(Reply.nothing(), replace(GOOD, delivery="half"), GOOD)

    assert client.send(channel_to(server.url), read()) == {"answer": 42}
    assert len(server.received) == 3


def test_a_server_that_takes_too_long_is_not_waited_for(client: Client, server: Server) -> None:
    server.script(GOOD.held(5))
    began = time.monotonic()

    with pytest.raises(errors.UnreachableError) as failure:
        client.send(channel_to(server.url, retry=NO_RETRY, read_timeout=0.2), read())

    assert failure.value.sent is True
    assert time.monotonic() - began < 3


def test_a_call_may_wait_longer_than_the_connection_says(client: Client, server: Server) -> None:
    server.script(GOOD.held(0.4))
    patient = read(read_timeout=5.0)

    assert client.send(channel_to(server.url, retry=NO_RETRY, read_timeout=0.1), patient) == {"answer": 42}


def test_a_server_that_does_not_accept_in_time_was_not_sent_anything(client: Client) -> None:
    with _deaf_server() as port:
        with pytest.raises(errors.UnreachableError) as failure:
            client.send(channel_to(f"http://127.0.0.1:{port}", retry=NO_RETRY, connect_timeout=0.2), start())
        assert failure.value.sent is False


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls_server(authority: Authority) -> Iterator[Server]:
    running = Server(tls=authority.server_context())
    yield running
    running.close()


def test_a_certificate_that_nobody_trusts_is_refused_before_anything_is_sent(
    client: Client, tls_server: Server
) -> None:
    with pytest.raises(errors.UnreachableError, match=r"(?i)certificate") as failure:
        client.send(channel_to(tls_server.url, retry=NO_RETRY), start())

    assert failure.value.sent is False
    assert tls_server.received == []


def test_the_ca_file_of_the_connection_is_trusted(client: Client, tls_server: Server, authority: Authority) -> None:
    assert client.send(channel_to(tls_server.url, ca_file=str(authority.ca_file)), read()) == {"answer": 42}


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_verification_can_be_switched_off(client: Client, tls_server: Server) -> None:
    assert client.send(channel_to(tls_server.url, verify=False), read()) == {"answer": 42}


def test_a_client_certificate_is_shown_to_a_server_that_asks_for_one(client: Client, authority: Authority) -> None:
    server = Server(tls=authority.server_context(ask_for_client=True))
    certificate, key = authority.issue("client")
    try:
        with pytest.raises(errors.UnreachableError):
            client.send(channel_to(server.url, ca_file=str(authority.ca_file), retry=NO_RETRY), read())
        channel = channel_to(
            server.url, ca_file=str(authority.ca_file), client_certificate=str(certificate), client_key=str(key)
        )
        assert client.send(channel, read()) == {"answer": 42}
    finally:
        server.close()


def test_a_ca_bundle_of_the_environment_counts_too(
    client: Client, tls_server: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))

    assert client.send(channel_to(tls_server.url), read()) == {"answer": 42}


@pytest.mark.parametrize("base_url", ["http://api.vendor.example", "https://api.vendor.example"])
def test_the_proxy_of_the_connection_is_used_with_its_credential(client: Client, base_url: str) -> None:
    with _recording_proxy() as (port, seen):
        channel = channel_to(base_url, proxy=f"http://jane:s3cret-pass@127.0.0.1:{port}", retry=NO_RETRY)
        with pytest.raises(errors.WireError) as failure:
            client.send(channel, read())

    first = seen[0].decode("latin-1")
    assert first.startswith(("GET http://api.vendor.example/thing", "CONNECT api.vendor.example:443"))
    assert "Proxy-Authorization: Basic amFuZTpzM2NyZXQtcGFzcw==" in first
    assert "s3cret-pass" not in str(failure.value)


def test_the_proxy_of_the_environment_is_used_unless_no_proxy_names_the_host(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _recording_proxy() as (port, seen):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")

        assert client.send(channel_to(server.url), read()) == {"answer": 42}
        assert seen == []
        with pytest.raises(errors.WireError):
            client.send(channel_to("http://api.vendor.example", retry=NO_RETRY), read())
        assert seen


def test_a_proxy_that_is_away_was_surely_not_sent_anything(client: Client, unused_port: int) -> None:
    channel = channel_to("http://api.vendor.example", proxy=f"http://127.0.0.1:{unused_port}", retry=NO_RETRY)

    with pytest.raises(errors.UnreachableError) as failure:
        client.send(channel, start())

    assert failure.value.sent is False


class _deaf_server:  # noqa: N801 used like a function
    """Listens with a full queue, so that no connection is made."""

    def __enter__(self) -> int:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        address = self._listener.getsockname()
        self._fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            self._fillers.append(filler)
        time.sleep(0.05)
        return int(address[1])

    def __exit__(self, *_: object) -> None:
        for filler in self._fillers:
            filler.close()
        self._listener.close()


class _recording_proxy:  # noqa: N801 used like a function
    """Takes a request, keeps its head, and refuses it."""

    def __enter__(self) -> tuple[int, list[bytes]]:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._seen: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()
        return self._listener.getsockname()[1], self._seen

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._seen.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_plain_http_needs_no_tls_context() -> None:
    assert channel_to("http://x").settings.tls() is None
    assert isinstance(channel_to("https://x").settings.tls(), ssl.SSLContext)
