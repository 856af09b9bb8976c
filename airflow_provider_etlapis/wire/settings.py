"""Everything about a connection that the wire needs, as one immutable value that feeds both clients alike."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from airflow_provider_etlapis.text import printable
from airflow_provider_etlapis.wire import trust
from airflow_provider_etlapis.wire.errors import SettingsError
from airflow_provider_etlapis.wire.policy import RetryPolicy

_PROXY_SCHEMES = frozenset({"http", "https"})


@dataclass(frozen=True, slots=True)
class WireSettings:
    """How to reach a vendor.

    :param base_url: address below which the API's paths lie.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds of silence to wait for the next part of an answer.
    :param total_timeout: seconds for a whole request and its answer; a longer ``read_timeout`` counts instead.
    :param max_response_mb: millions of bytes that an answer may have, uncompressed.
    :param verify: verify the server's certificate.
    :param ca_file: PEM file of a certificate authority to trust besides the system's, or a folder of such files under
        their hashed names.
    :param client_certificate: PEM file of a client certificate.
    :param client_key: PEM file of its key, if that is not in the same file.
    :param proxy: URL of a proxy; without it the usual environment variables decide.
    :param headers: further headers for every request.
    :param requests_per_minute: budget of the connection in one process; ``None`` sets no limit.
    :param max_in_flight: requests under way at the same time in one triggerer.
    :param retry: what is tried again, and when.
    """

    base_url: str
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    verify: bool = True
    ca_file: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    proxy: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    requests_per_minute: float | None = None
    max_in_flight: int = 8
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    total_timeout: float = 120.0
    max_response_mb: float = 50.0

    @property
    def most_bytes(self) -> int:
        """Bytes that an answer may have, uncompressed."""
        return int(self.max_response_mb * 1_000_000)

    def tls(self, proxy: str | None = None) -> ssl.SSLContext | None:
        """Return the TLS context for both clients, ``None`` for plain HTTP all the way.

        :param proxy: the proxy, which may itself be reached by TLS.
        :raises SettingsError: naming the file or folder that cannot be used, and where it is set.
        """
        if not self.base_url.lower().startswith("https:") and not (proxy or "").startswith("https:"):
            return None
        return trust.context(
            ca=self.ca_file, certificate=self.client_certificate, key=self.client_key, verify=self.verify
        )

    def proxy_url(self) -> str | None:
        """Return the proxy for the base URL: the connection's own, else the environment's as requests reads it.

        HTTP_PROXY, HTTPS_PROXY and ALL_PROXY name one; NO_PROXY excepts hosts, domains, ``host:port`` and networks.

        :raises SettingsError: if it is none that can be used.
        """
        from requests.utils import get_environ_proxies, select_proxy  # not for every import

        if self.proxy:
            return self.proxy
        try:
            found: str | None = select_proxy(self.base_url, get_environ_proxies(self.base_url))
        except ValueError:
            return None  # an address that cannot be read, as whoever reads it says
        if not found:
            return None
        proxy = found if "://" in found else f"http://{found}"  # requests takes the host of host:port for a scheme
        try:
            parts = urlsplit(proxy)
            is_usable = bool(parts.hostname) and (parts.port or True)
        except ValueError:
            is_usable = False
        if not is_usable:
            raise SettingsError(
                "the proxy in the environment (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY) is no address such as "
                "http://proxy.example.com:3128"
            )
        check_proxy_scheme(parts.scheme, "the proxy in the environment (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY)")
        return proxy


def check_proxy_scheme(scheme: str, what: str) -> None:
    """Refuse a proxy that neither client can use.

    :param what: names the proxy, for the message.
    :raises SettingsError: if it is not an HTTP proxy.
    """
    if scheme.lower() in _PROXY_SCHEMES:
        return
    kind = "SOCKS proxies are not supported" if scheme.lower().startswith("socks") else "it is not an HTTP proxy"
    raise SettingsError(
        f"{what} begins with {printable(scheme, 20)}://; {kind}. Use the address of an HTTP proxy, such as "
        "http://proxy.example.com:3128, or except the host by NO_PROXY"
    )


def secrets_of_proxy(proxy: str | None) -> tuple[str, ...]:
    """Return what must never be shown of a proxy's address: its password, as it is and as it is written there."""
    if not proxy:
        return ()
    try:
        parts = urlsplit(proxy)
    except ValueError:
        return (proxy,)
    userinfo = parts.netloc.rpartition("@")[0]
    login, _, password = userinfo.partition(":")
    if not userinfo:
        return ()
    # Some proxies take a token in place of a name, without a password.
    return tuple({unquote(password), password, userinfo} if password else {unquote(login), login})
