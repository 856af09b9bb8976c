"""What is assumed of Celery Director, and how it is probed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.doctor.findings import Check, Outcome, differs, holds, of_all, unknown
from airflow_provider_etlapis.doctor.patient import not_there
from airflow_provider_etlapis.hooks.celery_director.answers import state_of
from airflow_provider_etlapis.hooks.values import moment, names_zone
from airflow_provider_etlapis.runs.model import RunState

if TYPE_CHECKING:
    from airflow_provider_etlapis.doctor.patient import Patient

_NO_RUN = "00000000-0000-4000-8000-000000000000"


def _rows(patient: Patient) -> list[Any]:
    return list(patient.ask(patient.hook.list_workflows.plan(per_page=100, with_payload=False)))


def _comments(patient: Patient) -> Outcome:
    rows = patient.once(_rows)
    if not rows:
        return unknown("the server has no run")
    shown = sum("comment" in row for row in rows)
    if shown:
        return holds(f"{shown} of {len(rows)} runs show a comment")
    return unknown(f"none of {len(rows)} runs shows a comment: a server before 0.8.0, or no run had one")


def _words(patient: Patient) -> Outcome:
    rows = patient.once(_rows)
    if not rows:
        return unknown("the server has no run")
    known = sum(state_of(row["status"]) is not RunState.UNKNOWN for row in rows)
    advice = "A wait takes an unknown status for going on."
    return of_all(known, len(rows), "runs have a status that is known", advice=advice)


def _page_size(patient: Patient) -> Outcome:
    size = 2
    rows = patient.ask(patient.hook.list_workflows.plan(per_page=size, with_payload=False))
    if len(rows) > size:
        return differs(f"a page of {size} runs has {len(rows)}", advice="Nothing to set: lists are read to their end.")
    return holds(f"a page of {size} runs has {len(rows)}")


def _zone(patient: Patient) -> Outcome:
    rows = patient.once(_rows)
    if not rows:
        return unknown("the server has no run")
    text = str(rows[0]["created"])
    if moment(text) is None:
        return differs("the time of the newest run is no ISO 8601", advice="Ages of runs are unknown to lists.")
    return holds(
        f"times {'name their zone' if names_zone(text) else 'name no zone: that of the server is learned at a start'}"
    )


def _unknown_run(patient: Patient) -> Outcome:
    return not_there(patient, "run", patient.hook.get_workflow.plan(_NO_RUN), 404)


CHECKS = (
    Check("comments", "runs carry the comment that recognises them", "the newest 100 runs", _comments),
    Check("status-words", "the status words are the known ones", "the newest 100 runs", _words),
    Check("page-size", "a list is as long as asked for", "a list of 2 runs", _page_size),
    Check("time-zone", "times are ISO 8601", "the newest run", _zone),
    Check("unknown-run", "an unknown run is a 404 with an error text", "a made-up run", _unknown_run),
    Check("cancel-stops", "a cancel stops the work, from 0.9.0 on", ""),
)
