"""What is assumed of Meiro Integrations, and how it is probed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.doctor.findings import Check, Outcome, differs, holds, of_all, unknown
from airflow_provider_etlapis.doctor.patient import fitting, not_there
from airflow_provider_etlapis.exceptions import EtlApiError, PermissionDeniedError
from airflow_provider_etlapis.hooks.endpoints import single
from airflow_provider_etlapis.hooks.meiro.calls import granted
from airflow_provider_etlapis.hooks.meiro.runs import state_of
from airflow_provider_etlapis.hooks.values import moment
from airflow_provider_etlapis.wire.call import Call

if TYPE_CHECKING:
    from airflow_provider_etlapis.doctor.patient import Patient

_PAGE = 100
_NO_WORKSPACE = 999_999_999_999
_SKEW = 300.0


def _login_path(patient: Patient) -> Outcome:
    if not patient.hook.values.login:
        return unknown("the connection holds a ready token")
    return fitting(patient, "login_path", "/login", "/users/login")


def _workspaces(patient: Patient, hook: Any = None, **filters: Any) -> list[Any]:
    asked = hook or patient.hook
    page = patient.ask(single(asked.list_workspaces.first(**filters)), asked)
    return list(page.items)


def _lists(patient: Patient) -> Outcome:
    ids = [row["id"] for row in _workspaces(patient)]
    if len(ids) < 3:
        return unknown("three workspaces are needed to see whether a list of two is obeyed")
    wanted = set(ids[:2])

    def obeyed(hook: Any) -> bool:
        try:
            rows = patient.ask(hook.list_last_jobs.plan(sorted(wanted)), hook)
        except PermissionDeniedError:
            raise
        except EtlApiError:
            return False
        return bool(rows) and {row["workspace_id"] for row in rows} <= wanted

    return _spelling(patient, "array_parameters", ("comma", "repeated", "brackets"), obeyed)


def _booleans(patient: Patient) -> Outcome:
    def obeyed(hook: Any) -> bool:
        try:
            return all(row.get("disabled") for row in _workspaces(patient, hook, show_enabled=False))
        except EtlApiError:
            return False

    return _spelling(patient, "boolean_parameters", ("true", "1"), obeyed)


def _spelling(patient: Patient, field: str, values: tuple[str, ...], obeyed: Any) -> Outcome:
    present = patient.extras[field]
    if obeyed(patient.hook):
        return holds(f"obeyed as {present!r}")
    for value in values:
        if value != present:
            with patient.trying(**{field: value}) as hook:
                if obeyed(hook):
                    return differs(f"not obeyed as {present!r}, obeyed as {value!r}", **{field: value})
    return unknown("obeyed in none of the known spellings")


def _newest_jobs(patient: Patient) -> list[Any]:
    jobs: list[Any] = []
    for row in _workspaces(patient)[:5]:
        jobs += patient.ask(single(patient.hook.list_workspace_jobs.first(row["id"], page_size=10))).items
    return jobs


def _zone(patient: Patient) -> Outcome:
    created = [found for job in patient.once(_newest_jobs) if (found := moment(job.get("created"))) is not None]
    if not created:
        return unknown("no job with a time is there")
    if patient.extras["timezone"] != "UTC":
        return unknown("the connection names a zone; only times in the future would show that it is wrong")
    ahead = max(at.timestamp() for at in created) - (time.time() + (patient.hook.clock_ahead or 0.0))
    if ahead > _SKEW:
        hours = max(1, round(ahead / 3600))
        return differs(f"the newest time, read as UTC, lies {hours} h in the future", timezone=f"Etc/GMT-{hours}")
    return holds(f"no time of {len(created)} jobs, read as UTC, lies in the future")


def _page_size(patient: Patient) -> Outcome:
    rows = patient.ask(single(Call("GET", "workspaces", lambda answer: granted(answer, _PAGE), query={"limit": _PAGE})))
    if rows == _PAGE:
        return holds(f"a page of {_PAGE} rows is granted")
    return differs(f"pages of {rows} rows are granted", advice="Nothing to set: what the server grants is obeyed.")


def _history(patient: Patient) -> Outcome:
    ended = [job for job in patient.once(_newest_jobs) if state_of(job["status"]).is_terminal]
    if not ended:
        return unknown("no job of those looked at has ended")
    named = sum(job["status"] in ((job.get("stats") or {}).get("statuses_history") or {}) for job in ended)
    advice = "When such runs ended is not known to tasks."
    return of_all(named, len(ended), "jobs that have ended name their end in it", advice=advice)


def _unknown_workspace(patient: Patient) -> Outcome:
    return not_there(patient, "workspace", patient.hook.get_workspace.plan(_NO_WORKSPACE))


CHECKS = (
    Check("login-path", "a token is had at the login path", "a read that needs a token", _login_path, way_in=True),
    Check("array-parameters", "lists in queries are written as set", "last jobs of two workspaces", _lists),
    Check("boolean-parameters", "booleans in queries likewise", "workspaces without the enabled ones", _booleans),
    Check("timezone", "times are in the connection's time zone", "newest jobs, and the clock of the server", _zone),
    Check("page-size", "pages of 100 rows are granted", "the list of workspaces", _page_size),
    Check("status-history", "the end of a job is a key of its statuses_history", "newest jobs", _history),
    Check("unknown-workspace", "errors are JSON with a message", "a made-up workspace", _unknown_workspace),
    Check("token-end", "a token that has ended is a 401, and its refresh takes the old one in the header", ""),
    Check("starter", "a job's user_id is the user who started it", ""),
    Check("ids-grow", "ids of jobs grow", ""),
    Check("cancel-refusal", "a cancel that is refused means that the job may have ended", ""),
)
