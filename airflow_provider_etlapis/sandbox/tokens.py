"""Login tokens with a lifetime, for the vendors that have logins: their promise is "logs in again by itself"."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from airflow_provider_etlapis.sandbox.clock import Clock


@dataclass(frozen=True)
class _Issued:
    owner: str
    at: float


class TokenDesk:
    """Issues, checks, renews and revokes tokens; not thread-safe, its sandbox guards it.

    :param clock: the sandbox's clock
    :param lifetime: seconds that a token is good for; settable, and holds for tokens already issued
    :param refresh_grace: seconds after its end in which a token can still be renewed
    """

    def __init__(self, clock: Clock, *, lifetime: float, refresh_grace: float = 0.0) -> None:
        self.lifetime = lifetime
        self.refresh_grace = refresh_grace
        self._clock = clock
        self._issued: dict[str, _Issued] = {}

    @property
    def issued(self) -> tuple[str, ...]:
        """Every token that was ever issued and not revoked, for tests that look for leaks."""
        return tuple(self._issued)

    def issue(self, owner: str) -> str:
        """Return a new token for ``owner``."""
        token = secrets.token_hex(16)
        self._issued[token] = _Issued(owner, self._clock.now())
        return token

    def owner(self, token: str) -> str | None:
        """Return whose token this is, or ``None`` if it is unknown, revoked or too old."""
        issued = self._issued.get(token)
        return issued.owner if issued and self._age(issued) < self.lifetime else None

    def refresh(self, token: str) -> str | None:
        """Return a new token for an old one, or ``None`` if that is unknown or too old even for this."""
        issued = self._issued.get(token)
        if issued is None or self._age(issued) >= self.lifetime + self.refresh_grace:
            return None
        return self.issue(issued.owner)

    def revoke_all(self) -> None:
        """Forget every token, as a vendor does that restarts or changes its key."""
        self._issued.clear()

    def _age(self, issued: _Issued) -> float:
        return self._clock.now() - issued.at
