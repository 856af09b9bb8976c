"""The runs that a sandbox holds: each with its script, all of them in the order of their start."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from airflow_provider_etlapis.sandbox.lives import Change, Life, Timeline, latest, timeline


@dataclass
class Run:
    """One run of the vendor.

    :param id: the vendor's id of it
    :param flow: the vendor's name of what was run
    :param life: its script, steps resolved
    :param started_at: unix seconds, sandbox clock
    :param request: what it was started with (parameters, a comment, ...), in the vendor's own words
    :param seeded: started by somebody else than the client under test
    :param details: whatever else the vendor's module wants to remember
    """

    id: str
    flow: str
    life: Life
    started_at: float
    request: Mapping[str, Any] = field(default_factory=dict)
    seeded: bool = False
    details: dict[str, Any] = field(default_factory=dict)
    cancelled_at: float | None = None
    cancel_stops_work: bool = True

    @cached_property
    def timeline(self) -> Timeline:
        """Everything that happens to it and its steps."""
        return timeline(
            self.life,
            self.started_at,
            cancelled_at=self.cancelled_at,
            cancel_stops_work=self.cancel_stops_work,
        )

    def current(self, now: float) -> Change:
        """Return the phase that holds now, and since when."""
        return latest(self.timeline.run, now)

    def is_live(self, now: float) -> bool:
        """Whether the vendor says that it is queued or running."""
        return self.current(now).phase in ("queued", "running")

    def cancel(self, now: float, *, stops_work: bool) -> None:
        """Mark it cancelled; a second cancel of a cancelled run changes nothing."""
        if self.current(now).phase == "canceled":
            return
        self.cancelled_at, self.cancel_stops_work = now, stops_work
        self.__dict__.pop("timeline", None)


class RunTable:
    """All runs by id and by start; not thread-safe, its sandbox guards it."""

    def __init__(self) -> None:
        self._by_id: dict[str, Run] = {}
        self._order: list[tuple[float, int, Run]] = []

    def add(self, run: Run) -> None:
        """Add a run; one that started earlier than others takes its place among them."""
        if run.id in self._by_id:
            raise ValueError(f"there is a run {run.id} already")
        self._by_id[run.id] = run
        insort(self._order, (run.started_at, len(self._by_id), run), key=lambda entry: entry[:2])

    def get(self, run_id: str) -> Run | None:
        """Return the run with this id, or ``None``."""
        return self._by_id.get(run_id)

    def newest_first(self, offset: int = 0, limit: int | None = None) -> list[Run]:
        """Return a page of the runs, the last started first."""
        stop = len(self._order) - offset
        start = 0 if limit is None else max(stop - limit, 0)
        return [run for _, _, run in reversed(self._order[start : max(stop, 0)])]

    def __getitem__(self, run_id: str) -> Run:
        return self._by_id[run_id]

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._by_id

    def __iter__(self) -> Iterator[Run]:
        return (run for _, _, run in list(self._order))

    def __len__(self) -> int:
        return len(self._order)
