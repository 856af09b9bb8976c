"""What is tried again, and after how long: an immutable value that answers questions."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_etlapis.wire.call import Call
from airflow_provider_etlapis.wire.errors import RateLimitedError, ServerFaultError, UnreachableError, WireError

PASSING_STATUSES = frozenset({502, 503, 504})
LONGEST_RETRY_AFTER = 300.0
_LONGEST_HEADER = 100
_REFUSED_CAP = 5.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long one request is tried.

    A server that restarts refuses connections for some seconds. Nothing was sent then, so every call waits for it,
    reads and starts alike, for ``refused_for`` seconds however many tries that takes.

    :param retries: tries after the first one; with 0 nothing is ever tried again.
    :param base: seconds, upper bound of the first delay; it doubles with each try (full jitter).
    :param cap: seconds, upper bound of any delay of our own choosing.
    :param refused_for: seconds, all in all, for which a call is tried again whose connection is refused.
    """

    retries: int = 4
    base: float = 0.5
    cap: float = 30.0
    refused_for: float = 30.0

    def delay(
        self,
        call: Call[Any],
        error: WireError,
        attempt: int,
        draw: Callable[[], float] = random.random,
        *,
        spent: float = 0.0,
    ) -> float | None:
        """Return seconds to wait before the next try, or ``None`` if there is none.

        :param attempt: number of the try that failed, from 0.
        :param draw: a number in [0, 1), for the jitter.
        :param spent: seconds since the first try began.
        """
        if not self.retries or not self.may_repeat(call, error):
            return None
        if isinstance(error, UnreachableError) and error.refused and not error.sent:
            if spent >= self.refused_for:
                return None
            longest = min(self.cap, _REFUSED_CAP, self.base * 2.0 ** min(attempt, 60))
            return min(longest * (0.5 + draw() / 2), self.refused_for - spent)
        if attempt >= self.retries:
            return None
        backoff = min(self.cap, self.base * 2.0 ** min(attempt, 60)) * draw()
        if error.retry_after is None:
            return backoff
        return min(error.retry_after, LONGEST_RETRY_AFTER) + self.base * draw()

    @staticmethod
    def may_repeat(call: Call[Any], error: WireError) -> bool:
        """Say whether this request may be sent again after this error.

        What is not repeatable (a start) is sent again only where it surely had no effect: it never left, or it was
        refused by the rate limit.
        """
        if not error.sent:
            return error.transient
        if isinstance(error, RateLimitedError):
            return True
        if not call.is_repeatable:
            return False
        if error.status is not None and error.status in call.passing:
            return True
        if isinstance(error, ServerFaultError):
            return error.status in PASSING_STATUSES
        return error.transient


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Read a Retry-After header in either of its forms.

    :param value: the header: seconds, or an HTTP date; anything else counts as absent.
    :param now: seconds since the epoch.
    :returns: seconds from now, from 0 to 300.
    """
    if value is None or len(value) > _LONGEST_HEADER:
        return None
    text = value.strip()
    try:
        seconds = float(text)
    except ValueError:
        moment = http_date(text)
        if moment is None:
            return None
        seconds = moment - now
    if seconds != seconds:  # NaN has no order
        return None
    return max(0.0, min(seconds, LONGEST_RETRY_AFTER))


def http_date(value: str | None) -> float | None:
    """Return an HTTP date as seconds since the epoch, ``None`` if it is none."""
    if value is None or len(value) > _LONGEST_HEADER:
        return None
    try:
        moment = parsedate_to_datetime(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, OSError):
        return None
