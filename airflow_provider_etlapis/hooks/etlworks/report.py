"""Etlworks' daily report, which shows many runs in one request: when it is worth asking for, and what it shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from airflow_provider_etlapis.hooks.etlworks import answers as answers
from airflow_provider_etlapis.hooks.etlworks.shapes import ReportedFlow
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef

REPORT_DAYS = 3
"""Days back for which the report is asked for."""

ODD_ANSWERS = 3
"""Reports in a row that fail, or show none of the runs that are watched, before runs are polled one by one."""
FIRST_PAUSE = 60.0
LONGEST_PAUSE = 3600.0
"""Seconds for which the report is then not asked for; from the first, doubled each time, to the longest."""


class ReportUse:
    """Whether to ask for the daily report. A refusal or a failure never switches it off for good.

    :param monotonic: seconds of a clock that nobody sets.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._odd_in_a_row = 0
        self._pause = 0.0
        self._paused_until = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether it may be asked for now."""
        return self._monotonic() >= self._paused_until

    def note_good(self) -> None:
        """Note a report that shows runs that are watched."""
        self._odd_in_a_row, self._pause = 0, 0.0

    def note_odd(self) -> float | None:
        """Note a report that failed, or was of no use.

        :returns: seconds of the pause that begins, ``None`` while there is none.
        """
        self._odd_in_a_row += 1
        return self.note_refused() if self._odd_in_a_row >= ODD_ANSWERS else None

    def note_refused(self) -> float:
        """Note that the vendor refuses the report to this credential; a person may give it the right meanwhile.

        :returns: seconds of the pause that begins.
        """
        self._pause = min(self._pause * 2.0 or FIRST_PAUSE, LONGEST_PAUSE)
        self._paused_until = self._monotonic() + self._pause
        self._odd_in_a_row = ODD_ANSWERS - 1  # after the pause, one more is enough
        return self._pause


def days_back(refs: Iterable[RunRef]) -> int:
    """Return how many days before today the report must be asked for; the account's zone may be behind ours."""
    now = time.time()
    oldest = min((ref.since or now for ref in refs), default=now)
    return min(int((now - oldest) // 86_400) + 1, REPORT_DAYS - 1)


def runs_in(report: Iterable[ReportedFlow], wanted: Mapping[str, RunRef]) -> dict[str, RemoteRun]:
    """Return the wanted runs that a report shows, by run id."""
    found: dict[str, RemoteRun] = {}
    for flow in report:
        for row in flow["executions"]:
            run_id = f"{row.get('flowId', flow.get('flowId'))}/{row.get('auditId')}"
            if run_id in wanted and isinstance(row.get("status"), str):
                found[run_id] = answers.run_of(cast("Mapping[str, Any]", row), wanted[run_id], flow.get("name", ""))
    return found
