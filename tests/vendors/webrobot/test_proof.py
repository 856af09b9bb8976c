"""What WebRobot's jobs and tasks prove about a start call that got no answer: decided without a request."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.hooks.webrobot.marks import CallTime, JobMark, TaskMark
from airflow_provider_etlapis.hooks.webrobot.runs import is_seen_going, state_of
from airflow_provider_etlapis.hooks.webrobot.search import weigh_executions, weigh_task_run
from airflow_provider_etlapis.runs.evidence import Evidence
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.resume import LostStart, settle_lost_start

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
CALL = CallTime(NOON, 0.0)
NO_DATE = CallTime(NOON, None)
"""The same call where the server's answers carry no ``Date``."""
FOUND, ABSENT, UNSURE = Evidence.FOUND, Evidence.ABSENT, Evidence.UNSURE

OLD = TaskMark("COMPLETED", "spark-1", "2026-11-22T11:00:00Z", "2026-11-22T11:10:00Z")
BARE = TaskMark("COMPLETED", "", "", "2026-11-22T11:10:00Z")
TIMED = TaskMark("COMPLETED", "", "2026-11-22T11:00:00Z", "2026-11-22T11:10:00Z")
IDLE = TaskMark("PENDING", "", "", "2026-11-22T11:10:00Z")


# -- does a task show another run than before? --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "shows"),
    [
        # The reference of an execution tells runs apart.
        (OLD, OLD, False),
        (OLD, replace(OLD, reference="spark-2"), True),
        (BARE, replace(BARE, reference="spark-2"), True),
        (TaskMark(), TaskMark("RUNNING", "spark-1"), True),
        (replace(BARE, status="RUNNING"), replace(OLD, status="RUNNING"), None),
        (OLD, replace(OLD, updated="2026-11-22T12:00:00Z"), False),
        (replace(OLD, status="RUNNING"), OLD, False),
        (replace(OLD, status="RUNNING", started=""), OLD, False),
        # The same reference under another end: renamed, or a run that the reference does not show yet.
        (OLD, replace(OLD, status="FAILED"), None),
        # A start that has changed and is later than the row's last change by more than clocks differ.
        (OLD, replace(OLD, started="2026-11-22T12:00:01Z"), True),
        (TIMED, replace(TIMED, started="2026-11-22T12:00:01Z"), True),
        (BARE, replace(BARE, started="2026-11-22T12:00:01Z"), True),
        (TaskMark(), TaskMark("COMPLETED", "", "2026-11-22T12:00:01Z"), True),
        # Equal to the row's last change, or apart by no more than clocks differ.
        (TIMED, replace(TIMED, started="2026-11-22T11:10:00Z"), None),
        (TIMED, replace(TIMED, started="2026-11-22T11:08:00Z"), None),
        (TIMED, replace(TIMED, started="2026-11-22T11:12:00Z"), None),
        # It has gone back: no clock does that.
        (TIMED, replace(TIMED, started="2026-11-22T10:00:00Z"), None),
        # Metrics that come late are those of the run before.
        (BARE, replace(BARE, started="2026-11-22T11:00:00Z"), False),
        # The metrics of a run that was going on before.
        (replace(BARE, status="RUNNING"), replace(TIMED, started="2026-11-22T11:59:00Z"), None),
        # What had ended, or had never run, is running.
        (OLD, replace(OLD, status="RUNNING"), True),
        (BARE, replace(BARE, status="RUNNING"), True),
        (IDLE, replace(IDLE, status="RUNNING"), True),
        (TaskMark(), TaskMark("COMPLETED"), True),
        # Queued, or set to that word by a person.
        (OLD, replace(OLD, status="PENDING"), None),
        (OLD, replace(OLD, status="PENDING", reference=""), None),
        (TaskMark("CREATED"), TaskMark("PENDING"), None),
        (IDLE, replace(IDLE, status="COMPLETED"), None),
        # Only the row has changed.
        (BARE, replace(BARE, updated="2026-11-22T12:00:01Z"), None),
        (BARE, replace(BARE, status="FAILED"), None),
        (TIMED, replace(TIMED, updated="2026-11-22T12:00:01Z"), None),
        # Nothing has.
        (BARE, BARE, False),
        (TaskMark(), TaskMark(), False),
        (TaskMark(), TaskMark("CREATED"), False),
        (IDLE, IDLE, False),
        (TaskMark("PENDING"), TaskMark("PENDING"), None),
    ],
)
def test_two_marks_of_a_task_show_one_run_or_two_or_cannot_be_told(
    before: TaskMark, now: TaskMark, shows: bool | None
) -> None:
    assert now.shows_new_run(before, CALL) is shows


@pytest.mark.parametrize(
    ("mark", "call", "shows"),
    [
        (replace(TIMED, started="2026-11-22T11:59:50Z"), CALL, False),
        (replace(TIMED, started="2026-11-22T12:00:00Z"), CALL, None),
        (replace(TIMED, started="2026-11-22T11:59:59Z"), CALL, None),
        (replace(TIMED, started="2026-11-22T11:56:00Z"), NO_DATE, None),
        (replace(TIMED, started="2026-11-22T12:01:50Z"), CallTime(NOON, 120.0), False),
        (replace(TIMED, started="2026-11-22T11:57:50Z"), CallTime(NOON, -120.0), False),
        (replace(TIMED, started="2026-11-22T11:58:00Z"), CallTime(NOON, -120.0), None),
        (replace(IDLE, updated="2026-11-22T11:59:59Z"), CALL, None),
        (replace(BARE, updated="2026-11-22T12:00:00Z"), CALL, None),
        # A reference needs no clock.
        (replace(OLD, started="2026-11-22T12:00:00Z"), CALL, False),
    ],
)
def test_what_a_task_shows_unchanged_is_the_run_before_only_if_the_servers_clock_surely_says_so(
    mark: TaskMark, call: CallTime, shows: bool | None
) -> None:
    """A run that began in the same second would show the same; the server's ``Date`` says what its clock is."""
    assert mark.shows_new_run(mark, call) is shows


def test_pending_is_going_on_only_where_something_else_shows_a_run() -> None:
    assert is_seen_going("RUNNING", has_run=False)
    assert is_seen_going("PENDING", has_run=True)
    assert not is_seen_going("PENDING", has_run=False)
    assert not is_seen_going("COMPLETED", has_run=True)


def test_marks_survive_json_and_those_of_an_older_release_are_read() -> None:
    job = JobMark("RUNNING", {"1": "spark-1"}, {"1": "RUNNING"}, "2026-11-22T11:00:00Z", {"1": "2026-11-22T11:00:00Z"})
    mark = replace(OLD, others="4f1c")

    assert TaskMark.from_json(json.loads(json.dumps(mark.to_json()))) == mark
    assert JobMark.from_json(json.loads(json.dumps(job.to_json()))) == job
    assert TaskMark.from_json(None) is None
    assert JobMark.from_json(None) is None
    older = {"status": "COMPLETED", "reference": "spark-1", "started": "", "updated": ""}
    assert TaskMark.from_json(older) == TaskMark("COMPLETED", "spark-1")
    older_job = {"status": "COMPLETED", "references": {"1": "spark-1"}, "statuses": {"1": "COMPLETED"}}
    assert JobMark.from_json(older_job) == JobMark("COMPLETED", {"1": "spark-1"}, {"1": "COMPLETED"})


def test_a_row_without_an_id_counts() -> None:
    mark = JobMark.of({}, [{"executionReferenceId": "spark-1"}, {"executionReferenceId": "spark-2"}])

    assert mark.executions == {"spark-1", "spark-2"}


# -- a lost execute call ------------------------------------------------------------------------------------------


def job(status: str, *references: str, tasks: str | None = None, updated: str = "2026-11-22T11:10:00Z") -> JobMark:
    """Return the mark of a job with one task a reference, or one without any."""
    named = {str(number): reference for number, reference in enumerate(references or ("",))}
    statuses = dict.fromkeys(named, status if tasks is None else tasks)
    return JobMark(status, named, statuses, updated, dict.fromkeys(named, updated))


def run(state: RunState, minutes: float | None = 0.5, name: str = "spark-2", ended: float | None = None) -> RemoteRun:
    """Return an execution that began so many minutes after the call."""
    began, end = (None if each is None else datetime.fromtimestamp(NOON + 60 * each, UTC) for each in (minutes, ended))
    ref = RunRef("webrobot", {"project_id": "98", "job_id": "210", "execution_id": name})
    return RemoteRun(ref, state, state.value, started=began, ended=end)


GOING, GOOD, BAD, UNSEEN = RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED, RunState.UNKNOWN


@pytest.mark.parametrize(
    ("before", "now", "named", "sighting", "candidates"),
    [
        # Somebody else may have started it, with other arguments, while ours never arrived.
        (job("COMPLETED", "spark-1"), job("RUNNING", "spark-2"), [run(GOING)], UNSURE, 1),
        (job("COMPLETED", "spark-1"), job("RUNNING", "spark-2"), [run(UNSEEN, None)], UNSURE, 1),
        (job(""), job("COMPLETED", "spark-2"), [run(GOOD, 1)], UNSURE, 1),
        (job("COMPLETED", "spark-1"), job("RUNNING", "spark-2"), [run(GOING, 90)], UNSURE, 1),
        (job(""), job("RUNNING", "spark-2", "spark-3"), [run(GOING), run(GOOD, 2, "spark-3")], UNSURE, 2),
        # It ended badly, but may have replaced a good one of ours: a task names its last execution only.
        (job("COMPLETED", "spark-1"), job("FAILED", "spark-2"), [run(BAD)], UNSURE, 0),
        # Named late, and surely from before the call.
        (job("COMPLETED", "spark-1"), job("COMPLETED", "spark-2"), [run(GOOD, -30, ended=-20)], UNSURE, 0),
        # Nothing new is named, and nothing goes on.
        (job("COMPLETED", "spark-1"), job("COMPLETED", "spark-1"), [], ABSENT, 0),
        (job("RUNNING", "spark-1"), job("COMPLETED", "spark-1"), [], ABSENT, 0),
        (job(""), job(""), [], ABSENT, 0),
        (job("CREATED"), job("CREATED"), [], ABSENT, 0),
        (job("COMPLETED", "spark-1", ""), job("COMPLETED", "spark-1", "", tasks="COMPLETED"), [], UNSURE, 0),
        # Something goes on.
        (job("RUNNING", "spark-1"), job("RUNNING", "spark-1"), [], UNSURE, 0),
        (job("COMPLETED", "spark-1"), job("PENDING", "spark-1"), [], UNSURE, 0),
        (job("COMPLETED", "spark-1"), job("RUNNING", "spark-1", tasks="COMPLETED"), [], UNSURE, 0),
        (job(""), job("RUNNING"), [], UNSURE, 0),
        # A status has changed that no execution explains; a reference or a task is gone.
        (job("COMPLETED", "spark-1"), job("FAILED", "spark-1"), [], UNSURE, 0),
        (job("COMPLETED", "spark-1"), job("COMPLETED"), [], UNSURE, 0),
        (job("COMPLETED", "spark-1", "spark-2"), job("COMPLETED", "spark-1"), [], UNSURE, 0),
        # Tasks name no execution.
        (job("COMPLETED"), job("COMPLETED"), [], UNSURE, 0),
        # PENDING is the word of what never ran, while nothing has changed.
        (job("PENDING"), job("PENDING"), [], ABSENT, 0),
        (job("PENDING"), job("PENDING", updated="2026-11-22T12:00:01Z"), [], UNSURE, 0),
        (job("PENDING", updated=""), job("PENDING", updated=""), [], UNSURE, 0),
        (job(""), job("PENDING"), [], UNSURE, 0),
        # Nothing could keep what was there before the call: nothing is proven by a time.
        (None, job("RUNNING", "spark-2"), [run(GOING)], UNSURE, 1),
        (None, job("RUNNING", "spark-2"), [run(GOING, 300)], UNSURE, 1),
        (None, job("FAILED", "spark-2"), [run(BAD)], UNSURE, 0),
        (None, job("COMPLETED", "spark-2"), [run(GOOD)], UNSURE, 1),
        (None, job("RUNNING", "spark-2"), [run(GOING, -30)], UNSURE, 0),
        (None, job("COMPLETED", "spark-2"), [run(GOOD, -30, ended=-20)], ABSENT, 0),
        (None, job("COMPLETED", "spark-2"), [run(GOOD, -30, ended=20)], ABSENT, 0),
        (None, job("COMPLETED", "no/id"), [], UNSURE, 0),
        (None, job(""), [], ABSENT, 0),
        (None, job("PENDING"), [], ABSENT, 0),
        (None, job("PENDING", updated="2026-11-22T12:10:00Z"), [], UNSURE, 0),
        (None, job("RUNNING"), [], UNSURE, 0),
        (None, job("COMPLETED"), [], UNSURE, 0),
    ],
)
def test_a_lost_execute_call_is_never_found_and_absent_only_where_the_tasks_show_nothing_new_and_nothing_going(
    before: JobMark | None, now: JobMark, named: list[RemoteRun], sighting: Evidence, candidates: int
) -> None:
    search = weigh_executions(before, now, named, CALL, "it")

    assert (search.sighting, len(search.candidates)) == (sighting, candidates)


def test_the_execution_that_began_soonest_after_the_call_is_the_likeliest() -> None:
    """A job runs once at a time: what began later began after ours, if ours began at all."""
    found = weigh_executions(
        job(""), job("RUNNING", "a", "b"), [run(GOING, 5, "b"), run(GOOD, 1, "a"), run(GOOD, -30, "z")], CALL, "it"
    )

    assert [each.ref.ids["execution_id"] for each in found.candidates] == ["a", "b"]
    assert settle_lost_start(found, "fail", "It was lost.").action is LostStart.REFUSE
    adopted = settle_lost_start(found, "adopt", "It was lost.")
    assert adopted.run is not None
    assert adopted.run.ref.ids["execution_id"] == "a"


def test_adopt_takes_nothing_that_began_before_the_call() -> None:
    search = weigh_executions(
        job("COMPLETED", "spark-1"), job("COMPLETED", "spark-2"), [run(GOOD, -30, ended=-20)], CALL, "it"
    )

    assert settle_lost_start(search, "adopt", "It was lost.").action is LostStart.REFUSE


def test_why_it_cannot_be_told_names_the_execution_that_may_have_replaced_ours() -> None:
    search = weigh_executions(job("COMPLETED", "spark-1"), job("FAILED", "spark-2"), [run(BAD)], CALL, "it")

    assert "98/210/spark-2 is failed" in search.looked_for


# -- a lost start of a task ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "minutes", "sighting", "candidates"),
    [
        (OLD, OLD, -60, ABSENT, 0),
        (OLD, replace(OLD, reference="spark-2"), 0, FOUND, 1),
        (OLD, replace(OLD, status="RUNNING"), -60, FOUND, 1),
        (OLD, replace(OLD, reference="spark-2", status="FAILED"), 0, FOUND, 1),
        (replace(OLD, status="RUNNING"), replace(OLD, status="RUNNING"), -60, UNSURE, 0),
        # Cannot be told: the candidate is named, if it is not surely from before the call.
        (TIMED, replace(TIMED, started="2026-11-22T11:10:00Z", updated="2026-11-22T12:00:05Z"), None, UNSURE, 1),
        (TIMED, replace(TIMED, started="2026-11-22T11:10:00Z"), -50, UNSURE, 0),
        (TIMED, replace(TIMED, status="FAILED"), None, UNSURE, 0),
        # Nothing has changed, and the time is that of the call: a run since then could look the same.
        (replace(TIMED, started="2026-11-22T12:00:00Z"), replace(TIMED, started="2026-11-22T12:00:00Z"), 0, UNSURE, 0),
        (BARE, BARE, None, ABSENT, 0),
        # Never ran.
        (TaskMark(), TaskMark(), None, ABSENT, 0),
        (IDLE, IDLE, None, ABSENT, 0),
        (IDLE, replace(IDLE, updated="2026-11-22T12:00:01Z"), None, UNSURE, 1),
        (TaskMark("PENDING"), TaskMark("PENDING"), None, UNSURE, 0),
        (TaskMark(), TaskMark("PENDING"), None, UNSURE, 1),
        # Nothing could keep what was there before the call.
        (None, TaskMark(), None, ABSENT, 0),
        (None, IDLE, None, ABSENT, 0),
        (None, OLD, -60, ABSENT, 0),
        (None, replace(OLD, updated="2026-11-22T12:00:01Z"), -60, UNSURE, 1),
        (None, TaskMark("RUNNING"), None, UNSURE, 1),
        (None, replace(OLD, status="RUNNING"), -60, UNSURE, 1),
        (None, replace(OLD, started="2026-11-22T12:01:00Z", updated="2026-11-22T12:02:00Z"), 1, UNSURE, 1),
        (None, replace(OLD, status="FAILED", updated="2026-11-22T12:02:00Z"), 1, UNSURE, 0),
    ],
)
def test_a_lost_start_of_a_task_is_found_only_by_what_has_changed_since_just_before_the_call(
    before: TaskMark | None, now: TaskMark, minutes: float | None, sighting: Evidence, candidates: int
) -> None:
    alone = None if before is None else replace(before, others="")
    shown = run(state_of(now.status), minutes)

    search = weigh_task_run(alone, replace(now, others=""), shown, CALL, "it", is_shared=False)

    assert (search.sighting, len(search.candidates)) == (sighting, candidates)


@pytest.mark.parametrize(
    ("now", "others", "is_shared", "sighting"),
    [
        (replace(OLD, reference="spark-2"), "changed", False, FOUND),
        (replace(OLD, reference="spark-2"), "changed", True, UNSURE),
        (replace(OLD, status="RUNNING"), "same", False, FOUND),
        (replace(OLD, status="RUNNING"), "changed", False, UNSURE),
    ],
)
def test_a_run_of_a_task_as_a_part_of_its_job_may_have_had_inputs_and_is_not_taken(
    now: TaskMark, others: str, is_shared: bool, sighting: Evidence
) -> None:
    before = replace(OLD, others="same")

    search = weigh_task_run(before, replace(now, others=others), run(GOING), CALL, "it", is_shared=is_shared)

    assert search.sighting is sighting


def test_a_mark_of_an_older_release_does_not_say_what_the_other_tasks_showed() -> None:
    search = weigh_task_run(OLD, replace(OLD, status="RUNNING", others=""), run(GOING), CALL, "it", is_shared=False)

    assert search.sighting is UNSURE


# -- the table, and the page --------------------------------------------------------------------------------------


def test_the_proof_tables_say_what_each_kind_of_run_shows() -> None:
    assert not WebRobotHook.start_proof.can_show
    assert WebRobotHook.start_proof.inputs == "hidden"
    assert WebRobotHook.task_start_proof.can_show
    assert WebRobotHook.task_start_proof.inputs == "none"


def test_every_row_of_the_pages_table_of_proof_names_tests_that_exist() -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / "vendors" / "webrobot.md").read_text()
    table = page.split("## What proves that a run is yours", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert len(rows) >= 8
    for row in rows:
        for cell in row.strip("| ").split(" | ")[1:]:
            named = re.findall(r"`(test_\w+)`", cell)
            assert named, cell
            for name in named:
                assert f"def {name}(" in sources, name
