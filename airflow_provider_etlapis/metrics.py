"""Counters for those who operate Airflow: this provider's part of Airflow's own metrics.

Names, all with the tags ``conn_id`` and ``vendor`` (Airflow adds tags where its backend knows them):

- ``etlapis.requests``: requests sent, tries and logins included
- ``etlapis.rate_limited``: answers 429
- ``etlapis.polls``: looks of a triggerer, at many runs (one list) or at one
- ``etlapis.waits`` (gauge): runs that a triggerer waits for
- ``etlapis.budget_stretch`` (gauge): how many times longer than wished single reads are apart, 1 where the budget does
- ``etlapis.reattached``: tries that went on with the run of an earlier try
- ``etlapis.cancels``: runs that were asked to stop
"""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger(__name__)

_PREFIX = "etlapis"


class Meter:
    """Counts for one connection, in the metrics of this process.

    :param in_triggerer: Airflow has two sets of metrics since 3.2, and starts the one of its core in triggerers, the
        one of the Task SDK in workers.
    """

    def __init__(self, conn_id: str, vendor: str, *, in_triggerer: bool = False) -> None:
        self._tags = {"conn_id": conn_id, "vendor": vendor}
        self._stats = _core_stats() if in_triggerer else _task_stats()

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter."""
        try:
            self._stats.incr(f"{_PREFIX}.{name}", number, tags=self._tags)
        except Exception:
            log.debug("Could not count %s", name, exc_info=True)

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
        try:
            self._stats.gauge(f"{_PREFIX}.{name}", value, tags=self._tags)
        except Exception:
            log.debug("Could not set %s", name, exc_info=True)


def _task_stats() -> Any:
    from airflow.providers.common.compat.sdk import Stats

    return Stats


def _core_stats() -> Any:
    try:
        from airflow.observability.stats import Stats
    except ImportError:  # before Airflow 3.2, where there is one set only
        return _task_stats()
    return Stats
