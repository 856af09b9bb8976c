"""Who may do what at an Etlworks instance: API keys, logins with tokens that end, roles."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Literal, get_args

from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.tokens import TokenDesk

Role = Literal["viewer", "operator", "editor", "administrator", "super_admin"]
RANKS: tuple[str, ...] = get_args(Role)


class Gate:
    """Checks bearers; not thread-safe, its sandbox guards it.

    :param api_key: the one API key; settable, as when it is exchanged
    :param life: seconds that a token of a login is good for; settable
    :param tells_end: whether a token is a JWT with ``iat`` and ``exp``, or an opaque text
    """

    def __init__(self, clock: Clock, *, api_key: str, life: float, tells_end: bool) -> None:
        self.api_key = api_key
        self.tells_end = tells_end
        self._clock = clock
        self._desk = TokenDesk(clock, lifetime=life)
        self._issued: dict[str, str] = {}
        self._tenants: dict[str, str] = {}

    @property
    def life(self) -> float:
        """Seconds that a token is good for."""
        return self._desk.lifetime

    @life.setter
    def life(self, seconds: float) -> None:
        self._desk.lifetime = seconds

    @property
    def issued(self) -> tuple[str, ...]:
        """Every token of a login that was ever issued, for tests that look for leaks."""
        return tuple(self._issued)

    def issue(self, owner: str, tenant: str = "") -> str:
        """Return a new token."""
        ticket = self._desk.issue(owner)
        token = self._jwt(owner, ticket) if self.tells_end else ticket
        self._issued[token] = ticket
        self._tenants[token] = tenant
        return token

    def admits(self, bearer: str) -> bool:
        """Tell whether a bearer is the API key or a token that is still good."""
        return bearer == self.api_key or self.owner(bearer) is not None

    def owner(self, token: str) -> str | None:
        """Return whose token this is, ``None`` if it is unknown or has ended."""
        ticket = self._issued.get(token)
        return None if ticket is None else self._desk.owner(ticket)

    def tenant(self, token: str) -> str:
        """Return the tenant that a token was switched to, empty if to none."""
        return self._tenants.get(token, "")

    def revoke_all(self) -> None:
        """Forget every token, as an instance does that restarts with another key."""
        self._desk.revoke_all()

    def _jwt(self, owner: str, ticket: str) -> str:
        now = self._clock.now()
        claims = {"sub": owner, "iat": round(now, 3), "exp": round(now + self.life, 3), "jti": ticket}
        parts = [json.dumps({"alg": "HS256"}).encode(), json.dumps(claims).encode(), secrets.token_bytes(32)]
        return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def is_at_least(role: str, needed: str) -> bool:
    """Tell whether a role has the rights of another one."""
    return RANKS.index(role) >= RANKS.index(needed)
