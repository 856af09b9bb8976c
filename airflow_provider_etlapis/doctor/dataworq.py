"""What is assumed of QueBIT DataWORQ, and how it is probed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.doctor.findings import Check, Outcome, differs, holds, unknown
from airflow_provider_etlapis.doctor.patient import fitting, not_there
from airflow_provider_etlapis.hooks.dataworq.jobs import state_of

if TYPE_CHECKING:
    from airflow_provider_etlapis.doctor.patient import Patient

_NO_JOB = "00000000-0000-4000-8000-000000000000"
_SKEW = 300.0


def _access(patient: Patient) -> Outcome:
    return fitting(patient, "access", "cloud_connector", "native")


def _prefix(patient: Patient) -> Outcome:
    return fitting(patient, "api_prefix", "/api/v1", "/")


def _active(patient: Patient) -> list[Any]:
    return list(patient.ask(patient.hook.list_jobs.plan("active")))


def _history(patient: Patient) -> list[Any]:
    return list(patient.ask(patient.hook.list_jobs.plan("history")))


def _status(patient: Patient) -> Outcome:
    jobs = patient.once(_active) or patient.once(_history)
    if not jobs:
        return unknown("no job is there")
    word = patient.ask(patient.hook.get_job_execution_status.plan(jobs[0]["id"]))
    if word is None:
        return differs("the status alone comes in another shape", advice="Such waits read whole jobs.")
    return holds("the status of one job alone is readable")


def _unknown_job(patient: Patient) -> Outcome:
    return not_there(patient, "job", patient.hook.get_job_execution_status.plan(_NO_JOB), 404)


def _bad_ends(patient: Patient) -> Outcome:
    ended = patient.once(_history)
    if not ended:
        return unknown("no job has ended")
    bad = sum(not state_of(job["executionStatus"]).is_good for job in ended)
    seen = f"{bad} of {len(ended)} jobs in the history ended badly"
    return holds(seen) if bad else unknown(f"{seen}: none may have")


def _order(patient: Patient) -> Outcome:
    times = [job["startTime"] for job in patient.once(_history) if job.get("startTime")]
    if len(times) < 2 or times[0] == times[-1]:
        return unknown("two jobs that have ended are needed")
    if times == sorted(times, reverse=True):
        return holds(f"the {len(times)} jobs of the history come newest first")
    return differs(
        f"the {len(times)} jobs of the history do not come newest first",
        advice="Beyond 100 jobs, the newest may be missing from the lists: then each job is read by its id.",
    )


def _clock(patient: Patient) -> Outcome:
    patient.once(_active)
    ahead = patient.hook.clock_ahead
    if ahead is None:
        return unknown("answers have no Date header")
    seen = f"the clock behind the Date header is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    return holds(seen) if abs(ahead) <= _SKEW else differs(seen, advice="Set the clocks.")


CHECKS = (
    Check(
        "access",
        "the access mode is the right one",
        "the list of active jobs",
        _access,
        way_in=True,
    ),
    Check("api-prefix", "the calls lie below the API prefix", "the list of active jobs", _prefix, way_in=True),
    Check("status-alone", "the status of a job alone is a word or JSON that names it", "one job of the lists", _status),
    Check("unknown-job", "an unknown job is a 404", "a made-up job", _unknown_job),
    Check("history-bad-ends", "the history shows jobs that ended badly", "the history", _bad_ends),
    Check("newest-first", "lists begin with the newest job", "the history", _order),
    Check("clock", "clocks differ by less than five minutes", "the Date header of an answer", _clock),
    Check("active-queued", "the active list shows queued jobs", ""),
    Check("log-parameters", "a log shows the values with which its job ran", ""),
    Check("refused-key", "401 and 403 mean a refused key", ""),
)
