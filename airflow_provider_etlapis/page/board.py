"""What the page shows: one survey for all people who have it open, and hooks that keep their sessions and logins."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.inventory.connections import hook_of, read_connection
from airflow_provider_etlapis.inventory.survey import Row, Survey, survey
from airflow_provider_etlapis.inventory.tasks import claiming_tasks, known_conn_ids
from airflow_provider_etlapis.runs.claims import ClaimingTask

FRESH_FOR = 20.0
"""Seconds for which one survey serves everybody."""
SHOWN = timedelta(hours=24)
"""How far back runs of tasks are shown."""
_NEWEST = 50
_SINGLE_READS = 20
_AT_ONCE = 16
"""Connections asked at the same time: one vendor that is away must not hold up the page for its whole patience."""
_PATIENCE = 10.0
"""Seconds that one connection may take: a person looks at the page."""


@dataclass(slots=True)
class _Open:
    """An open connection: used by one request at a time."""

    hook: RemoteRunHook
    connection: str
    lock: threading.RLock = field(default_factory=threading.RLock)


class Board:
    """The survey that everybody sees, and the vendors' hooks behind it.

    :param read_tasks: returns the task instances that have a run, since a moment.
    :param conn_ids: returns the connections to ask.
    """

    def __init__(
        self,
        read_tasks: Callable[[datetime], Sequence[ClaimingTask]] = claiming_tasks,
        conn_ids: Callable[[], Sequence[str]] = known_conn_ids,
    ) -> None:
        self._read_tasks = read_tasks
        self._conn_ids = conn_ids
        self._open: dict[str, _Open] = {}
        self._opening = threading.Lock()
        self._asking = threading.Lock()
        self._seen: Survey | None = None
        self._seen_at = 0.0
        self.asked_at = datetime.now(UTC)

    def survey(self, *, fresh: bool = False) -> Survey:
        """Return the newest survey; while one is made, all others get the one before.

        :param fresh: make a new one although the last is young.
        """
        seen = self._seen
        if seen is not None and not fresh and time.monotonic() - self._seen_at < FRESH_FOR:
            return seen
        if not self._asking.acquire(blocking=fresh or seen is None):
            assert seen is not None  # noqa: S101 as it would have waited otherwise
            return seen
        try:
            made_meanwhile = self._seen is not None and time.monotonic() - self._seen_at < 1.0
            if not made_meanwhile:
                self._seen = self._ask()
                self._seen_at = time.monotonic()
                self.asked_at = datetime.now(UTC)
            assert self._seen is not None  # noqa: S101 just made
            return self._seen
        finally:
            self._asking.release()

    def _ask(self) -> Survey:
        tasks = self._read_tasks(datetime.now(UTC) - SHOWN)
        return survey(tasks, self._conn_ids(), self.hook, newest=_NEWEST, single_reads=_SINGLE_READS, at_once=_AT_ONCE)

    def find(self, conn_id: str, run_id: str) -> Row | None:
        """Return the row of a run, ``None`` if it is not shown."""
        rows = self.survey().rows
        return next((row for row in rows if row.conn_id == conn_id and row.ref.run_id == run_id), None)

    @contextmanager
    def hook(self, conn_id: str) -> Iterator[RemoteRunHook]:
        """Give the hook of a connection for one thing to do; it stays open until the connection is changed."""
        place = self._place(conn_id)
        with place.lock, place.hook.within(_PATIENCE):
            yield place.hook

    def _place(self, conn_id: str) -> _Open:
        connection = read_connection(conn_id)
        stored: Any = connection.as_json()
        with self._opening:
            place = self._open.get(conn_id)
            if place is not None and place.connection == stored:
                return place
            made = _Open(hook_of(conn_id, connection), stored)
            made.hook.lose_patience()
            self._open[conn_id] = made
        if place is not None:
            with place.lock:
                place.hook.close()
        return made
