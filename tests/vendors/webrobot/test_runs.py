"""WebRobot's runs against its server on localhost: one run, a task by itself, and what runs already."""
# ruff: noqa: F401, F811 - fixtures are imported, and asked for by their names

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_etlapis.exceptions import AlreadyRunningError
from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.runs.evidence import CLOCK_SKEW
from airflow_provider_etlapis.runs.model import RunRef, RunState
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox, execution_of
from airflow_provider_etlapis.sandbox.webrobot.work import Job
from tests.vendors.webrobot.stage import PAIR, SPEC, TASK_SPEC, clock, hook, in_step, sandbox

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
