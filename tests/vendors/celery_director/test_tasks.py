"""Celery Director's tasks from start to end: lost starts, runs never sent, and runs whose tasks go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import RemoteRunFailedError, RequestRefusedError, StartLostError
from airflow_provider_etlapis.operators.celery_director import (
    CeleryDirectorRelaunchWorkflowOperator,
    CeleryDirectorRunWorkflowOperator,
)
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sensors.celery_director import CeleryDirectorWorkflowSensor
from tests.support.rehearsal import Rehearsal
from tests.vendors.celery_director.kit import ENDED, LONG, SHORT, given_server

__all__ = ["given_server"]

POLL = 0.02
GROUP_FAILS = Life(duration=0.3, outcome="error", failing_step="A")
"""A fails at 0.3 s; B, beside it, goes on for another 0.08 s."""

Make = Callable[..., Rehearsal]


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def task(request: pytest.FixtureRequest) -> Make:
    """Make a task instance that runs a definition, in either mode."""

    def make(name: str = "ETL", *, keeps_state: bool = True, **more: Any) -> Rehearsal:
        inputs = {"project": "lab", "name": name, "payload": {"n": 1}, "poll_interval": POLL, "retries": 3, **more}
        return Rehearsal(
            lambda: CeleryDirectorRunWorkflowOperator(task_id="t", deferrable=request.param, **inputs),
            keeps_state=keeps_state,
        )

    return make


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def relaunch(request: pytest.FixtureRequest) -> Make:
    """Make a task instance that relaunches a run, in either mode."""

    def make(run_id: str, **more: Any) -> Rehearsal:
        inputs = {"workflow_id": run_id, "poll_interval": POLL, "retries": 3, **more}
        return Rehearsal(
            lambda: CeleryDirectorRelaunchWorkflowOperator(task_id="t", deferrable=request.param, **inputs)
        )

    return make


LOST = [
    pytest.param(Fault("start", "drop_after"), id="no answer"),
    pytest.param(Fault("start", "html", status=504, applied=True), id="504 of a proxy"),
    pytest.param(Fault("start", "html", status=408, applied=True), id="408 of a proxy"),
    pytest.param(Fault("start", "html", status=413, applied=True), id="413 of a proxy"),
    pytest.param(Fault("start", "html", status=200, applied=True), id="a page of a proxy"),
]


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("offset", [-5, 9])
def test_a_lost_start_is_followed_although_the_servers_times_are_local(
    server: CeleryDirectorSandbox, task: Make, fault: Fault, offset: float
) -> None:
    server.database, server.utc_offset = "mysql", offset
    server.plan(SHORT)
    server.inject(fault)

    manifest = task().run()

    assert server.ledger.starts == [manifest["run_id"]]


@pytest.mark.parametrize("offset", [-5, 9])
def test_a_retry_without_a_state_store_finds_its_run_although_the_servers_times_are_local(
    server: CeleryDirectorSandbox, task: Make, offset: float
) -> None:
    server.database, server.utc_offset = "mysql", offset
    server.plan(LONG)
    mine = task(keeps_state=False)
    mine.lose_process()

    manifest = mine.retry().run(when_known=lambda: server.clock.advance(7200))

    assert server.ledger.starts == [manifest["run_id"]]


@pytest.mark.parametrize("status", [None, 504])
def test_a_start_that_takes_effect_after_we_gave_up_is_found_and_not_made_twice(
    server: CeleryDirectorSandbox, task: Make, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    for name in ("ACTS_AFTER_CLOSE", "ACTS_AFTER_TIMEOUT"):
        monkeypatch.setattr(evidence, name, 3.0)
    server.plan(SHORT)
    server.inject(Fault("start", "apply_late", seconds=1.0, status=status))

    manifest = task().run()

    assert server.ledger.starts == [manifest["run_id"]]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 404, "body": "default backend - 404"}, id="text"),
        pytest.param({"kind": "html", "status": 404}, id="html"),
        pytest.param({"status": 404, "body": '{"error": "Workflow x not found"}'}, id="own, once"),
    ],
)
def test_one_404_at_a_retrys_look_back_starts_no_second_run(
    server: CeleryDirectorSandbox, task: Make, fault: Any
) -> None:
    server.plan(LONG)
    mine = task()
    mine.lose_process()
    server.inject(Fault("get", **fault))

    manifest = mine.retry().run(when_known=lambda: server.clock.advance(7200))

    assert server.ledger.starts == [manifest["run_id"]]


def test_a_start_that_never_arrived_is_made_again_beside_somebody_elses_run(
    server: CeleryDirectorSandbox, task: Make
) -> None:
    other = server.seed_run(LONG, request={"payload": {"n": 1}})
    server.plan(SHORT)
    server.inject(Fault("start", "drop_before"))

    manifest = task().run()

    assert manifest["run_id"] != other.id
    assert server.ledger.starts == [manifest["run_id"]]


@pytest.mark.parametrize("policy", ["fail", "adopt"])
def test_a_start_that_never_arrived_is_made_again_after_the_tasks_own_run_of_before(
    server: CeleryDirectorSandbox, task: Make, policy: str
) -> None:
    """A server before 0.8.0, where no comment tells the runs apart."""
    server.comments = False
    server.seed_run(ENDED, age=30, request={"payload": {"n": 1}})
    server.plan(SHORT)
    server.inject(Fault("start", "drop_before", skip=1))

    manifest = task(on_lost_start=policy).run()

    assert server.ledger.starts == [manifest["run_id"]]


@pytest.mark.parametrize("policy", ["fail", "adopt"])
def test_a_relaunch_that_never_arrived_is_made_again_whatever_ran_before(
    server: CeleryDirectorSandbox, relaunch: Make, policy: str
) -> None:
    request = {"comment": "c", "payload": {"n": 1}}
    old, *_ = [server.seed_run(ENDED, age=age, request=request) for age in (9, 6, 3)]
    server.plan(SHORT)
    server.inject(Fault("relaunch", "drop_before"))

    manifest = relaunch(old.id, on_lost_start=policy).run()

    assert server.ledger.starts == [manifest["run_id"]]


def test_a_lost_relaunch_is_adopted_where_that_is_asked_for_and_no_other_run_is(
    server: CeleryDirectorSandbox, relaunch: Make
) -> None:
    old = server.seed_run(ENDED, age=9, request={"comment": "c", "payload": {"n": 1}})
    server.seed_run(ENDED, age=5, request={"comment": "c", "payload": {"n": 2}})
    server.plan(SHORT)
    server.inject(Fault("relaunch", "drop_after"))

    manifest = relaunch(old.id, on_lost_start="adopt").run()

    assert server.ledger.starts == [manifest["run_id"]]


def test_a_lost_relaunch_is_left_to_a_person_by_default(server: CeleryDirectorSandbox, relaunch: Make) -> None:
    old = server.seed_run(ENDED, age=9, request={"comment": "c", "payload": {"n": 1}})
    server.plan(LONG)
    server.inject(Fault("relaunch", "drop_after"))

    with pytest.raises(StartLostError) as lost:
        relaunch(old.id).run()

    (started,) = server.ledger.starts
    assert started in str(lost.value)


def test_a_definition_that_names_an_unknown_task_fails_with_the_servers_500_and_waits_for_nothing(
    server: CeleryDirectorSandbox, task: Make
) -> None:
    with pytest.raises(RequestRefusedError, match="HTTP 500") as refused:
        task("LOST", keeps_state=False).run()

    (dead,) = server.ledger.starts
    assert dead in str(refused.value)


def test_a_clear_after_a_run_that_was_never_sent_starts_again(server: CeleryDirectorSandbox, task: Make) -> None:
    from airflow_provider_etlapis.sandbox.celery_director import Definition

    mine = task("LOST")
    with pytest.raises(RequestRefusedError):
        mine.run()
    server.define(Definition("lab.LOST", ["EXTRACT"], life=SHORT))

    manifest = mine.clear().run()

    assert manifest["state"] == "succeeded"
    assert len(server.ledger.starts) == 2


def test_the_task_of_a_failed_group_ends_when_its_last_member_does(server: CeleryDirectorSandbox, task: Make) -> None:
    server.plan(GROUP_FAILS)

    with pytest.raises(RemoteRunFailedError) as failed:
        task("PAIR", wait_for_all_tasks=True).run()

    assert {step["name"]: step["vendor_status"] for step in failed.value.manifest["steps"]} == {
        "EXTRACT": "success",
        "A": "error",
        "B": "success",
        "LOAD": "pending",
    }
    assert "task A: ValueError" in str(failed.value)


def test_a_retry_follows_a_failed_group_whose_members_go_on(server: CeleryDirectorSandbox, task: Make) -> None:
    server.plan(Life(duration=100, outcome="error", failing_step="A"), SHORT)
    mine = task("PAIR", wait_for_all_tasks=True)
    mine.lose_process()
    server.clock.advance(110)

    with pytest.raises(RemoteRunFailedError):
        mine.retry().run(when_known=lambda: server.clock.advance(100))

    assert len(server.ledger.starts) == 1


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_the_sensor_of_a_failed_group_ends_when_its_last_member_does(
    server: CeleryDirectorSandbox, deferrable: bool
) -> None:
    run = server.seed_run(GROUP_FAILS, flow="lab.PAIR")
    options: dict[str, Any] = {"poke_interval": POLL, "timeout": 20.0, "deferrable": deferrable}

    with pytest.raises(RemoteRunFailedError) as failed:
        Rehearsal(
            lambda: CeleryDirectorWorkflowSensor(task_id="s", workflow_id=run.id, wait_for_all_tasks=True, **options)
        ).run()

    assert "progress" not in {step["vendor_status"] for step in failed.value.manifest["steps"]}


def test_a_success_hook_is_waited_for_where_all_tasks_are(server: CeleryDirectorSandbox, task: Make) -> None:
    server.plan(Life(duration=0.05))

    manifest = task("HOOKED", wait_for_all_tasks=True).run()

    assert {step["vendor_status"] for step in manifest["steps"]} == {"success"}
    assert "CHEER" in {step["name"] for step in manifest["steps"]}


def test_a_success_hook_that_raises_fails_the_task_where_all_tasks_are_waited_for(
    server: CeleryDirectorSandbox, task: Make
) -> None:
    server.plan(Life(duration=0.05, afterwards=[(0.15, "error")]))

    with pytest.raises(RemoteRunFailedError, match="the hook raised"):
        task("HOOKED", wait_for_all_tasks=True).run()
