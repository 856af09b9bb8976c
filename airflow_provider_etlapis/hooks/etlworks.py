"""Etlworks Integrator: starts, follows and stops runs of flows.

A run of a flow is called an execution; its ``auditId`` names it, together with the flow's id.
Marks in docstrings: (a) the vendor's REST quickstart, (b) its other public pages, (c) not documented, assumed.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from airflow_provider_etlapis.connection_forms import ETLWORKS, ETLWORKS_RUN_KEY
from airflow_provider_etlapis.exceptions import (
    AlreadyRunningError,
    ConflictError,
    EtlApiError,
    InvalidInputError,
    NotFoundError,
    NotOfferedError,
    PermanentError,
    PermissionDeniedError,
    RemoteRunFailedError,
    RequestRefusedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks import etlworks_answers as answers
from airflow_provider_etlapis.hooks import etlworks_search as searching
from airflow_provider_etlapis.hooks.base import CancelReport
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.etlworks_answers import VENDOR, FlowAuditRecord, FlowExecutionResponse, ReportedFlow
from airflow_provider_etlapis.hooks.etlworks_api import LARGEST_PAGE, EtlworksApi
from airflow_provider_etlapis.hooks.etlworks_stop import CANCEL_NOTE, STOP_NOTE, StopEndpoint
from airflow_provider_etlapis.hooks.values import integer_id, named
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, RunRef, RunState, newest_first
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.runs.watching import LogLines
from airflow_provider_etlapis.wire.call import Call, Page
from airflow_provider_etlapis.wire.exchange import Pause

_LOOKS = 3
_PAUSE_BETWEEN_LOOKS = 2.0
_LOOKS_AFTER_STOP = 4
_PAUSE_AFTER_STOP = 1.0
_MOST_PAGES = 20
_REPORT_DAYS = 3
_VAIN_REPORTS = 3

# What a start can come to, besides 0 (started) and 1 (already running).
_ENDED_AT_ONCE = frozenset({4, 5})
_NOT_STARTED = {2: "canceled", 3: "was not running"}


class EtlworksHook(EtlworksApi):
    """Etlworks Integrator's REST API and its runs.

    The connection (type ``etlworks``): host is the address of the instance, with or without ``/rest``, empty for
    app.etlworks.com; password is an API key, or the password of the login.

    :param etlworks_conn_id: id of the Airflow connection.
    """

    conn_name_attr = "etlworks_conn_id"
    default_conn_name = "etlworks_default"
    conn_type = VENDOR
    hook_name = ETLWORKS.hook_name
    form = ETLWORKS
    capabilities = Capabilities(cancel=False, bulk=True, logs=True, finds_lost_starts=True, cancel_note=CANCEL_NOTE)

    def __init__(self, etlworks_conn_id: str = default_conn_name) -> None:
        super().__init__(etlworks_conn_id)
        self.etlworks_conn_id = etlworks_conn_id
        self._flow_ids: dict[str, str] = {}
        self._seen_canceled: set[str] = set()
        self._report_serves = True
        self._vain_reports = 0

    def abilities(self, values: ConnectionValues) -> Capabilities:
        """Return what can be done with this connection: cancelling takes its ``stop_endpoint``."""
        if not values.extras["stop_endpoint"]:
            return super().abilities(values)
        StopEndpoint.read(values)  # a setting that cannot work is told now, not when a run is to be stopped
        return replace(super().abilities(values), cancel=True, cancel_note=STOP_NOTE)

    @staticmethod
    def ref(flow_id: int | str, audit_id: int | str) -> RunRef:
        """Return the reference of a run.

        :raises InvalidInputError: if an id is no whole number.
        """
        ids = {"flow_id": str(integer_id(flow_id, "flow_id")), "audit_id": str(integer_id(audit_id, "audit_id"))}
        return RunRef(VENDOR, ids)

    @property
    def reads_in_bulk(self) -> bool:
        """Whether the daily report serves this credential; taken for granted until it has refused."""
        return self._report_serves

    # Starting

    @endpoint
    def check(self) -> Program[str]:
        """Prove the address and the credential with the cheapest read that asks for one, (a)."""
        where = f"Etlworks at {self.settings.base_url} answered"
        try:
            flows = yield from self.list_flows.plan()
        except PermissionDeniedError:
            return f"{where}: the credential is good, but may not list flows; name flows by flow_id"
        return f"{where}: {len(flows)} flows are visible"

    @endpoint
    def before_start(self, spec: Mapping[str, Any]) -> Program[Any]:
        """Return ``{"audit_id": ...}`` of the flow's latest run, so that a newer one stands out."""
        latest = yield from self._latest(spec)
        return {"audit_id": None if latest is None else answers.whole(latest.get("auditId"))}

    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start a run.

        :param spec: ``{"flow_id" or "flow_name", "parameters", "run_key_parameter"}``; the last is the name of the
            parameter that carries the marker, ``""`` for none, ``None`` for what the connection says.
        :param marker: recognises the run, where a parameter for it is named.
        """
        flow_id = yield from self._flow_id(spec)
        parameters = dict(spec["parameters"])
        if run_key := self._run_key(spec):
            if run_key in parameters:
                raise InvalidInputError(f"parameters must leave {run_key!r} to run_key_parameter")
            parameters[run_key] = marker
        try:
            answer = yield from self.run_flow.plan(flow_id, parameters)
        except ConflictError as error:  # documented for edits only, (a)
            raise AlreadyRunningError(f"flow {flow_id} is already running: {error}") from error
        return (yield from self._started(spec, flow_id, answer))

    def _started(self, spec: Mapping[str, Any], flow_id: str, answer: FlowExecutionResponse) -> Program[RemoteRun]:
        code, audit_id = answer["status"], answers.whole(answer.get("auditId"))
        told = f"the start of flow {flow_id} was answered with {answer}"
        if code == 1:
            raise AlreadyRunningError(f"flow {flow_id} is already running, nothing was started: {told}")
        if code in _NOT_STARTED:
            raise VendorUnavailableError(
                f"{told}: {_NOT_STARTED[code]}. Are executions suspended in Etlworks?", may_have_acted=False
            )
        if code != 0 and code not in _ENDED_AT_ONCE:
            raise RequestRefusedError(f"{told}, an outcome that is not known here: check in Etlworks whether it runs")
        if audit_id is None:
            if code == 5:
                raise RemoteRunFailedError(f"{told}: the run ended in an error")
            raise VendorUnavailableError(f"{told}, without the auditId that names the run")
        ref = replace(self.ref(flow_id, audit_id), since=time.time())
        if code in _ENDED_AT_ONCE:
            return (yield from self.read_run.plan(ref))
        name = spec.get("flow_name") or f"flow {flow_id}"
        return RemoteRun(ref, RunState.QUEUED, "started", name)

    @endpoint
    def find_running(self, spec: Mapping[str, Any]) -> Program[RemoteRun | None]:
        """Return the run because of which a start was refused, ``None`` if there is none any more.

        A run that is called ``canceled`` may still be stopping, so it counts as one that is in the way, (b).
        """
        latest = yield from self._latest(spec)
        audit_id = None if latest is None else answers.whole(latest.get("auditId"))
        if latest is None or audit_id is None:
            return None
        run = answers.run_of(latest, self.ref((yield from self._flow_id(spec)), audit_id))
        if run.state is RunState.CANCELLED:
            return replace(run, state=RunState.RUNNING)
        return None if run.state.is_terminal else run

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Look for the run of a start call that got no answer, a few times: a record may be late, (c).

        Known by its key where one was sent and the record or the log shows it, (c). Otherwise by the rule that a
        flow runs once at a time, (b): a single run that is newer than what was there before the call, and that no
        schedule started, is ours.
        """
        flow_id = yield from self._flow_id(spec)
        search = searching.StartSearch(intent, self._run_key(spec))
        for look in range(_LOOKS):
            if look:
                yield Pause(_PAUSE_BETWEEN_LOOKS)
            records = yield from self._recent(spec, flow_id)
            search.take(records)
            for audit_id in search.to_be_read():
                search.take_log(audit_id, (yield from self._log_or_nothing(flow_id, audit_id)))
            if search.is_settled:
                break
        return search.result(f"runs of flow {flow_id}", lambda row: answers.run_of(row, self._ref_of(flow_id, row)))

    # Following

    @endpoint
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Return a run. One that was ever seen as canceled stays so: the word may change when it has stopped, (b).

        :raises NotFoundError: also if the vendor answers with another run.
        """
        flow_id, audit_id = ref.ids["flow_id"], ref.ids["audit_id"]
        row = yield from self.get_execution.plan(flow_id, audit_id)
        told, parent = answers.whole(row.get("auditId")), answers.whole(row.get("parentAuditId"))
        if told is not None and int(audit_id) not in (told, parent):
            raise NotFoundError(f"asked for run {audit_id} of flow {flow_id}, the vendor answered with run {told}")
        run = answers.run_of(row, ref)
        if run.state is RunState.CANCELLED:
            self._seen_canceled.add(ref.run_id)
        elif run.state.is_terminal and ref.run_id in self._seen_canceled:
            return replace(run, state=RunState.CANCELLED)
        return run

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

        Where that does not say when runs ended, (c), they are told by their numbers alone: the 200 on its first page,
        and the flow's latest.

        :param what: ``{"flow_id"}`` or ``{"flow_name"}``.
        """
        spec = named(what, ("flow_id",), ("flow_name",))
        flow_id = yield from self._flow_id(spec)
        rows = yield from self._history(flow_id, datetime.fromtimestamp(since, UTC))
        if rows and not any(answers.ended_of(row) for row in rows) and (latest := (yield from self._latest(spec))):
            rows.append(latest)
        return [answers.run_of(row, self._ref_of(flow_id, row)) for row in rows if answers.whole(row.get("auditId"))]

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        """Return the newest runs of a flow, by its history; of all flows, by the daily reports of three days.

        :param of: ``{"flow_id"}`` or ``{"flow_name"}``.
        :raises NotOfferedError: for all flows, if the credential may not read the report.
        """
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
        # The order of a history is not documented (c); the numbers of runs rise.
        newest = [answers.run_of(rows[number], self.ref(flow_id, number)) for number in sorted(rows, reverse=True)]
        return newest[:limit]

    def _reported_last(self, limit: int) -> Program[list[RemoteRun]]:
        found: dict[str, RemoteRun] = {}
        try:
            for days_back in range(_REPORT_DAYS):
                report = yield from self.get_executions_report.plan(days_back=days_back)
                for flow in report:
                    for row in flow["executions"]:
                        ref = self.ref(row.get("flowId", flow["flowId"]), row["auditId"])
                        found[ref.run_id] = answers.run_of(cast("Mapping[str, Any]", row), ref, flow.get("name", ""))
                if len(found) >= limit:
                    break
        except PermanentError as error:
            raise NotOfferedError(
                "the runs of all flows are in the daily report, which is for administrators: name a flow by flow_id "
                f"or flow_name, and its history is read ({error})"
            ) from error
        return newest_first(sorted(found.values(), key=lambda run: -int(run.ref.ids["audit_id"])), limit)

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        """Return the runs that the daily report calls going on.

        What it calls ended, or does not name, is left to a read of its own. A credential that may not read the
        report is found out by asking once; so is a report that does not name runs until they have ended, (c).
        """
        if not self.values.extras["daily_report"]:
            self._report_serves = False
            return {}
        wanted = {ref.run_id: ref for ref in refs}
        named: dict[str, RemoteRun] = {}
        try:
            for days_back in range(_days_back(refs) + 1):
                report = yield from self.get_executions_report.plan(days_back=days_back)
                named |= _named_in(report, wanted)
                if len(named) == len(wanted):
                    break
        except PermanentError as error:
            self._report_serves = False
            self.log.info("The daily report is not for this credential; runs are read singly: %s", error)
            return {}
        except VendorUnavailableError:
            self._note_report(is_vain=True)
            raise
        self._note_report(is_vain=not named)
        self._seen_canceled |= {run_id for run_id, run in named.items() if run.state is RunState.CANCELLED}
        return {run_id: run for run_id, run in named.items() if not run.state.is_terminal}

    def _note_report(self, *, is_vain: bool) -> None:
        self._vain_reports = self._vain_reports + 1 if is_vain else 0
        if self._vain_reports >= _VAIN_REPORTS:
            self._report_serves = False
            self.log.info("The daily report is of no help for the runs that are watched; they are read singly")

    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        """Return the log's lines after the first ``cursor`` ones; the vendor sends the whole log each time, (b)."""
        text = yield from self.download_log.plan(ref.ids["flow_id"], ref.ids["audit_id"])
        lines = text.splitlines()
        return LogLines(tuple(lines[int(cursor or 0) :]), len(lines))

    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        """Return the last lines of the run's log."""
        text = yield from self.download_log.plan(ref.ids["flow_id"], ref.ids["audit_id"])
        return tuple(text.splitlines()[-lines:])

    # Stopping

    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        """Ask to stop a run through the connection's ``stop_endpoint``, and say what it came to within seconds.

        ``canceled`` means that the stop was asked for; ``error``, or ``success`` of a streaming flow, that it has
        stopped, (b). Whichever comes, the run is never a success for us.
        """
        if not self.capabilities.cancel:
            return CancelReport(False, f"run {ref.run_id} goes on. {self.capabilities.cancel_note}")
        run = yield from self.read_run.plan(ref)
        if run.state.is_terminal:
            return CancelReport(False, f"run {ref.run_id} had ended already: {run.vendor_status}")
        stop = StopEndpoint.read(self.values)
        yield from stop.plan(ref)
        self._seen_canceled.add(ref.run_id)
        try:
            for _ in range(_LOOKS_AFTER_STOP):
                run = yield from self.read_run.plan(ref)
                if run.state.is_terminal and answers.state_of(run.vendor_status) is not RunState.CANCELLED:
                    return CancelReport(True, f"asked to stop run {ref.run_id}; it has stopped: {run.vendor_status}")
                yield Pause(_PAUSE_AFTER_STOP)
        except EtlApiError as error:
            return CancelReport(True, f"asked to stop run {ref.run_id}; what it is now could not be read: {error}")
        return CancelReport(True, f"asked to stop run {ref.run_id}, which is {run.vendor_status}. {STOP_NOTE}")

    # How it does it

    def _run_key(self, spec: Mapping[str, Any]) -> str:
        wanted = spec.get("run_key_parameter")
        if wanted is None:
            wanted = self.values.extras["run_key_parameter"] or ""
        return ETLWORKS_RUN_KEY if str(wanted).lower() == "true" else str(wanted)

    def _flow_id(self, spec: Mapping[str, Any]) -> Program[str]:
        if "flow_id" in spec:
            return str(spec["flow_id"])
        name = spec["flow_name"]
        if name not in self._flow_ids:
            self._flow_ids[name] = str((yield from self.find_flow.plan(name))["id"])
        return self._flow_ids[name]

    def _ref_of(self, flow_id: str, row: Mapping[str, Any]) -> RunRef:
        return self.ref(flow_id, answers.whole(row.get("auditId")) or 0)

    def _latest(self, spec: Mapping[str, Any]) -> Program[FlowAuditRecord | None]:
        try:
            return (yield from self.get_execution.plan((yield from self._flow_id(spec))))
        except NotFoundError:  # a flow that has never run, or none at all: the start tells
            return None

    def _recent(self, spec: Mapping[str, Any], flow_id: str) -> Program[list[Mapping[str, Any]]]:
        """Return what is known of the flow's last runs, the present one first."""
        latest = yield from self._latest(spec)
        rows: list[Mapping[str, Any]] = [] if latest is None else [latest]
        try:
            page = yield self.iter_history.first(flow_id, LARGEST_PAGE)
        except PermanentError as error:
            self.log.info("The history of flow %s could not be read: %s", flow_id, error)
        else:
            rows += page.items
        return [row for row in rows if answers.whole(row.get("auditId")) is not None]

    def _history(self, flow_id: str, since: datetime) -> Program[list[FlowAuditRecord]]:
        rows: list[FlowAuditRecord] = []
        call = self.iter_history.first(flow_id, LARGEST_PAGE)
        for _ in range(_MOST_PAGES):
            page = yield call
            rows += page.items
            tells_ends = any(answers.ended_of(row) for row in page.items)
            if page.following is None or not tells_ends or _goes_back_beyond(page.items, since):
                break  # a whole page that does not tell: the others will not either
            call = page.following
        return rows

    def _reported(self, flow_id: str, since: datetime) -> Program[list[Mapping[str, Any]]]:
        rows: list[Mapping[str, Any]] = []
        try:
            for days_back in range(min((datetime.now(UTC) - since).days + 2, _REPORT_DAYS)):
                report = yield from self.get_executions_report.plan(days_back=days_back)
                rows += [row for flow in report if str(flow.get("flowId")) == flow_id for row in flow["executions"]]
        except PermanentError as error:
            raise RequestRefusedError(
                f"the history of flow {flow_id} does not tell when runs ended, and the daily report, which does, is "
                f"for administrators: wait for single runs with EtlworksFlowExecutionSensor ({error})"
            ) from error
        return rows

    def _log_or_nothing(self, flow_id: str, audit_id: int) -> Program[str]:
        try:
            return (yield from self.download_log.plan(flow_id, audit_id))
        except EtlApiError as error:
            self.log.info("The log of run %s of flow %s could not be read: %s", audit_id, flow_id, error)
            return ""


def _days_back(refs: Iterable[RunRef]) -> int:
    """Return how many days before today the report must be asked for; the account's zone may be behind ours."""
    now = time.time()
    oldest = min((ref.since or now for ref in refs), default=now)
    return min(int((now - oldest) // 86_400) + 1, _REPORT_DAYS - 1)


def _named_in(report: Iterable[ReportedFlow], wanted: Mapping[str, RunRef]) -> dict[str, RemoteRun]:
    named: dict[str, RemoteRun] = {}
    for flow in report:
        for row in flow["executions"]:
            run_id = f"{row.get('flowId', flow.get('flowId'))}/{row.get('auditId')}"
            if run_id in wanted and isinstance(row.get("status"), str):
                named[run_id] = answers.run_of(cast("Mapping[str, Any]", row), wanted[run_id], flow.get("name", ""))
    return named


def _goes_back_beyond(rows: Collection[Mapping[str, Any]], since: datetime) -> bool:
    """Say whether a page is in order, the newest first, and has come to runs that ended before a moment."""
    ends = [ended for row in rows if (ended := answers.ended_of(row)) is not None]
    return bool(ends) and ends == sorted(ends, reverse=True) and ends[-1] < since
