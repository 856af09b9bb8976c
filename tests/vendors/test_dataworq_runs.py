"""DataWORQ jobs as runs: light looks, one whole read at the end, lost starts, logs, and a cancel that is not there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import (
    InvalidInputError,
    PollingGaveUpError,
    RemoteRunFailedError,
    RemoteRunTimeoutError,
    RequestRefusedError,
    SensedRunFailedError,
    StartLostError,
)
from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.runs.model import RunState
from airflow_provider_etlapis.runs.resume import LostStart, Sighting, settle_lost_start
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.dataworq_work import DEMO_FLOWS
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sensors.dataworq import DataworqJobSensor
from tests.support.airflow_context import TaskLog, task_log  # noqa: F401 a fixture
from tests.support.rehearsal import Rehearsal
from tests.vendors.dataworq_support import FLOW, JOB_ID, SPEC, connect, intent, maker, operator

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


# Many at once


def lists(sandbox: DataworqSandbox) -> list[str]:
    """Return the filters of the lists that were asked for."""
    return [dict(record.query).get("filter", "") for record in sandbox.ledger.requests]


def test_one_list_tells_of_all_jobs_and_how_they_ended(sandbox: DataworqSandbox, hook: DataworqHook):
    live = [hook.ref(sandbox.seed_run(Life(duration=60)).id) for _ in range(3)]
    over = [hook.ref(sandbox.seed_run(Life(duration=1, outcome=how), age=5).id) for how in ("success", "error")]

    found = hook.read_runs([*live, *over])

    states = [found[ref.run_id].state for ref in (*live, *over)]
    assert states == [RunState.RUNNING] * 3 + [RunState.SUCCEEDED, RunState.FAILED]
    assert lists(sandbox) == [""]


def test_a_list_that_is_heavy_with_logs_is_asked_for_once(sandbox: DataworqSandbox, hook: DataworqHook):
    live = [hook.ref(sandbox.seed_run(Life(duration=60)).id) for _ in range(2)]
    sandbox.seed_run(Life(duration=1, steps=["Copy " + "cells" * 200_000]), age=5)

    for _ in range(2):
        assert set(hook.read_runs(live)) == {ref.run_id for ref in live}

    assert lists(sandbox) == ["", "active"]


def test_the_list_of_active_jobs_serves_where_the_other_one_leaves_jobs_out(
    sandbox: DataworqSandbox, hook: DataworqHook
):
    live = [hook.ref(sandbox.seed_run(Life(duration=600), age=300).id) for _ in range(2)]
    over = hook.ref(sandbox.seed_run(Life(duration=1), age=300).id)
    for _ in range(100):
        sandbox.seed_run(Life(duration=1), age=5)

    for _ in range(2):
        assert set(hook.read_runs([*live, over])) == {ref.run_id for ref in live}

    assert lists(sandbox) == ["", "active", "active"]


def test_jobs_that_a_full_list_pushes_out_are_left_to_single_reads(sandbox: DataworqSandbox, hook: DataworqHook):
    ours = hook.ref(sandbox.seed_run(Life(duration=600), age=300).id)
    for _ in range(100):
        sandbox.seed_run(Life(duration=600))

    assert hook.read_runs([ours]) == {}
    assert hook.look(ours).state is RunState.RUNNING


# Lost starts


def test_before_the_start_the_active_jobs_of_that_name_are_noted(sandbox: DataworqSandbox, hook: DataworqHook):
    theirs = sandbox.seed_run(Life(duration=60))
    sandbox.seed_run(Life(duration=60), flow=DEMO_FLOWS[1].name)

    assert hook.before_start(SPEC) == [theirs.id]


def test_without_the_flows_name_nothing_is_asked_before_the_start(sandbox: DataworqSandbox, hook: DataworqHook):
    assert hook.before_start({**SPEC, "flow_name": None}) is None
    assert sandbox.ledger.requests == []


@pytest.mark.parametrize(
    "life", [Life(duration=60), Life(queued=60), Life(duration=0.0)], ids=["runs", "waits", "over"]
)
def test_a_lost_job_is_found_by_its_name(sandbox: DataworqSandbox, hook: DataworqHook, life: Life):
    known = sandbox.seed_run(Life(duration=60), age=30)
    at = time.time()
    ours = sandbox.seed_run(life)

    search = hook.find_started(SPEC, intent(at, [known.id]))

    assert search.sighting is Sighting.FOUND
    assert [run.ref.run_id for run in search.candidates] == [ours.id]


def test_of_several_jobs_none_is_taken_and_all_are_named(sandbox: DataworqSandbox, hook: DataworqHook):
    at = time.time()
    jobs = {sandbox.seed_run(Life(duration=60)).id for _ in range(2)}

    decision = settle_lost_start(hook.find_started(SPEC, intent(at, [])), "fail")

    assert decision.action is LostStart.REFUSE
    assert all(job in decision.reason for job in jobs)


def test_of_several_jobs_that_all_ended_badly_none_is_waited_for(sandbox: DataworqSandbox, hook: DataworqHook):
    at = time.time()
    for _ in range(2):
        sandbox.seed_run(Life(duration=0.0, outcome="error"))

    assert settle_lost_start(hook.find_started(SPEC, intent(at, [])), "fail").action is LostStart.START


def test_a_job_of_another_name_or_profile_is_not_taken(
    sandbox: DataworqSandbox, hook: DataworqHook, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("airflow_provider_etlapis.hooks.dataworq._PAUSE_BETWEEN_LOOKS", 0.01)
    at = time.time()
    sandbox.seed_run(Life(duration=60), flow=DEMO_FLOWS[1].name)
    sandbox.seed_run(Life(duration=60), request={"runProfileName": "nightly"})

    assert hook.find_started(SPEC, intent(at, [])).sighting is Sighting.ABSENT


def test_a_full_list_that_does_not_reach_back_is_no_proof_of_absence(
    sandbox: DataworqSandbox, hook: DataworqHook, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("airflow_provider_etlapis.hooks.dataworq._PAUSE_BETWEEN_LOOKS", 0.01)
    at = time.time()
    for _ in range(100):
        sandbox.seed_run(Life(duration=0.0), flow=DEMO_FLOWS[1].name)

    assert hook.find_started(SPEC, intent(at, [])).sighting is Sighting.UNSURE


def test_a_full_list_that_reaches_back_beyond_the_call_is(
    sandbox: DataworqSandbox, hook: DataworqHook, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("airflow_provider_etlapis.hooks.dataworq._PAUSE_BETWEEN_LOOKS", 0.01)
    at = time.time()
    for number in range(101):
        sandbox.seed_run(Life(duration=1.0), flow=DEMO_FLOWS[1].name, age=10.0 * number)

    assert hook.find_started(SPEC, intent(at, [])).sighting is Sighting.ABSENT


def test_without_the_flows_name_a_lost_start_is_refused(sandbox: DataworqSandbox, hook: DataworqHook):
    sandbox.plan(Life(duration=60))
    sandbox.inject(Fault("start", "drop_after"))

    with pytest.raises(StartLostError, match="flow_name"):
        Rehearsal(maker(flow_name=None)).run()

    assert len(sandbox.ledger.starts) == 1


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

    assert any("Step 1" in line for line in first.lines)
    assert not any("Step 1" in line for line in rest.lines)
    assert any("Step 3" in line for line in rest.lines)


def test_a_job_without_a_log_has_no_lines(sandbox: DataworqSandbox, hook: DataworqHook):
    ref = hook.ref(sandbox.seed_run(Life(duration=60)).id)

    assert hook.read_log(ref).lines == ()
    assert hook.read_log_tail(ref, 50) == ()


def test_the_tail_is_bounded(sandbox: DataworqSandbox, hook: DataworqHook):
    ref = hook.ref(sandbox.seed_run(Life(duration=1), age=5).id)

    tail = hook.read_log_tail(ref, 2)

    assert len(tail) == 2
    assert tail[-1].endswith("Job completed successfully.")


# The operator's inputs


@pytest.mark.parametrize(
    "arguments",
    [
        {"flow_id": ""},
        {"flow_id": None},
        {"run_profile_name": " "},
        {"parameters": {"X": True}},
        {"parameters": {"X": None}},
        {"parameters": {"X": {"nested": 1}}},
        {"parameters": "X=1"},
        {"notification_enabled": "yes"},
        {"flow_name": ""},
    ],
)
def test_wrong_inputs_are_refused_before_anything_is_sent(
    sandbox: DataworqSandbox, hook: DataworqHook, arguments: dict[str, Any]
):
    with pytest.raises(InvalidInputError):
        Rehearsal(maker(**arguments)).run()

    assert sandbox.ledger.requests == []


def test_the_spec_is_what_the_hook_starts():
    given = operator(parameters={"DAYS": 7}, run_profile_name="nightly", notification_enabled=True).spec()

    assert given == {
        "flow_id": FLOW.flow_id,
        "run_profile_name": "nightly",
        "parameters": [{"name": "DAYS", "type": "integer", "value": 7}],
        "notification_enabled": True,
        "flow_name": FLOW.name,
    }
