"""Many waits, few requests: one watcher per connection and event loop polls for all runs that are waited for.

A wait subscribes its run and is told of changes. The watcher asks for many runs in one request where the vendor
has such a call, and singly for the rest; it spreads single reads, and stretches their interval instead of breaking
the vendor's rate limit. It ends when its last wait leaves. It runs in an empty context of its own, so that its log
lines do not land in the log of whichever task came first.

A thousand waits share one event loop with other triggers, so nothing here is done for all of them at one go: changes
are told in small parts, few single reads are under way at a time, and a wait in which nothing happens costs one
comparison a look.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, Trouble, TroubleKind
from airflow_provider_etlapis.runs.subscription import LogLines, Subscription, Update, wake

__all__ = ["LogLines", "RunSource", "Subscription", "Update", "Watcher"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_TOLD_AT_ONCE = 25
"""Waits that are woken before other work of the event loop gets its turn: each takes a fraction of a millisecond."""
_WOKEN_AGAIN = 1.0
"""Seconds after which a wait whose time is up is woken once more, if it has not left: clocks may disagree."""
_FIRST_LOOK = 2.0
"""Seconds until the first look at many: a triggerer loads a thousand waits within one."""
_MOST_LOOKS_AT_ONCE = 16
"""Single reads under way, their queueing for the request budget included; the others wait here, which costs nothing."""
_GAUGED_EVERY = 5.0
"""Seconds between two showings of the gauges."""
_ONE_MORE_AFTER = 5.0
"""Seconds for which few reads at a time must fall behind before there is one more: each may take a TLS connection."""
_BUDGET_IS_USED = 0.7
"""Share of the request budget from which on it is the budget that single reads wait for, not the vendor."""


class Meter(Protocol):
    """Where the watcher counts its polls, and shows how many runs it waits for."""

    def count(self, name: str) -> None:
        """Add one to a counter."""

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""


class _NoMeter:
    def count(self, name: str) -> None:
        return

    def gauge(self, name: str, value: float) -> None:
        return


class RunSource(Protocol):
    """What the watcher needs of a vendor: two ways to look at runs, both on the event loop."""

    @property
    def reads_in_bulk(self) -> bool:
        """Whether one request tells the state of many runs, for this connection and now."""

    @property
    def requests_per_minute(self) -> float | None:
        """The connection's budget."""

    async def look_at_many(self, refs: Collection[RunRef]) -> Mapping[str, RemoteRun] | Trouble:
        """Return what is sure about these runs, by run id; a run that is missing is read singly."""

    async def look_at(self, ref: RunRef) -> RemoteRun | Trouble:
        """Return what the vendor says about one run, with its steps."""

    async def read_log(self, ref: RunRef, cursor: Any) -> LogLines | Trouble:
        """Return the run's log lines since a cursor."""

    async def renew(self) -> None:
        """Forget the connection and its client, so that the next look uses it as it is now."""

    async def aclose(self) -> None:
        """Give back what is held open."""


class Watcher:
    """Polls one connection's runs for all waits in this event loop.

    :param open_source: opens the vendor's side when the first wait comes.
    :param name: for log lines.
    :param on_idle: called when the last wait has left; no wait may subscribe here after that.
    :param monotonic: clock; settable for tests.
    :param draw: a number in [0, 1), for the spread of single reads.
    :param meter: where polls are counted.
    """

    def __init__(
        self,
        open_source: Callable[[], RunSource],
        name: str,
        on_idle: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        meter: Meter | None = None,
    ) -> None:
        self._open_source = open_source
        self._name = name
        self._on_idle = on_idle
        self._now = monotonic
        self._draw = draw
        self._meter = meter or _NoMeter()
        self._waits: set[Subscription] = set()
        self._bulk: bool | None = None
        self._bulk_due = float("inf")
        self._bulk_look: asyncio.Task[None] | None = None
        self._first_until = float("inf")
        self._single_due: list[tuple[float, int, Subscription]] = []
        self._single_rate = 0.0
        self._order = itertools.count()
        self._stretch = 1.0
        self._stretch_told = 1.0
        self._looks: dict[Subscription, asyncio.Task[None]] = {}
        self._looks_ended = 0
        self._width = 1
        self._width_since = float("-inf")
        self._credential_age = 0
        self._renewing = asyncio.Lock()
        self._sleep: asyncio.Future[None] | None = None
        self._sleeps_until = 0.0
        self._shown_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def waits(self) -> int:
        """How many runs are waited for."""
        return len(self._waits)

    @property
    def _is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def subscribe(
        self,
        ref: RunRef,
        interval: float,
        *,
        singly: bool = False,
        with_log: bool = False,
        seconds_left: float | None = None,
    ) -> Subscription:
        """Begin to watch a run.

        :param interval: seconds between two looks.
        :param singly: read the run on its own at each look, so that its steps are told as well.
        :param with_log: read new lines of its log at each look as well; implies ``singly``.
        :param seconds_left: when to wake the wait though nothing has changed; ``None``: never.
        """
        alone = singly or with_log or ref.newest is not None
        until = float("inf") if seconds_left is None else self._now() + seconds_left
        wait = Subscription(ref, interval, singly=alone, with_log=with_log, until=until)
        self._first_until = min(self._first_until, until)
        self._waits.add(wait)
        if self._is_single(wait):
            self._single_rate += _rate_of(wait)
            self._schedule_first(wait)
        if not alone:
            first = interval if self._is_running else min(interval, _FIRST_LOOK)
            self._bulk_due = min(self._bulk_due, self._now() + first)
        if not self._is_running:
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name=f"watcher of {self._name}", context=contextvars.Context()
            )
        elif self._next_due() < self._sleeps_until:
            self._wake_up()
        return wait

    def unsubscribe(self, wait: Subscription) -> None:
        """Stop watching a run."""
        if wait in self._waits:
            self._waits.discard(wait)
            if self._is_single(wait):
                self._single_rate -= _rate_of(wait)
            if not self._waits:
                self._wake_up()

    async def _run(self) -> None:
        source: RunSource | None = None
        try:
            source = self._open_source()
            log.info("Watching runs of %s", self._name)
            while self._waits:
                self._enter_mode(bulk=source.reads_in_bulk)
                if self._bulk and self._bulk_look is None and self._now() >= self._bulk_due:
                    self._begin_bulk_look(source)
                self._look_singly(source)
                self._show()
                await self._wake_late()
                await self._rest()
        except Exception as error:
            # A defect of ours must end the waits, not leave them hanging.
            for wait in self._waits:
                wait.tell(_defect(error))
            raise
        finally:
            self._on_idle()  # before anything is awaited, so that the next wait gets a watcher of its own
            looks = [look for look in (self._bulk_look, *self._looks.values()) if look is not None]
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
            if source is not None:
                await source.aclose()
            self._meter.gauge("waits", 0)
            log.info("No more runs of %s to watch", self._name)

    def _show(self) -> None:
        now = self._now()
        if now - self._shown_at >= _GAUGED_EVERY:
            self._shown_at = now
            self._meter.gauge("waits", len(self._waits))
            self._meter.gauge("budget_stretch", self._stretch)

    async def _wake_late(self) -> None:
        """Wake the waits whose time is up; each looks at the clock of its deadline itself."""
        now = self._now()
        if now < self._first_until:
            return
        late = [wait for wait in self._waits if wait.until <= now]
        for wait in late:
            wait.until = now + _WOKEN_AGAIN
        self._first_until = min(wait.until for wait in self._waits)
        for part in range(0, len(late), _TOLD_AT_ONCE):
            for wait in late[part : part + _TOLD_AT_ONCE]:
                wait.wake()
            await asyncio.sleep(0)

    def _is_single(self, wait: Subscription) -> bool:
        return wait.singly or self._bulk is False

    def _enter_mode(self, *, bulk: bool) -> None:
        """Take up reading in bulk or singly; a vendor may turn out to refuse bulk reads to this credential."""
        if bulk is self._bulk:
            return
        self._bulk = bulk
        self._stretch = self._stretch_told = 1.0
        self._single_due.clear()
        for wait in self._waits:
            wait.queued = False
        alone = [wait for wait in self._waits if self._is_single(wait)]
        self._single_rate = sum(map(_rate_of, alone))
        for wait in alone:
            self._schedule_first(wait)

    def _schedule_first(self, wait: Subscription) -> None:
        # The worker has just seen the run, so the first look may be anywhere in the interval: spread from the start.
        self._schedule(wait, wait.interval * (0.1 + 0.9 * self._draw()))

    def _schedule(self, wait: Subscription, delay: float) -> None:
        if not wait.queued:
            wait.queued = True
            heapq.heappush(self._single_due, (self._now() + delay, next(self._order), wait))

    def _next_due(self) -> float:
        due = self._bulk_due if self._bulk and self._bulk_look is None else float("inf")
        if self._single_due:
            # When as many are under way as may be, one that ends wakes the watcher; else it is time to look for more.
            full = len(self._looks) >= self._width
            due = min(due, max(self._single_due[0][0], self._width_since + _ONE_MORE_AFTER if full else 0.0))
        return min(due, self._first_until)

    def _set_width(self, budget: float | None) -> None:
        """Decide how many single reads may be under way: few, unless the vendor is too slow for few."""
        now = self._now()
        lasted = now - self._width_since
        if lasted < _ONE_MORE_AFTER:
            return
        fewest = 1 if self._bulk else 2
        is_late = bool(self._single_due) and now - self._single_due[0][0] > _ONE_MORE_AFTER
        is_held_by_budget = budget is not None and self._looks_ended * 60.0 / lasted > _BUDGET_IS_USED * budget
        if not is_late:
            self._width = fewest
        elif not is_held_by_budget:
            self._width = min(_MOST_LOOKS_AT_ONCE, self._width + 1)
        self._width_since, self._looks_ended = now, 0

    async def _rest(self) -> None:
        """Wait until the next look is due, a wait's time is up, a look has ended, or the last wait has left."""
        if not self._waits:
            return
        self._sleeps_until = self._next_due()
        delay = None if self._sleeps_until == float("inf") else max(0.0, self._sleeps_until - self._now())
        loop = asyncio.get_running_loop()
        self._sleep = loop.create_future()
        timer = None if delay is None else loop.call_later(delay, wake, self._sleep)
        try:
            await self._sleep
        finally:
            self._sleep = None
            if timer is not None:
                timer.cancel()

    def _wake_up(self) -> None:
        if self._sleep is not None:
            wake(self._sleep)

    def _begin_bulk_look(self, source: RunSource) -> None:
        self._bulk_look = asyncio.create_task(self._look_in_bulk(source))
        self._bulk_look.add_done_callback(self._end_bulk_look)

    def _end_bulk_look(self, look: asyncio.Task[None]) -> None:
        self._bulk_look = None
        if not look.cancelled() and (error := look.exception()) is not None:
            log.error("Listing runs of %s failed", self._name, exc_info=error)
            for wait in self._waits:
                wait.tell(_defect(error))
        self._wake_up()

    async def _look_in_bulk(self, source: RunSource) -> None:
        began = self._now()
        waits = [wait for wait in self._waits if not wait.singly]
        # Due again an interval after this look began; a server that is slow to answer rests as long as it worked.
        interval = min((wait.interval for wait in waits), default=float("inf"))
        self._bulk_due = began + interval
        if not waits:
            return
        found = await self._ask(source, lambda: source.look_at_many([wait.ref for wait in waits]))
        now = self._now()
        self._bulk_due = max(began + interval, now + min(interval, now - began))
        if isinstance(found, Trouble):
            log.warning("Could not list runs of %s: %s", self._name, found.message)
            await _tell_all((wait, found) for wait in waits)
            return
        listed = [(wait, found.get(wait.ref.run_id)) for wait in waits]
        await _tell_all((wait, run) for wait, run in listed if run is not None)
        missing = [wait for wait, run in listed if run is None and wait in self._waits]
        for wait in missing:
            if wait not in self._looks:
                self._schedule(wait, 0.0)

    def _look_singly(self, source: RunSource) -> None:
        """Start single reads that are due, as many as may be under way at a time; the rest stay due, in their order."""
        self._note_stretch(source.requests_per_minute)
        self._set_width(source.requests_per_minute)
        now = self._now()
        while self._single_due and self._single_due[0][0] <= now and len(self._looks) < self._width:
            _, _, wait = heapq.heappop(self._single_due)
            wait.queued = False
            if wait in self._waits and wait not in self._looks:
                self._start_look(source, wait)

    def _note_stretch(self, budget: float | None) -> None:
        wanted = self._single_rate
        stretch = max(1.0, wanted / budget) if budget else 1.0
        if abs(stretch - self._stretch) < 0.25 * self._stretch:
            return
        self._stretch = stretch
        if stretch >= 2.0 * self._stretch_told or (stretch > 1.0 and self._stretch_told == 1.0):
            self._stretch_told = stretch  # told once, and again only if it gets twice as bad
            log.warning(
                "Reading %d runs of %s one by one at their intervals would take %.0f requests a minute; the budget "
                "is %.0f: every interval is stretched %.1f times, so an end is seen up to %.0f s later",
                sum(map(self._is_single, self._waits)),
                self._name,
                wanted,
                budget,
                stretch,
                (stretch - 1.0) * max(wait.interval for wait in self._waits),
            )
        elif stretch == 1.0:
            self._stretch_told = 1.0
            log.info("Runs of %s are polled at their own intervals again", self._name)

    def _start_look(self, source: RunSource, wait: Subscription) -> None:
        began = self._now()
        look = asyncio.create_task(self._look(source, wait))
        self._looks[wait] = look
        look.add_done_callback(lambda done: self._end_look(wait, done, began))

    def _end_look(self, wait: Subscription, look: asyncio.Task[None], began: float) -> None:
        del self._looks[wait]
        self._looks_ended += 1
        if wait in self._waits and self._is_single(wait):
            # The due runs are read in their order, so a budget that is too small stretches the interval by itself,
            # and is used up: each end is seen as soon as the budget allows.
            interval = wait.interval * (0.95 + 0.1 * self._draw())
            took = self._now() - began
            self._schedule(wait, max(interval - took, min(interval, took)))
        self._wake_up()
        if not look.cancelled() and (error := look.exception()) is not None:
            log.error("Looking at run %s of %s failed", wait.ref.run_id, self._name, exc_info=error)
            wait.tell(_defect(error))

    async def _look(self, source: RunSource, wait: Subscription) -> None:
        run = await self._ask(source, lambda: source.look_at(wait.ref))
        if wait.with_log and isinstance(run, RemoteRun):
            # After the run's state, so that the last lines of an ended run are among them.
            told = await self._ask(source, lambda: source.read_log(wait.ref, wait.cursor))
            if isinstance(told, LogLines):
                wait.cursor = told.cursor
                if told.lines:
                    wait.tell(told)
            else:
                log.info("Could not read the log of run %s: %s", wait.ref.run_id, told.message)
        wait.tell(run)

    async def _ask(self, source: RunSource, look: Callable[[], Awaitable[T | Trouble]]) -> T | Trouble:
        """Look; if the credential is refused, read the connection anew and look once more."""
        self._meter.count("polls")
        age = self._credential_age
        answer = await look()
        if not isinstance(answer, Trouble) or answer.kind is not TroubleKind.CREDENTIAL:
            return answer
        async with self._renewing:
            if age == self._credential_age:  # else another look has done so meanwhile
                self._credential_age += 1
                await source.renew()
        return await look()


async def _tell_all(told: Iterable[tuple[Subscription, Update]]) -> None:
    """Tell waits, with room for other work of the event loop in between."""
    woken = 0
    for wait, update in told:
        woken += wait.tell(update)
        if woken >= _TOLD_AT_ONCE:
            woken = 0
            await asyncio.sleep(0)


def _rate_of(wait: Subscription) -> float:
    """Return the requests a minute that reading a run on its own takes."""
    return (120.0 if wait.with_log else 60.0) / wait.interval


def _defect(error: BaseException) -> Trouble:
    return Trouble(TroubleKind.DEFECT, f"the watcher failed: {type(error).__name__}: {error}")
