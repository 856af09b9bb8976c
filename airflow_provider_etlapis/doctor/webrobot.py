"""What is assumed of WebRobot, and how it is probed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.doctor.findings import Check, Outcome, of_all, unknown
from airflow_provider_etlapis.doctor.patient import fitting, not_there
from airflow_provider_etlapis.hooks.values import names_zone
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
    for project_id, job in [each for each in patient.once(_jobs) if _has_run(each[1])][:_MOST_JOBS]:
        tasks += patient.ask(patient.hook.list_tasks.plan(project_id, str(job["id"])))
    return [task for task in tasks if _has_run(task)]


def _has_run(row: Mapping[str, Any]) -> bool:
    return state_of(row.get("executionStatus")) is not RunState.QUEUED


def _words(patient: Patient) -> Outcome:
    jobs = [job for _, job in patient.once(_jobs)]
    if not jobs:
        return unknown("no job is visible")
    known = sum(state_of(job.get("executionStatus")) is not RunState.UNKNOWN for job in jobs)
    advice = "A wait takes an unknown status for going on."
    return of_all(known, len(jobs), "jobs have a status that is known", advice=advice)


def _references(patient: Patient) -> Outcome:
    tasks = patient.once(_tasks)
    if not tasks:
        return unknown("no task of those looked at has run")
    named = sum(bool(task.get("executionReferenceId")) for task in tasks)
    advice = "Runs of tasks are distinguished by their times alone; start whole jobs where it matters."
    return of_all(named, len(tasks), "tasks that have run name their execution", advice=advice)


def _zone(patient: Patient) -> Outcome:
    times = [str(task["updatedAt"]) for task in patient.once(_tasks) if task.get("updatedAt")]
    if not times:
        return unknown("no task of those looked at has a time")
    return of_all(
        sum(map(names_zone, times)), len(times), "times name their zone", advice="The others are taken as UTC."
    )


def _unknown_project(patient: Patient) -> Outcome:
    return not_there(patient, "project", patient.hook.get_project.plan(_NO_PROJECT))


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
