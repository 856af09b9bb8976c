"""One call from first try to result, without doing I/O: what to send, how long to wait, when to give up.

The generator yields what is to be done; the two clients only do it. So they cannot differ in what they retry,
when they log in, how they pace themselves, or what an error says.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from airflow_provider_etlapis.wire.auth import Auth, NoAuth, Turn
from airflow_provider_etlapis.wire.budget import RequestBudget, urgent
from airflow_provider_etlapis.wire.call import Call, Request, Response
from airflow_provider_etlapis.wire.errors import (
    BadRequestError,
    MalformedAnswerError,
    RateLimitedError,
    ServerFaultError,
    StatusError,
    UnreachableError,
    WireError,
    status_error_class,
)
from airflow_provider_etlapis.wire.policy import http_date, retry_after_seconds
from airflow_provider_etlapis.wire.redact import Redactor
from airflow_provider_etlapis.wire.settings import WireSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Asked of the client: wait that many seconds."""

    seconds: float


Step: TypeAlias = Request | Turn | Pause

DEFAULT_PAUSE_AFTER_429 = 5.0

# No control characters, and nothing that http.client cannot encode.
_SENDABLE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


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
    clock_ahead: float | None = None
    """Seconds by which the server's clock is ahead of ours, by the ``Date`` of its last answer; whole seconds."""
    requests_sent: int = 0
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    draw: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        self.budget = RequestBudget(self.settings.requests_per_minute)
        for secret in (self.settings.proxy, *self.auth.secrets(), *self.settings.headers.values()):
            self.redact.add(secret)

    def exchange(self, call: Call[T]) -> Generator[Step, Response, T]:
        """Run one call to its result.

        :raises WireError: when it cannot be had, or not by trying again.
        """
        attempt = 0
        while True:
            try:
                response = yield from self._authorized(call)
                return self._result(call, response)
            except WireError as error:
                if isinstance(error, RateLimitedError):
                    self.count("rate_limited")
                    asked = error.retry_after
                    self.budget.pause(DEFAULT_PAUSE_AFTER_429 if asked is None else asked, self.monotonic())
                delay = self.settings.retry.delay(call, error, attempt, self.draw)
                if delay is None:
                    raise
                attempt += 1
            yield Pause(delay)

    def no_answer(self, request: Request, error: Exception, *, sent: bool, timed_out: bool = False) -> UnreachableError:
        """Return the error for a request that got no whole answer, in the same words for both clients."""
        cause = f"{type(error).__name__}: {self.redact(str(error))[:300]}"
        return UnreachableError(f"{request.method} {self.redact(request.url)}: {cause}", sent=sent, timed_out=timed_out)

    def _authorized(self, call: Call[Any]) -> Generator[Step, Response, Response]:
        flow = self.auth.flow(call.request(self.settings.base_url, self.settings.headers))
        try:
            step = next(flow)
            while True:
                if isinstance(step, Turn):
                    response = yield step
                else:
                    self._check_headers(call, step)
                    yield from self._turn()
                    self.requests_sent += 1
                    self.count("requests")
                    try:
                        response = self._noted((yield step))
                    except WireError as error:
                        step = flow.throw(error)
                        continue
                step = flow.send(response)
        except StopIteration as stop:
            for secret in self.auth.secrets():
                self.redact.add(secret)
            answer: Response = stop.value
            return answer

    def _noted(self, response: Response) -> Response:
        """Note who has answered, and what time it is there."""
        if (date := http_date(response.headers.get("date"))) is not None:
            self.clock_ahead = date - self.now()
        return replace(response, by_vendor=response.status >= 400 and self.is_own_error(response))

    def _turn(self) -> Generator[Pause, Any, None]:
        """Wait for a place in the budget; for a new one, if a 429 has stopped everything meanwhile."""
        while True:
            pauses = self.budget.pauses
            wait = self.budget.reserve(self.monotonic(), urgent=urgent.get())
            if wait:
                yield Pause(wait)
            if not wait or pauses == self.budget.pauses:
                return

    def _check_headers(self, call: Call[Any], request: Request) -> None:
        """Refuse what HTTP cannot carry; the two libraries would fail in ways of their own, and show the value."""
        for name, value in request.headers.items():
            if not _SENDABLE.fullmatch(value):
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
                f"{call.describe()}: {self.redact(str(error))}; status {response.status}, "
                f"the body begins: {self.redact.excerpt(response.body) or '(nothing)'}",
            )
            raise

    @staticmethod
    def _parsed(call: Call[T], response: Response) -> T:
        """Parse an answer; one that a parser stumbles over is malformed, whatever the parser did not think of."""
        try:
            return call.parse(response)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            if type(error).__module__ != "builtins":
                raise  # a parser's own verdict
            raise MalformedAnswerError(
                f"an answer that cannot be understood ({type(error).__name__}: {error})", status=response.status
            ) from None


def status_error(
    what: str, response: Response, redact: Redactor, now: float, passing: Collection[int] = ()
) -> WireError:
    """Return the error for an answer with a status that is not a success, with the server's own words.

    :param passing: statuses that this vendor uses for passing faults: a fault of the server, whatever the status.
    """
    location = response.headers.get("location")
    hint = ""
    if location and 300 <= response.status < 400:
        hint = f" (redirects are not followed; it points to {redact(location)[:200]}: is the base URL right?)"
    error_class = ServerFaultError if response.status in passing else status_error_class(response.status)
    return error_class(
        f"{what}: HTTP {response.status}: {redact(server_words(response)) or redact.excerpt(response.body)}{hint}",
        status=response.status,
        retry_after=retry_after_seconds(response.headers.get("retry-after"), now),
        by_vendor=response.by_vendor,
    )


def server_words(response: Response) -> str:
    """Return the error text of a JSON error body in any of the usual shapes, empty if there is none."""
    try:
        body = response.json()
    except WireError:
        return ""
    if not isinstance(body, dict):
        return ""
    words: list[str] = []
    for key in ("error", "message", "detail", "errors"):
        value = body.get(key)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and text and text not in words:
                words.append(text)
    return "; ".join(words)[:1000]
