"""Reads Celery Director's list of runs: pages that leave no run out, and how deep reading it is worth its bytes.

Pure: given what the pages held, it says which page comes next and which runs are cheaper to read by id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_etlapis.hooks.celery_director.answers import Workflow

LARGEST_PAGE = 1000
"""Rows of a page: some 200 kB without payloads, 50 ms of the server's time."""
SMALLEST_PAGE = 100
MOST_PAGES = 50
"""Pages of a search among all runs; what lies deeper is said to be unread."""

_FRUITLESS_PAGES = 2
_REQUEST_BYTES = 20_000
"""What a request costs besides its answer: the server takes as long for one run by id as for 100 rows of the list."""
_ROW_BYTES = 200.0
_RUN_BYTES = 1_000
_FORGOTTEN_AFTER = 50
"""Looks after which the list is tried again for runs that were not on it: an answer may have been incomplete."""


@dataclass(frozen=True, slots=True)
class PageAt:
    """A page of the list, as the server counts them.

    :param per_page: rows of a page.
    :param number: from 1.
    """

    per_page: int
    number: int

    @property
    def offset(self) -> int:
        """Rows above it."""
        return (self.number - 1) * self.per_page


class ListReading:
    """Goes down the list so that each run comes once, and none is left out.

    Runs of one second have no order of their own (on MySQL they may change places between two requests), and new
    runs push the others down. So each page begins where the last second of the page before it began; what it
    repeats is dropped. It ends too early, and says so, where more than a quarter of a page is started between two
    pages, again and again: an answer that something in between repeats looks like that.

    :param per_page: rows of a page; more only where more runs than that began in one second.
    :param skip: rows at the top to leave out.
    """

    def __init__(self, per_page: int, skip: int = 0) -> None:
        self.page: PageAt | None = PageAt(per_page, skip // per_page + 1)
        """The page to read next, ``None`` at the end of the list."""
        self.rows_read = 0
        """Rows from the top of the list down to the last one read."""
        self.is_whole = False
        """Whether the end of the list was reached; not if its pages began to repeat."""
        self.positions: dict[str, int] = {}
        """Of the runs read, by id: how many rows lie above it."""
        self._per_page = per_page
        self._fruitless = 0

    def take(self, rows: Sequence[Workflow]) -> list[Workflow]:
        """Take in the rows of :attr:`page` and return those that are new."""
        at = self.page
        assert at is not None  # noqa: S101 whoever reads beyond the end has not looked
        new = [row for row in rows if row["id"] not in self.positions]
        self.positions.update((row["id"], at.offset + number) for number, row in enumerate(rows))
        self.rows_read = max(self.rows_read, at.offset + len(rows))
        self._fruitless = 0 if new else self._fruitless + 1
        self.is_whole = len(rows) < at.per_page
        # Something in between may answer each page alike: where nothing new comes, no more is read.
        is_end = self.is_whole or self._fruitless == _FRUITLESS_PAGES
        self.page = None if is_end else self._page_from(at.offset + _last_second(rows), at.offset + len(rows))
        return new

    def _page_from(self, first: int, end: int) -> PageAt:
        """Return a page that holds the rows from ``first`` on, and well more than those before ``end``."""
        steps = -(-first // self._per_page)
        if steps:
            per_page = first // steps
            if steps * per_page + per_page >= end + max(1, self._per_page // 4):
                return PageAt(per_page, steps + 1)
        per_page = self._per_page
        while (first // per_page + 1) * per_page < end + max(1, self._per_page // 2):
            per_page *= 2
        return PageAt(per_page, first // per_page + 1)


def _last_second(rows: Sequence[Workflow]) -> int:
    """Return the number of rows above the first one that was created when the last one was."""
    number = len(rows)
    while number and rows[number - 1]["created"] == rows[-1]["created"]:
        number -= 1
    return number


@dataclass(frozen=True, slots=True)
class ListChoice:
    """What a look at many runs reads.

    :param run_ids: runs to look for on the list; empty if all are cheaper by id.
    :param per_page: rows of a page.
    :param most_rows: rows after which reading these runs by id is cheaper.
    """

    run_ids: frozenset[str]
    per_page: int
    most_rows: int


class ListWorth:
    """Learns for which runs the list is cheaper than reading them by id, by the bytes of earlier answers.

    Rows only sink, so a run that was below some row stays below it. All is forgotten now and then, and tried again.
    """

    def __init__(self) -> None:
        self._row_bytes = _ROW_BYTES
        self._depths: dict[str, int] = {}
        self._run_bytes: dict[str, int] = {}
        self._looks = 0

    def note_rows(self, size: int, rows: int) -> None:
        """Take in the size of a page of the list in bytes."""
        if rows:
            self._row_bytes = size / rows

    def note_run(self, run_id: str, size: int) -> None:
        """Take in the size of a run that was read by id, in bytes."""
        if run_id in self._depths:
            self._run_bytes[run_id] = size

    def note_list(self, wanted: Iterable[str], reading: ListReading) -> None:
        """Take in how far the list was read, and where on it the runs were."""
        for run_id in wanted:
            found = reading.positions.get(run_id)
            self._depths[run_id] = (reading.rows_read if found is None else found) + 1

    def rows_for(self, run_ids: Iterable[str]) -> int:
        """Return the rows of the list that cost as much as reading these runs by id."""
        return int(sum(map(self._by_id, run_ids)) / self._row_bytes)

    def _by_id(self, run_id: str) -> int:
        return _REQUEST_BYTES + self._run_bytes.get(run_id, _RUN_BYTES)

    def choose(self, wanted: Collection[str]) -> ListChoice:
        """Return the runs for which to read the list; the others are cheaper by id."""
        self._looks += 1
        keeps = self._looks % _FORGOTTEN_AFTER != 0
        self._depths = {run_id: self._depths.get(run_id, 0) if keeps else 0 for run_id in wanted}
        self._run_bytes = {run_id: size for run_id, size in self._run_bytes.items() if run_id in self._depths}
        best, chosen, spared, by_id = 0.0, 0, 0.0, 0.0
        ordered = sorted(wanted, key=self._depths.__getitem__)
        for count, run_id in enumerate(ordered, 1):
            by_id += self._by_id(run_id)
            gain = by_id - self._list_bytes(self._depths[run_id])
            if gain > best:
                best, chosen, spared = gain, count, by_id
        if not chosen:
            return ListChoice(frozenset(), SMALLEST_PAGE, 0)
        deepest = self._depths[ordered[chosen - 1]]
        most = int(spared / self._row_bytes)
        # Some more than lay above the deepest of them at the last look, and room for all of them at the top.
        rows = max(deepest, chosen) * 5 // 4 + SMALLEST_PAGE // 4
        per_page = max(SMALLEST_PAGE, min(LARGEST_PAGE, rows, most))
        return ListChoice(frozenset(ordered[:chosen]), per_page, most)

    def _list_bytes(self, depth: int) -> float:
        rows = max(depth, SMALLEST_PAGE)
        return -(-rows // LARGEST_PAGE) * _REQUEST_BYTES + rows * self._row_bytes
