"""One call from first try to result, without doing I/O: what to send, how long to wait, when to give up.

The generator yields what is to be done; the two clients only do it. So they cannot differ in what they retry,
when they log in, how they pace themselves, or what an error says.
"""

from __future__ import annotations

import random
import re
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from airflow_provider_etlapis.text import printable
from airflow_provider_etlapis.wire import deadline
from airflow_provider_etlapis.wire.auth import Auth, NoAuth, Turn
from airflow_provider_etlapis.wire.budget import RequestBudget, urgent
from airflow_provider_etlapis.wire.call import HEADER_NAME, HEADER_VALUE, Call, Request, Response
from airflow_provider_etlapis.wire.errors import (
    BadRequestError,
    MalformedAnswerError,
    OutOfTimeError,
    RateLimitedError,
    StatusError,
    UnreachableError,
    WireError,
)
from airflow_provider_etlapis.wire.failures import cause_of
from airflow_provider_etlapis.wire.policy import http_date
from airflow_provider_etlapis.wire.redact import Redactor
from airflow_provider_etlapis.wire.settings import WireSettings, secrets_of_proxy
from airflow_provider_etlapis.wire.steps import Learned, Pause, Step, Work
from airflow_provider_etlapis.wire.words import LONGEST_WORDS, out_of_time, server_words, status_error

T = TypeVar("T")


__all__ = ["Channel", "Pause", "server_words", "status_error"]

DEFAULT_PAUSE_AFTER_429 = 5.0

_CARRIES_SECRET = re.compile(r"(?i)authorization|token|secret|password|api-?key|auth|cookie")
_LONGEST_MESSAGE = 4_000


async def _keep(secrets: tuple[str, ...]) -> None:
    """Tell nobody."""


@dataclass
class Channel:
    """What all calls of one connection in one process share: settings, credential, budget, secrets."""

    settings: WireSettings
    auth: Auth = field(default_factory=NoAuth)
    redact: Redactor = field(default_factory=Redactor)
    budget: RequestBudget = field(init=False)
    count: Callable[[str], None] = lambda name: None
    """Told of each request (``requests``) and each 429 (``rate_limited``)."""
    is_own_error: Callable[[Response], bool] = lambda response: bool(server_words(response))
    """Whether an error answer has the vendor's own shape; by default: JSON with a text that says what is wrong."""
    learn: Callable[[tuple[str, ...]], None] = lambda secrets: None
    """Told of secrets that come to be known in this process, by the client for workers."""
    alearn: Callable[[tuple[str, ...]], Awaitable[None]] = _keep
    """The same, by the client for the event loop."""
    clock_ahead: float | None = None
    """Seconds by which the server's clock is ahead of ours, by the ``Date`` of its last answer; whole seconds."""
    requests_sent: int = 0
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    draw: Callable[[], float] = random.random
    proxy: str | None = field(init=False, repr=False)
    """The proxy for all requests; found once, because finding it goes through the whole environment."""

    def __post_init__(self) -> None:
        self.budget = RequestBudget(self.settings.requests_per_minute)
        self._tls: ssl.SSLContext | None = None
        self._making_tls = threading.Lock()
        self.proxy = self.settings.proxy_url()
        for secret in (*self.auth.secrets(), *self.settings.headers.values(), *secrets_of_proxy(self.settings.proxy)):
            self.redact.add(secret)
        self._unannounced = tuple(
            secret for secret in secrets_of_proxy(self.proxy) if not self.settings.proxy and self.redact.learn(secret)
        )

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context for both clients, ``None`` for plain HTTP; made once, in tens of milliseconds.

        :raises SettingsError: if a certificate or a key cannot be used.
        """
        with self._making_tls:
            if self._tls is None:
                self._tls = self.settings.tls(self.proxy)
            return self._tls

    def with_settings(self, settings: WireSettings) -> Channel:
        """Return a channel to the same server with other settings and a budget of its own."""
        other = replace(self, settings=settings, clock_ahead=self.clock_ahead, requests_sent=0)
        other._tls, other._unannounced = self._tls, self._unannounced
        return other

    def exchange(self, call: Call[T]) -> Generator[Step, Any, T]:
        """Run one call to its result.

        :raises WireError: when it cannot be had, or not by trying again, or not in the time that the caller has left.
        """
        attempt, paused, began = 0, 0.0, self.monotonic()
        while True:
            try:
                response = yield from self._authorized(call)
                if response.is_large_json:
                    yield Work(partial(self._parse_early, response))
                return self._result(call, response)
            except WireError as error:
                error.args = (self.redact(str(error), _LONGEST_MESSAGE),)  # whoever made it
                if isinstance(error, RateLimitedError):
                    self.count("rate_limited")
                    asked = error.retry_after
                    self.budget.pause(DEFAULT_PAUSE_AFTER_429 if asked is None else asked, self.monotonic())
                spent = max(paused, self.monotonic() - began)
                delay = self.settings.retry.delay(call, error, attempt, self.draw, spent=spent)
                if delay is None or isinstance(error, OutOfTimeError):
                    raise
                if delay >= deadline.left():
                    error.args = (f"{error}; the next try, in {delay:.1f} s, would be after the deadline",)
                    raise
                attempt += 1
                paused += delay
            yield Pause(delay)

    def no_answer(
        self,
        request: Request,
        error: Exception,
        *,
        sent: bool,
        timed_out: bool = False,
        refused: bool = False,
        over: float | None = None,
    ) -> UnreachableError:
        """Return the error for a request that got no whole answer, in the same words for both clients.

        :param over: seconds that the whole exchange was given, if these are over.
        """
        settings = self.settings
        if over is not None:
            by = "total_timeout of the connection" if request.total_timeout is None else "time that the caller has left"
            cause = f"no whole answer within {over:.3g} s, the {by}"
        elif timed_out and sent:
            cause = f"no answer within {request.read_timeout or settings.read_timeout:g} s, the read_timeout"
        elif timed_out:
            cause = f"no connection within {settings.connect_timeout:g} s, the connect_timeout; check host and firewall"
        else:
            cause = cause_of(error, request.url, self.proxy, self.redact)
        made = UnreachableError(
            f"{request.method} {self.redact(request.url, 500)}: {cause}", sent=sent, timed_out=timed_out
        )
        made.refused = refused
        return made

    def total_timeout(self, request: Request) -> float:
        """Return the seconds that a whole exchange may take: connection, headers and body.

        :raises OutOfTimeError: if the caller has none left.
        """
        if request.total_timeout is not None:
            if request.total_timeout <= 0:
                raise out_of_time(f"send {request.method} {self.redact(request.url, 500)}")
            return request.total_timeout
        return self._longest(request)

    def _longest(self, request: Request) -> float:
        return max(self.settings.total_timeout, request.read_timeout or self.settings.read_timeout)

    def _authorized(self, call: Call[Any]) -> Generator[Step, Any, Response]:
        flow = self.auth.flow(call.request(self.settings.base_url, self.settings.headers))
        try:
            step = next(flow)
            while True:
                try:
                    answer = yield from self._turn_or_answer(call, step)
                except WireError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as stop:
            response: Response = stop.value
            return response
        finally:
            flow.close()

    def _turn_or_answer(self, call: Call[Any], step: Request | Turn) -> Generator[Step, Any, Any]:
        if isinstance(step, Turn):
            return (yield step)
        self._check_headers(call, step)
        if new := self._unannounced + tuple(filter(self.redact.learn, self._secrets_on(step))):
            yield Learned(new)
            self._unannounced = ()
        yield from self._place_in_budget(call)
        self.requests_sent += 1
        self.count("requests")
        left = deadline.left()
        return self._noted((yield replace(step, total_timeout=left) if left < self._longest(step) else step))

    def _secrets_on(self, request: Request) -> Generator[str, None, None]:
        """Yield the secrets that a request carries, known or not."""
        yield from self.auth.secrets()
        for name, value in request.headers.items():
            if _CARRIES_SECRET.search(name):
                yield value.rpartition(" ")[2]  # without the scheme

    @staticmethod
    def _parse_early(response: Response) -> None:
        """Parse a large body; what is wrong with it is said again when the result is made."""
        try:
            response.json()
        except WireError:
            return

    def _noted(self, response: Response) -> Response:
        """Note who has answered, and what time it is there."""
        if (date := http_date(response.headers.get("date"))) is not None:
            self.clock_ahead = date - self.now()
        if response.status < 400 or not self.is_own_error(response):
            return response
        return replace(response, by_vendor=True)

    def _place_in_budget(self, call: Call[Any]) -> Generator[Pause, Any, None]:
        """Wait for a place in the budget; for a new one, if a 429 has stopped everything meanwhile."""
        while True:
            pauses = self.budget.pauses
            wait = self.budget.reserve(self.monotonic(), urgent=urgent.get())
            if wait and wait >= deadline.left():
                self.budget.give_back(urgent=urgent.get())
                raise out_of_time(
                    f"send {call.describe()}: its turn in the requests_per_minute of the connection, or the end of the "
                    f"pause that the vendor has asked for, comes in {wait:.1f} s"
                )
            if wait:
                yield Pause(wait)
            if not wait or pauses == self.budget.pauses:
                return

    def _check_headers(self, call: Call[Any], request: Request) -> None:
        """Refuse what HTTP cannot carry; the two libraries would fail in ways of their own, and show the value."""
        for name, value in request.headers.items():
            if not HEADER_NAME.fullmatch(name):
                raise BadRequestError(
                    f"{call.describe()}: {printable(name, 100)!r} is not the name of a header; check secret_headers of "
                    "the connection",
                    sent=False,
                )
            if not HEADER_VALUE.fullmatch(value):
                raise BadRequestError(
                    f"{call.describe()}: the value for the header {name!r} holds a line break or characters outside "
                    "Latin-1; check the credential and the further headers of the connection",
                    sent=False,
                )

    def _result(self, call: Call[T], response: Response) -> T:
        is_accepted = response.status in call.accepted and response.by_vendor
        if not (200 <= response.status < 300 or is_accepted):
            raise status_error(call.describe(), response, self.redact, self.now(), passing=call.passing)
        try:
            return self._parsed(call, response)
        except WireError as error:
            error.by_vendor = isinstance(error, StatusError)  # a parser that reads a refusal has read the vendor's word
            error.args = (
                f"{call.describe()}: {self.redact(str(error), 2 * LONGEST_WORDS)}; status {response.status}, "
                f"the body begins: {self.redact.excerpt(response.body) or '(nothing)'}",
            )
            raise

    @staticmethod
    def _parsed(call: Call[T], response: Response) -> T:
        """Parse an answer; one that a parser stumbles over is malformed, whatever the parser did not think of."""
        try:
            return call.parse(response)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            if type(error).__module__ != "builtins":
                raise  # a parser's own verdict
            raise MalformedAnswerError(
                f"an answer that cannot be understood ({type(error).__name__}: {error})", status=response.status
            ) from None
