"""What a WebRobot status means, and which run it speaks of: decided without a request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from airflow_provider_etlapis.hooks.webrobot_marks import (
    JobMark,
    TaskMark,
    is_another_run,
    settle_execution,
    settle_task,
)
from airflow_provider_etlapis.hooks.webrobot_runs import new_lines, state_of, task_of
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.resume import Sighting

CALL = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
OLD = TaskMark("COMPLETED", "spark-1", "2026-11-22T11:00:00Z", "2026-11-22T11:10:00Z")
BARE = TaskMark("COMPLETED", "", "", "2026-11-22T11:10:00Z")


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", RunState.QUEUED),
        ("CREATED", RunState.QUEUED),
        ("SUBMITTED", RunState.QUEUED),
        (None, RunState.QUEUED),
        ("RUNNING", RunState.RUNNING),
        ("running ", RunState.RUNNING),
        ("COMPLETED", RunState.SUCCEEDED),
        ("Completed", RunState.SUCCEEDED),
        ("FAILED", RunState.FAILED),
        ("ERROR", RunState.FAILED),
        ("KILLED", RunState.FAILED),
        ("CANCELLED", RunState.CANCELLED),
        ("CANCELED", RunState.CANCELLED),
        ("STOPPED", RunState.CANCELLED),
        ("ABORTED", RunState.CANCELLED),
        ("UNKNOWN", RunState.UNKNOWN),
        ("COMPLETED_WITH_ERRORS", RunState.UNKNOWN),
    ],
)
def test_a_status_word_means_what_the_sheet_says(word: str | None, state: RunState) -> None:
    assert state_of(word) is state


@pytest.mark.parametrize(
    ("before", "now", "another"),
    [
        # References and starts tell runs apart.
        (OLD, OLD, False),
        (OLD, replace(OLD, reference="spark-2"), True),
        (OLD, replace(OLD, started="2026-11-22T12:00:01Z"), True),
        (OLD, replace(OLD, updated="2026-11-22T12:00:00Z"), False),
        (replace(OLD, reference=""), replace(OLD, reference="", started="2026-11-22T12:00:01Z"), True),
        # Metrics that come late speak of the run before.
        (replace(OLD, reference="", started=""), replace(OLD, reference=""), False),
        # A run that was going and has ended since is still the same.
        (replace(OLD, status="RUNNING"), OLD, False),
        # A new run may be seen before it has any of its own facts.
        (OLD, replace(OLD, status="RUNNING"), True),
        (OLD, replace(OLD, status="PENDING", reference=""), True),
        (OLD, replace(OLD, status="FAILED"), True),
        # Without references and metrics, status and change have to do.
        (BARE, BARE, None),
        (BARE, replace(BARE, updated="2026-11-22T12:00:01Z"), True),
        (BARE, replace(BARE, status="FAILED"), True),
        (BARE, replace(BARE, status="RUNNING"), True),
        (TaskMark(), TaskMark(), False),
        (TaskMark(), TaskMark("COMPLETED"), True),
        (TaskMark("CREATED"), TaskMark("PENDING"), True),
        (TaskMark("PENDING"), TaskMark("PENDING"), None),
        (TaskMark("PENDING"), TaskMark("COMPLETED"), None),
        (TaskMark("PENDING"), OLD, True),
    ],
)
def test_two_looks_at_a_task_show_one_run_or_two(before: TaskMark, now: TaskMark, another: bool | None) -> None:
    assert is_another_run(before, now) is another


def test_marks_survive_json() -> None:
    job = JobMark("RUNNING", {"1": "spark-1"}, {"1": "RUNNING"})

    assert TaskMark.from_json(OLD.to_json()) == OLD
    assert JobMark.from_json(job.to_json()) == job
    assert TaskMark.from_json(None) is None
    assert JobMark.from_json(None) is None


def job(status: str, *references: str, tasks: str | None = None) -> JobMark:
    """Return the mark of a job with one task a reference, or one without any."""
    named = {str(number): reference for number, reference in enumerate(references or ("",))}
    return JobMark(status, named, dict.fromkeys(named, status if tasks is None else tasks))


def run(state: RunState, minutes: float | None = 0.0) -> RemoteRun:
    """Return an execution that began so many minutes after the call."""
    began = None if minutes is None else datetime.fromtimestamp(CALL + 60 * minutes, UTC)
    return RemoteRun(RunRef("webrobot", {"execution_id": "spark-2"}), state, state.value, started=began)


GOING, GOOD, BAD = RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED


@pytest.mark.parametrize(
    ("before", "now", "named", "sighting"),
    [
        # The tasks name an execution that they did not name before.
        (job("COMPLETED", "spark-1"), job("RUNNING", "spark-2"), [run(GOING)], Sighting.FOUND),
        (job(""), job("RUNNING", "spark-2"), [run(GOING, None)], Sighting.FOUND),
        (job(""), job("COMPLETED", "spark-2"), [run(GOOD, 1)], Sighting.FOUND),
        (job("RUNNING", "spark-1"), job("FAILED", "spark-2"), [run(BAD)], Sighting.FOUND),
        # It began long after the call, or there are several.
        (job("COMPLETED", "spark-1"), job("RUNNING", "spark-2"), [run(GOING, 90)], Sighting.UNSURE),
        (job(""), job("RUNNING", "spark-2", "spark-3"), [run(GOING), run(GOOD)], Sighting.UNSURE),
        # Nothing new is named.
        (job("COMPLETED", "spark-1"), job("COMPLETED", "spark-1"), [], Sighting.ABSENT),
        (job("RUNNING", "spark-1"), job("RUNNING", "spark-1"), [], Sighting.ABSENT),
        (job("RUNNING", "spark-1"), job("COMPLETED", "spark-1"), [], Sighting.ABSENT),
        (job(""), job(""), [], Sighting.ABSENT),
        (job("CREATED"), job("CREATED"), [], Sighting.ABSENT),
        # Something is going on, and nobody says what.
        (job("COMPLETED", "spark-1"), job("PENDING", "spark-1"), [], Sighting.UNSURE),
        (job("RUNNING", "spark-1"), job("PENDING", "spark-1"), [], Sighting.UNSURE),
        (job(""), job("RUNNING"), [], Sighting.UNSURE),
        (job("COMPLETED"), job("COMPLETED"), [], Sighting.UNSURE),
        (job("PENDING"), job("PENDING"), [], Sighting.UNSURE),
        # Nothing could keep what was there before: what goes on or ended badly since may be ours.
        (None, job("RUNNING", "spark-2"), [run(GOING)], Sighting.FOUND),
        (None, job("RUNNING", "spark-2"), [run(GOING, 300)], Sighting.FOUND),
        (None, job("FAILED", "spark-2"), [run(BAD)], Sighting.FOUND),
        (None, job("COMPLETED", "spark-2"), [run(GOOD)], Sighting.UNSURE),
        (None, job("COMPLETED", "spark-2"), [run(GOOD, -30)], Sighting.ABSENT),
        (None, job("RUNNING", "spark-2"), [run(GOING, -30)], Sighting.ABSENT),
        (None, job(""), [], Sighting.ABSENT),
        (None, job("RUNNING"), [], Sighting.UNSURE),
        (None, job("COMPLETED"), [], Sighting.UNSURE),
    ],
)
def test_a_lost_execute_call_is_settled_only_where_it_can_be_told(
    before: JobMark | None, now: JobMark, named: list[RemoteRun], sighting: Sighting
) -> None:
    assert settle_execution(before, now, named, CALL, "it").sighting is sighting


def test_the_likeliest_execution_comes_first() -> None:
    found = settle_execution(job(""), job("RUNNING", "a", "b"), [run(GOOD, 1), run(GOING, 5)], CALL, "it")

    assert [each.state for each in found.candidates] == [GOING, GOOD]


@pytest.mark.parametrize(
    ("before", "now", "minutes", "sighting"),
    [
        (OLD, OLD, -60, Sighting.ABSENT),
        (OLD, replace(OLD, status="RUNNING"), -60, Sighting.FOUND),
        (OLD, replace(OLD, reference="spark-2"), 0, Sighting.FOUND),
        (OLD, replace(OLD, reference="spark-2"), 90, Sighting.UNSURE),
        (BARE, BARE, None, Sighting.UNSURE),
        (TaskMark(), TaskMark(), None, Sighting.ABSENT),
        (None, TaskMark(), None, Sighting.ABSENT),
        (None, TaskMark("RUNNING"), None, Sighting.FOUND),
        (None, replace(OLD, status="RUNNING"), -60, Sighting.UNSURE),
        (None, OLD, -60, Sighting.ABSENT),
        (None, OLD, 1, Sighting.UNSURE),
        (None, replace(OLD, status="FAILED"), 1, Sighting.FOUND),
    ],
)
def test_a_lost_start_of_a_task_is_settled_only_where_it_can_be_told(
    before: TaskMark | None, now: TaskMark, minutes: float | None, sighting: Sighting
) -> None:
    assert settle_task(before, now, run(state_of(now.status), minutes), CALL, "it").sighting is sighting


@pytest.mark.parametrize(
    ("seen", "now", "new"),
    [
        ([], ["a", "b"], ["a", "b"]),
        (["a", "b"], ["a", "b"], []),
        (["a", "b"], ["a", "b", "c"], ["c"]),
        (["a", "b", "c"], ["c", "d", "e"], ["d", "e"]),
        (["a", "a", "a"], ["a", "a", "a"], []),
        (["a", "b", "a"], ["b", "a", "c"], ["c"]),
        (["a", "b"], ["x", "y"], ["x", "y"]),
        (["a", "b"], [], []),
    ],
)
def test_only_new_lines_of_a_log_are_told(seen: list[str], now: list[str], new: list[str]) -> None:
    assert new_lines(seen, now) == new


def test_the_task_of_an_execution_is_the_one_that_names_it_else_the_only_one_that_runs() -> None:
    named = {"id": "1", "executionReferenceId": "spark-1", "executionStatus": "RUNNING"}
    other = {"id": "2", "executionReferenceId": "spark-2", "executionStatus": "RUNNING"}
    nameless = {"id": "3", "executionReferenceId": None, "executionStatus": "RUNNING"}

    assert task_of("spark-1", [other, named]) == "1"
    assert task_of("spark-9", [nameless]) == "3"
    assert task_of("spark-9", [other]) is None, "it names another execution"
    assert task_of("spark-9", [nameless, {**nameless, "id": "4"}]) is None
