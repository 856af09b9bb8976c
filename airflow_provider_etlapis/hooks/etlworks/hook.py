"""Etlworks Integrator: starts, follows and stops runs of flows.

A run of a flow is called an execution; its ``auditId`` names it, together with the flow's id.
Marks in docstrings: (a) the vendor's REST quickstart, (b) its other public pages, (c) not documented, assumed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_etlapis.connection_forms import ETLWORKS
from airflow_provider_etlapis.exceptions import (
    AlreadyRunningError,
    ConflictError,
    EtlApiError,
    InvalidInputError,
    NotFoundError,
    PermanentError,
    PermissionDeniedError,
    RateLimitedError,
    RemoteRunFailedError,
    RequestRefusedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.base import CancelReport
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.etlworks import answers as answers
from airflow_provider_etlapis.hooks.etlworks import inputs as inputs
from airflow_provider_etlapis.hooks.etlworks import search as searching
from airflow_provider_etlapis.hooks.etlworks.answers import VENDOR
from airflow_provider_etlapis.hooks.etlworks.api import LARGEST_PAGE
from airflow_provider_etlapis.hooks.etlworks.lists import EtlworksLists
from airflow_provider_etlapis.hooks.etlworks.shapes import FlowAuditRecord, FlowExecutionResponse
from airflow_provider_etlapis.hooks.etlworks.stop import CANCEL_NOTE, STOP_NOTE, StopEndpoint
from airflow_provider_etlapis.runs.evidence import ACTS_AFTER_ANSWER, Search
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.runs.watching import LogLines
from airflow_provider_etlapis.wire.call import Page
from airflow_provider_etlapis.wire.exchange import Pause

_LOOKS_AFTER_STOP = 4
_PAUSE_AFTER_STOP = 1.0
_MOST_PAGES_OF_A_LOOK = 5

# What a start can come to, besides 0 (started) and 1 (already running).
_ENDED_AT_ONCE = frozenset({4, 5})
_NOT_STARTED = {2: "canceled", 3: "was not running"}

_SECRET_NAMES = re.compile(r"passw|secret|token|credential|api_?key", re.IGNORECASE)


class EtlworksHook(EtlworksLists):
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
    start_proof = searching.START_PROOF

    def __init__(self, etlworks_conn_id: str = default_conn_name) -> None:
        super().__init__(etlworks_conn_id)
        self.etlworks_conn_id = etlworks_conn_id

    def abilities(self, values: ConnectionValues) -> Capabilities:
        """Return what can be done with this connection: cancelling takes its ``stop_endpoint``."""
        if not values.extras["stop_endpoint"]:
            return super().abilities(values)
        StopEndpoint.read(values)  # a setting that cannot work fails now, not when a run is to be stopped
        return replace(super().abilities(values), cancel=True, cancel_note=STOP_NOTE)

    # Starting

    @endpoint
    def check(self) -> Program[str]:
        """Prove the address and the credential with the cheapest read that asks for one, (a)."""
        where = f"Etlworks at {self.settings.base_url} answered"
        try:
            flows = yield from self.list_flows.plan()
        except PermissionDeniedError as error:
            if not error.by_vendor:
                raise
            return f"{where}: the credential is good, but may not list flows; name flows by flow_id"
        return f"{where}: {len(flows)} flows are visible"

    @endpoint
    def before_start(self, spec: Mapping[str, Any]) -> Program[Any]:
        """Return ``{"audit_id": ...}`` of the flow's latest run, so that a newer one stands out.

        ``None`` in it says that the flow has never run; ``{}``, that its latest run shows no id.
        """
        latest = yield from self._latest((yield from self._flow_id(spec)))
        audit_id = None if latest is None else answers.whole(latest.get("auditId"))
        return {} if latest is not None and audit_id is None else {"audit_id": audit_id}

    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start a run.

        :param spec: ``{"flow_id" or "flow_name", "parameters", "run_key_parameter"}``; the last is the name of the
            parameter that carries the marker, ``""`` for none, ``None`` for what the connection says.
        :param marker: recognises the run, where a parameter for it is named.
        :raises AlreadyRunningError: if the flow runs already.
        :raises VendorUnavailableError: if it is unknown whether it was started; or, without ``may_have_acted``, if the
            vendor says that it starts nothing for now.
        """
        flow_id = yield from self._flow_id(spec)
        parameters = self._sent(spec, marker).parameters
        for name, value in parameters.items():
            if _SECRET_NAMES.search(name):
                self.channel.redact.add(value)  # the vendor may quote it
        try:
            answer = yield from self.run_flow.plan(flow_id, parameters)
        except ConflictError as error:  # documented for edits only, (a)
            raise AlreadyRunningError(f"flow {flow_id} is already running: {error}") from error
        except RateLimitedError:
            raise
        except (RequestRefusedError, VendorUnavailableError) as error:
            # A 500 may come from anywhere within the start; a 503 of the vendor's own is given before it, (c).
            if not error.by_vendor or error.status == 500 or not answers.says_nothing_began(str(error)):
                raise
            raise VendorUnavailableError(
                f"Etlworks starts no run of flow {flow_id} for now; a retry may succeed later: {error}",
                may_have_acted=False,
                status=error.status,
                retry_after=error.retry_after,
            ) from error
        return (yield from self._started(spec, flow_id, answer))

    def _started(self, spec: Mapping[str, Any], flow_id: str, answer: FlowExecutionResponse) -> Program[RemoteRun]:
        code, audit_id = answer["status"], answers.whole(answer.get("auditId"))
        answered = (
            f"the start of flow {flow_id} was answered with {answers.quoted(answer, self.channel.redact.excerpt)}"
        )
        if code == 1:
            raise AlreadyRunningError(f"flow {flow_id} is already running: {answered}")
        if code in _NOT_STARTED:
            raise VendorUnavailableError(
                f"{answered}: {_NOT_STARTED[code]}. Are executions suspended in Etlworks?", may_have_acted=False
            )
        if code != 0 and code not in _ENDED_AT_ONCE:
            unknown = RequestRefusedError(f"{answered}, which is not documented: check in Etlworks whether it runs")
            unknown.may_have_acted, unknown.acts_for = True, ACTS_AFTER_ANSWER
            raise unknown
        if audit_id is None:
            if code == 5:
                raise RemoteRunFailedError(f"{answered}: the run ended in an error")
            raise VendorUnavailableError(f"{answered}, without the auditId that names the run")
        ref = replace(self.ref(flow_id, audit_id), since=time.time())
        if code in _ENDED_AT_ONCE:
            return (yield from self.read_run.plan(ref))
        name = spec.get("flow_name") or f"flow {flow_id}"
        return RemoteRun(ref, RunState.QUEUED, "started", str(name))

    @endpoint
    def find_running(self, spec: Mapping[str, Any]) -> Program[RemoteRun | None]:
        """Return the run because of which a start was refused, ``None`` if there is none any more.

        A run that is called ``canceled`` may still be stopping, so it counts as one that is in the way, (b). Where the
        flow's record shows no ``auditId``, the run is whatever the flow runs now.
        """
        flow_id = yield from self._flow_id(spec)
        latest = yield from self._latest(flow_id)
        if latest is None:
            return None
        run = answers.run_of(latest, self._ref_of(flow_id, latest))
        if run.state is RunState.CANCELLED:
            return replace(run, state=RunState.RUNNING)
        return None if run.state.is_terminal else run

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Look once for the run of a start call that got no answer; :attr:`start_proof` says what proves it.

        Read are the flow's present record, its history, and, where a run key was sent, the logs of its newest runs.
        """
        flow_id = yield from self._flow_id(spec)
        latest = yield from self._latest(flow_id)
        search = searching.StartSearch(flow_id, intent, self._sent(spec, intent.marker), self.clock_ahead)
        search.take_latest(latest)
        if not search.is_shown:
            yield from self._take_history(search, flow_id)
        for audit_id in search.logs_wanted():
            if search.is_shown:
                break
            search.take_log(audit_id, (yield from self._log_or_nothing(flow_id, audit_id)))
        return search.result()

    def _take_history(self, search: searching.StartSearch, flow_id: str) -> Program[None]:
        call = self.iter_history.first(flow_id, LARGEST_PAGE)
        for number in range(_MOST_PAGES_OF_A_LOOK):
            try:
                page: Page[FlowAuditRecord] = yield call
            except PermanentError as error:
                search.history_failed(str(error), is_unknown=isinstance(error, NotFoundError))
                return
            is_enough = search.take_page(page.items, is_first=number == 0, is_last=page.following is None)
            if is_enough or page.following is None:
                return
            call = page.following

    # Following

    @endpoint
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Return a run. One that was ever seen as canceled stays so: the word may change when it has stopped, (b).

        :param ref: of the run; without an ``audit_id``, whatever run of the flow is its present or latest one.
        :raises NotFoundError: if the vendor does not know the run.
        :raises VendorUnavailableError: also if the vendor answers with another run, which says nothing about this one.
        """
        flow_id, audit_id = ref.ids["flow_id"], ref.ids.get("audit_id")
        row = yield from self.get_execution.plan(flow_id, audit_id)
        if row["status"] is None:
            raise NotFoundError(f"flow {flow_id} has never run")
        answered, parent = answers.whole(row.get("auditId")), answers.whole(row.get("parentAuditId"))
        if audit_id is not None and answered is not None and answers.whole(audit_id) not in (answered, parent):
            raise VendorUnavailableError(
                f"asked for run {audit_id} of flow {flow_id}, Etlworks answered with run {answered}",
                may_have_acted=False,
            )
        run = answers.run_of(row, ref)
        if run.state is RunState.CANCELLED:
            self._seen_canceled.add(ref.run_id)
        elif run.state.is_terminal and ref.run_id in self._seen_canceled:
            return replace(run, state=RunState.CANCELLED)
        return run

    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        """Return the log's lines after the first ``cursor`` ones; the vendor sends the whole log each time, (b)."""
        if "audit_id" not in ref.ids:
            return LogLines((), cursor)
        text = yield from self.download_log.plan(ref.ids["flow_id"], ref.ids["audit_id"])
        lines = text.splitlines()
        return LogLines(tuple(lines[int(cursor or 0) :]), len(lines))

    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        """Return the last lines of the run's log."""
        if "audit_id" not in ref.ids:
            return ()
        text = yield from self.download_log.plan(ref.ids["flow_id"], ref.ids["audit_id"])
        return tuple(text.splitlines()[-lines:])

    # Stopping

    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        """Ask to stop a run through the connection's ``stop_endpoint``, and report what it came to within seconds.

        ``canceled`` means that the stop was asked for; ``error``, or ``success`` of a streaming flow, that it has
        stopped, (b). Whichever comes, the run is never a success for us. A stop that the vendor refuses, or that is
        not answered as a stop, counts as not asked for.
        """
        if not self.capabilities.cancel:
            return CancelReport(False, f"run {ref.run_id} goes on. {self.capabilities.cancel_note}")
        if "audit_id" not in ref.ids:
            return CancelReport(False, f"the auditId of the run of flow {ref.run_id} is not known; it was not stopped")
        run = yield from self.read_run.plan(ref)
        if run.state.is_terminal:
            return CancelReport(False, f"run {ref.run_id} had ended already: {run.vendor_status}")
        refusal = yield from StopEndpoint.read(self.values).plan(ref)
        if refusal is not None:
            why = answers.printable(self.channel.redact.excerpt(refusal.text.encode(errors="replace")))
            return (yield from self._not_stopped(ref, f"{refusal.what}: {why}" if why else refusal.what))
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

    def _not_stopped(self, ref: RunRef, why: str) -> Program[CancelReport]:
        """Report a stop that was refused, or answered by something else, unless the run shows that it took effect."""
        try:
            run = yield from self.read_run.plan(ref)
        except EtlApiError:
            run = None
        if run is not None and run.state is RunState.CANCELLED:
            return CancelReport(True, f"the stop of run {ref.run_id} got no usable answer ({why}); the run is canceled")
        return CancelReport(False, f"the stop of run {ref.run_id} was not accepted, it may go on. {why}")

    # How it does it

    def _sent(self, spec: Mapping[str, Any], marker: str) -> searching.Sent:
        """Return what a start of this sends: the parameters, with the run key where one is wanted."""
        parameters = inputs.string_map(spec.get("parameters"))
        run_key = inputs.run_key_name(spec.get("run_key_parameter"))
        if run_key is None:
            run_key = inputs.run_key_name(self.values.extras["run_key_parameter"]) or ""
        if run_key:
            if run_key in parameters:
                raise InvalidInputError(f"parameters must leave {run_key!r} to run_key_parameter")
            parameters[run_key] = marker
        return searching.Sent(parameters, run_key, self.values.login or None)

    def _log_or_nothing(self, flow_id: str, audit_id: int) -> Program[str]:
        try:
            return (yield from self.download_log.plan(flow_id, audit_id))
        except EtlApiError as error:
            self.log.info("The log of run %s of flow %s could not be read: %s", audit_id, flow_id, error)
            return ""
