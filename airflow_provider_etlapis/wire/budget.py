"""How many requests one connection may send: a token bucket per minute, and one pause for all after a 429."""

from __future__ import annotations

from contextvars import ContextVar

urgent: ContextVar[bool] = ContextVar("urgent", default=False)
"""Whether what is done now goes before other requests of its connection, such as the cancels of ended tasks."""

_LEAST_WAIT = 1.0
"""Seconds that a caller waits at least who must wait at all: requests that go out one after the other, a second's worth
of them, take two thirds of the processor time of those for each of which a process wakes up."""
_URGENT_SHARE = 0.8
"""Share of the budget that urgent requests may take while there are any: the others go on with the rest."""
_CAREFUL = 60.0
"""Seconds after a 429 in which requests go out evenly."""


class RequestBudget:
    """A token bucket shared by all requests of one connection in one process. The clock is an argument.

    :param per_minute: requests a minute on average; ``None`` sets no limit.
    :param burst: requests that may go at once after a quiet time; a tenth of ``per_minute`` by default.
    """

    def __init__(self, per_minute: float | None = None, burst: float | None = None) -> None:
        if per_minute is not None and per_minute <= 0:
            raise ValueError(f"requests per minute must be above 0, not {per_minute}")
        self.per_minute = per_minute
        self._size = max(1.0, burst if burst is not None else (per_minute or 0) / 10)
        self._tokens = self._size
        self._least_wait = min(_LEAST_WAIT, 60.0 * self._size / per_minute) if per_minute else 0.0
        self._filled_at: float | None = None
        self._paused_until = 0.0
        self._careful_until = 0.0
        self._urgent_until = float("-inf")
        self.pauses = 0
        """How often everything was stopped: places given out before the last time are void."""

    def reserve(self, now: float, *, urgent: bool = False) -> float:
        """Take one request from the budget.

        :param now: monotonic seconds.
        :param urgent: whether it goes before the others that wait.
        :returns: seconds to wait before sending it; 0 if it may go at once. Each caller gets a place of its
            own in the queue, so waiting callers go in small groups and not all at the same moment.
        """
        pause = max(0.0, self._paused_until - now)
        if self.per_minute is None:
            return pause
        per_second = self.per_minute / 60.0
        if self._filled_at is None:
            self._filled_at = now
        elapsed = max(0.0, now - self._filled_at)
        is_careful = now < self._careful_until
        share = 1.0 - _URGENT_SHARE if now < self._urgent_until else 1.0
        self._tokens = min(1.0 if is_careful else self._size, self._tokens + elapsed * per_second * share)
        self._filled_at = max(now, self._filled_at)
        if urgent:
            return self._reserve_urgent(now, pause, per_second)
        self._tokens -= 1.0
        if self._tokens >= 0:
            return pause
        # The queue moves on from the last filling, which lies ahead while everything is stopped.
        least = 0.0 if is_careful else self._least_wait
        return max(pause, least, self._filled_at - now - self._tokens / per_second)

    def give_back(self, *, urgent: bool = False) -> None:
        """Return a place that nobody has used: its caller has no time left to wait for it."""
        if self.per_minute is None:
            return
        if urgent:
            self._urgent_until -= 60.0 / (self.per_minute * _URGENT_SHARE)
        else:
            self._tokens += 1.0

    def _reserve_urgent(self, now: float, pause: float, per_second: float) -> float:
        """Take an urgent request: from what is left at once, then from a queue of its own."""
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return pause
        self._urgent_until = max(now + pause, self._urgent_until) + 1.0 / (per_second * _URGENT_SHARE)
        return self._urgent_until - now

    def pause(self, seconds: float, now: float) -> None:
        """Stop all requests of the connection for a while, and go on afterwards without a burst.

        Whoever waits for a place that was given out before takes a new one.
        """
        self.pauses += 1
        self._paused_until = max(self._paused_until, now + max(0.0, seconds))
        self._careful_until = self._paused_until + _CAREFUL
        if self.per_minute is not None:
            # The bucket is as if it had just run dry when the pause ends, and nobody had a place.
            self._tokens = 0.0
            self._filled_at = max(self._filled_at or now, self._paused_until)

    def with_limit(self, per_minute: float | None) -> RequestBudget:
        """Return a budget that goes on from this one: the same if its limit is, else with its pause alone."""
        if per_minute == self.per_minute:
            return self
        other = RequestBudget(per_minute)
        other._paused_until, other._careful_until = self._paused_until, self._careful_until
        if per_minute is not None and self._paused_until:
            other._tokens, other._filled_at = 0.0, self._paused_until
        return other
