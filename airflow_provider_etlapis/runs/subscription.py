"""One wait's place at the watcher: what has changed about its run, and how the wait is woken.

A triggerer holds thousands of these, so they are small and set no timers: the watcher has the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, Trouble


@dataclass(frozen=True, slots=True)
class LogLines:
    """New lines of a run's log, and where the next read goes on."""

    lines: tuple[str, ...]
    cursor: Any = None


Update = RemoteRun | Trouble | LogLines


class Subscription:
    """One wait's place at the watcher: a queue of what has changed about its run.

    :param until: moment on the watcher's clock at which the wait is woken even if nothing has changed.
    """

    __slots__ = ("_news", "_waker", "cursor", "interval", "queued", "ref", "seen", "singly", "until", "with_log")

    def __init__(self, ref: RunRef, interval: float, *, singly: bool, with_log: bool, until: float) -> None:
        self.ref = ref
        self.interval = interval
        self.singly = singly
        self.with_log = with_log
        self.until = until
        self.cursor: Any = None
        self.queued = False
        self.seen: RemoteRun | None = None
        self._news: tuple[Update, ...] = ()
        self._waker: asyncio.Future[None] | None = None

    def tell(self, update: Update) -> bool:
        """Queue an update and return true, unless it says nothing new."""
        if isinstance(update, RemoteRun):
            if self.seen is not None and _is_alike(self.seen, update):
                return False
            self.seen = update
        elif isinstance(update, Trouble):
            self.seen = None
        self._news += (update,)
        self.wake()
        return True

    def wake(self) -> None:
        """End the wait for an update, whether there is one or not."""
        if self._waker is not None:
            wake(self._waker)

    def changed(self) -> Awaitable[None]:
        """Return what to await until there is an update or the time is up; one object, as thousands do it."""
        self._waker = asyncio.get_running_loop().create_future()
        if self._news:
            wake(self._waker)
        return self._waker

    def take(self) -> Update | None:
        """Return the next update, ``None`` if there is none."""
        if not self._news:
            return None
        update, *rest = self._news
        self._news = tuple(rest)
        return update


def _is_alike(before: RemoteRun, run: RemoteRun) -> bool:
    return run is before or (
        run.state is before.state and run.vendor_status == before.vendor_status and run.steps == before.steps
    )


def wake(waker: asyncio.Future[None]) -> None:
    """End the sleep, unless it is over already."""
    if not waker.done():
        waker.set_result(None)
