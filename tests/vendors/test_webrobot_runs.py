"""WebRobot's runs against its server on localhost: reading, finding, cancelling, many at once, logs."""
# ruff: noqa: F401, F811 - fixtures are imported, and asked for by their names

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_etlapis.exceptions import AlreadyRunningError, NotFoundError, VendorUnavailableError
from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.hooks.webrobot_lists import CHECKED_EVERY, JobLists
from airflow_provider_etlapis.runs.evidence import CLOCK_SKEW, Evidence
from airflow_provider_etlapis.runs.model import RunRef, RunState
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox, execution_of
from airflow_provider_etlapis.sandbox.webrobot_work import Job, Task
from tests.vendors.webrobot_stage import NOON, SPEC, TASK_SPEC, ask, clock, connect, hook, in_step, sandbox

PAIR = Job("98", "300", "pair", (Task("31", "left"), Task("32", "right")))


def intent(hook: WebRobotHook, spec: dict[str, object]) -> Intent:
    return Intent("marker", "inputs", 0, 0, NOON, watermark=json.loads(json.dumps(hook.before_start(spec))))


# -- one run ------------------------------------------------------------------------------------------------------


def test_an_execution_is_followed_from_its_start_to_its_end(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock
) -> None:
    sandbox.plan(Life(duration=60, queued=10))
    run = hook.start_run(SPEC, "marker")
    assert (run.vendor_status, run.state, list(run.ref.ids)) == (
        "SUBMITTED",
        RunState.QUEUED,
        ["project_id", "job_id", "execution_id"],
    )

    states = []
    for seconds in (1, 10, 60):
        clock.advance(seconds)
        states.append(hook.read_run(run.ref).vendor_status)
    assert states == ["PENDING", "RUNNING", "COMPLETED"]

    ended = hook.read_run(run.ref)
    assert ended.duration == 60
    assert ended.url is not None
    assert ended.details["executionTimeSeconds"] == 70


def test_a_failed_execution_tells_the_vendors_reason(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    seeded = sandbox.seed_run(Life(duration=1, outcome="error", error_text="heap is full"), age=5)

    run = hook.read_run(hook.execution_ref("98", "210", execution_of(seeded)))

    assert (run.state, run.error) == (RunState.FAILED, "heap is full")


def test_times_without_a_zone_are_utc(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    sandbox.naive_times = True
    seeded = sandbox.seed_run(Life(duration=1), age=5)

    run = hook.read_run(hook.execution_ref("98", "210", execution_of(seeded)))

    assert run.started == datetime(2026, 11, 22, 11, 59, 55, tzinfo=UTC)


def test_the_status_unknown_goes_on(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    seeded = sandbox.seed_run(Life(duration=99))
    sandbox.inject(Fault("get", "unknown_status", word="UNKNOWN"))

    run = hook.read_run(hook.execution_ref("98", "210", execution_of(seeded)))

    assert (run.vendor_status, run.state.is_terminal) == ("UNKNOWN", False)


def test_an_ended_execution_is_completed_by_the_metrics_of_its_task(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    seeded = sandbox.seed_run(Life(duration=4), age=5)

    run = hook.complete_run(hook.read_run(hook.execution_ref("98", "210", execution_of(seeded))))

    assert run.details["task_id"] == "1"
    assert run.details["metrics"]["recordsProcessed"] == 1200
    assert [(step.name, step.vendor_status) for step in run.steps] == [("scrape-prices", "COMPLETED")]
    assert "other_metrics" not in run.details


def test_an_execution_of_several_tasks_has_the_metrics_of_all(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    sandbox.define(PAIR)
    seeded = sandbox.seed_run(Life(duration=4), flow="98/300", age=5)

    run = hook.complete_run(hook.read_run(hook.execution_ref("98", "300", execution_of(seeded))))

    assert (run.details["metrics"]["taskId"], list(run.details["other_metrics"])) == (31, ["32"])
    assert len(run.steps) == 2


def test_an_execution_whose_tasks_have_no_metrics_is_complete_without(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    seeded = sandbox.seed_run(Life(duration=4), age=5)
    sandbox.has_metrics = False
    ref = hook.execution_ref("98", "210", execution_of(seeded))
    assert "metrics" not in hook.complete_run(hook.read_run(ref)).details

    sandbox.task_references = False
    run = hook.complete_run(hook.read_run(ref))
    assert (run.details["task_id"], run.steps) == (None, ())


# -- a task by itself ---------------------------------------------------------------------------------------------


def test_a_task_that_never_ran_is_followed_by_its_status(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock
) -> None:
    run = hook.start_run(TASK_SPEC, "marker")
    assert dict(run.ref.ids) == TASK_SPEC
    assert hook.read_run(run.ref).vendor_status == "RUNNING"

    clock.advance(3)
    ended = hook.read_run(RunRef.from_json(json.loads(json.dumps(run.ref.to_json()))))
    assert (ended.state, ended.duration, ended.details["metrics"]["taskId"]) == (RunState.SUCCEEDED, 3, 1)


@pytest.mark.parametrize("references", [True, False])
@pytest.mark.parametrize("metrics", [True, False])
def test_an_end_that_the_run_before_left_is_not_taken_for_its_own(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock, in_step: None, references: bool, metrics: bool
) -> None:
    sandbox.task_references, sandbox.has_metrics = references, metrics
    sandbox.seed_run(Life(duration=5), flow="98/210", age=60)
    sandbox.task_lag = 10
    run = hook.start_run(TASK_SPEC, "marker")
    assert hook.get_task_status("98", "210", "1")["status"] == "COMPLETED"

    early = hook.read_run(run.ref)
    assert (early.state, early.vendor_status) == (RunState.QUEUED, "COMPLETED by the run before, not begun yet")

    clock.advance(11)
    if not references and not metrics:
        late = hook.read_run(run.ref)
        assert (late.state, late.vendor_status) == (RunState.QUEUED, "COMPLETED, which may be that of the run before")
        clock.advance(CLOCK_SKEW)
    assert hook.read_run(run.ref).state is RunState.SUCCEEDED


def test_a_run_that_cannot_be_told_from_the_one_before_is_taken_after_five_minutes_and_not_waited_for_for_ever(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock, in_step: None
) -> None:
    """The row has changed in the second of the start, and there is nothing else to go by."""
    sandbox.task_references = sandbox.has_metrics = False
    sandbox.whole_seconds = True
    sandbox.seed_run(Life(duration=5), flow="98/210", age=5)
    sandbox.plan(Life(duration=0.2))
    run = hook.start_run(TASK_SPEC, "marker")
    clock.advance(1)

    assert hook.read_run(run.ref).vendor_status == "COMPLETED, which may be that of the run before"
    clock.advance(CLOCK_SKEW)
    assert hook.read_run(run.ref).state is RunState.SUCCEEDED


@pytest.mark.parametrize("ahead", [0.0, 1.0, 60.0, 120.0])
def test_a_start_in_the_metrics_counts_although_the_row_of_the_run_before_is_as_late_by_its_own_clock(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock, in_step: None, ahead: float
) -> None:
    """The start call was accepted, and by the server's ``Date`` the start is not from before it."""
    sandbox.task_references, sandbox.whole_seconds, sandbox.rows_ahead = False, True, ahead
    sandbox.seed_run(Life(duration=5), flow="98/210", age=5)
    run = hook.start_run(TASK_SPEC, "marker")
    clock.advance(4)

    assert hook.read_run(run.ref).state is RunState.SUCCEEDED


def test_a_wait_that_an_older_release_began_is_carried_on(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    sandbox.task_references = sandbox.has_metrics = False
    sandbox.seed_run(Life(duration=5), flow="98/210", age=60)
    older = {"status": "COMPLETED", "reference": "", "started": "", "updated": "2026-11-22T11:00:00.000Z"}
    ref = RunRef("webrobot", TASK_SPEC, watermark=older)

    assert hook.read_run(ref).state is RunState.SUCCEEDED


def test_a_failed_task_tells_the_end_of_its_log(hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock) -> None:
    sandbox.plan(Life(duration=1, outcome="error", error_text="page 17 has no price"))
    run = hook.start_run(TASK_SPEC, "marker")
    clock.advance(2)

    failed = hook.read_run(run.ref)

    assert failed.error is not None
    assert failed.error.endswith("ERROR driver page 17 has no price")


def test_a_second_start_of_a_running_task_is_refused_and_the_run_in_its_way_found(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock
) -> None:
    sandbox.plan(Life(duration=60))
    hook.start_run(TASK_SPEC, "marker")

    with pytest.raises(AlreadyRunningError):
        hook.start_run(TASK_SPEC, "marker")

    other = hook.find_running(TASK_SPEC)
    assert other is not None
    assert other.vendor_status == "RUNNING"
    clock.advance(61)
    assert hook.find_running(TASK_SPEC) is None


# -- what runs already --------------------------------------------------------------------------------------------


def test_the_execution_in_the_way_is_found_by_the_tasks(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    seeded = sandbox.seed_run(Life(duration=99))

    other = hook.find_running(SPEC)

    assert other is not None
    assert other.ref.run_id == seeded.id


def test_without_references_the_running_task_or_the_job_itself_is_in_the_way(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock
) -> None:
    sandbox.task_references = False
    sandbox.define(Job("98", "310", "no tasks", ()))
    sandbox.seed_run(Life(duration=99))
    sandbox.seed_run(Life(duration=99), flow="98/310")
    bare = {**SPEC, "job_id": "310"}

    by_task, by_job = hook.find_running(SPEC), hook.find_running(bare)

    assert by_task is not None
    assert dict(by_task.ref.ids) == TASK_SPEC
    assert by_job is not None
    assert dict(by_job.ref.ids) == {"project_id": "98", "job_id": "310"}
    clock.advance(100)
    assert hook.read_run(by_job.ref).state is RunState.SUCCEEDED
    assert hook.find_running(bare) is None


# -- lost starts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "sighting"), [(SPEC, Evidence.UNSURE), (TASK_SPEC, Evidence.FOUND)], ids=["execution", "task"]
)
def test_a_start_whose_answer_was_lost_is_found_where_it_can_be_shown_to_be_ours(
    hook: WebRobotHook, sandbox: WebRobotSandbox, spec: dict[str, object], sighting: Evidence
) -> None:
    sandbox.seed_run(Life(duration=5), age=60)
    before = intent(hook, spec)
    sandbox.plan(Life(duration=99))
    sandbox.inject(Fault("start", "drop_after"))
    sandbox.inject(Fault("start_task", "drop_after"))
    with pytest.raises(VendorUnavailableError):
        hook.start_run(spec, "marker")

    search = hook.find_started(spec, before)

    assert search.sighting is sighting
    assert hook.read_run(search.candidates[0].ref).vendor_status == "RUNNING"


@pytest.mark.parametrize("spec", [SPEC, TASK_SPEC], ids=["execution", "task"])
@pytest.mark.parametrize("idle", [None, "CREATED", "PENDING"])
@pytest.mark.parametrize("ran_before", [True, False])
def test_a_start_that_never_arrived_is_surely_absent(
    hook: WebRobotHook, sandbox: WebRobotSandbox, spec: dict[str, object], ran_before: bool, idle: str | None
) -> None:
    sandbox.idle_status = idle
    if ran_before:
        sandbox.seed_run(Life(duration=5), age=60)

    assert hook.find_started(spec, intent(hook, spec)).sighting is Evidence.ABSENT


@pytest.mark.parametrize("spec", [SPEC, TASK_SPEC], ids=["execution", "task"])
def test_one_look_for_a_lost_start_makes_few_requests_and_no_pause(
    hook: WebRobotHook, sandbox: WebRobotSandbox, spec: dict[str, object]
) -> None:
    known = intent(hook, spec)
    before = sandbox.ledger.count()

    hook.find_started(spec, known)

    assert sandbox.ledger.count() - before <= 2


def test_a_lost_start_that_no_task_names_cannot_be_told(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    sandbox.task_references = False
    before = intent(hook, SPEC)
    sandbox.plan(Life(duration=99))
    hook.start_run(SPEC, "marker")

    search = hook.find_started(SPEC, before)

    assert (search.sighting, search.candidates) == (Evidence.UNSURE, ())
    assert "something of the job is running" in search.looked_for


def test_an_execution_that_is_not_visible_yet_is_a_candidate(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    before = intent(hook, SPEC)
    sandbox.hidden_for = 60
    started = hook.start_run(SPEC, "marker")

    search = hook.find_started(SPEC, before)

    assert (search.sighting, [each.ref for each in search.candidates]) == (Evidence.UNSURE, [started.ref])


def test_a_start_whose_marks_could_not_be_read_has_surely_started_nothing(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    sandbox.inject(Fault("task", "status", status=500))

    with pytest.raises(VendorUnavailableError) as failure:
        hook.start_run(TASK_SPEC, "marker")

    assert not failure.value.may_have_acted
    assert sandbox.ledger.count("start_task") == 0


# -- cancelling ---------------------------------------------------------------------------------------------------


def cancelled_by(sandbox: WebRobotSandbox) -> list[str]:
    """Return the operations that stopped, or tried to stop, something."""
    names = {"cancel", "cancel_execution", "stop_job"}
    return [record.operation for record in sandbox.ledger.requests if record.operation in names]


def test_an_execution_is_stopped_by_its_task_as_documented(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    seeded = sandbox.seed_run(Life(duration=99))

    report = hook.cancel_run(hook.execution_ref("98", "210", execution_of(seeded)))

    assert report.asked
    assert "task 1" in report.note
    assert cancelled_by(sandbox) == ["cancel"]
    assert sandbox.ledger.cancels == [seeded.id]


def test_without_a_reference_the_only_running_task_is_stopped(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    sandbox.task_references = False
    seeded = sandbox.seed_run(Life(duration=99))

    assert hook.cancel_run(hook.execution_ref("98", "210", execution_of(seeded))).asked
    assert cancelled_by(sandbox) == ["cancel"]


def test_where_the_task_cannot_be_told_the_execution_is_deleted_and_that_is_said(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    sandbox.task_references = False
    sandbox.define(PAIR)
    seeded = sandbox.seed_run(Life(duration=99), flow="98/300")

    report = hook.cancel_run(hook.execution_ref("98", "300", execution_of(seeded)))

    assert report.asked
    assert "not in the vendor's reference" in report.note
    assert cancelled_by(sandbox) == ["cancel_execution"]


def test_a_task_that_says_it_does_not_run_leaves_the_execution_to_be_deleted(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    seeded = sandbox.seed_run(Life(duration=99))
    sandbox.inject(Fault("cancel", "status", status=409))

    assert hook.cancel_run(hook.execution_ref("98", "210", execution_of(seeded))).asked
    assert cancelled_by(sandbox) == ["cancel", "cancel_execution"]


def test_a_server_without_the_later_calls_leaves_the_run_and_that_is_said(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    sandbox.task_references, sandbox.later_calls = False, False
    sandbox.define(PAIR)
    seeded = sandbox.seed_run(Life(duration=99), flow="98/300")

    report = hook.cancel_run(hook.execution_ref("98", "300", execution_of(seeded)))

    assert not report.asked
    assert "may go on" in report.note


def test_a_stop_that_fails_on_the_servers_side_is_no_reason_for_another_call(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    seeded = sandbox.seed_run(Life(duration=99))
    sandbox.inject(Fault("cancel", "status", status=500))

    with pytest.raises(VendorUnavailableError):
        hook.cancel_run(hook.execution_ref("98", "210", execution_of(seeded)))
    assert cancelled_by(sandbox) == ["cancel"]


def test_a_run_that_has_ended_is_not_stopped(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    seeded = sandbox.seed_run(Life(duration=1), age=5)

    for ref in (
        hook.execution_ref("98", "210", execution_of(seeded)),
        hook.task_ref("98", "210", "1"),
        hook.job_ref("98", "210"),
    ):
        assert not hook.cancel_run(ref).asked
    assert cancelled_by(sandbox) == []


def test_tasks_and_jobs_are_stopped_as_such(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    sandbox.seed_run(Life(duration=99))
    sandbox.seed_run(Life(duration=99), flow="98/220")

    assert hook.cancel_run(hook.task_ref("98", "210", "1")).asked
    assert hook.cancel_run(hook.job_ref("98", "220")).asked
    assert cancelled_by(sandbox) == ["cancel", "stop_job"]


def test_a_task_that_ended_between_look_and_stop_is_told_as_not_running(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    sandbox.seed_run(Life(duration=99))
    sandbox.inject(Fault("cancel", "status", status=409))

    report = hook.cancel_run(hook.task_ref("98", "210", "1"))

    assert (report.asked, report.note) == (False, "task 1 of job 210 of project 98 is not running")


# -- logs ---------------------------------------------------------------------------------------------------------


def test_new_lines_of_the_drivers_log_are_told_once(hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock) -> None:
    sandbox.plan(Life(duration=90))
    run = hook.start_run(SPEC, "marker")

    told, cursor = [], None
    for _ in range(4):
        chunk = hook.read_log(run.ref, cursor)
        told.append([line.split(" driver ")[1] for line in chunk.lines])
        cursor = chunk.cursor
        clock.advance(31)

    assert told == [
        ["read: running"],
        ["read: success", "transform: running"],
        ["transform: success", "write: running"],
        ["write: success"],
    ]
    assert all(("podType", "driver") in r.query for r in sandbox.ledger.requests if r.operation == "logs")


def test_the_log_of_a_task_by_itself_is_not_that_of_the_run_before(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock
) -> None:
    sandbox.seed_run(Life(duration=5), age=60)
    sandbox.task_lag = 10
    sandbox.plan(Life(duration=99))
    run = hook.start_run(TASK_SPEC, "marker")
    assert hook.read_log(run.ref, None).lines == ()

    clock.advance(11)
    assert len(hook.read_log(run.ref, None).lines) == 1


def test_the_end_of_a_log_is_that_of_executors_and_driver(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    seeded = sandbox.seed_run(Life(duration=1, outcome="error"), age=5)
    ref = hook.execution_ref("98", "210", execution_of(seeded))

    tail = hook.read_log_tail(ref, 2)
    assert [line.split()[0] for line in tail] == ["[executor]", "[executor]", "[driver]", "[driver]"]
    assert tail[-1].endswith("scripted failure")
    assert hook.read_log_tail(hook.task_ref("98", "210", "1"), 2) == tail
    assert hook.read_log_tail(hook.job_ref("98", "210"), 2) == ()

    sandbox.inject(Fault("logs", "status", status=404))
    assert [line.split()[0] for line in hook.read_log_tail(ref, 2)] == ["[driver]", "[driver]"]


# -- many runs ----------------------------------------------------------------------------------------------------


def many(sandbox: WebRobotSandbox, project: str, count: int) -> list[RunRef]:
    """Start an execution of each of so many jobs."""
    refs = []
    for number in range(1, count + 1):
        sandbox.define(Job(project, str(number), f"job {number}", (Task(str(number), "only"),)))
        run = sandbox.seed_run(Life(duration=10 * number), flow=f"{project}/{number}")
        refs.append(WebRobotHook.execution_ref(project, str(number), execution_of(run)))
    return refs


def test_one_list_a_project_tells_which_jobs_still_go(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock
) -> None:
    refs = [*many(sandbox, "500", 20), *many(sandbox, "501", 5)]
    clock.advance(55)

    found = hook.read_runs(refs)

    assert sandbox.ledger.count() == 2
    going = {ref.run_id for ref in refs if int(ref.ids["job_id"]) > 5}
    assert set(found) == going, "a job that was not seen going may show the end of another run"
    assert {run.state for run in found.values()} == {RunState.RUNNING}


def test_a_list_tells_an_end_of_what_the_look_before_saw_going(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock
) -> None:
    refs = many(sandbox, "500", 20)
    clock.advance(55)
    before = hook.read_runs(refs)
    clock.advance(100)

    after = hook.read_runs(refs)

    assert sandbox.ledger.count() == 2
    assert set(after) == set(before)
    ended = {run_id for run_id, run in after.items() if run.state is RunState.SUCCEEDED}
    assert ended == {ref.run_id for ref in refs if 5 < int(ref.ids["job_id"]) <= 15}


def test_a_job_that_begins_anew_runs_for_somebody_else() -> None:
    ref = WebRobotHook.execution_ref("1", "2", "e")
    others = [WebRobotHook.execution_ref("1", str(number), "e") for number in range(3, 9)]
    lists = JobLists()
    told = []
    for status in ("PENDING", "RUNNING", "PENDING"):
        lists.begin()
        told.append(ref.run_id in lists.judge([ref, *others], [{"id": "2", "executionStatus": status}]))

    assert told == [True, True, False]


def test_jobs_that_were_touched_while_they_ran_are_checked_one_at_a_time() -> None:
    refs = [WebRobotHook.execution_ref("1", str(number), "e") for number in range(4)]
    lists = JobLists()
    left_out = []
    for updated in ("09:00", "09:01", "09:01", "09:01", "09:01", "09:01"):
        jobs = [{"id": str(number), "executionStatus": "RUNNING", "updatedAt": updated} for number in range(4)]
        lists.begin()
        left_out.append({ref.run_id for ref in refs} - set(lists.judge(refs, jobs)))

    assert [len(each) for each in left_out] == [0, 1, 1, 1, 1, 0]
    assert set.union(*left_out) == {ref.run_id for ref in refs}


@pytest.mark.parametrize("status", ["CANCELLED", "STOPPED", "UNKNOWN", "", None])
def test_a_word_that_is_not_documented_as_an_end_is_left_to_a_read_of_the_run(status: str | None) -> None:
    refs = [WebRobotHook.execution_ref("1", str(number), "e") for number in (2, 3)]
    lists = JobLists()
    lists.begin()
    assert lists.judge(refs, [{"id": "2", "executionStatus": "RUNNING"}])
    lists.begin()

    assert lists.judge(refs, [{"id": "2", "executionStatus": status}]) == {}


def test_a_run_alone_in_its_project_and_a_task_by_itself_are_read_singly(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    (alone,) = many(sandbox, "502", 1)

    assert hook.read_runs([alone, hook.task_ref("502", "1", "1"), hook.job_ref("502", "1")]) == {}
    assert sandbox.ledger.requests == []


def test_every_run_is_read_singly_now_and_then(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    """Else one that ended while its job runs again for somebody else would never be seen to have ended."""
    refs = many(sandbox, "503", 7)

    left_out = set()
    for _ in range(CHECKED_EVERY * len(refs)):
        left_out |= {ref.run_id for ref in refs} - set(hook.read_runs(refs))

    assert left_out == {ref.run_id for ref in refs}


def test_a_project_that_is_gone_leaves_its_runs_to_single_reads(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    refs = many(sandbox, "504", 3)
    gone = [RunRef("webrobot", {**ref.ids, "project_id": "9"}) for ref in refs]

    found = hook.read_runs([*refs, *gone])

    assert set(found) <= {ref.run_id for ref in refs}
    with pytest.raises(NotFoundError):
        hook.read_run(gone[0])


def test_a_thousand_runs_cost_one_request_a_look(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    refs = many(sandbox, "505", 1000)

    found = hook.read_runs(refs)

    assert sandbox.ledger.count() == 1
    assert len(found) == 1000
