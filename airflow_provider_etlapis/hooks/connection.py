"""Reads an Airflow connection into typed values, and these into what the wire needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from airflow_provider_etlapis.exceptions import ConnectionSettingsError
from airflow_provider_etlapis.forms import ConnectionForm
from airflow_provider_etlapis.wire.policy import RetryPolicy
from airflow_provider_etlapis.wire.settings import WireSettings

_USUAL_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ConnectionValues:
    """What a connection holds, checked and typed. Secrets never show in its repr."""

    conn_id: str
    host: str
    login: str
    password: str = field(repr=False)
    extras: Mapping[str, Any] = field(repr=False)

    def fault(self, message: str) -> ConnectionSettingsError:
        """Return an error that names the connection."""
        return ConnectionSettingsError(f"Connection {self.conn_id!r}: {message}")

    def base_url(self, *, default: str = "", strip: tuple[str, ...] = ()) -> str:
        """Return the address of the server without a trailing slash.

        :param default: used when the host is empty.
        :param strip: endings of the path that users type along and the hook adds by itself, such as ``/api``.
        :raises ConnectionSettingsError: if there is no usable address.
        """
        url = (self.host or default).strip()
        parts = urlsplit(url)
        try:
            usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or True)
        except ValueError:  # a port that is no number
            usable = False
        if not usable or parts.query or parts.fragment:
            raise self.fault(f"the host must be the server's address, such as https://etl.example.com, not {url!r}")
        if parts.username or parts.password:
            raise self.fault("put the credential into login and password, not into the address")
        path = parts.path.rstrip("/")
        for ending in strip:
            path = path.removesuffix(ending).rstrip("/")
        return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def read_connection(form: ConnectionForm, connection: Any, extra: Mapping[str, Any]) -> ConnectionValues:
    """Check a connection against its form.

    :param connection: an Airflow ``Connection``.
    :param extra: its extra, decoded.
    :raises ConnectionSettingsError: naming the field and what it accepts.
    """
    try:
        extras = form.read(extra)
    except ValueError as error:
        raise ConnectionSettingsError(f"Connection {connection.conn_id!r}: {error}") from None
    host = (connection.host or "").strip()
    if host and "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    if host and connection.port:  # 0, as some releases of the form send, means none
        parts = urlsplit(host)
        usual = _USUAL_PORTS.get(parts.scheme) == connection.port  # left out, so that links look as people know them
        if not usual and parts.netloc.rpartition("@")[2].rpartition("]")[2].find(":") < 0:
            host = urlunsplit(parts._replace(netloc=f"{parts.netloc}:{connection.port}"))
    return ConnectionValues(
        conn_id=connection.conn_id,
        host=host,
        login=connection.login or "",
        password=connection.password or "",
        extras=extras,
    )


def wire_settings(values: ConnectionValues, base_url: str) -> WireSettings:
    """Return the wire's settings for a connection: the fields that all forms have."""
    extras = values.extras
    return WireSettings(
        base_url=base_url,
        connect_timeout=extras["connect_timeout"],
        read_timeout=extras["read_timeout"],
        verify=extras["verify_tls"],
        ca_file=extras["ca_file"],
        client_certificate=extras["client_certificate"],
        client_key=extras["client_key_file"],
        proxy=_proxy(values),
        headers=extras["secret_headers"] or {},
        requests_per_minute=extras["requests_per_minute"],
        max_in_flight=extras["max_in_flight"],
        retry=RetryPolicy(retries=extras["retries"]),
    )


def _proxy(values: ConnectionValues) -> str | None:
    proxy, login = values.extras["proxy"], values.extras["proxy_login"]
    if not proxy:
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.username or parts.password:
        raise values.fault("put the proxy's credential into proxy_login and proxy_password, not into its URL")
    if login:
        credential = f"{quote(login, safe='')}:{quote(values.extras['proxy_password'] or '', safe='')}@"
        parts = parts._replace(netloc=credential + parts.netloc)
    return urlunsplit(parts)
