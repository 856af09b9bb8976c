"""What is assumed of Celery Director, and how it is probed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.doctor.findings import Check, Outcome, differs, holds, unknown
from airflow_provider_etlapis.doctor.patient import kind_of
from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.hooks.values import moment

if TYPE_CHECKING:
    from airflow_provider_etlapis.doctor.patient import Patient

_NO_RUN = "00000000-0000-4000-8000-000000000000"
_KNOWN = frozenset({"pending", "progress", "success", "error", "canceled"})


def _rows(patient: Patient) -> list[Any]:
    return list(patient.ask(patient.hook.list_workflows.plan(per_page=100, with_payload=False)))


def _comments(patient: Patient) -> Outcome:
    rows = _rows(patient)
    if not rows:
        return unknown("the server has no run")
    shown = sum("comment" in row for row in rows)
    if shown:
        return holds(f"{shown} of {len(rows)} runs show a comment")
    return unknown(f"none of {len(rows)} runs shows a comment: a server before 0.8.0, or no run had one")


def _words(patient: Patient) -> Outcome:
    rows = _rows(patient)
    strange = sum(row["status"] not in _KNOWN for row in rows)
    seen = f"{len(rows) - strange} of {len(rows)} runs have a status that is known"
    if not rows:
        return unknown("the server has no run")
    return holds(seen) if not strange else differs(seen, advice="A wait takes an unknown status for going on.")


def _page_size(patient: Patient) -> Outcome:
    size = 2
    rows = patient.ask(patient.hook.list_workflows.plan(per_page=size, with_payload=False))
    if len(rows) > size:
        return differs(f"a page of {size} runs has {len(rows)}", advice="Nothing to set: lists are read to their end.")
    return holds(f"a page of {size} runs has {len(rows)}")


def _zone(patient: Patient) -> Outcome:
    rows = _rows(patient)
    if not rows:
        return unknown("the server has no run")
    text = str(rows[0]["created"])
    if moment(text) is None:
        return differs("the time of the newest run is no ISO 8601", advice="Ages of runs are unknown to lists.")
    has_zone = text.endswith("Z") or "+" in text[10:] or "-" in text[10:]
    return holds(f"times {'name their zone' if has_zone else 'name no zone: that of the server is learned at a start'}")


def _unknown_run(patient: Patient) -> Outcome:
    try:
        patient.ask(patient.hook.get_workflow.plan(_NO_RUN))
    except EtlApiError as error:
        seen = f"a run that is not there: {kind_of(error)}"
        if error.status == 404 and error.by_vendor:
            return holds(seen)
        return differs(seen, advice="Check what stands before the server.")
    return differs("a run that is not there is answered as if it were")


CHECKS = (
    Check("comments", "runs carry the comment that recognises them", "the newest 100 runs", _comments),
    Check("status-words", "the status words are the known ones", "the newest 100 runs", _words),
    Check("page-size", "a list is as long as asked for", "a list of 2 runs", _page_size),
    Check("time-zone", "times are ISO 8601", "the newest run", _zone),
    Check("unknown-run", "an unknown run is a 404 with an error text", "a made-up run", _unknown_run),
    Check("cancel-stops", "a cancel stops the work, from 0.9.0 on", ""),
)
