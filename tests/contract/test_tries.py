"""Never twice: what a retry, a clear and a lost answer do about the run that is there already."""

from __future__ import annotations

import contextlib
import re

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_etlapis.exceptions import AlreadyRunningError, RemoteRunFailedError, StartLostError
from airflow_provider_etlapis.sandbox.faults import Fault
from tests.contract.between import odd
from tests.contract.conftest import BAD, LONG, SHORT, Stage
from tests.support.airflow_context import TaskLog

LOST = [
    pytest.param(Fault("start", "drop_after"), id="dropped"),
    pytest.param(Fault("start", "half_body"), id="half"),
    pytest.param(Fault("start", "status", status=500, applied=True), id="500"),
    pytest.param(Fault("start", "html", status=502, applied=True), id="502"),
]


def test_a_retry_while_the_run_is_alive_follows_it(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()
    run_id = task.ti.xcoms["run_id"]

    manifest = task.retry().run(when_known=stage.end_all)

    assert manifest["run_id"] == run_id
    assert manifest["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 1
    assert stage.sandbox.ledger.cancels == []


def test_a_retry_after_an_unseen_success_takes_the_result(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()
    run_id = task.ti.xcoms["run_id"]
    stage.end_all()

    manifest = task.retry().run()

    assert (manifest["run_id"], manifest["vendor_status"]) == (run_id, stage.row.good)
    assert len(stage.sandbox.ledger.starts) == 1
    assert task.deferrals == [], "there is nothing to wait for"


def test_a_retry_after_a_failed_run_starts_anew(stage: Stage) -> None:
    stage.sandbox.plan(BAD, SHORT)
    task = stage.task()
    with pytest.raises(RemoteRunFailedError):
        task.run()

    manifest = task.retry().run()

    assert manifest["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 2


def test_a_clear_after_success_starts_anew(stage: Stage) -> None:
    stage.sandbox.plan(SHORT, SHORT)
    task = stage.task()
    first = task.run()

    second = task.clear().run()

    assert first["run_id"] != second["run_id"]
    assert len(stage.sandbox.ledger.starts) == 2


def test_a_clear_while_the_task_waits_ends_the_old_run_and_starts_anew(stage: Stage) -> None:
    if not stage.row.hook.capabilities.cancel:
        stage.sandbox.plan(LONG)
        task = stage.task()
        task.kill(state="scheduled")
        assert len(stage.sandbox.ledger.live_runs()) == 1, "it cannot be ended, and the log says so"
        return
    stage.sandbox.plan(LONG, SHORT)
    task = stage.task()
    task.kill(state="scheduled")

    manifest = task.clear().run()

    assert manifest["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 2
    assert stage.sandbox.ledger.live_runs() == []


def test_a_clear_ends_the_run_that_nobody_has_ended_before_it_starts_anew(stage: Stage, task_log: TaskLog) -> None:
    stage.sandbox.plan(LONG, SHORT)
    task = stage.task()
    task.lose_process()
    task.clear()

    if not stage.row.hook.capabilities.cancel:
        with contextlib.suppress(AlreadyRunningError):
            task.run(when_known=stage.end_all)
        assert "Cancelling is not possible" in task_log.text
        return
    assert task.run()["state"] == "succeeded"
    assert len(stage.sandbox.ledger.cancels) == 1
    assert len(stage.sandbox.ledger.starts) == 2
    assert stage.sandbox.ledger.live_runs() == []


def test_a_clear_leaves_a_run_that_policies_leave_alone(stage: Stage) -> None:
    stage.sandbox.plan(LONG, SHORT)
    task = stage.task(cancel_on_kill=False)
    task.lose_process()

    with contextlib.suppress(AlreadyRunningError):
        task.clear().run(when_known=stage.end_all)

    assert stage.sandbox.ledger.cancels == []


@pytest.mark.claims("finds_lost_starts")
def test_without_memory_of_their_own_retries_still_never_start_twice(stage: Stage) -> None:
    """Airflow 3.0 to 3.2 keeps nothing between two tries: only a marker shows then that a run is the task's own."""
    stage.sandbox.plan(LONG)
    task = stage.task(keeps_state=False)
    task.lose_process()
    run_id = task.ti.xcoms["run_id"]

    if stage.row.has_marker:
        assert task.retry().run(when_known=stage.end_all)["run_id"] == run_id
    else:
        with pytest.raises(StartLostError, match=re.escape(run_id)):
            task.retry().run()

    assert len(stage.sandbox.ledger.starts) == 1
    assert stage.sandbox.ledger.cancels == []


@pytest.mark.claims("finds_lost_starts")
def test_without_memory_a_retry_adopts_the_run_that_is_there_if_the_user_says_so(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task(keeps_state=False, on_lost_start="adopt")
    task.lose_process()
    run_id = task.ti.xcoms["run_id"]

    assert task.retry().run(when_known=stage.end_all)["run_id"] == run_id
    assert len(stage.sandbox.ledger.starts) == 1


@pytest.mark.parametrize("fault", LOST)
def test_a_start_whose_answer_is_lost_is_found_or_refused_and_never_made_twice(stage: Stage, fault: Fault) -> None:
    stage.sandbox.plan(SHORT)
    stage.sandbox.inject(fault)

    stage.settle(stage.task())


@pytest.mark.claims("shows_whose")
def test_a_lost_start_that_is_shown_to_be_ours_needs_no_person(stage: Stage, task_log: TaskLog) -> None:
    stage.sandbox.plan(SHORT)
    stage.sandbox.inject(Fault("start", "drop_after"))

    manifest = stage.task(on_lost_start="fail").run()

    assert manifest["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 1
    assert [line for line in task_log.warnings() if manifest["run_id"] in line], "the log says what was taken"


@pytest.mark.claims("finds_lost_starts")
def test_a_lost_start_is_adopted_if_the_user_says_so(stage: Stage) -> None:
    stage.sandbox.plan(SHORT)
    stage.sandbox.inject(Fault("start", "drop_after"))

    manifest = stage.task(on_lost_start="adopt").run()

    assert manifest["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 1


def test_a_start_that_surely_did_not_arrive_is_made_again_where_that_can_be_told(stage: Stage) -> None:
    stage.sandbox.plan(SHORT)
    stage.sandbox.inject(Fault("start", "drop_before"))
    task = stage.task()

    if stage.row.hook.capabilities.finds_lost_starts:
        assert task.run()["state"] == "succeeded"
        assert len(stage.sandbox.ledger.starts) == 1
    else:
        with pytest.raises(StartLostError):
            task.run()
        assert stage.sandbox.ledger.starts == []


def test_a_lost_start_is_made_again_at_the_users_own_risk(stage: Stage) -> None:
    stage.sandbox.plan(SHORT, SHORT)
    stage.sandbox.inject(Fault("start", "drop_before"))

    manifest = stage.task(on_lost_start="restart").run()

    assert manifest["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 1


def test_a_worker_that_dies_between_start_and_note_leaves_a_run_that_the_retry_finds(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process_when(lambda: bool(stage.sandbox.ledger.starts))
    assert len(stage.sandbox.ledger.starts) == 1

    stage.settle(task.retry(), when_known=stage.end_all)


def test_a_worker_that_dies_as_soon_as_it_knows_its_run_has_noted_it(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process_when_known()

    manifest = task.retry().run(when_known=stage.end_all)

    assert manifest["state"] == "succeeded"
    assert stage.is_of(manifest, stage.sandbox.ledger.starts[0])
    assert len(stage.sandbox.ledger.starts) == 1


def test_a_refused_start_leaves_nothing_to_settle(stage: Stage) -> None:
    refused = stage.sandbox.inject(odd(400, "own", "start"))
    task = stage.task()
    with pytest.raises(AirflowFailException, match="HTTP 400"):
        task.run()
    refused.remove()
    stage.sandbox.plan(SHORT)

    assert task.clear().run()["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_fails_at_once_and_spends_no_retries(stage: Stage, status: int) -> None:
    stage.sandbox.inject(Fault("*", "status", status=status, times=None))
    conn_id = stage.row.hook.default_conn_name

    with pytest.raises(AirflowFailException, match=conn_id):
        stage.task().run()

    assert stage.sandbox.ledger.starts == []


def test_inputs_that_changed_between_two_tries_do_not_start_a_second_run(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()
    task.change(stage.operator(**stage.row.inputs[1]))

    manifest = task.retry().run(when_known=stage.end_all)

    assert manifest["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 1
