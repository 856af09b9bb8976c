"""Which task waits for which run: what the tasks write down, beside what each vendor says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.inventory.orphans import Sweep
from airflow_provider_etlapis.inventory.survey import Survey, survey
from airflow_provider_etlapis.runs.claims import GRACE, Claim, ClaimingTask, RunStanding
from tests.contract.conftest import BAD, LONG, SHORT, Stage
from tests.support.rehearsal import Rehearsal

BEFORE_THE_GRACE = -GRACE - 1.0


def airflow_shows(task: Rehearsal, state: str | None, *, clears: int = 0) -> ClaimingTask:
    """Return the task instance as Airflow's database would show it, some minutes later."""
    ti = task.ti
    claim = Claim.from_json(ti.xcoms["remote_run"])
    changed = time.time() + BEFORE_THE_GRACE
    result = "return_value" in ti.xcoms
    return ClaimingTask(
        ti.dag_id, ti.run_id, ti.task_id, -1, ti.try_number, ti.max_tries + clears, state, claim, changed, result
    )


def surveyed(stage: Stage, tasks: Sequence[ClaimingTask], newest: int | None = 20) -> Survey:
    """Ask the vendor's one connection."""
    return survey(tasks, [stage.row.hook.default_conn_name], stage.row.hook, newest=newest)


def sweep_of(stage: Stage, shown: list[ClaimingTask]) -> Sweep:
    """Return a sweep over an Airflow that shows these tasks, which a test may change."""
    return Sweep(stage.row.hook, lambda: list(shown))


def test_a_run_names_the_task_that_waits_for_it(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()

    found = surveyed(stage, [airflow_shows(task, "deferred")])

    row = next(row for row in found.rows if row.task is not None)
    assert (row.standing, row.ref.run_id) == (RunStanding.WAITED_FOR, task.ti.xcoms["run_id"])
    assert row.conn_id == stage.row.hook.default_conn_name
    assert [row.ref.run_id for row in found.rows].count(row.ref.run_id) == 1


def test_a_run_of_somebody_else_is_not_ours(stage: Stage) -> None:
    stage.somebody_elses_run(LONG)

    found = surveyed(stage, [])

    going_on = [row for row in found.rows if row.run is not None and not row.run.state.is_terminal]
    assert going_on or found.troubles, "a vendor whose newest runs cannot be listed says so"
    assert all(row.standing is RunStanding.NOT_OURS for row in going_on)


def test_a_run_that_a_task_has_is_not_shown_a_second_time_as_somebody_elses(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()

    rows = surveyed(stage, [airflow_shows(task, "deferred")]).rows

    assert [row.standing for row in rows if row.run is None or not row.run.state.is_terminal] == [
        RunStanding.WAITED_FOR
    ]


@pytest.mark.parametrize("state", ["failed", "success", None])
def test_a_run_that_goes_on_without_its_task_is_an_orphan_and_ends_within_one_sweep(
    stage: Stage, state: str | None
) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()
    shown = [airflow_shows(task, state)]
    sweep = sweep_of(stage, shown)

    (orphan,) = sweep.find([]).rows
    outcome = sweep.cancel(orphan)

    assert orphan.standing is RunStanding.ORPHAN
    if stage.row.hook.capabilities.cancel:
        assert outcome.done
        assert not stage.sandbox.ledger.live_runs()
    else:
        assert not outcome.done
        assert "cannot" in outcome.note
        assert len(stage.sandbox.ledger.live_runs()) == 1


def test_a_clear_while_nobody_could_be_asked_to_cancel_leaves_an_orphan(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()

    assert sweep_of(stage, [airflow_shows(task, "up_for_retry", clears=2)]).find([]).rows
    assert not sweep_of(stage, [airflow_shows(task, "up_for_retry")]).find([]).rows


def test_a_run_that_a_policy_has_left_is_no_orphan(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task(cancel_on_kill=False)
    task.lose_process()
    shown = [airflow_shows(task, "failed")]

    assert not sweep_of(stage, shown).find([]).rows
    assert RunStanding.LEFT in {row.standing for row in surveyed(stage, shown).rows}


def test_a_run_to_which_another_task_has_attached_is_no_orphan(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()
    gone = airflow_shows(task, "failed")
    attached = replace(gone, task_id="other", state="deferred", claim=replace(gone.claim, started_by_us=False))

    assert not sweep_of(stage, [gone, attached]).find([]).rows
    assert RunStanding.ORPHAN not in {row.standing for row in surveyed(stage, [gone, attached]).rows}


def test_a_sweep_leaves_a_run_whose_task_has_come_back_meanwhile(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()
    shown = [airflow_shows(task, "failed")]
    sweep = sweep_of(stage, shown)
    (orphan,) = sweep.find([]).rows
    shown[0] = replace(shown[0], state="running")

    outcome = sweep.cancel(orphan)

    assert "left" in outcome.note
    assert len(stage.sandbox.ledger.live_runs()) == 1


def test_a_sweep_leaves_a_run_whose_claim_is_gone(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()
    shown = [airflow_shows(task, "failed")]
    sweep = sweep_of(stage, shown)
    (orphan,) = sweep.find([]).rows
    shown.clear()

    assert not sweep.cancel(orphan).done
    assert len(stage.sandbox.ledger.live_runs()) == 1


@pytest.mark.parametrize("life", [SHORT, BAD])
def test_a_run_whose_end_its_task_has_seen_is_not_asked_for(stage: Stage, life: object) -> None:
    stage.sandbox.plan(life)
    task = stage.task()
    try:
        task.ti.xcoms["return_value"] = task.run()
    except Exception:  # noqa: BLE001 how it failed is the business of other tests
        assert life is BAD
    before = len(stage.sandbox.ledger.requests)

    assert not sweep_of(stage, [airflow_shows(task, "failed" if life is BAD else "success")]).find([]).rows
    assert len(stage.sandbox.ledger.requests) == before


def test_a_vendor_that_is_away_is_named_and_nothing_is_called_an_orphan(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()
    shown = [airflow_shows(task, "failed")]
    stage.sandbox.stop()

    found = sweep_of(stage, shown).find([])

    assert not found.rows
    assert list(found.troubles) == [stage.row.hook.default_conn_name]


def test_a_claim_of_an_earlier_release_is_found_by_its_vendor(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()
    shown = airflow_shows(task, "deferred")
    earlier = replace(shown, claim=replace(shown.claim, conn_id="", max_tries=None))

    standings = {row.standing for row in surveyed(stage, [earlier]).rows if row.task is not None}

    assert standings == {RunStanding.WAITED_FOR}


def test_a_survey_costs_few_requests_however_many_tasks_wait(stage: Stage) -> None:
    def opened(conn_id: str) -> RemoteRunHook:
        return stage.row.hook(conn_id)

    stage.sandbox.plan(LONG)
    task = stage.task()
    task.lose_process()
    shown = airflow_shows(task, "deferred")
    many = [replace(shown, map_index=number) for number in range(100)]
    before = len(stage.sandbox.ledger.requests)

    found = survey(many, [stage.row.hook.default_conn_name], opened, newest=20)

    assert len([row for row in found.rows if row.task is not None]) == len(many)
    assert len(stage.sandbox.ledger.requests) - before < 10
