"""What is assumed of WebRobot, and how it is probed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.doctor.findings import Check, Outcome, differs, holds, unknown
from airflow_provider_etlapis.doctor.patient import fitting, kind_of
from airflow_provider_etlapis.hooks.webrobot.runs import state_of
from airflow_provider_etlapis.runs.model import RunState

if TYPE_CHECKING:
    from airflow_provider_etlapis.doctor.patient import Patient

_MOST_PROJECTS, _MOST_JOBS = 3, 5
_NO_PROJECT = "999999999999"


def _base_path(patient: Patient) -> Outcome:
    return fitting(patient, "base_path", "/api", "/")


def _jobs(patient: Patient) -> list[tuple[str, Mapping[str, Any]]]:
    """Return a few jobs, each with the id of its project."""
    projects = patient.ask(patient.hook.list_projects.plan())[:_MOST_PROJECTS]
    found: list[tuple[str, Mapping[str, Any]]] = []
    for project in projects:
        project_id = str(project["id"])
        found += [(project_id, job) for job in patient.ask(patient.hook.list_jobs.plan(project_id))]
    return found


def _tasks(patient: Patient) -> list[Mapping[str, Any]]:
    tasks: list[Mapping[str, Any]] = []
    for project_id, job in [each for each in _jobs(patient) if _has_run(each[1])][:_MOST_JOBS]:
        tasks += patient.ask(patient.hook.list_tasks.plan(project_id, str(job["id"])))
    return [task for task in tasks if _has_run(task)]


def _has_run(row: Mapping[str, Any]) -> bool:
    return state_of(row.get("executionStatus")) is not RunState.QUEUED


def _words(patient: Patient) -> Outcome:
    jobs = [job for _, job in _jobs(patient)]
    strange = sum(state_of(job.get("executionStatus")) is RunState.UNKNOWN for job in jobs)
    if not jobs:
        return unknown("no job is visible")
    seen = f"{len(jobs) - strange} of {len(jobs)} jobs have a status that is known"
    return holds(seen) if not strange else differs(seen, advice="A wait takes an unknown status for going on.")


def _references(patient: Patient) -> Outcome:
    tasks = _tasks(patient)
    if not tasks:
        return unknown("no task of those looked at has run")
    named = sum(bool(task.get("executionReferenceId")) for task in tasks)
    seen = f"{named} of {len(tasks)} tasks that have run name their execution"
    advice = "Runs of tasks are distinguished by their times alone; start whole jobs where it matters."
    return holds(seen) if named == len(tasks) else differs(seen, advice=advice)


def _zone(patient: Patient) -> Outcome:
    times = [str(task["updatedAt"]) for task in _tasks(patient) if task.get("updatedAt")]
    if not times:
        return unknown("no task of those looked at has a time")
    naive = sum(not (time.endswith("Z") or "+" in time[10:] or "-" in time[10:]) for time in times)
    seen = f"{len(times) - naive} of {len(times)} times name their zone"
    return holds(seen) if not naive else differs(seen, advice="Times without a zone are taken as UTC.")


def _unknown_project(patient: Patient) -> Outcome:
    error = patient.answers(patient.hook.get_project.plan(_NO_PROJECT))
    if error is None:
        return differs("a project that is not there is answered as if it were")
    seen = f"a project that is not there: {kind_of(error)}"
    return holds(seen) if error.by_vendor else differs(seen, advice="Check what stands before the server.")


CHECKS = (
    Check("base-path", "the API lies below the base path", "the call that tests a key", _base_path, way_in=True),
    Check("status-words", "the status words are the known ones", "jobs of up to 3 projects", _words),
    Check("task-references", "a task names the execution that it is part of", "tasks of up to 5 jobs", _references),
    Check("time-zone", "times name their zone", "tasks of up to 5 jobs", _zone),
    Check("unknown-project", "errors are JSON with an error text", "a made-up project", _unknown_project),
    Check("good-end", "COMPLETED is the only good end", ""),
    Check("rate-limit", "a full rate limit is a 429", ""),
    Check("start-shows", "a start shows at the job's or task's row within five minutes", ""),
)
