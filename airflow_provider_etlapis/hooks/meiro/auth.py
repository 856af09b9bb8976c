"""How a request to Meiro Integrations gets its token, and the login calls themselves.

Source: the product's authentication page (b). A token lives 8 hours and is exchanged for a new one until 4 hours
after its end. That a refresh takes the old token in the header as well, and whether the old one stays good, is
not stated (c): it is sent, and a token that stops working early is replaced. What must not be relaxed: of a chain of
refreshed tokens the newest is refreshed, because an older one is soon too old for it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, cast

from airflow_provider_etlapis.hooks.meiro.shapes import AuthOptions
from airflow_provider_etlapis.wire.auth import AuthFlow, Token, TokenAuth
from airflow_provider_etlapis.wire.call import Call, Request, Response, json_object
from airflow_provider_etlapis.wire.errors import (
    MalformedAnswerError,
    RateLimitedError,
    UnauthorizedError,
    WireError,
)
from airflow_provider_etlapis.wire.exchange import status_error
from airflow_provider_etlapis.wire.redact import Redactor

TOKEN_HEADER = "X-Access-Token"  # noqa: S105 a header's name
TOKEN_LIFE = 8 * 3600.0
REFRESHABLE = 12 * 3600.0
OPTIONS_PATH = "auth_options"

_WRONG_PASSWORD_STATUSES = frozenset({400, 422})
"""Statuses besides 401 by which the vendor itself may refuse a password: which one it uses is not stated (c)."""
_MOST_CHAINS = 64

_newest_of: dict[bytes, Token] = {}
"""The newest token of each ready token in this process, by the ready token's digest.

A connection that is read again, as after a refused request, goes on with it: its own token is too old by then.
"""


def login_path(text: str) -> str:
    """Return the path of the login calls in one spelling: with a slash before it and none after it.

    :raises ValueError: if it is not a path.
    """
    parts = text.strip().strip("/").split("/")
    plain = all(part and part not in {".", ".."} and part.isascii() and part.isprintable() for part in parts)
    if not plain or any(mark in text.strip() for mark in "?#: \\"):
        raise ValueError(f"login_path must be a path, such as /login, not {text[:100]!r}")
    return "/" + "/".join(parts)


def login_call(path: str, email: str, password: str) -> Call[str]:
    """Return the call that gets a token for an e-mail address and a password."""
    body = {"email": email, "password": password}
    return Call("POST", path, _token, json=body, repeatable="a second login only makes one more token")


def refresh_call(path: str, token: str) -> Call[str]:
    """Return the call that exchanges a token for a new one. Not repeated: whether the old one stays good is open."""
    return Call("PATCH", path, _token, json={"token": token}, headers={TOKEN_HEADER: token})


def options_call() -> Call[AuthOptions]:
    """Return the call that asks which ways to log in there are."""

    def parse(response: Response) -> AuthOptions:
        options = json_object(response).get("authentication_options")
        if not isinstance(options, dict):
            raise MalformedAnswerError("no authentication_options in the answer", status=response.status)
        return cast("AuthOptions", options)

    return Call("GET", OPTIONS_PATH, parse)


class MeiroAuth(TokenAuth):
    """A token in the header: a ready one, or one that is got by e-mail and password.

    A ready token is used until it is refused; then it is exchanged for a new one, or, where the connection holds
    a password, left for a login. Nothing is ever logged out: other tasks may use the same token.

    :param base_url: address of the API.
    :param login_path: path of the login calls, below it.
    :param email: empty for a ready token alone.
    :param ready_token: empty for e-mail and password alone.
    :param headers: further headers, as on every request.
    """

    def __init__(
        self,
        base_url: str,
        login_path: str,
        email: str,
        password: str,
        ready_token: str = "",
        headers: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(now=now)
        self._base_url = base_url
        self._login_path = login_path
        self._email = email
        self._password = password
        self._ready_token = ready_token
        self._headers = dict(headers or {})
        self._redact = Redactor((password, ready_token))
        self._chain = hashlib.sha256(f"{base_url}\n{ready_token}".encode()).digest()
        self.user_id: int | None = None
        """The user of this credential, once a job that it has started has shown it."""
        if ready_token:
            # Since when the connection's own token lives, and how long, nobody knows.
            self._token = _newest_of.get(self._chain) or Token(ready_token, now())

    def flow(self, request: Request) -> AuthFlow:
        """Send the request with a token, the login calls as they are."""
        path = request.url.removeprefix(self._base_url).partition("?")[0].strip("/")
        if path in {OPTIONS_PATH, self._login_path.strip("/")}:
            return (yield request)
        return (yield from super().flow(request))

    def login(self) -> Generator[Request, Response, Token]:
        """Log in with e-mail and password; without them, exchange the newest token that there is."""
        if self._password:
            return (yield from self._get(login_call(self._login_path, self._email, self._password)))
        used = self._ready_token if self._token is None else self._token.value
        newest = _newest_of.get(self._chain)
        if newest is not None and newest.value != used:
            if self._is_fresh(newest):
                return newest  # another hook of this process has just obtained it
            used = newest.value
        return (yield from self._get(refresh_call(self._login_path, used)))

    def refresh(self, token: Token) -> Generator[Request, Response, Token]:
        """Exchange a token. A failure leaves the old one in use to its end; a login is due then.

        :raises UnauthorizedError: whatever has failed, the rate limit excepted.
        """
        try:
            return (yield from self._get(refresh_call(self._login_path, token.value)))
        except (UnauthorizedError, RateLimitedError):
            raise
        except WireError as error:
            raise UnauthorizedError(str(error), status=error.status, by_vendor=error.by_vendor) from error

    def signed(self, request: Request, token: Token) -> Request:
        """Return the request with the token in its header."""
        return request.with_headers({TOKEN_HEADER: token.value})

    def secrets(self) -> tuple[str, ...]:
        """Return the credential and the present token."""
        return (self._password, self._ready_token, *super().secrets())

    def _get(self, call: Call[str]) -> Generator[Request, Response, Token]:
        asked = self._now()
        response = yield call.request(self._base_url, self._headers)
        if not 200 <= response.status < 300:
            error = status_error(call.describe(), response, self._redact, asked)
            if response.status in _WRONG_PASSWORD_STATUSES and response.by_vendor:
                error = UnauthorizedError(str(error), status=error.status, by_vendor=True)
            raise error
        value = call.parse(response)
        self._redact.add(value)
        token = Token(value, asked, asked + TOKEN_LIFE, asked + REFRESHABLE)
        if self._ready_token and not self._password:
            self._keep(token)
        return token

    def _keep(self, token: Token) -> None:
        """Keep the newest token of the chain, for a hook that reads the same connection later in this process."""
        _newest_of.pop(self._chain, None)
        while len(_newest_of) >= _MOST_CHAINS:
            del _newest_of[next(iter(_newest_of))]
        _newest_of[self._chain] = token


def _token(response: Response) -> str:
    token: Any = json_object(response).get("token")
    if not isinstance(token, str) or not token:
        raise MalformedAnswerError("no token in the answer of the login", status=response.status)
    return token
