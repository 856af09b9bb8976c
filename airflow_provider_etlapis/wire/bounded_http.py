"""Connections for requests whose every step ends in time, and that know whether a request has left.

The timeouts of requests are per connection attempt and per piece of an answer: a name with many addresses, or a server
that sends a byte a second, goes on for as long as it likes. Here each step gets what is left of the whole.
"""

from __future__ import annotations

import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from airflow_provider_etlapis.wire.errors import REFUSED_CONNECTION


@dataclass
class Exchange:
    """One request and its answer: what it may take, and how far it has come.

    :param ends_at: moment (``time.monotonic``) at which the whole is over.
    :param connect_timeout: seconds for a connection, all addresses of the name together.
    :param read_timeout: seconds of silence.
    """

    ends_at: float
    connect_timeout: float
    read_timeout: float
    sent: bool = False
    """Whether the request may have reached the server."""
    refused: bool = False
    """Whether nobody listens there."""

    @property
    def is_over(self) -> bool:
        """Whether the time for the whole is over."""
        return time.monotonic() >= self.ends_at

    def at_most(self, seconds: float) -> float:
        """Return these seconds, or what is left if that is less.

        :raises TimeoutError: if nothing is left.
        """
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the whole exchange is over")
        return min(seconds, left)


_exchange: ContextVar[Exchange | None] = ContextVar("etlapis_exchange", default=None)


@contextmanager
def bounded(exchange: Exchange) -> Iterator[None]:
    """Let the connections that are used inside of the block keep to an exchange's bounds."""
    token = _exchange.set(exchange)
    try:
        yield
    finally:
        _exchange.reset(token)


class BoundedAdapter(HTTPAdapter):
    """An adapter whose connections keep to the bounds of the exchange, and trust what our TLS context trusts.

    :param context: for https, ``None`` where there is none.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        """Make the pools of the servers themselves."""
        super().init_poolmanager(connections, maxsize, block, **self._tls(), **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the pools behind a proxy."""
        tls = {**self._tls(), "proxy_ssl_context": self._context} if self._context else {}
        manager = super().proxy_manager_for(proxy, **tls, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Add no authorities: the context has those that both clients trust."""

    def _tls(self) -> dict[str, Any]:
        return {"ssl_context": self._context} if self._context else {}


class _BoundedResponse(HTTPResponse):
    """Reads each piece in what is left of the time."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Readable(sock), *args, **kwargs)  # type: ignore[arg-type]  # it needs makefile alone


class _Readable:
    """The part of a socket that an answer is read from."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Pieces(self._sock))


class _Pieces(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        exchange = _exchange.get()
        if exchange is not None:
            self._sock.settimeout(exchange.at_most(exchange.read_timeout))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Bounded:
    """Mixed into urllib3's connections."""

    response_class: Any = _BoundedResponse
    sock: Any
    timeout: Any

    def _new_conn(self) -> socket.socket:
        exchange = _exchange.get()
        if exchange is None:
            made: socket.socket = super()._new_conn()  # type: ignore[misc]  # of the class that this is mixed into
            return made
        ends_at = time.monotonic() + exchange.at_most(exchange.connect_timeout)
        return _connected(self, ends_at, exchange)

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        finally:
            if (exchange := _exchange.get()) is not None:
                exchange.sent = False  # what was sent so far was to open a tunnel

    def send(self, data: Any) -> None:
        exchange = _exchange.get()
        if exchange is not None:
            if self.sock is None:
                self.connect()
            self.sock.settimeout(exchange.at_most(exchange.read_timeout))
            exchange.sent = True
        super().send(data)  # type: ignore[misc]


class _BoundedHTTP(_Bounded, HTTPConnection):
    """A connection without TLS."""


class _BoundedHTTPS(_Bounded, HTTPSConnection):
    """A connection with TLS."""


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _BoundedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedHTTPS


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


def _connected(connection: Any, ends_at: float, exchange: Exchange) -> socket.socket:
    """Return a connected socket; the look-up of the name and all its addresses share the time."""
    host, port = connection._dns_host if hasattr(connection, "_dns_host") else connection.host, connection.port
    try:
        addresses = _addresses(host.strip("[]"), port, ends_at)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except UnicodeError as error:
        raise NewConnectionError(connection, "the name of the host cannot be looked up") from error
    failure: Exception = ConnectTimeoutError(connection, f"connecting to {connection.host} timed out")
    exchange.refused = True
    for family, kind, protocol, _, address in addresses:
        left = ends_at - time.monotonic()
        if left <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            for option in connection.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(left)
            sock.connect(address)
        except OSError as error:
            sock.close()
            exchange.refused = exchange.refused and error.errno in REFUSED_CONNECTION
            if not isinstance(error, TimeoutError):
                failure = NewConnectionError(connection, f"Failed to establish a new connection: {error}")
                failure.__cause__ = error
        else:
            exchange.refused = False
            return sock
    exchange.refused = exchange.refused and bool(addresses) and isinstance(failure, NewConnectionError)
    raise failure


def _addresses(host: str, port: int, ends_at: float) -> list[Any]:
    """Look a name up; the system's own function knows no timeout."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        pass
    found: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=look_up, name="etlapis-look-up", daemon=True).start()
    try:
        answer = found.get(timeout=max(0.0, ends_at - time.monotonic()))
    except queue.Empty:
        return []
    if isinstance(answer, Exception):
        raise answer
    return answer
