"""Reads an Airflow connection into typed values, and these into what the wire needs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from airflow_provider_etlapis.exceptions import ConnectionSettingsError
from airflow_provider_etlapis.forms import ConnectionForm
from airflow_provider_etlapis.text import printable
from airflow_provider_etlapis.wire.call import HEADER_NAME, HEADER_VALUE
from airflow_provider_etlapis.wire.errors import SettingsError
from airflow_provider_etlapis.wire.policy import RetryPolicy
from airflow_provider_etlapis.wire.settings import WireSettings, check_proxy_scheme

_USUAL_PORTS = {"http": 80, "https": 443}
_TYPES_OF_NOBODY = ("", "http", "https", "generic")
"""Connection types that say nothing about whose credential they hold."""
_LONGEST_SHOWN = 200
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_SECRET_WORDS = ("password", "secret", "token", "api_key")


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

    def secrets(self) -> tuple[str, ...]:
        """Return what must never be shown: the password, and the extras whose names say that they are secret."""
        return tuple(filter(None, (self.password, *_secrets_in(self.extras))))

    def base_url(self, *, default: str = "", strip: tuple[str, ...] = ()) -> str:
        """Return the address of the server without a trailing slash.

        :param default: used when the host is empty.
        :param strip: endings of the path that users type along and the hook adds by itself, such as ``/api``.
        :raises ConnectionSettingsError: if there is no usable address.
        """
        url = (self.host or default).strip()
        parts = split_address(url)
        if parts is None or parts.query or parts.fragment:
            raise self.fault(
                "the host must be the server's address, such as https://etl.example.com, not "
                f"{shown_address(url, self.secrets())!r}"
            )
        if parts.username or parts.password:
            raise self.fault("put the credential into login and password, not into the address")
        path = parts.path.rstrip("/")
        for ending in strip:
            path = path.removesuffix(ending).rstrip("/")
        return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def check_type(form: ConnectionForm, connection: Any, types: Collection[str]) -> None:
    """Refuse a connection of another system: its credential would go to the wrong server.

    :param types: those that fit.
    :raises ConnectionSettingsError: naming the type and the one that is needed.
    """
    given = (connection.conn_type or "").replace("-", "_").lower()
    if given not in {*types, *_TYPES_OF_NOBODY}:
        raise ConnectionSettingsError(
            f"Connection {connection.conn_id!r} has the type {given!r}, so its credential may be another system's, and "
            f"nothing was sent; {form.hook_name} needs one of the type {form.conn_type!r}"
        )


def read_connection(form: ConnectionForm, connection: Any, extra: Mapping[str, Any]) -> ConnectionValues:
    """Check a connection against its form.

    :param connection: an Airflow ``Connection``.
    :param extra: its extra, decoded.
    :raises ConnectionSettingsError: naming the field and what it accepts.
    """
    conn_id = connection.conn_id
    if not isinstance(extra, Mapping):
        raise ConnectionSettingsError(
            f'Connection {conn_id!r}: the extra must be a JSON object, such as {{"retries": 4}}, not a JSON '
            f"{type(extra).__name__}"
        )
    try:
        extras = form.read(extra)
    except ValueError as error:
        raise ConnectionSettingsError(f"Connection {conn_id!r}: {error}") from None
    values = ConnectionValues(
        conn_id=conn_id,
        host=_host(connection),
        login=connection.login or "",
        password=connection.password or "",
        extras=extras,
    )
    texts = {"host": values.host, "login": values.login, "password": values.password}
    for name, text in {**texts, **{f"extra {name!r}": item for name, item in extras.items()}}.items():
        if isinstance(text, str) and not _is_sendable(text):
            raise values.fault(
                f"{name} holds characters that cannot be sent (halves of surrogate pairs); type it again"
            )
    return values


def split_address(url: str) -> SplitResult | None:
    """Return the parts of a server's address, ``None`` if nothing can be reached by it."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and _is_host(parts.hostname) and (parts.port or True)
    except ValueError:  # brackets without an end, a port that is no number
        return None
    return parts if is_usable else None


def shown_address(url: str, secrets: tuple[str, ...] = ()) -> str:
    """Return an address for a message: without credentials, query and fragment, whatever is wrong with it otherwise."""
    # By hand, because what cannot be split is just what is shown here; a password may hold any of the separators.
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    _, at, after = rest.rpartition("@")
    rest = f"***@{after}" if at else rest
    for mark in "?#":
        rest, found, _ = rest.partition(mark)
        rest += f"{mark}***" if found else ""
    shown = f"{scheme}{separator}{rest}"
    return "***" if any(secret in shown for secret in secrets) else printable(shown, _LONGEST_SHOWN)


def _is_host(name: str | None) -> bool:
    """Say whether a name can be looked up: labels of 1 to 63 characters, or an address."""
    if not name:
        return False
    if ":" in name:  # IPv6, checked by the split
        return True
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return False
    return len(name) <= 253 and all(_LABEL.fullmatch(label) for label in name.removesuffix(".").split("."))


def _host(connection: Any) -> str:
    host = (connection.host or "").strip()
    if host and "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    if host and connection.port:  # 0, as some releases of the form send, means none
        parts = split_address(host)
        if parts is None:
            return host  # said when the address is needed
        usual = _USUAL_PORTS.get(parts.scheme) == connection.port  # left out, so that links look as people know them
        if not usual and parts.netloc.rpartition("@")[2].rpartition("]")[2].find(":") < 0:
            host = urlunsplit(parts._replace(netloc=f"{parts.netloc}:{connection.port}"))
    return host


def _is_sendable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeError:
        return False
    return True


def _secrets_in(extras: Mapping[str, Any]) -> Iterator[str]:
    for name, value in extras.items():
        if value and any(word in name for word in _SECRET_WORDS):
            yield from (value.values() if isinstance(value, Mapping) else (str(value),))


def wire_settings(values: ConnectionValues, base_url: str) -> WireSettings:
    """Return the wire's settings for a connection: the fields that all forms have.

    :raises ConnectionSettingsError: naming the field and what it accepts.
    """
    extras = values.extras
    return WireSettings(
        base_url=base_url,
        connect_timeout=extras["connect_timeout"],
        read_timeout=extras["read_timeout"],
        total_timeout=extras["total_timeout"],
        max_response_mb=extras["max_response_mb"],
        verify=extras["verify_tls"],
        ca_file=extras["ca_file"],
        client_certificate=extras["client_certificate"],
        client_key=extras["client_key_file"],
        proxy=_proxy(values),
        headers=_headers(values),
        requests_per_minute=extras["requests_per_minute"],
        max_in_flight=extras["max_in_flight"],
        retry=RetryPolicy(retries=extras["retries"]),
    )


def _headers(values: ConnectionValues) -> Mapping[str, str]:
    headers: Mapping[str, str] = values.extras["secret_headers"] or {}
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise values.fault(
                f"extra 'secret_headers' has the name {printable(name, 60)!r}, which is not that of a header; write "
                'it as in {"X-Gateway-Key": "..."}'
            )
        if not HEADER_VALUE.fullmatch(value):
            raise values.fault(
                f"extra 'secret_headers': the value of {name!r} holds a line break or characters outside Latin-1"
            )
    return headers


def _proxy(values: ConnectionValues) -> str | None:
    proxy, login = values.extras["proxy"], values.extras["proxy_login"]
    if not proxy:
        return None
    given = proxy if "://" in proxy else f"http://{proxy}"
    scheme = given.partition("://")[0]
    try:
        check_proxy_scheme(scheme, "extra 'proxy'")
    except SettingsError as error:
        raise values.fault(str(error)) from None
    if "@" in given:
        raise values.fault("put the proxy's credential into proxy_login and proxy_password, not into its URL")
    parts = split_address(f"{scheme.lower()}{given[len(scheme) :]}")
    if parts is None:
        raise values.fault(
            f"extra 'proxy' must be an address such as http://proxy.example.com:3128, not {shown_address(given)!r}"
        )
    if login:
        password = values.extras["proxy_password"] or ""
        for name, text in (("proxy_login", login), ("proxy_password", password)):
            if not HEADER_VALUE.fullmatch(text):
                raise values.fault(f"extra {name!r} holds a line break or characters outside Latin-1")
        parts = parts._replace(netloc=f"{quote(login, safe='')}:{quote(password, safe='')}@{parts.netloc}")
    return urlunsplit(parts)
