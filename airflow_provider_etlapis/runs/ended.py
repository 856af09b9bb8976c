"""Decides which ends of runs are news: each is told once, across restarts, in whatever order a vendor shows runs.

Pure: the clock is an argument. What must not be relaxed: a run counts as told by its id, never by its time alone,
because vendors write whole seconds, show runs late, and have clocks of their own.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, Trouble, TroubleKind

OVERLAP = 300.0
"""Seconds by which a vendor's clock may be behind ours, or by which it may show an end late."""
FIRST_LOOK = 86_400.0
"""How far back, in seconds, the first look goes, to find what is still going on."""
LONGEST_RUN = 7 * 86_400.0
"""Seconds after which a run that has not ended is not followed any more."""
LONGEST_BACKOFF = 300.0
SPACING = 3.0
"""Seconds between two events of a thing: some turns of Airflow's scheduler."""
LONGEST_SPREAD = 60.0
"""Seconds by which an event may be late for the sake of the spacing; of more at once, several go together."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the ends of a thing's runs have been told: plain JSON in Airflow's store, so that a restart goes on.

    :param since: seconds since the epoch; what ended before is not looked at any more.
    :param told: runs that have ended since, with their end (seconds since the epoch).
    :param going: runs that were seen and had not ended. Their ends are told however old they are by then, and also
        where the vendor's list does not reach back to them any more.
    """

    since: float
    told: Mapping[str, float] = field(default_factory=dict)
    going: Mapping[str, RunRef] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON: ``{"since": 1795348800.0, "told": {id: end}, "going": [reference, ...]}``."""
        return {
            "since": self.since,
            "told": dict(self.told),
            "going": [ref.to_json() for ref in self.going.values()],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Mark:
        """Read what :meth:`to_json` wrote.

        :raises ValueError: if it is something else.
        """
        try:
            going = [RunRef.from_json(ref) for ref in value["going"]]
            told = {str(run_id): float(end) for run_id, end in value["told"].items()}
            return cls(float(value["since"]), told, {ref.run_id: ref for ref in going})
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not a position of this trigger: {value!r}") from error

    def is_news_to(self, other: Mark | None) -> bool:
        """Say whether a store that holds ``other`` should get this one: something was told, begun or much later."""
        if other is None or self.going.keys() != other.going.keys():
            return True
        return bool(self.told.keys() - other.told.keys()) or self.since - other.since > OVERLAP


@dataclass(frozen=True, slots=True)
class News:
    """What a look came to.

    :param mark: how far the ends have been told once these are.
    :param runs: those to be told now, the earliest end first.
    :param left: how many are left for a later look.
    """

    mark: Mark
    runs: Sequence[RemoteRun]
    left: int


def newly_ended(
    mark: Mark | None,
    runs: Iterable[RemoteRun],
    at: float,
    *,
    gone: Collection[str] = (),
    wanted: Callable[[RemoteRun], bool] = lambda run: True,
    share: Callable[[int], int] = lambda count: count,
) -> News:
    """Return the runs whose end has not been told yet.

    Without a mark this is the first look: all that has ended by now counts as told.

    :param runs: what the vendor shows of the thing, ended or not.
    :param at: seconds since the epoch when the vendor was asked.
    :param gone: ids of runs that the vendor does not know any more.
    :param wanted: whether the end of a run is to be told at all.
    :param share: how many of so many are told now.
    """
    before = mark or Mark(at - OVERLAP)
    followed = {run_id: ref for run_id, ref in before.going.items() if run_id not in gone}
    going = {run_id: ref for run_id, ref in followed.items() if (ref.since or at) > at - LONGEST_RUN}
    ended: dict[str, RemoteRun] = {}
    for run in runs:
        if run.state.is_terminal:
            ended[run.ref.run_id] = run
        else:
            began = run.ref.since or (run.started.timestamp() if run.started else at)
            if began > at - LONGEST_RUN:
                going.setdefault(run.ref.run_id, replace(run.ref, since=began))
    new = [
        run
        for run_id, run in ended.items()
        if run_id not in before.told and (run_id in going or _end(run, at) >= before.since)
    ]
    news = sorted((run for run in new if mark is not None and wanted(run)), key=lambda run: _end(run, at))
    many = share(len(news))
    now, later = news[:many], news[many:]
    left = {run.ref.run_id for run in later}
    since = min([max(before.since, at - OVERLAP), *(_end(run, at) for run in later)])
    told = {run_id: end for run_id, end in before.told.items() if end >= since}
    # Kept for as long as it is shown, where its end is not known: it must not become news again.
    told |= {run_id: at for run_id in before.told.keys() & ended.keys() if not ended[run_id].ended}
    told |= {run.ref.run_id: _end(run, at) if run.ended else at for run in new if run.ref.run_id not in left}
    going = {run_id: ref for run_id, ref in going.items() if run_id not in ended or run_id in left}
    return News(Mark(since, told, going), now, len(later))


def _end(run: RemoteRun, at: float) -> float:
    """Return a bound of when a run ended: what the vendor tells, or else when it was seen."""
    moment = run.ended or run.started
    return moment.timestamp() if moment else at


class Spread:
    """Spreads the ends that one look finds, so that Airflow makes a DAG run for each.

    Events at one moment make one DAG run for all; and one that comes while that run is being made waits there for
    the next event. So the last one of many always stands alone.
    """

    def __init__(self) -> None:
        self._free_at = float("-inf")

    def share(self, count: int, now: float) -> int:
        """Return how many of so many are told now.

        :param now: seconds by a clock that only goes forward.
        """
        if now < self._free_at or not count:
            return 0
        self._free_at = now + SPACING
        return max(1, min(count - 1, math.ceil(count * SPACING / LONGEST_SPREAD)))

    def wait(self, now: float) -> float:
        """Return seconds until more are told."""
        return max(0.0, self._free_at - now)


class Pace:
    """When something is looked at next, and what is said of trouble: each kind once, and the recovery once.

    :param what: in words for a log.
    :param interval: seconds between two looks; spread by a tenth, doubled with each failure up to five minutes.
    :param draw: a number in [0, 1), for the jitter.
    """

    def __init__(self, what: str, interval: float, draw: Callable[[], float] = random.random) -> None:
        self.due = float("-inf")
        self.interval = interval
        self._what = what
        self._draw = draw
        self._failures = 0
        self._failing_since: float | None = None
        self._told: set[TroubleKind] = set()

    def on_answer(self, now: float) -> str | None:
        """Take in a look that went well; return a line for the log after trouble.

        :param now: seconds by a clock that only goes forward.
        """
        self.due = now + self.interval * (0.95 + 0.1 * self._draw())
        if self._failing_since is None:
            return None
        line = f"{self._what} can be asked again, after {now - self._failing_since:.0f} s"
        self._failing_since, self._failures = None, 0
        self._told.clear()
        return line

    def on_trouble(self, trouble: Trouble, now: float) -> str | None:
        """Take in a look that failed; return a line for the log the first time.

        :param now: seconds by a clock that only goes forward.
        """
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = now
        longest = max(self.interval, LONGEST_BACKOFF)
        # At least a second of backoff, however short the interval.
        backoff = min(longest, max(self.interval, 1.0) * 2.0 ** min(self._failures - 1, 20))
        self.due = now + backoff * (0.5 + 0.5 * self._draw())
        if trouble.kind in self._told:
            return None
        self._told.add(trouble.kind)
        return f"{self._what} could not be asked, trying again (less and less often): {trouble.message}"
