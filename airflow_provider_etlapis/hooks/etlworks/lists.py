"""Etlworks' runs in lists: those of a flow by its history, those of all flows and many at once by the daily report.

Marks in docstrings: (a) the vendor's REST quickstart, (b) its other public pages, (c) not documented, assumed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from airflow_provider_etlapis.exceptions import (
    NotFoundError,
    NotOfferedError,
    PermanentError,
    RateLimitedError,
    RequestRefusedError,
    UnrecognizedAnswerError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.etlworks import answers as answers
from airflow_provider_etlapis.hooks.etlworks import inputs as inputs
from airflow_provider_etlapis.hooks.etlworks.answers import VENDOR
from airflow_provider_etlapis.hooks.etlworks.api import LARGEST_PAGE, EtlworksApi
from airflow_provider_etlapis.hooks.etlworks.report import ODD_ANSWERS, REPORT_DAYS, ReportUse, days_back, runs_in
from airflow_provider_etlapis.hooks.etlworks.shapes import FlowAuditRecord
from airflow_provider_etlapis.hooks.values import named
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, newest_first
from airflow_provider_etlapis.wire.call import Call, Page

_MOST_PAGES = 20


class EtlworksLists(EtlworksApi):
    """The part of the run interface that reads lists."""

    def __init__(self, conn_id: str) -> None:
        super().__init__(conn_id)
        self._flow_ids: dict[str, str] = {}
        self._seen_canceled: set[str] = set()
        self._report = ReportUse()

    @staticmethod
    def ref(flow_id: int | str, audit_id: int | str) -> RunRef:
        """Return the reference of a run.

        :raises InvalidInputError: if an id is no whole number.
        """
        ids = {"flow_id": flow_id, "audit_id": audit_id}
        return RunRef(VENDOR, {name: str(inputs.number_id(value, name)) for name, value in ids.items()})

    @endpoint
    def read_newest(self, ref: RunRef) -> Program[RemoteRun]:
        """Return the latest run of a flow that has ended at or after ``ref.since``; a good one, if those are wanted.

        When runs ended is read from the history, or, where that does not tell, from the daily report, (c).
        """
        flow_id = yield from self._flow_id(ref.ids)
        since = datetime.fromtimestamp(ref.since or 0.0, UTC)
        rows: list[Mapping[str, Any]] = [*(yield from self._history(flow_id, since))]
        if rows and not any(answers.ended_of(row) for row in rows):
            rows = yield from self._reported(flow_id, since)
        ended = [run for row in rows if (run := answers.run_of(row, self._ref_of(flow_id, row))).state.is_terminal]
        recent = sorted((run for run in ended if run.ended and run.ended >= since), key=lambda run: run.ended or since)
        if ref.newest == "ended_well":
            recent = [run for run in recent if run.state.is_good] or recent
        if recent:
            return recent[-1]
        return RemoteRun(ref, RunState.QUEUED, f"no run ended since {since:%Y-%m-%d %H:%M:%S} UTC", f"flow {flow_id}")

    @endpoint
    def runs_of(self, what: Mapping[str, Any], since: float, shared: Any = None) -> Program[list[RemoteRun]]:
        """Return the runs of a flow, by its history.

        Where that does not show when runs ended, (c), these are the 200 on its first page, and the flow's latest.

        :param what: ``{"flow_id"}`` or ``{"flow_name"}``.
        """
        spec = named(what, ("flow_id",), ("flow_name",))
        flow_id = yield from self._flow_id(spec)
        rows = yield from self._history(flow_id, datetime.fromtimestamp(since, UTC))
        if rows and not any(answers.ended_of(row) for row in rows) and (latest := (yield from self._latest(flow_id))):
            rows.append(latest)
        return [answers.run_of(row, self._ref_of(flow_id, row)) for row in rows if answers.whole(row.get("auditId"))]

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        """Return the newest runs of a flow, by its history; of all flows, by the daily reports of three days.

        :param limit: how many at most, 1 or more.
        :param of: ``{"flow_id"}`` or ``{"flow_name"}``.
        :raises NotOfferedError: for all flows, if the credential may not read the report.
        """
        inputs.whole_number(limit, "limit", 1)
        if of is None:
            return (yield from self._reported_last(limit))
        flow_id = yield from self._flow_id(named(of, ("flow_id",), ("flow_name",)))
        rows: dict[int, Mapping[str, Any]] = {}
        call: Call[Page[FlowAuditRecord]] | None = self.iter_history.first(flow_id, LARGEST_PAGE)
        for _ in range(_MOST_PAGES):
            if call is None or len(rows) >= limit:
                break
            page: Page[FlowAuditRecord] = yield call
            rows |= {number: row for row in page.items if (number := answers.whole(row.get("auditId")))}
            call = page.following
        # The order of a history is not documented; ids rise, (c).
        newest = [answers.run_of(rows[number], self.ref(flow_id, number)) for number in sorted(rows, reverse=True)]
        return newest[:limit]

    def _reported_last(self, limit: int) -> Program[list[RemoteRun]]:
        found: dict[str, RemoteRun] = {}
        try:
            for day in range(REPORT_DAYS):
                report = yield from self.get_executions_report.plan(days_back=day)
                for flow in report:
                    for row in flow["executions"]:
                        ref = self.ref(row.get("flowId", flow["flowId"]), row["auditId"])
                        found[ref.run_id] = answers.run_of(cast("Mapping[str, Any]", row), ref, flow.get("name", ""))
                if len(found) >= limit:
                    break
        except PermanentError as error:
            if not error.by_vendor:
                raise
            raise NotOfferedError(
                "the runs of all flows are in the daily report, which is for administrators: name a flow by flow_id "
                f"or flow_name, and its history is read ({error})"
            ) from error
        return newest_first(sorted(found.values(), key=lambda run: -int(run.ref.ids["audit_id"])), limit)

    @property
    def reads_in_bulk(self) -> bool:
        """Whether to ask for the daily report now: the connection allows it, and it was not of no use just now."""
        is_wanted = self._values is None or bool(self._values.extras["daily_report"])
        return is_wanted and self._report.is_due

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        """Return the runs that the daily report shows as going on.

        What it shows as ended, or does not show, is left to a read of its own. A report that the vendor refuses to
        this credential, that fails again and again, or that shows runs only when they have ended, (c), is left alone
        for a while: a minute first, then longer, up to an hour. One odd answer changes nothing.

        :raises VendorUnavailableError: if the report could not be read, and it is not yet left alone for that.
        """
        wanted = {ref.run_id: ref for ref in refs}
        if not wanted or not self.values.extras["daily_report"]:
            return {}
        found: dict[str, RemoteRun] = {}
        try:
            for day in range(days_back(refs) + 1):
                report = yield from self.get_executions_report.plan(days_back=day)
                found |= runs_in(report, wanted)
                if len(found) == len(wanted):
                    break
        except RateLimitedError:
            raise  # says nothing about the report
        except (PermanentError, VendorUnavailableError) as error:
            return self._without_report(error)
        if found:
            self._report.note_good()
        elif (pause := self._report.note_odd()) is not None:
            self._say_paused("shows none of the watched runs", pause)
        self._seen_canceled |= {run_id for run_id, run in found.items() if run.state is RunState.CANCELLED}
        return {run_id: run for run_id, run in found.items() if not run.state.is_terminal}

    def _without_report(self, error: PermanentError | VendorUnavailableError) -> dict[str, RemoteRun]:
        if isinstance(error, PermanentError) and error.by_vendor:
            self._say_paused(f"is not for this credential ({error})", self._report.note_refused())
            return {}
        pause = self._report.note_odd()
        if pause is not None:
            self._say_paused(f"could not be read {ODD_ANSWERS} times in a row ({error})", pause)
            return {}
        if isinstance(error, VendorUnavailableError):
            raise error
        raise UnrecognizedAnswerError(str(error), status=error.status) from error  # a proxy's refusal refuses nothing

    def _say_paused(self, why: str, seconds: float) -> None:
        self.log.info(
            "The daily report %s; polling each run individually, and asking for the report again in %.0f s",
            why,
            seconds,
        )

    # How it does it

    def _flow_id(self, spec: Mapping[str, Any]) -> Program[str]:
        """Return the id of a flow that is named by ``flow_id`` or ``flow_name``."""
        if spec.get("flow_id") not in (None, ""):
            return str(inputs.number_id(spec["flow_id"], "flow_id"))
        name = inputs.flow_name_text(spec.get("flow_name"))
        if name not in self._flow_ids:
            self._flow_ids[name] = str((yield from self.find_flow.plan(name))["id"])
        return self._flow_ids[name]

    @staticmethod
    def _ref_of(flow_id: str, row: Mapping[str, Any]) -> RunRef:
        """Return the reference of a run in a list; without an id of its own where the row shows none, (c)."""
        audit_id = answers.whole(row.get("auditId"))
        ids = {"flow_id": flow_id} if audit_id is None else {"flow_id": flow_id, "audit_id": str(audit_id)}
        return RunRef(VENDOR, ids)

    def _latest(self, flow_id: str) -> Program[FlowAuditRecord | None]:
        """Return the record of a flow's present or latest run, ``None`` if the vendor says that it has never run."""
        try:
            record = yield from self.get_execution.plan(flow_id)
        except NotFoundError:  # or there is no such flow: then a start fails
            return None
        return None if record["status"] is None else record

    def _history(self, flow_id: str, since: datetime) -> Program[list[FlowAuditRecord]]:
        rows: list[FlowAuditRecord] = []
        call = self.iter_history.first(flow_id, LARGEST_PAGE)
        for _ in range(_MOST_PAGES):
            page = yield call
            rows += page.items
            shows_ends = any(answers.ended_of(row) for row in page.items)
            if page.following is None or not shows_ends or _goes_back_beyond(page.items, since):
                break  # a whole page without one: the others have none either
            call = page.following
        return rows

    def _reported(self, flow_id: str, since: datetime) -> Program[list[Mapping[str, Any]]]:
        rows: list[Mapping[str, Any]] = []
        try:
            for day in range(min((datetime.now(UTC) - since).days + 2, REPORT_DAYS)):
                report = yield from self.get_executions_report.plan(days_back=day)
                rows += [row for flow in report if str(flow.get("flowId")) == flow_id for row in flow["executions"]]
        except PermanentError as error:
            if not error.by_vendor:
                raise
            raise RequestRefusedError(
                f"the history of flow {flow_id} does not show when runs ended, and the daily report, which does, is "
                f"for administrators: wait for single runs with EtlworksFlowExecutionSensor ({error})"
            ) from error
        return rows


def _goes_back_beyond(rows: Collection[Mapping[str, Any]], since: datetime) -> bool:
    """Say whether a page is in order, the newest first, and has come to runs that ended before a moment."""
    ends = [ended for row in rows if (ended := answers.ended_of(row)) is not None]
    return bool(ends) and ends == sorted(ends, reverse=True) and ends[-1] < since
