"""The client for triggerers: aiohttp, one session per connection and event loop, keep-alive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

import aiohttp

from airflow_provider_etlapis.wire.auth import Turn
from airflow_provider_etlapis.wire.call import Call, Request, Response
from airflow_provider_etlapis.wire.errors import WireError
from airflow_provider_etlapis.wire.exchange import Channel, Pause, Step

T = TypeVar("T")

_KEPT_ALIVE = 75.0
"""Seconds for which an idle connection is kept: aiohttp's own 15 would mean a new one at each usual poll."""

_UNSENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientProxyConnectionError)


class AsyncClient:
    """Sends the calls of one connection, up to ``max_in_flight`` at the same time. Bound to one event loop.

    :param channel: what the calls share.
    :param sleep: how to wait; settable for tests.
    """

    def __init__(self, channel: Channel, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.channel = channel
        self._sleep = sleep
        self._login_turn = asyncio.Lock()
        self._in_flight = asyncio.Semaphore(channel.settings.max_in_flight)
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None

    async def send(self, call: Call[T]) -> T:
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
                    await self._sleep(step.seconds)
                elif step is Turn.TAKE:
                    has_turn = await self._login_turn.acquire()
                elif step is Turn.GIVE:
                    self._login_turn.release()
                    has_turn = False
                else:
                    try:
                        async with self._in_flight:
                            answer = await self._transmit(step)
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

    async def _transmit(self, request: Request) -> Response:
        settings = self.channel.settings
        session = self._session or await self._open()
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=settings.connect_timeout,
            sock_read=request.read_timeout or settings.read_timeout,
        )
        try:
            async with session.request(
                request.method,
                _as_written(request.url),
                headers=dict(request.headers),
                data=request.body,
                timeout=timeout,
                allow_redirects=False,
                proxy=self._proxy,
            ) as answer:
                return Response(
                    answer.status,
                    {name.lower(): value for name, value in answer.headers.items()},
                    await answer.read(),
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            sent = not isinstance(error, _UNSENT)
            # The original error holds the request with its headers.
            timed_out = isinstance(error, TimeoutError)
            raise self.channel.no_answer(request, error, sent=sent, timed_out=timed_out) from None

    async def _open(self) -> aiohttp.ClientSession:
        settings = self.channel.settings
        async with self._opening:
            if self._session is None:
                self._proxy = settings.proxy_url()  # not at each request: it goes through the whole environment
                # Reading the system's authorities takes tens of milliseconds, which the loop's others must not feel.
                tls = await asyncio.to_thread(settings.tls)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        limit=settings.max_in_flight,
                        ssl=tls if tls is not None else True,
                        keepalive_timeout=_KEPT_ALIVE,
                    ),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    trust_env=False,
                    skip_auto_headers=("User-Agent", "Content-Type"),  # it would call a request without a body octets
                )
            return self._session

    async def aclose(self) -> None:
        """Close the session's connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _as_written(url: str) -> Any:
    """Keep the encoding of a URL as it is: an id with an encoded slash must stay one path segment."""
    from yarl import URL

    return URL(url, encoded=True)
