"""Tells the run of an unanswered start call from other runs of the same flow. Does no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_etlapis.hooks import etlworks_answers as answers
from airflow_provider_etlapis.runs.evidence import Evidence as Sighting
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import RemoteRun
from airflow_provider_etlapis.runs.resume import Intent

# Runs may be this much older than our call, by the vendor's clock.
_CLOCK_SKEW = timedelta(minutes=5)
_MOST_LOGS = 5


class StartSearch:
    """Collects the runs of a flow that may be ours.

    :param intent: of the start call; its watermark is ``{"audit_id": ...}`` of the flow's latest run before it.
    :param run_key: name of the parameter that carried the marker, empty if none did.
    """

    def __init__(self, intent: Intent, run_key: str) -> None:
        self._marker = intent.marker if run_key else ""
        self._run_key = run_key
        self._since = datetime.fromtimestamp(intent.at, UTC) - _CLOCK_SKEW
        watermark = intent.watermark
        self._knows_before = isinstance(watermark, Mapping) and "audit_id" in watermark
        self._before: int | None = watermark["audit_id"] if self._knows_before else None
        self._rows: dict[int, Mapping[str, Any]] = {}
        self._ours: set[int] = set()
        self._others: set[int] = set()

    def take(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take in records that have an ``auditId``, the flow's latest run first."""
        for number, row in enumerate(records):
            audit_id = answers.whole(row.get("auditId"))
            if audit_id is None or not self._may_be_ours(row, audit_id, is_latest=number == 0):
                continue
            self._rows[audit_id] = row
            self._judge(audit_id, json.dumps(row, ensure_ascii=False, default=str))

    def to_be_read(self) -> list[int]:
        """Return the runs whose logs may show the key."""
        if not self._marker or self._ours:
            return []
        return sorted(self._rows.keys() - self._others, reverse=True)[:_MOST_LOGS]

    def take_log(self, audit_id: int, text: str) -> None:
        """Take in the log of a run."""
        self._judge(audit_id, text)

    @property
    def is_settled(self) -> bool:
        """Whether looking again could not tell more."""
        return bool(self._ours) or self._is_alone

    @property
    def _is_alone(self) -> bool:
        """Whether one run has come since the call: a flow runs once at a time, so it is ours."""
        return self._knows_before and len(self._unclear) == 1

    @property
    def _unclear(self) -> list[int]:
        return [audit_id for audit_id in self._rows if audit_id not in self._others]

    def result(self, what: str, run_of: Callable[[Mapping[str, Any]], RemoteRun]) -> Search:
        """Return what the search came to.

        :param what: what was looked through, in words.
        :param run_of: makes a run of a record.
        """
        looked_for = f"{what} since {self._since:%Y-%m-%d %H:%M:%S} UTC"
        if self._before is not None:
            looked_for += f" other than run {self._before}, the latest before the call"
        if self._marker:
            looked_for += f", with {self._run_key} = {self._marker!r} in the record or the log"
        wanted = sorted(self._ours or self._unclear, reverse=True)
        runs = [run_of(self._rows[audit_id]) for audit_id in wanted]
        hopeful = [run for run in runs if not run.state.is_terminal or run.state.is_good]
        if runs and (self._ours or self._is_alone):
            return Search(Sighting.FOUND, looked_for, tuple(hopeful or runs))
        if len(hopeful) < len(runs):
            # Whether a run that ended badly was ours does not matter: the next step is to start again either way.
            looked_for += ", leaving out those that ended badly"
        return Search(Sighting.UNSURE if hopeful else Sighting.ABSENT, looked_for, tuple(hopeful))

    def _may_be_ours(self, row: Mapping[str, Any], audit_id: int, *, is_latest: bool) -> bool:
        if audit_id == self._before or row.get("eventId") or row.get("eventName"):
            return False  # was there before, or was started by a schedule
        started = answers.started_of(row)
        if started is not None:
            return started >= self._since
        # Without times, the order of the ids must do, (c); without that, only the latest can be told.
        return audit_id > self._before if self._before is not None else is_latest or self._knows_before

    def _judge(self, audit_id: int, text: str) -> None:
        if not self._marker or not text:
            return
        if self._marker in text:
            self._ours.add(audit_id)
        elif self._run_key in text:
            self._others.add(audit_id)  # it shows a key, and not ours
