"""The client for workers: requests, one session per hook."""

from __future__ import annotations

import http.client
import math
import threading
import time
from collections.abc import Callable
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, TypeVar

import requests
import urllib3

from airflow_provider_etlapis.wire import deadline
from airflow_provider_etlapis.wire.auth import Turn
from airflow_provider_etlapis.wire.body import ACCEPT_ENCODING, Body
from airflow_provider_etlapis.wire.bounded_http import BoundedAdapter, Exchange, bounded
from airflow_provider_etlapis.wire.call import Call, Request, Response
from airflow_provider_etlapis.wire.exchange import Channel
from airflow_provider_etlapis.wire.steps import Learned, Pause, Step, Work, drive
from airflow_provider_etlapis.wire.words import out_of_time

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_PIECE = 64 * 1024

_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
)
"""Whatever the libraries raise at what a server sends or an address holds, much of which is not their own."""
_TIMEOUTS = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)


class SyncClient:
    """Sends the calls of one connection, one after the other.

    :param channel: what the calls share.
    :param sleep: how to wait; settable for tests.
    :raises SettingsError: if a certificate or a key cannot be used.
    """

    def __init__(self, channel: Channel, sleep: Callable[[float], None] = time.sleep) -> None:
        self.channel = channel
        self._sleep = sleep
        self._login_turn = threading.Lock()
        self._session = _session(channel)

    def send(self, call: Call[T]) -> T:
        """Return the result of a call.

        :raises WireError: when it cannot be had, or not in the time that the caller has left.
        """
        turn = _Turn(self._login_turn)
        try:
            return drive(self.channel.exchange(call), partial(self._perform, turn))
        finally:
            turn.give()

    def _perform(self, turn: _Turn, step: Step) -> Response | None:
        if isinstance(step, Request):
            return self._transmit(step)
        if isinstance(step, Pause):
            self._sleep(step.seconds)
        elif isinstance(step, Work):
            step.do()
        elif isinstance(step, Learned):
            self.channel.learn(step.secrets)
        elif step is Turn.TAKE:
            turn.take()
        else:
            turn.give()
        return None

    def _transmit(self, request: Request) -> Response:
        settings = self.channel.settings
        total = self.channel.total_timeout(request)
        exchange = Exchange(
            ends_at=time.monotonic() + total,
            connect_timeout=settings.connect_timeout,
            read_timeout=request.read_timeout or settings.read_timeout,
        )
        try:
            with bounded(exchange):
                return self._exchanged(request, exchange)
        except _FAILURES as error:
            # The original error holds the request with its headers.
            raise self.channel.no_answer(
                request,
                error,
                sent=exchange.sent,
                timed_out=exchange.is_over or isinstance(error, _TIMEOUTS),
                refused=exchange.refused,
                over=total if exchange.is_over else None,
            ) from None

    def _exchanged(self, request: Request, exchange: Exchange) -> Response:
        session, settings = self._session, self.channel.settings
        prepared = session.prepare_request(
            requests.Request(request.method, request.url, headers=dict(request.headers), data=request.body)
        )
        answer = session.send(
            prepared,
            stream=True,
            allow_redirects=False,
            timeout=(exchange.at_most(exchange.connect_timeout), exchange.read_timeout),
            verify=settings.verify,
            proxies=session.proxies,
        )
        try:
            headers = _headers(answer.raw.headers)
            body = Body(answer.status_code, headers, settings.most_bytes)
            for piece in answer.raw.stream(_PIECE, decode_content=False):
                for _ in body.feed(piece):
                    exchange.at_most(math.inf)
                if body.is_full:
                    break
            return Response(answer.status_code, headers, body.whole())
        finally:
            answer.close()  # ends the connection, unless the answer was read to its end

    def close(self) -> None:
        """Close the session's connections."""
        self._session.close()


class _Turn:
    """The turn to log in, while one call is sent."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._has = False

    def take(self) -> None:
        left = deadline.left()
        if not self._lock.acquire(timeout=max(0.0, left) if math.isfinite(left) else -1):
            raise out_of_time("wait for the login of another call")
        self._has = True

    def give(self) -> None:
        if self._has:
            self._has = False
            self._lock.release()


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an answer, as UTF-8 where they are that; http.client takes all for Latin-1."""
    return {name.lower(): headers[name].encode("latin-1", "replace").decode("utf-8", "replace") for name in headers}


class _Session(requests.Session):
    """A session that never asks where a redirect leads: requests does, even if it is not to follow, and may stumble."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return nowhere."""


def _session(channel: Channel) -> requests.Session:
    settings = channel.settings
    session = _Session()
    # Proxies and authorities come from the settings, alike for both clients, and ~/.netrc must not replace
    # the credential of the connection.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    session.headers["Accept-Encoding"] = ACCEPT_ENCODING
    session.verify = settings.verify
    if channel.proxy:
        session.proxies = {"http": channel.proxy, "https": channel.proxy}
    adapter = BoundedAdapter(channel.tls())
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
