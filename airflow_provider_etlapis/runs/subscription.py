"""One wait's place at the watcher: what has changed about its run, and how the wait is woken.

A triggerer holds thousands of these, so they are small and set few timers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Step, Trouble


@dataclass(frozen=True, slots=True)
class LogLines:
    """New lines of a run's log, and where the next read goes on."""

    lines: tuple[str, ...]
    cursor: Any = None


Update = RemoteRun | Trouble | LogLines


class Subscription:
    """One wait's place at the watcher: a queue of what has changed about its run."""

    __slots__ = ("_news", "_waker", "cursor", "interval", "queued", "ref", "seen", "singly", "with_log")

    def __init__(self, ref: RunRef, interval: float, *, singly: bool, with_log: bool) -> None:
        self.ref = ref
        self.interval = interval
        self.singly = singly
        self.with_log = with_log
        self.cursor: Any = None
        self.queued = False
        self.seen: tuple[RunState, str, tuple[Step, ...]] | None = None
        self._news: list[Update] = []
        self._waker: asyncio.Future[None] | None = None

    def tell(self, update: Update) -> bool:
        """Queue an update and return true, unless it says nothing new."""
        if isinstance(update, RemoteRun):
            facts = (update.state, update.vendor_status, update.steps)
            if facts == self.seen:
                return False
            self.seen = facts
        elif isinstance(update, Trouble):
            self.seen = None
        self._news.append(update)
        if self._waker is not None:
            wake(self._waker)
        return True

    async def next(self, timeout: float | None) -> Update | None:  # noqa: ASYNC109 a deadline, not a cancellation
        """Return the next update, or ``None`` when the timeout (seconds) passes first."""
        if not self._news:
            self._waker = asyncio.get_running_loop().create_future()
            try:
                await woken(self._waker, timeout)
            finally:
                self._waker = None
        return self._news.pop(0) if self._news else None


async def woken(waker: asyncio.Future[None], timeout: float | None) -> None:  # noqa: ASYNC109 as a deadline
    """Wait until the future is done or the time is over; cheaper than ``asyncio.wait_for`` for thousands."""
    timer = None if timeout is None else asyncio.get_running_loop().call_later(timeout, wake, waker)
    try:
        await waker
    finally:
        if timer is not None:
            timer.cancel()


def wake(waker: asyncio.Future[None]) -> None:
    """End the sleep, unless it is over already."""
    if not waker.done():
        waker.set_result(None)
