"""Decides whether a list that may be of little use is worth its request."""

from __future__ import annotations

import time
from collections.abc import Callable

_USELESS_IN_A_ROW = 2
"""Answers of no use after which a request is suspended: one may be an odd answer."""


class Suspension:
    """Suspends a request whose answers are of no use, for a while: what the server answers may change.

    :param seconds: for which the request is left out after two useless answers in a row.
    :param monotonic: clock; settable for tests.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = monotonic
        self._useless = 0
        self._until = float("-inf")

    @property
    def is_over(self) -> bool:
        """Whether the request is to be sent."""
        return self._now() >= self._until

    def note(self, *, is_useful: bool) -> None:
        """Take in whether an answer was of use."""
        self._useless = 0 if is_useful else self._useless + 1
        if self._useless >= _USELESS_IN_A_ROW:
            self._useless = 0
            self._until = self._now() + self._seconds
