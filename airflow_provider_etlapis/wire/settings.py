"""Everything about a connection that the wire needs, as one immutable value that feeds both clients alike."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_etlapis.wire.policy import RetryPolicy


@dataclass(frozen=True, slots=True)
class WireSettings:
    """How to reach a vendor.

    :param base_url: address below which the API's paths lie.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for (each part of) an answer.
    :param verify: verify the server's certificate.
    :param ca_file: PEM file of a certificate authority to trust besides the system's.
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

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context for both clients, ``None`` for plain HTTP.

        Trusts the system's authorities, those named by SSL_CERT_FILE or REQUESTS_CA_BUNDLE, and ``ca_file``.
        """
        if not self.base_url.lower().startswith("https:"):
            return None
        context = ssl.create_default_context()
        bundle = os.environ.get("REQUESTS_CA_BUNDLE")
        for path in (bundle, self.ca_file):
            if path:
                context.load_verify_locations(cafile=path)
        if self.client_certificate:
            context.load_cert_chain(self.client_certificate, self.client_key or None)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def proxy_url(self) -> str | None:
        """Return the proxy for the base URL: the connection's own, else the environment's."""
        if self.proxy:
            return self.proxy
        parts = urlsplit(self.base_url)
        if not parts.hostname or proxy_bypass(parts.hostname):
            return None
        return getproxies().get(parts.scheme)
