"""The client for triggerers: aiohttp, one session per connection and event loop, keep-alive."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp

from airflow_provider_etlapis.wire import deadline
from airflow_provider_etlapis.wire.auth import Turn
from airflow_provider_etlapis.wire.body import ACCEPT_ENCODING, Body
from airflow_provider_etlapis.wire.call import Call, Request, Response
from airflow_provider_etlapis.wire.errors import REFUSED_CONNECTION
from airflow_provider_etlapis.wire.exchange import Channel
from airflow_provider_etlapis.wire.steps import Learned, Pause, Step, Work, adrive
from airflow_provider_etlapis.wire.words import out_of_time

T = TypeVar("T")

_KEPT_ALIVE = 75.0
"""Seconds for which an idle connection is kept: aiohttp's own 15 would mean a new one at each usual poll."""
_LONGEST_LINE = 65_536
"""Bytes of a status line or a header, as http.client has it."""

_FAILURES = (
    aiohttp.ClientError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
)
"""Whatever the libraries raise at what a server sends or an address holds, much of which is not their own."""


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

    async def send(self, call: Call[T]) -> T:
        """Return the result of a call.

        :raises WireError: when it cannot be had, or not in the time that the caller has left.
        """
        turn = _Turn(self._login_turn)
        try:
            return await adrive(self.channel.exchange(call), partial(self._perform, turn))
        finally:
            turn.give()

    async def _perform(self, turn: _Turn, step: Step) -> Response | None:
        if isinstance(step, Request):
            return await self._transmit_in_turn(step)
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
        elif isinstance(step, Work):
            await asyncio.to_thread(step.do)
        elif isinstance(step, Learned):
            await self.channel.alearn(step.secrets)
        elif step is Turn.TAKE:
            await turn.take()
        else:
            turn.give()
        return None

    async def _transmit_in_turn(self, request: Request) -> Response:
        await _acquired(self._in_flight, "wait for one of the max_in_flight requests of the connection to end")
        try:
            return await self._transmit(request)
        finally:
            self._in_flight.release()

    async def _transmit(self, request: Request) -> Response:
        total = self.channel.total_timeout(request)
        progress = SimpleNamespace(sent=False)
        clock = asyncio.timeout(total)
        try:
            async with clock:
                return await self._exchanged(request, progress)
        except _FAILURES as error:
            is_over = clock.expired()
            # The original error holds the request with its headers.
            raise self.channel.no_answer(
                request,
                error,
                sent=progress.sent,
                timed_out=is_over or isinstance(error, TimeoutError),
                refused=getattr(error, "errno", None) in REFUSED_CONNECTION,
                over=total if is_over else None,
            ) from None

    async def _exchanged(self, request: Request, progress: SimpleNamespace) -> Response:
        settings = self.channel.settings
        session = self._session or await self._open()
        timeout = aiohttp.ClientTimeout(
            total=None,
            connect=settings.connect_timeout,  # of all addresses of a name together
            sock_connect=settings.connect_timeout,
            sock_read=request.read_timeout or settings.read_timeout,
        )
        async with session.request(
            request.method,
            _as_written(request.url),
            headers=dict(request.headers),
            data=request.body,
            timeout=timeout,
            allow_redirects=False,
            proxy=self.channel.proxy,
            trace_request_ctx=progress,
        ) as answer:
            headers = _headers(answer.raw_headers)
            body = Body(answer.status, headers, settings.most_bytes)
            async for piece in answer.content.iter_any():
                for _ in body.feed(piece):
                    await asyncio.sleep(0)
                if body.is_full:
                    answer.close()
                    break
            return Response(answer.status, headers, body.whole())

    async def _open(self) -> aiohttp.ClientSession:
        settings = self.channel.settings
        async with self._opening:
            if self._session is None:
                # Reading the system's authorities takes tens of milliseconds, which the loop's others must not feel.
                tls = await asyncio.to_thread(self.channel.tls)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        limit=settings.max_in_flight,
                        ssl=tls if tls is not None else True,
                        keepalive_timeout=_KEPT_ALIVE,
                    ),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    trust_env=False,
                    headers={"Accept-Encoding": ACCEPT_ENCODING},
                    skip_auto_headers=("User-Agent", "Content-Type"),  # it would call a request without a body octets
                    auto_decompress=False,
                    trace_configs=[_noting_what_is_sent()],
                    max_line_size=_LONGEST_LINE,
                    max_field_size=_LONGEST_LINE,
                )
            return self._session

    async def aclose(self) -> None:
        """Close the session's connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class _Turn:
    """The turn to log in, while one call is sent."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock
        self._has = False

    async def take(self) -> None:
        await _acquired(self._lock, "wait for the login of another call")
        self._has = True

    def give(self) -> None:
        if self._has:
            self._has = False
            self._lock.release()


async def _acquired(lock: asyncio.Lock | asyncio.Semaphore, what: str) -> None:
    """Acquire a lock in the time that the caller has left."""
    left = deadline.left()
    if not math.isfinite(left):
        await lock.acquire()
        return
    try:
        async with asyncio.timeout(max(0.0, left)):
            await lock.acquire()
    except TimeoutError:
        raise out_of_time(what) from None


def _noting_what_is_sent() -> aiohttp.TraceConfig:
    """Return a trace that notes when a request has a connection: before that it surely was not sent."""
    trace = aiohttp.TraceConfig()

    async def note(_: Any, context: SimpleNamespace, __: Any) -> None:
        context.trace_request_ctx.sent = True

    trace.on_connection_create_end.append(note)
    trace.on_connection_reuseconn.append(note)
    return trace


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of an answer, names in lower case; of several with one name, all."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "replace")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _as_written(url: str) -> Any:
    """Keep the encoding of a URL as it is: an id with an encoded slash must stay one path segment."""
    from yarl import URL

    return URL(url, encoded=True)
