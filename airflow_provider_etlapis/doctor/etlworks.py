"""What is assumed of Etlworks, and how it is probed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.doctor.findings import Check, Outcome, differs, holds, of_all, unknown
from airflow_provider_etlapis.doctor.patient import fitting, kind_of, not_there
from airflow_provider_etlapis.exceptions import EtlApiError, PermissionDeniedError
from airflow_provider_etlapis.hooks.endpoints import single
from airflow_provider_etlapis.hooks.etlworks.answers import STARTED
from airflow_provider_etlapis.hooks.etlworks.search import PARAMETERS

if TYPE_CHECKING:
    from airflow_provider_etlapis.doctor.patient import Patient

_MOST_FLOWS = 5
_NO_FLOW = 999_999_999_999
"""Number that no flow has."""


def _login_path(patient: Patient) -> Outcome:
    if not patient.hook.values.login:
        return unknown("the connection holds an API key, which is not exchanged for a token")
    return fitting(patient, "login_path", "/v1/token-auth", "/v1/token-auth/issue")


def _flow_list(patient: Patient) -> Outcome:
    try:
        flows = patient.ask(patient.hook.list_flows.plan())
    except PermissionDeniedError:
        return differs("the credential may not list flows", advice="Name flows by flow_id instead of flow_name.")
    except EtlApiError as error:
        return unknown(f"the list of flows: {kind_of(error)}")
    return holds(f"{len(flows)} flows are visible")


def _daily_report(patient: Patient) -> Outcome:
    if not patient.extras["daily_report"]:
        return unknown("the connection has switched it off")
    error = patient.answers(patient.hook.get_executions_report.plan(datetime.now(UTC).date()))
    if error is None:
        return holds("the report of today is readable")
    if error.by_vendor and error.status in (401, 403, 404):
        return differs(f"the report of today: {kind_of(error)}", daily_report=False)
    return unknown(f"the report of today: {kind_of(error)}")


def _records(patient: Patient) -> list[Mapping[str, Any]]:
    """Return the newest records of a few flows."""
    flows = patient.ask(patient.hook.list_flows.plan())[:_MOST_FLOWS]
    found: list[Mapping[str, Any]] = []
    for flow in flows:
        page = patient.ask(single(patient.hook.iter_history.first(flow["id"], 20)))
        found += page.items
    return found


def _shown_by(patient: Patient, names: tuple[str, ...], what: str, **otherwise: Any) -> Outcome:
    """Say whether records show one of these names."""
    try:
        records = patient.once(_records)
    except EtlApiError as error:
        return unknown(f"no history could be read: {kind_of(error)}")
    if not records:
        return unknown("no flow of those looked at has run")
    shown = sum(any(record.get(name) is not None for name in names) for record in records)
    return of_all(shown, len(records), f"records show {what}", **otherwise)


def _ids(patient: Patient) -> Outcome:
    advice = "Where a start gets no answer, its run looks like any other: set on_lost_start for that case."
    return _shown_by(patient, ("auditId",), "the number of their run", advice=advice)


def _times(patient: Patient) -> Outcome:
    return _shown_by(patient, STARTED, "when they began", advice="EtlworksFlowSensor then needs the daily report.")


def _inputs(patient: Patient) -> Outcome:
    if patient.extras["run_key_parameter"]:
        return unknown("not needed: the connection sends a run key")
    return _shown_by(patient, PARAMETERS, "what they were started with", run_key_parameter="true")


def _unknown_flow(patient: Patient) -> Outcome:
    return not_there(patient, "flow", patient.hook.get_flow.plan(_NO_FLOW))


def _log(patient: Patient) -> Outcome:
    try:
        records = [record for record in patient.once(_records) if record.get("auditId") and record.get("flowId")]
        if not records:
            return unknown("no run with its numbers is in the histories that were looked at")
        text = patient.ask(patient.hook.download_log.plan(records[0]["flowId"], records[0]["auditId"]))
    except EtlApiError as error:
        return differs(f"the log of a run: {kind_of(error)}", advice="Logs do not appear in tasks.")
    return holds(f"the log of a run has {len(text.splitlines())} lines")


CHECKS = (
    Check("login-path", "a token is had at the login path", "a read that needs a token", _login_path, way_in=True),
    Check("flow-list", "the credential may list flows", "the list of flows", _flow_list),
    Check("daily-report", "the daily report is readable", "today's report", _daily_report),
    Check("record-ids", "records show the number of their run", "histories of up to 5 flows", _ids),
    Check("record-times", "records show when their run began", "histories of up to 5 flows", _times),
    Check("record-inputs", "records show what a run was started with", "histories of up to 5 flows", _inputs),
    Check("unknown-flow", "an unknown flow is an error in Etlworks' own shape", "a made-up number", _unknown_flow),
    Check("log-header", "the log comes for the usual header", "the log of a run in a history", _log),
    Check("token-renewal", "the renewal of a token answers as the login does", ""),
    Check("start-refusal", "a start while the flow runs is a 200 with status 1, or a 409", ""),
    Check("ids-rise", "numbers of runs rise", ""),
    Check("stop", "a stop is accepted by a good status that does not say success: false", ""),
)
