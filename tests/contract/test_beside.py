"""Other people's runs beside ours: none is taken for ours, and none is cancelled by us."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import AlreadyRunningError, EtlApiError, RemoteRunTimeoutError, StartLostError
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.runs import Run
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from tests.contract.conftest import ELSEWHERE, LONG, SHORT, Stage

UNANSWERED = [
    pytest.param(Fault("start", "drop_before"), id="never_arrived"),
    pytest.param(Fault("start", "drop_after"), id="took_effect"),
]


def another(stage: Stage, elsewhere: VendorSandbox, inputs: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return what a run with these inputs is started with, in the vendor's own words, as another server was told."""
    elsewhere.plan(SHORT)
    stage.task("example", **inputs, **{stage.conn_id_field: ELSEWHERE}, wait_for_completion=False).run()
    [example] = elsewhere.ledger.runs
    return example.flow, example.request


def cancelled(stage: Stage) -> list[str]:
    """Return the runs that were cancelled."""
    return [run.id for run in stage.sandbox.ledger.runs if run.cancelled_at is not None]


def test_two_tasks_on_one_target_have_a_run_each(stage: Stage) -> None:
    stage.sandbox.plan(LONG, LONG)
    first, second = stage.task("first"), stage.task("second")
    first.lose_process()

    with contextlib.suppress(AlreadyRunningError):  # by the rule of a vendor that runs one thing once at a time
        second.lose_process()

    assert first.ti.xcoms["run_id"] != second.ti.xcoms.get("run_id")
    assert first.retry().run(when_known=stage.end_all)["run_id"] != second.ti.xcoms.get("run_id")
    assert len(stage.sandbox.ledger.starts) == (2 if "run_id" in second.ti.xcoms else 1)


@pytest.mark.parametrize("unanswered", UNANSWERED)
def test_a_task_does_not_take_the_run_of_a_task_beside_it_for_its_own(stage: Stage, unanswered: Fault) -> None:
    stage.sandbox.plan(LONG, LONG)
    first, second = stage.task("first"), stage.task("second")
    first.lose_process()
    theirs = first.ti.xcoms["run_id"]
    stage.sandbox.inject(unanswered)

    with contextlib.suppress(AlreadyRunningError, StartLostError):
        assert second.run(when_known=stage.end_all)["run_id"] != theirs

    assert second.ti.xcoms.get("run_id") != theirs
    assert len(stage.sandbox.ledger.starts) <= 2
    assert cancelled(stage) == []


def test_a_retry_finds_its_own_of_two_runs_that_were_started_at_once(stage: Stage) -> None:
    """Both workers are lost before they could note what they have started."""
    stage.sandbox.plan(LONG, LONG)
    first, second = stage.task("first"), stage.task("second")
    ledger = stage.sandbox.ledger
    first.lose_process_when(lambda: len(ledger.starts) == 1)
    with contextlib.suppress(AlreadyRunningError):
        second.lose_process_when(lambda: len(ledger.starts) == 2)
    started = ledger.starts

    for task, own in zip((first, second), started, strict=False):
        with contextlib.suppress(StartLostError):
            manifest = task.retry().run(when_known=stage.end_all)
            assert stage.is_of(manifest, own)

    assert stage.sandbox.ledger.starts == started
    assert cancelled(stage) == []


@pytest.mark.parametrize("unanswered", UNANSWERED)
def test_a_run_with_other_inputs_that_began_at_the_same_moment_is_not_taken(
    stage: Stage, elsewhere: VendorSandbox, unanswered: Fault
) -> None:
    flow, request = another(stage, elsewhere, stage.row.inputs[1])
    theirs: list[Run] = []
    stage.sandbox.plan(LONG)
    stage.sandbox.inject(
        unanswered, when_hit=lambda: theirs.append(stage.sandbox.seed_run(LONG, flow=flow, request=request))
    )
    task = stage.task()

    with contextlib.suppress(AlreadyRunningError, StartLostError):
        task.run(when_known=stage.end_all)

    assert not stage.is_of({"run_id": task.ti.xcoms.get("run_id", "none")}, theirs[0].id)
    assert len(stage.sandbox.ledger.starts) <= 1
    assert cancelled(stage) == []


@pytest.mark.parametrize("ends", [False, True], ids=["goes_on", "ended_well"])
def test_without_memory_a_retry_does_not_take_a_run_that_no_earlier_try_has_started(stage: Stage, ends: bool) -> None:
    """Airflow 3.0 to 3.2: the first try came to nothing, and another task has run the same thing since."""
    stage.sandbox.plan(LONG, LONG)
    task = stage.task("ours", keeps_state=False)
    stage.sandbox.inject(Fault("*", "status", status=503, times=None))
    with contextlib.suppress(EtlApiError):
        task.run()
    stage.sandbox.clear_faults()
    assert stage.sandbox.ledger.starts == []
    other = stage.task("theirs")
    other.lose_process()
    if ends:
        stage.end_all()

    with contextlib.suppress(AlreadyRunningError, StartLostError):
        assert task.retry().run(when_known=stage.end_all)["run_id"] != other.ti.xcoms["run_id"]

    assert task.ti.xcoms.get("run_id") != other.ti.xcoms["run_id"]
    assert cancelled(stage) == []


@pytest.mark.parametrize("which", [0, 1], ids=["same_inputs", "other_inputs"])
def test_a_run_beside_ours_is_not_cancelled_with_ours(stage: Stage, which: int) -> None:
    stage.sandbox.plan(LONG, LONG)
    theirs = stage.task("theirs", **stage.row.inputs[which])
    theirs.lose_process()
    [first] = stage.sandbox.ledger.runs
    ours = stage.task("ours")

    try:
        ours.kill()
    except AlreadyRunningError:
        assert cancelled(stage) == []
    else:
        own = stage.sandbox.ledger.starts[-1]
        assert cancelled(stage) == ([own] if stage.row.hook.capabilities.cancel else [])
    assert first.is_live(stage.sandbox.clock.now())


def test_a_deadline_leaves_the_run_beside_ours(stage: Stage) -> None:
    stage.sandbox.plan(LONG, LONG)
    stage.task("theirs").lose_process()
    [first] = stage.sandbox.ledger.runs

    with pytest.raises((RemoteRunTimeoutError, AlreadyRunningError)):
        stage.task("ours", timeout=0.25).run()

    assert first.is_live(stage.sandbox.clock.now())


def ended_during_a_start_that_never_arrived(stage: Stage, elsewhere: VendorSandbox, inputs: Mapping[str, Any]) -> None:
    """End a task while its start, which never arrives, is under way, and another run begins at that moment."""
    flow, request = another(stage, elsewhere, inputs)
    armed = stage.sandbox.inject(
        Fault("start", "drop_before"), when_hit=lambda: stage.sandbox.seed_run(LONG, flow=flow, request=request)
    )

    with contextlib.suppress(EtlApiError):
        stage.task().kill_as_soon_as(lambda: armed.hits > 0)

    assert cancelled(stage) == []
    assert len(stage.sandbox.ledger.live_runs()) == 1


def test_the_end_of_a_task_cancels_no_run_with_other_inputs_that_began_meanwhile(
    stage: Stage, elsewhere: VendorSandbox
) -> None:
    ended_during_a_start_that_never_arrived(stage, elsewhere, stage.row.inputs[1])


@pytest.mark.claims("marker")
def test_the_end_of_a_task_cancels_no_run_with_the_same_inputs_that_began_meanwhile(
    stage: Stage, elsewhere: VendorSandbox
) -> None:
    """Without a marker, a run of the same inputs that the same user began after the call counts as the task's own."""
    ended_during_a_start_that_never_arrived(stage, elsewhere, stage.row.inputs[0])


@pytest.mark.claims_not("shows_whose")
def test_the_end_of_a_task_cancels_no_run_that_cannot_be_shown_to_be_its_own(
    stage: Stage, elsewhere: VendorSandbox
) -> None:
    ended_during_a_start_that_never_arrived(stage, elsewhere, stage.row.inputs[0])
