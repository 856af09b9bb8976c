"""How requests to Etlworks get their credential: an API key, or login and password exchanged for a token."""

from __future__ import annotations

import base64
import json
from collections.abc import Generator, Mapping
from typing import Any

from airflow_provider_etlapis.wire.auth import HeaderAuth, Token, TokenAuth
from airflow_provider_etlapis.wire.call import Call, Request, Response, json_object, segment
from airflow_provider_etlapis.wire.errors import MalformedAnswerError, UnauthorizedError, WireError
from airflow_provider_etlapis.wire.exchange import status_error
from airflow_provider_etlapis.wire.redact import Redactor

LOGIN_PATHS = ("/v1/token-auth", "/v1/token-auth/issue")


class ApiKeyAuth(HeaderAuth):
    """``Authorization: Bearer <key>`` with a fixed key, (a).

    :param key: as the vendor shows it; quotes and a ``Bearer`` that were pasted along are taken off.
    """

    def __init__(self, key: str) -> None:
        self._key = key.strip().strip("\"'").removeprefix("Bearer ").strip()
        super().__init__({"Authorization": f"Bearer {self._key}"})

    def secrets(self) -> tuple[str, ...]:
        """Return the key and the header value."""
        return (self._key, *super().secrets())


class PasswordAuth(TokenAuth):
    """Login and password exchanged for a token, (a), that is renewed before it ends.

    :param base_url: address above ``/rest``.
    :param headers: further headers of the connection.
    :param path: path of the login below ``/rest``: ``/v1/token-auth`` (a) or ``/v1/token-auth/issue`` (b).
    :param tenant: id of the tenant to switch to after each login (b); only a super administrator may.
    """

    def __init__(
        self,
        base_url: str,
        login: str,
        password: str,
        *,
        headers: Mapping[str, str],
        path: str = LOGIN_PATHS[0],
        tenant: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._base_url = base_url
        self._login = login
        self._password = password
        self._headers = headers
        self._path = f"rest/{path.strip('/')}"
        self._tenant = tenant

    def login(self) -> Generator[Request, Response, Token]:
        """Exchange login and password for a token, and that for one of the tenant."""
        body = {"login": self._login, "password": self._password}
        login = Call("POST", self._path, json_object, json=body, repeatable="a second login makes one more token")
        token = yield from self._bought(login)
        if self._tenant is None:
            return token
        # (b): the body is empty, its type is named all the same.
        switch = Call(
            "POST",
            f"rest/v1/token-auth/tenants/{segment(self._tenant)}",
            json_object,
            headers={"Content-Type": "application/json"},
            repeatable="a second switch makes one more token",
        )
        return (yield from self._bought(switch, token))

    def refresh(self, token: Token) -> Generator[Request, Response, Token]:
        """Exchange a token that is still good for a new one, (a); its answer has the shape of the login's (c).

        Whatever else comes back, a new login settles it; so does one where a tenant was switched to, because
        nothing says whose the new token would be.
        """
        if self._tenant is not None:
            return (yield from self.login())
        try:
            return (yield from self._bought(self._renewal, token))
        except WireError as error:
            if error.status is None:
                raise
            raise UnauthorizedError(f"the token is not renewed: {error}", status=error.status) from None

    @property
    def _renewal(self) -> Call[dict[str, Any]]:
        reason = "where the first has ended the old token, a login follows"
        return Call("POST", "rest/v1/token-auth/refresh", json_object, repeatable=reason)

    def signed(self, request: Request, token: Token) -> Request:
        """Return the request with the token on it."""
        return request.with_headers({"Authorization": f"Bearer {token.value}"})

    def secrets(self) -> tuple[str, ...]:
        """Return the password and the present token."""
        return (self._password, *super().secrets())

    def _bought(self, call: Call[dict[str, Any]], token: Token | None = None) -> Generator[Request, Response, Token]:
        request = call.request(self._base_url, self._headers)
        response = yield self.signed(request, token) if token else request
        now = self._now()
        redact = Redactor((self._password, token.value if token else ""))
        if not 200 <= response.status < 300:
            raise status_error(call.describe(), response, redact, now)
        value = call.parse(response).get("token")
        if not isinstance(value, str) or not value:
            raise MalformedAnswerError(f"{call.describe()}: the answer holds no token", status=response.status)
        life = life_of(value, now)
        ends = None if life is None else now + life
        return Token(value, issued=now, expires=ends, refreshable_until=ends)


def life_of(token: str, now: float) -> float | None:
    """Return the seconds that a token is good for, ``None`` if it is no JWT or does not tell.

    The span between its own ``iat`` and ``exp`` is what counts, so that a clock that is wrong here does no harm.

    :param now: seconds since the epoch; stands in for a missing ``iat``.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    if not isinstance(claims, dict):
        return None
    end, begin = claims.get("exp"), claims.get("iat", now)
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (end, begin)):
        return None
    return float(end - begin) if end > begin else None
