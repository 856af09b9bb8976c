"""The client for workers: requests, one session per hook."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Generator
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import requests
import urllib3
from requests.adapters import HTTPAdapter

from airflow_provider_etlapis.wire.auth import Turn
from airflow_provider_etlapis.wire.call import Call, Request, Response
from airflow_provider_etlapis.wire.errors import WireError
from airflow_provider_etlapis.wire.exchange import Channel, Pause, Step

T = TypeVar("T")


class SyncClient:
    """Sends the calls of one connection, one after the other.

    :param channel: what the calls share.
    :param sleep: how to wait; settable for tests.
    """

    def __init__(self, channel: Channel, sleep: Callable[[float], None] = time.sleep) -> None:
        self.channel = channel
        self._sleep = sleep
        self._login_turn = threading.Lock()
        self._session = _session(channel)

    def send(self, call: Call[T]) -> T:
        """Return the result of a call.

        :raises WireError: when it cannot be had.
        """
        exchange: Generator[Step, Any, T] = self.channel.exchange(call)
        has_turn = False
        try:
            step = next(exchange)
            while True:
                answer: Response | None = None
                if isinstance(step, Pause):
                    self._sleep(step.seconds)
                elif step is Turn.TAKE:
                    has_turn = self._login_turn.acquire()
                elif step is Turn.GIVE:
                    self._login_turn.release()
                    has_turn = False
                else:
                    try:
                        answer = self._transmit(step)
                    except WireError as error:
                        step = exchange.throw(error)
                        continue
                step = exchange.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            if has_turn:
                self._login_turn.release()

    def _transmit(self, request: Request) -> Response:
        settings = self.channel.settings
        try:
            answer = self._session.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                data=request.body,
                timeout=(settings.connect_timeout, request.read_timeout or settings.read_timeout),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            sent = not _surely_unsent(error)
            # The original error holds the request with its headers.
            timed_out = isinstance(error, requests.Timeout)
            raise self.channel.no_answer(request, error, sent=sent, timed_out=timed_out) from None
        return Response(
            answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content
        )

    def close(self) -> None:
        """Close the session's connections."""
        self._session.close()


def _surely_unsent(error: requests.RequestException) -> bool:
    """Say whether a failure came before the request went out: no connection, no proxy, no trust."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(cause, urllib3.exceptions.SSLError) and cause.args:
        return isinstance(cause.args[0], ssl.SSLCertVerificationError)
    return isinstance(cause, urllib3.exceptions.NewConnectionError)


def _session(channel: Channel) -> requests.Session:
    settings = channel.settings
    session = requests.Session()
    # Proxies and authorities come from the settings, alike for both clients, and ~/.netrc must not replace
    # the credential of the connection.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    session.headers["Accept-Encoding"] = "gzip, deflate"
    session.verify = settings.verify
    if proxy := settings.proxy_url():
        session.proxies = {"http": proxy, "https": proxy}
    if (context := settings.tls()) is not None:
        session.mount("https://", _TlsAdapter(context))
    return session


class _TlsAdapter(HTTPAdapter):
    """An adapter that uses our TLS context, so that both clients trust the same authorities."""

    def __init__(self, context: Any) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool with our context."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the proxy's pool with our context."""
        return super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
