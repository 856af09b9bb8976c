"""Authentication, written once: generators that yield requests and receive answers, driven by either client."""

from __future__ import annotations

import base64
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeAlias

from airflow_provider_etlapis.wire.call import Request, Response
from airflow_provider_etlapis.wire.errors import UnauthorizedError, WireError


class Turn(Enum):
    """Asked of the client around a login, so that many waits of one connection log in once, not each."""

    TAKE = "take"
    GIVE = "give"


AuthFlow: TypeAlias = Generator[Request | Turn, Response, Response]
"""Yields requests (and turns), receives their answers, returns the answer of the request itself."""


class Auth(ABC):
    """How a request gets its credential."""

    @abstractmethod
    def flow(self, request: Request) -> AuthFlow:
        """Send the request with its credential."""

    def secrets(self) -> tuple[str, ...]:
        """Return what must never be shown."""
        return ()


class NoAuth(Auth):
    """No credential at all."""

    def flow(self, request: Request) -> AuthFlow:
        """Send the request as it is."""
        return (yield request)


class HeaderAuth(Auth):
    """Fixed headers on every request, such as an API key."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def flow(self, request: Request) -> AuthFlow:
        """Send the request with the headers."""
        return (yield request.with_headers(self._headers))

    def secrets(self) -> tuple[str, ...]:
        """Return the header values, with and without the scheme before them."""
        values = tuple(self._headers.values())
        return (*values, *(value.rpartition(" ")[2] for value in values))


class BasicAuth(HeaderAuth):
    """HTTP Basic, UTF-8."""

    def __init__(self, login: str, password: str) -> None:
        self._password = password
        pair = base64.b64encode(f"{login}:{password}".encode()).decode()
        super().__init__({"Authorization": f"Basic {pair}"})

    def secrets(self) -> tuple[str, ...]:
        """Return the password and the header value, with and without its scheme."""
        return (self._password, *super().secrets())


@dataclass(frozen=True, slots=True)
class Token:
    """A token with its life, where the vendor tells it.

    :param issued: seconds since the epoch.
    :param expires: seconds since the epoch; ``None`` where nobody says.
    :param refreshable_until: seconds since the epoch, until which the vendor exchanges it for a new one.
    """

    value: str = field(repr=False)
    issued: float
    expires: float | None = None
    refreshable_until: float | None = None


_MARGIN = 2.0
"""Seconds before its end from which on a token is not used."""


class TokenAuth(Auth):
    """Log in, refresh early, and one forced try on a 401. Subclasses say what the three requests look like.

    One that is not exchanged serves nearly to its end, so that there is one login for each life of a token.

    :param early: share of a token's life after which it is exchanged, so that no wait meets its end.
    :param now: seconds since the epoch.
    """

    def __init__(self, early: float = 0.8, now: Callable[[], float] = time.time) -> None:
        self._early = early
        self._now = now
        self._token: Token | None = None

    @abstractmethod
    def login(self) -> Generator[Request, Response, Token]:
        """Log in with the connection's own credential."""

    @abstractmethod
    def refresh(self, token: Token) -> Generator[Request, Response, Token]:
        """Exchange a token that is still refreshable for a new one."""

    @abstractmethod
    def signed(self, request: Request, token: Token) -> Request:
        """Return the request with the token on it."""

    def flow(self, request: Request) -> AuthFlow:
        """Send the request; on a 401 log in again once and repeat it.

        A 401 of the vendor itself has no effect to repeat. After one that something in between may have made up, only
        a request that is repeatable is sent again.
        """
        if not self._is_fresh(self._token):
            yield from self._renewed(self._token)
        token = self._current()
        response = yield self.signed(request, token)
        if response.status != 401 or not (request.repeatable or response.by_vendor):
            return response
        yield from self._renewed(token, forced=True)
        return (yield self.signed(request, self._current()))

    def secrets(self) -> tuple[str, ...]:
        """Return the present token."""
        return (self._token.value,) if self._token else ()

    def _is_fresh(self, token: Token | None) -> bool:
        if token is None:
            return False
        if token.expires is None:
            return True
        if self._is_refreshable(token):
            return self._now() < token.issued + (token.expires - token.issued) * self._early
        return self._now() < self._last_use(token)

    def _is_refreshable(self, token: Token) -> bool:
        return token.refreshable_until is not None and self._now() < token.refreshable_until

    def _last_use(self, token: Token) -> float:
        """Return until when a token is used: not up to its very end, which a request on its way would meet."""
        if token.expires is None:
            return math.inf
        return token.expires - min(_MARGIN, (token.expires - token.issued) * (1 - self._early))

    def _renewed(self, known: Token | None, *, forced: bool = False) -> Generator[Request | Turn, Response, None]:
        try:
            yield from self._renew(known, forced=forced)
        except WireError as error:
            if error.transient or error.is_odd:
                # Only the login was lost; the request itself had no effect, so even a start may be repeated.
                error.sent = False
            raise

    def _renew(self, known: Token | None, *, forced: bool = False) -> Generator[Request | Turn, Response, None]:
        yield Turn.TAKE  # the client gives the turn back if it is interrupted
        try:
            if self._token is known:  # else somebody renewed it while we waited for our turn
                self._token = yield from self._exchanged(known, forced=forced)
        except WireError:
            yield Turn.GIVE  # before the next try of the whole request takes it again
            raise
        yield Turn.GIVE

    def _exchanged(self, known: Token | None, *, forced: bool) -> Generator[Request, Response, Token]:
        if known is not None and not forced and self._is_refreshable(known):
            try:
                return (yield from self.refresh(known))
            except UnauthorizedError:
                if self._now() < self._last_use(known):
                    return replace(known, refreshable_until=None)  # not renewed, and good for a while
        return (yield from self.login())

    def _current(self) -> Token:
        if self._token is None:
            raise UnauthorizedError("no token could be had")
        return self._token
