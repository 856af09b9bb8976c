"""DataWORQ jobs as runs: light polls, one whole read at the end, logs, and a cancel that is not there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_etlapis.exceptions import (
    PollingGaveUpError,
    RemoteRunFailedError,
    RemoteRunTimeoutError,
    RequestRefusedError,
    SensedRunFailedError,
)
from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.runs.model import RunState
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sensors.dataworq import DataworqJobSensor
from tests.support.airflow_context import TaskLog, task_log  # noqa: F401 a fixture
from tests.support.rehearsal import Rehearsal
from tests.vendors.dataworq.support import FLOW, JOB_ID, SPEC, connect, maker

BAD = Life(duration=0.1, outcome="error", error_text="no such table: DEMO")


@pytest.fixture
def sandbox() -> Iterator[DataworqSandbox]:
    with DataworqSandbox() as running:
        yield running


@pytest.fixture
def hook(sandbox: DataworqSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataworqHook]:
    with connect(monkeypatch, sandbox) as made:
        yield made


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def asked_of_one(sandbox: DataworqSandbox) -> list[str | None]:
    """Return the filters of the reads of single jobs."""
    return [dict(record.query).get("filter") for record in sandbox.ledger.requests if record.operation == "get"]


# Looks and the end


def test_a_look_asks_for_the_status_alone(sandbox: DataworqSandbox, hook: DataworqHook):
    sandbox.seed_run(Life(duration=60), run_id=JOB_ID)

    assert hook.look(hook.ref(JOB_ID)).state is RunState.RUNNING
    assert asked_of_one(sandbox) == ["executionStatus"]


def test_a_status_in_a_shape_that_is_not_known_is_read_from_the_whole_job(sandbox: DataworqSandbox, hook: DataworqHook):
    sandbox.seed_run(Life(duration=60), run_id=JOB_ID)
    sandbox.inject(Fault("get", "status", status=200, body='{"state": "RUNNING"}'))

    assert hook.look(hook.ref(JOB_ID)).vendor_status == "RUNNING"
    assert asked_of_one(sandbox) == ["executionStatus", None]


def test_the_whole_job_is_read_once_and_only_at_its_end(sandbox: DataworqSandbox, hook: DataworqHook, deferrable: bool):
    sandbox.plan(BAD)

    with pytest.raises(RemoteRunFailedError, match="no such table: DEMO"):
        Rehearsal(maker(deferrable=deferrable)).run()

    assert asked_of_one(sandbox).count(None) == 1
    assert asked_of_one(sandbox)[-1] is None


def test_the_manifest_is_that_of_the_whole_job(sandbox: DataworqSandbox, hook: DataworqHook, deferrable: bool):
    sandbox.plan(Life(duration=0.3))

    manifest = Rehearsal(maker(deferrable=deferrable)).run()

    assert manifest["name"] == f"{FLOW.name}_default"
    assert manifest["duration"] == pytest.approx(0.3, abs=0.01)
    assert manifest["details"]["flow_name"] == FLOW.name


def test_how_the_job_ended_counts_even_if_the_rest_cannot_be_read(sandbox: DataworqSandbox, hook: DataworqHook):
    sandbox.seed_run(Life(duration=0), run_id=JOB_ID)
    sandbox.inject(Fault("get", "status", status=500, times=None, skip=1))

    manifest = Rehearsal(lambda: DataworqJobSensor(task_id="sense", job_id=JOB_ID)).run()

    assert manifest["state"] == "succeeded"


def test_a_sensor_tells_the_jobs_own_error(sandbox: DataworqSandbox, hook: DataworqHook, deferrable: bool):
    sandbox.seed_run(Life(duration=0.2, outcome="error", error_text="no such table"), run_id=JOB_ID)
    sensor = Rehearsal(
        lambda: DataworqJobSensor(task_id="sense", job_id=JOB_ID, deferrable=deferrable, poke_interval=0.05)
    )

    with pytest.raises(SensedRunFailedError, match="no such table"):
        sensor.run()


def test_a_200_to_the_start_is_not_taken_for_an_end(sandbox: DataworqSandbox, hook: DataworqHook):
    run = hook.start_run(SPEC, "marker")

    assert not run.state.is_terminal


def test_a_job_that_is_not_registered_yet_has_time_to_appear(
    sandbox: DataworqSandbox, hook: DataworqHook, deferrable: bool
):
    sandbox.registration_seconds = 0.3
    sandbox.plan(Life(duration=0.5))

    assert Rehearsal(maker(deferrable=deferrable)).run()["state"] == "succeeded"


def test_400s_are_borne_for_as_long_as_any_outage(sandbox: DataworqSandbox, hook: DataworqHook, deferrable: bool):
    sandbox.plan(Life(duration=0.4))
    task = Rehearsal(maker(deferrable=deferrable))

    manifest = task.run(when_known=lambda: sandbox.inject(Fault("get", "status", status=400, times=3)) and None)

    assert manifest["state"] == "succeeded"


def test_400s_without_an_end_give_up_and_leave_the_job(sandbox: DataworqSandbox, hook: DataworqHook, deferrable: bool):
    sandbox.plan(Life(duration=3600))
    task = Rehearsal(maker(deferrable=deferrable, poll_failure_budget=0.3))

    with pytest.raises(PollingGaveUpError, match="left alone"):
        task.run(when_known=lambda: sandbox.inject(Fault("*", "status", status=400, times=None)) and None)


def test_a_400_to_the_start_says_what_to_check(sandbox: DataworqSandbox, hook: DataworqHook):
    with pytest.raises(RequestRefusedError, match="check flow_id"):
        hook.start_run({**SPEC, "run_profile_name": "weekly"}, "marker")


# No cancel


def test_a_killed_task_says_which_job_goes_on(sandbox: DataworqSandbox, hook: DataworqHook, task_log: TaskLog):  # noqa: F811 a fixture
    sandbox.plan(Life(duration=3600))
    task = Rehearsal(maker(deferrable=False))

    task.kill()

    (told,) = [line for line in task_log.warnings() if "goes on" in line]
    assert sandbox.ledger.starts[0] in told
    assert "documents no call that cancels" in told
    assert len(sandbox.ledger.live_runs()) == 1


def test_a_deadline_says_that_the_job_goes_on(sandbox: DataworqSandbox, hook: DataworqHook, deferrable: bool):
    sandbox.plan(Life(duration=3600))

    with pytest.raises(RemoteRunTimeoutError, match="goes on") as late:
        Rehearsal(maker(deferrable=deferrable, timeout=0.3)).run()

    assert sandbox.ledger.starts[0] in str(late.value)


def test_a_cancel_asks_the_vendor_for_nothing(sandbox: DataworqSandbox, hook: DataworqHook):
    report = hook.cancel_run(hook.ref(JOB_ID))

    assert not report.asked
    assert sandbox.ledger.requests == []


# The log


def test_the_end_of_the_log_is_shown_when_the_job_failed(sandbox: DataworqSandbox, hook: DataworqHook):
    sandbox.plan(BAD)

    with pytest.raises(RemoteRunFailedError, match="Job failed"):
        Rehearsal(maker()).run()


def test_the_log_is_never_shown_where_that_is_not_wanted(sandbox: DataworqSandbox, hook: DataworqHook):
    sandbox.plan(BAD)

    with pytest.raises(RemoteRunFailedError) as failure:
        Rehearsal(maker(log_remote=False, parameters={"PASSWORD": "in clear"})).run()

    assert "in clear" not in str(failure.value)
    assert "Job failed" not in str(failure.value)


def test_the_log_of_a_job_that_ended_well_comes_along_when_asked_for(
    sandbox: DataworqSandbox,
    hook: DataworqHook,
    deferrable: bool,
    task_log: TaskLog,  # noqa: F811 a fixture
):
    sandbox.plan(Life(duration=0.2))

    Rehearsal(maker(deferrable=deferrable, log_remote=True)).run()

    told = [text for _, text in task_log.lines if text.startswith("[remote]")]
    assert len([text for text in told if "Job completed successfully." in text]) == 1


def test_a_log_that_grows_is_read_on_from_where_it_was(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(speed=0)
    with DataworqSandbox(clock=clock, log_while_running=True) as sandbox, connect(monkeypatch, sandbox) as hook:
        ref = hook.ref(sandbox.seed_run(Life(duration=30)).id)
        clock.advance(15)
        first = hook.read_log(ref)
        clock.advance(20)
        rest = hook.read_log(ref, first.cursor)

    written = ["PERFORMANCE" in line and line.rpartition(":Step ")[2][:1] for line in first.lines + rest.lines]
    assert [step for step in written if step] == ["1", "2", "3"], "each step once, over both reads"
    assert any("Step 1:Step 1" in line for line in first.lines)
    assert any("Step 3:Step 3" in line for line in rest.lines)


def test_a_job_without_a_log_has_no_lines(sandbox: DataworqSandbox, hook: DataworqHook):
    ref = hook.ref(sandbox.seed_run(Life(duration=60)).id)

    assert hook.read_log(ref).lines == ()
    assert hook.read_log_tail(ref, 50) == ()


def test_blank_lines_between_tables_are_not_copied(sandbox: DataworqSandbox, hook: DataworqHook):
    ref = hook.ref(sandbox.seed_run(Life(duration=1), age=5).id)

    lines = hook.read_log(ref)

    assert "\r\n\r\n" in hook.get_job(ref.run_id)["log"]
    assert all(line.strip() for line in lines.lines)
    assert hook.read_log(ref, lines.cursor).lines == ()
    assert hook.read_log_tail(ref, 10_000) == tuple(line.rstrip() for line in lines.lines)


def test_the_tail_is_bounded(sandbox: DataworqSandbox, hook: DataworqHook):
    ref = hook.ref(sandbox.seed_run(Life(duration=1), age=5).id)

    tail = hook.read_log_tail(ref, 2)

    assert len(tail) == 2
    assert tail[-1].endswith("Job completed successfully.")
