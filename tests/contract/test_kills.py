"""A person ends the task: what is ours is cancelled, what is not ours never is."""

from __future__ import annotations

import pytest

from airflow_provider_etlapis.sandbox.faults import Fault
from tests.contract.conftest import LONG, Stage
from tests.support.airflow_context import TaskLog


def test_a_task_that_a_person_ends_cancels_its_run(stage: Stage, task_log: TaskLog) -> None:
    stage.sandbox.plan(LONG)

    stage.task().kill()

    if stage.row.hook.capabilities.cancel:
        assert len(stage.sandbox.ledger.cancels) == 1
        assert stage.sandbox.ledger.live_runs() == []
    else:
        assert len(stage.sandbox.ledger.live_runs()) == 1
        assert stage.row.hook.capabilities.cancel_note in task_log.text


def test_a_task_that_a_person_ends_leaves_its_run_if_told_so(stage: Stage) -> None:
    stage.sandbox.plan(LONG)

    stage.task(cancel_on_kill=False).kill()

    assert stage.sandbox.ledger.cancels == []
    assert len(stage.sandbox.ledger.live_runs()) == 1


def test_a_retry_that_a_person_ends_cancels_the_run_that_it_follows(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()

    task.retry().kill()

    assert len(stage.sandbox.ledger.cancels) == int(stage.row.hook.capabilities.cancel)
    assert len(stage.sandbox.ledger.starts) == 1


def test_a_task_that_a_person_ends_during_its_start_call_cancels_what_that_started(
    stage: Stage, task_log: TaskLog
) -> None:
    stage.sandbox.plan(LONG)
    ledger = stage.sandbox.ledger

    stage.task().kill_as_soon_as(lambda: bool(ledger.starts))

    assert len(ledger.starts) == 1
    can = stage.row.hook.capabilities
    if can.cancel and stage.row.can_show:
        assert ledger.live_runs() == []
    else:
        assert "start request" in task_log.text or can.cancel_note in task_log.text


def test_a_run_that_has_ended_already_is_not_cancelled_after_the_fact(stage: Stage) -> None:
    stage.sandbox.plan(LONG)

    stage.task().kill(just_before=stage.end_all)

    [run] = stage.sandbox.ledger.runs
    assert not run.is_live(stage.sandbox.clock.now())
    assert run.cancelled_at is None


def test_a_trigger_that_moves_to_another_triggerer_leaves_the_run_and_goes_on_waiting(deferred_stage: Stage) -> None:
    deferred_stage.sandbox.plan(LONG)
    task = deferred_stage.task()
    task.ti.on_push = lambda key: None

    import threading

    threading.Timer(0.3, deferred_stage.end_all).start()
    manifest = task.move_trigger()

    assert manifest["state"] == "succeeded"
    assert deferred_stage.sandbox.ledger.cancels == []
    assert len(deferred_stage.sandbox.ledger.starts) == 1


def test_a_cancel_that_the_vendor_does_not_answer_is_said_and_hides_nothing(stage: Stage, task_log: TaskLog) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    stage.sandbox.inject(Fault("cancel", "status", status=500, times=None))

    task.kill()

    if stage.row.hook.capabilities.cancel:
        assert "may go on" in task_log.text


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.claims("cancel")
def test_a_cancel_outlasts_a_vendor_that_is_away_for_a_moment(deferred_stage: Stage, status: int) -> None:
    deferred_stage.sandbox.plan(LONG)
    task = deferred_stage.task()
    deferred_stage.sandbox.inject(Fault("cancel", "status", status=status, retry_after=0, times=3))

    task.kill()

    assert deferred_stage.sandbox.ledger.live_runs() == []
