"""What the environment and the connection say about proxies and trust means the same to both clients: one table."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from requests.utils import should_bypass_proxies

from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.policy import RetryPolicy
from airflow_provider_etlapis.wire.sync import SyncClient
from tests.support.certificates import Authority
from tests.wire.conftest import Client, Server, channel_to, read
from tests.wire.hostile import HostileServer

NO_RETRY = RetryPolicy(retries=0)
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# Proxies

VENDOR = "http://api.vendor.example:8080"
TABLE: dict[str, tuple[dict[str, str], str, bool]] = {
    "http_proxy": ({"http_proxy": "http://{}"}, VENDOR, True),
    "HTTP_PROXY": ({"HTTP_PROXY": "http://{}"}, VENDOR, True),
    "https_proxy for https": ({"https_proxy": "http://{}"}, "https://api.vendor.example", True),
    "https_proxy for http": ({"https_proxy": "http://{}"}, "http://127.0.0.1:9", False),
    "no scheme": ({"http_proxy": "{}"}, VENDOR, True),
    "no scheme, https": ({"https_proxy": "{}"}, "https://api.vendor.example", True),
    "no scheme, by name": ({"http_proxy": "localhost:{port}"}, VENDOR, True),
    "no scheme, credentials": ({"http_proxy": "jane:pw@{}"}, VENDOR, True),
    "ALL_PROXY": ({"ALL_PROXY": "http://{}"}, VENDOR, True),
    "all_proxy, https": ({"all_proxy": "{}"}, "https://api.vendor.example", True),
    "NO_PROXY names the host": ({"ALL_PROXY": "{}", "NO_PROXY": "127.0.0.1"}, "http://127.0.0.1:9", False),
    "NO_PROXY names another": ({"ALL_PROXY": "{}", "NO_PROXY": "etl.example, 10.1.2.3"}, VENDOR, True),
    "NO_PROXY names the network": ({"ALL_PROXY": "{}", "NO_PROXY": "x, 127.0.0.0/8"}, "http://127.0.0.1:9", False),
    "NO_PROXY names another network": ({"ALL_PROXY": "{}", "NO_PROXY": "10.0.0.0/8"}, "http://127.0.0.1:9", True),
    "NO_PROXY names a network that is none": (
        {"ALL_PROXY": "{}", "NO_PROXY": "10.0.0.0/99"},
        "http://127.0.0.1:9",
        True,
    ),
    "NO_PROXY names host and port": ({"ALL_PROXY": "{}", "NO_PROXY": "localhost:9"}, "http://localhost:9", False),
    "NO_PROXY names another port": ({"ALL_PROXY": "{}", "NO_PROXY": "localhost:10"}, "http://localhost:9", True),
    "NO_PROXY names the domain": (
        {"ALL_PROXY": "{}", "NO_PROXY": "vendor.invalid"},
        "http://api.vendor.invalid",
        False,
    ),
    "NO_PROXY with a dot": ({"ALL_PROXY": "{}", "NO_PROXY": ".vendor.invalid"}, "http://api.vendor.invalid", False),
    "NO_PROXY names half a word": ({"ALL_PROXY": "{}", "NO_PROXY": "endor.example"}, VENDOR, True),
    "NO_PROXY is a star": ({"ALL_PROXY": "{}", "NO_PROXY": "*"}, "http://api.vendor.invalid", False),
}
if should_bypass_proxies(VENDOR, no_proxy="endor.example"):  # older releases of requests compare the ends alone
    del TABLE["NO_PROXY names half a word"]


@pytest.mark.parametrize("row", TABLE)
def test_the_environments_proxy_is_used_alike(client: Client, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables, url, through_proxy = TABLE[row]
    with HostileServer(REFUSED) as proxy:
        for name, value in variables.items():
            address = proxy.url.removeprefix("http://")
            monkeypatch.setenv(name, value.format(address, port=address.partition(":")[2]))
        with pytest.raises(errors.WireError):
            client.send(channel_to(url, retry=NO_RETRY), read())

    assert bool(proxy.requests) is through_proxy
    if "credentials" in row:
        assert b"Proxy-Authorization: Basic amFuZTpwdw==" in proxy.requests[0]


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "SOCKS5", "ftp"])
def test_a_proxy_that_neither_client_can_use_is_refused_in_words(
    client: Client, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://jane:pr0xypass@proxy.example:1080")

    with pytest.raises(errors.SettingsError, match="ALL_PROXY") as failure:
        client.send(channel_to(VENDOR, retry=NO_RETRY), read())

    assert "pr0xypass" not in str(failure.value)
    assert ("SOCKS proxies are not supported" in str(failure.value)) is scheme.lower().startswith("socks")


@pytest.mark.parametrize("value", ["http://[::1", "http://proxy:port", "http://", "http://u:pr0xypass@:80"])
def test_a_proxy_of_the_environment_that_is_no_address_is_said_without_its_credential(
    client: Client, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)

    with pytest.raises(errors.SettingsError, match="ALL_PROXY") as failure:
        client.send(channel_to(VENDOR, retry=NO_RETRY), read())

    assert "pr0xypass" not in str(failure.value)


def test_a_proxy_that_is_away_while_it_restarts_is_tried_again(client: Client, unused_port: int) -> None:
    with pytest.raises(errors.UnreachableError):
        client.send(channel_to(VENDOR, proxy=f"http://127.0.0.1:{unused_port}"), read())

    assert sum(client.pauses) == pytest.approx(30, abs=1)


# Trust


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls_server(authority: Authority) -> Iterator[Server]:
    running = Server(tls=authority.server_context())
    yield running
    running.close()


@pytest.fixture(scope="module")
def hashed(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the authority's certificate under its hashed name, as ``openssl rehash`` makes it."""
    folder = tmp_path_factory.mktemp("hashed")
    told = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(authority.ca_file)],
        check=True,
        capture_output=True,
        text=True,
    )
    shutil.copy(authority.ca_file, folder / f"{told.stdout.strip()}.0")
    return folder


def test_an_authority_that_nobody_trusts_is_not_trusted(client: Client, tls_server: Server) -> None:
    with pytest.raises(errors.UnreachableError, match=r"(?i)certificate"):
        client.send(channel_to(tls_server.url, retry=NO_RETRY), read())


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_file_that_the_environment_names_is_trusted(
    client: Client, tls_server: Server, authority: Authority, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(authority.ca_file))

    assert client.send(channel_to(tls_server.url), read()) == {"answer": 42}


@pytest.mark.parametrize("variable", ["SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_folder_that_the_environment_names_is_trusted(
    client: Client, tls_server: Server, hashed: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(hashed))

    assert client.send(channel_to(tls_server.url), read()) == {"answer": 42}


def test_a_folder_that_the_connection_names_is_trusted(client: Client, tls_server: Server, hashed: Path) -> None:
    assert client.send(channel_to(tls_server.url, ca_file=str(hashed)), read()) == {"answer": 42}


def test_a_file_in_place_of_the_systems_authorities_takes_away_all_others(
    client: Client, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """requests would trust its own bundle besides."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")

    assert _trusted_by(client, channel_to("https://127.0.0.1:1", retry=NO_RETRY)) == {"Authority of a test"}


def _trusted_by(client: Client, channel: Any) -> set[str]:
    """Return the names of the authorities that the context of a client holds once it has been used."""
    with pytest.raises(errors.UnreachableError):
        client.send(channel, read())
    context = channel.tls()
    assert context is not None
    return {dict(pair[0] for pair in each["subject"])["commonName"] for each in context.get_ca_certs()}


def test_a_machine_without_authorities_trusts_those_that_requests_brings(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = ssl.get_default_verify_paths()._replace(cafile=None, capath=None)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)

    assert len(channel_to("https://127.0.0.1:1").tls().get_ca_certs()) > 50  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_proxy_is_reached_by_tls_with_the_same_trust(client: Client, authority: Authority) -> None:
    proxy = Server(tls=authority.server_context())
    try:
        url = proxy.url
        with pytest.raises(errors.UnreachableError, match=r"(?i)certificate") as failure:
            client.send(channel_to(VENDOR, proxy=url, retry=NO_RETRY), read())
        assert failure.value.sent is False
        channel = channel_to(VENDOR, proxy=url, ca_file=str(authority.ca_file), retry=NO_RETRY)
        assert client.send(channel, read()) == {"answer": 42}
    finally:
        proxy.close()


# Files that cannot be used


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> dict[str, str]:
    certificate, key = authority.issue("client")
    _, other_key = authority.issue("other")
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"phrase")
    )
    made = {
        "missing": tmp_path / "missing.pem",
        "empty": tmp_path / "empty.pem",
        "foreign": tmp_path / "foreign.pem",
        "unhashed": tmp_path / "folder",
        "locked": tmp_path / "locked.key",
        "certificate": certificate,
        "key": key,
        "other key": other_key,
        "a file's child": key / "child",
    }
    made["empty"].touch()
    made["foreign"].write_bytes(os.urandom(500))
    made["locked"].write_bytes(locked)
    made["unhashed"].mkdir()
    shutil.copy(authority.ca_file, made["unhashed"] / "ca.pem")
    return {name: str(path) for name, path in made.items()} | {"NUL": "a\0b", "long": "x" * 5_000}


@pytest.mark.parametrize("path", ["missing", "empty", "foreign", "unhashed", "key", "a file's child", "NUL", "long"])
def test_an_authority_that_cannot_be_used_names_the_setting_and_the_path(
    client: Client, files: dict[str, str], path: str
) -> None:
    with pytest.raises(errors.SettingsError, match="ca_file") as failure:
        client.send(channel_to("https://127.0.0.1:1", ca_file=files[path]), read())

    assert path in {"NUL", "long"} or files[path] in str(failure.value)
    assert len(str(failure.value)) < 1_000
    assert "\0" not in str(failure.value)
    assert failure.value.sent is False


@pytest.mark.parametrize("path", ["missing", "empty", "unhashed"])
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_of_the_environment_that_cannot_be_used_names_the_variable(
    client: Client, files: dict[str, str], path: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, files[path])

    with pytest.raises(errors.SettingsError, match=variable):
        client.send(channel_to("https://127.0.0.1:1"), read())


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("missing", None, "cannot be read"),
        ("empty", None, "no certificate with its key"),
        ("foreign", "key", "no certificate with its key"),
        ("certificate", None, "no certificate with its key"),
        ("certificate", "missing", "cannot be read"),
        ("certificate", "other key", "not that of the certificate"),
        ("certificate", "locked", "passphrase"),
        ("unhashed", None, ""),
        (None, "key", "without client_certificate"),
    ],
)
def test_a_client_certificate_that_cannot_be_used_names_its_setting(
    client: Client, files: dict[str, str], certificate: str | None, key: str | None, words: str
) -> None:
    settings = {"client_certificate": files.get(certificate or ""), "client_key": files.get(key or "")}

    with pytest.raises(errors.SettingsError, match="client_") as failure:
        client.send(channel_to("https://127.0.0.1:1", **settings), read())

    assert words in str(failure.value)


def test_a_name_with_several_addresses_is_given_the_connect_timeout_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.wire.test_wire_ways import _deaf_server

    with _deaf_server() as port:
        real = socket.getaddrinfo
        several = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 8
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *a, **k: several if "vendor" in str(host) else real(host, *a, **k)
        )
        began = time.monotonic()
        with pytest.raises(errors.UnreachableError) as failure:
            client.send(channel_to(f"http://many.vendor.example:{port}", retry=NO_RETRY, connect_timeout=0.5), read())

    assert time.monotonic() - began < 2
    assert failure.value.sent is False


def test_a_look_up_that_hangs_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker: on an event loop the look-up is in a thread anyway."""
    real = socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **more: Any) -> Any:
        if "vendor" in str(host):
            if more.get("flags", 0) & socket.AI_NUMERICHOST:
                raise socket.gaierror(socket.EAI_NONAME, "not an address")
            time.sleep(3)
        return real(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    with pytest.raises(errors.UnreachableError) as failure:
        SyncClient(channel_to("http://slow.vendor.example", retry=NO_RETRY, connect_timeout=0.3)).send(read())

    assert time.monotonic() - began < 2
    assert failure.value.sent is False
