"""What a vendor's hook claims is so: each claim has a test that fails where there is nothing behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from airflow_provider_etlapis.exceptions import AlreadyRunningError, NotOfferedError, RemoteRunFailedError
from airflow_provider_etlapis.runs.model import RunRef, RunState
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger
from tests.contract.claims import CLAIMS, matrix, overrides
from tests.contract.conftest import BAD, LONG, SHORT, Stage
from tests.contract.row import Row
from tests.contract.rows import ROWS
from tests.support.airflow_context import TaskLog

HERE = Path(__file__).parent
WARNING = Life(duration=0.1, outcome="warning")
WAITS = 12


# Warnings


@pytest.mark.claims("warning")
def test_a_run_that_ended_in_a_warning_is_no_failure_and_the_log_says_so(stage: Stage, task_log: TaskLog) -> None:
    stage.sandbox.plan(WARNING)

    manifest = stage.task().run()

    assert (manifest["state"], manifest["vendor_status"]) == ("warning", stage.row.warning)
    assert any(str(stage.row.warning) in line for line in task_log.warnings())


@pytest.mark.claims("warning")
def test_a_sensor_takes_a_run_that_ended_in_a_warning(stage: Stage) -> None:
    assert stage.sensor(stage.somebody_elses_run(WARNING)).run()["state"] == "warning"


@pytest.mark.claims("warning")
def test_a_run_that_ended_in_a_warning_is_not_run_again_by_a_retry(stage: Stage) -> None:
    stage.sandbox.plan(Life(duration=LONG.duration, outcome="warning"))
    task = stage.task()
    task.lose_process()
    stage.end_all()

    assert task.retry().run()["state"] == "warning"
    assert len(stage.sandbox.ledger.starts) == 1


# Many at once


def started(stage: Stage) -> list[RunRef]:
    """Start as many runs as the vendor lets go on side by side, and return what so many waits wait for."""
    refs: list[RunRef] = []
    for _ in range(WAITS):
        try:
            refs.append(stage.somebody_elses_run(LONG))
        except AlreadyRunningError:
            break
    return [refs[number % len(refs)] for number in range(WAITS)]


@pytest.mark.claims("bulk")
def test_the_bulk_list_shows_runs_that_go_on_in_fewer_requests_than_runs(row: Row, sandbox: VendorSandbox) -> None:
    stage = Stage(row, sandbox, False)
    refs = started(stage)
    with stage.hook() as hook:
        hook.check()
        found = hook.read_runs(refs)  # a list may have to be learned: the second one counts
        before = len(sandbox.ledger.requests)
        found = hook.read_runs(refs)
        requests = len(sandbox.ledger.requests) - before

    assert found.keys() == {ref.run_id for ref in refs}
    assert not any(run.state.is_terminal or run.state is RunState.UNKNOWN for run in found.values())
    assert requests <= WAITS / 2


@pytest.mark.claims("bulk")
def test_many_waits_cost_fewer_requests_than_waits(row: Row, sandbox: VendorSandbox) -> None:
    refs = started(Stage(row, sandbox, True))
    interval, looks = 0.2, 4
    triggers = [
        RemoteRunTrigger(
            hook=row.hook_path,
            conn_id=row.hook.default_conn_name,
            ref=ref.to_json(),
            poll_interval=interval,
        )
        for ref in refs
    ]

    async def wait() -> list[asyncio.Task[object]]:
        waits: list[asyncio.Task[object]] = [asyncio.create_task(anext(trigger.run())) for trigger in triggers]
        await asyncio.sleep(interval * looks + 0.1)
        still_there = [wait for wait in waits if not wait.done()]
        for each in waits:
            each.cancel()
        await asyncio.wait([*waits, *(asyncio.all_tasks() - {asyncio.current_task()})], timeout=5)
        return still_there

    before = len(sandbox.ledger.requests)
    assert len(asyncio.run(wait())) == WAITS

    requests = len(sandbox.ledger.requests) - before
    assert looks - 1 <= requests <= looks * WAITS / 2


# Steps and logs


@pytest.mark.claims("steps")
def test_the_steps_of_a_run_are_in_the_manifest(stage: Stage) -> None:
    stage.sandbox.plan(SHORT)

    steps = stage.task().run()["steps"]

    [run] = stage.sandbox.ledger.runs
    assert {step["name"] for step in steps} >= set(run.life.step_names)
    assert all(step["state"] == "succeeded" and step["started"] for step in steps)


def copied(task_log: TaskLog, lines: Sequence[str]) -> list[int]:
    """Return how often each line of a vendor's log is in a task's."""
    texts = [text for _, text in task_log.lines]
    return [sum(line.strip() in text for text in texts) for line in lines]


@pytest.mark.claims("logs")
def test_the_log_of_a_run_is_copied_as_it_comes(stage: Stage, task_log: TaskLog) -> None:
    stage.sandbox.plan(SHORT)

    manifest = stage.task(log_remote=True).run()

    with stage.hook() as hook:
        lines = [line for line in hook.read_log(stage.row.ref_of(manifest)).lines if line.strip()]
    assert len(lines) > 2
    assert all(copied(task_log, lines)), "each line of the vendor's log is copied"
    unique = [line for line in lines if sum(line.strip() in other for other in lines) == 1]
    assert set(copied(task_log, unique)) == {1}, "and none again at each poll"


@pytest.mark.claims("logs")
def test_the_log_of_a_run_is_not_copied_unless_asked_for(stage: Stage, task_log: TaskLog) -> None:
    stage.sandbox.plan(SHORT)

    manifest = stage.task(log_remote=False).run()

    with stage.hook() as hook:
        lines = [line for line in hook.read_log(stage.row.ref_of(manifest)).lines if line.strip()]
    assert not any(copied(task_log, lines))


@pytest.mark.claims("logs")
def test_the_last_lines_of_the_log_are_in_the_error_of_a_run_that_ended_badly(stage: Stage) -> None:
    stage.sandbox.plan(BAD)

    with pytest.raises(RemoteRunFailedError, match="Last lines of its log") as failure:
        stage.task().run()

    assert BAD.error_text in str(failure.value).partition("Last lines of its log")[2]


# Times


def test_a_run_has_the_time_of_its_start(stage: Stage) -> None:
    stage.sandbox.plan(SHORT)
    task = stage.task()

    manifest = task.run()

    [run] = stage.sandbox.ledger.runs
    assert manifest["started"]
    assert manifest["ended"]
    assert datetime.fromisoformat(manifest["started"]).timestamp() == pytest.approx(run.started_at, abs=2)
    assert datetime.fromisoformat(manifest["ended"]).timestamp() == pytest.approx(run.started_at, abs=5)
    since = task.ti.xcoms["remote_run"]["since"]
    assert since is None or since == pytest.approx(time.time(), abs=60)


# What people and asset watchers ask for


@pytest.mark.claims("recent_runs")
def test_the_newest_runs_are_listed(row: Row, sandbox: VendorSandbox) -> None:
    stage = Stage(row, sandbox, False)
    ref = stage.somebody_elses_run(LONG)

    with stage.hook() as hook:
        everything, of_target = hook.recent_runs(10), hook.recent_runs(10, row.target)

    assert [run.state.is_terminal for run in everything] == [False]
    assert [run.ref.run_id for run in of_target] == [ref.run_id]
    assert not of_target[0].state.is_terminal


@pytest.mark.claims_not("recent_runs")
def test_a_vendor_without_a_list_says_what_to_use(row: Row, sandbox: VendorSandbox) -> None:
    with Stage(row, sandbox, False).hook() as hook, pytest.raises(NotOfferedError, match="by its id"):
        hook.recent_runs(10)


@pytest.mark.claims("waits_by_target")
def test_whichever_run_of_a_target_ends_is_found_once_it_has_ended(row: Row, sandbox: VendorSandbox) -> None:
    stage = Stage(row, sandbox, False)
    ref = RunRef(row.vendor, dict(row.target or {}), since=time.time() - 1, newest="ended_well")
    stage.somebody_elses_run(LONG)
    with stage.hook() as hook:
        assert not hook.look(ref).state.is_terminal
        stage.end_all()
        assert hook.look(ref).state is RunState.SUCCEEDED


@pytest.mark.claims("already_running")
def test_the_run_that_is_in_the_way_of_a_start_is_found_for_as_long_as_it_goes_on(
    row: Row, sandbox: VendorSandbox
) -> None:
    stage = Stage(row, sandbox, False)
    ref = stage.somebody_elses_run(LONG)
    spec = stage.operator()().spec()
    with stage.hook() as hook:
        found = hook.find_running(spec)
        assert found is not None
        assert (found.ref.run_id, found.state.is_terminal) == (ref.run_id, False)
        stage.end_all()
        found = hook.find_running(spec)
        assert found is None or found.state.is_terminal


# The account of it


def test_each_claim_is_held_by_a_test(request: pytest.FixtureRequest) -> None:
    held = {mark.args[0] for item in request.session.items for mark in item.iter_markers("claims")}
    whole_suite = {item.path.name for item in request.session.items} >= {path.name for path in HERE.glob("test_*.py")}
    if whole_suite:
        assert held >= {each.name for each in CLAIMS}


def test_a_vendor_that_looks_for_lost_starts_says_what_proves_that_a_run_is_its_own(row: Row) -> None:
    if row.hook.capabilities.finds_lost_starts:
        assert overrides(row.hook, "start_proof")
        assert row.hook.start_proof.source
    else:
        assert not row.hook.start_proof.can_show


def test_the_matrix_shows_each_claim_of_each_vendor() -> None:
    lines = matrix(ROWS).splitlines()

    assert lines[0].split() == [row.name for row in ROWS]
    for each, line in zip(CLAIMS, lines[1:], strict=False):
        assert line.split() == [each.name, *("yes" if each.is_made(row) else "-" for row in ROWS)]
