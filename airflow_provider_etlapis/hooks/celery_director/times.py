"""The times in Celery Director's answers, which come from its database's clock and may lack an offset.

PostgreSQL sends an offset. Without one, a time is UTC on SQLite and the server's local time on MySQL, and no answer
says which. What must not be relaxed: such a time alone never shows that a run is too old to be ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_etlapis.hooks import values
from airflow_provider_etlapis.runs.evidence import CLOCK_SKEW, began_before

_OFFSET = re.compile(r"(Z|[+-]\d\d:?\d\d)\s*$", re.IGNORECASE)
_WESTERNMOST, _EASTERNMOST = -12 * 3600.0, 14 * 3600.0
"""Offsets of the world's zones, in seconds."""
_QUARTER = 900.0
"""Zones lie whole quarters of an hour from UTC."""
DATABASE_SKEW = 60.0
"""Seconds by which the database's clock may differ from that of the web server, which sends the ``Date``."""


def is_naive(text: str) -> bool:
    """Say whether a time lacks an offset, so that its zone is the server's."""
    return _OFFSET.search(text) is None


def surely_before(created: str, at: float, clock_ahead: float | None) -> bool:
    """Say whether a run was surely created before a moment, whatever the zone of a time without an offset.

    :param created: the row's time.
    :param at: seconds since the epoch, by our clock.
    :param clock_ahead: seconds by which the server's clock is ahead of ours, ``None`` if unknown.
    """
    moment = values.moment(created)
    if moment is None:
        return False
    latest = moment.timestamp() - (_WESTERNMOST if is_naive(created) else 0.0)
    return began_before(latest, at - DATABASE_SKEW, clock_ahead)


@dataclass(frozen=True, slots=True)
class DatabaseZone:
    """The zone of the server's times that lack an offset: UTC until a row shows another one.

    :param offset: seconds ahead of UTC.
    """

    offset: float = 0.0

    def moment(self, text: str) -> datetime | None:
        """Return a time of an answer in UTC, ``None`` if it is none."""
        moment = values.moment(text)
        if moment is None or not self.offset or not is_naive(text):
            return moment
        return moment - timedelta(seconds=self.offset)

    @classmethod
    def by_row(cls, created: str, at: float) -> DatabaseZone:
        """Return the zone by a row and the moment at which it was created, in seconds since the epoch."""
        return cls().learned(created, at, at)

    def learned(self, created: str, earliest: float, latest: float) -> DatabaseZone:
        """Return the zone as a row shows it of which it is known when it was created.

        :param created: the row's time.
        :param earliest: seconds since the epoch before which it was surely not created, by the server's clock.
        :param latest: seconds since the epoch by which it was.
        """
        moment = values.moment(created)
        if moment is None or not is_naive(created):
            return self
        low = moment.timestamp() - latest - CLOCK_SKEW
        high = moment.timestamp() - earliest + CLOCK_SKEW
        first = -(-max(low, _WESTERNMOST) // _QUARTER) * _QUARTER
        if first > min(high, _EASTERNMOST) or first + _QUARTER <= high or first == self.offset:
            return self  # no zone fits, or more than one
        return DatabaseZone(first)
