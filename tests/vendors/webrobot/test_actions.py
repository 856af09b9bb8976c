"""Stopping a WebRobot task: a request without an answer is settled by the task itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import ConflictError, VendorUnavailableError
from airflow_provider_etlapis.operators import webrobot, webrobot_actions
from airflow_provider_etlapis.operators.webrobot import WebRobotStopTaskOperator
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox
from tests.support.rehearsal import Rehearsal
from tests.vendors.webrobot.stage import connect

TASK = {"project_id": "98", "job_id": "210", "webrobot_task_id": "1"}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebRobotSandbox]:
    with WebRobotSandbox() as running:
        connect(monkeypatch, running)
        yield running


def stopping(**arguments: Any) -> Rehearsal:
    return Rehearsal(lambda: WebRobotStopTaskOperator(task_id="stop", retries=2, **{**TASK, **arguments}))


def test_the_operators_are_where_users_import_them_from() -> None:
    assert webrobot.WebRobotStopTaskOperator is webrobot_actions.WebRobotStopTaskOperator
    assert webrobot.WebRobotMetricsOperator is webrobot_actions.WebRobotMetricsOperator


@pytest.mark.parametrize("on_not_running", ["succeed", "fail"])
def test_a_stop_whose_answer_is_lost_is_seen_at_the_task_and_not_asked_again(
    sandbox: WebRobotSandbox, on_not_running: Any
) -> None:
    sandbox.seed_run(Life(duration=99))
    sandbox.inject(Fault("cancel", "drop_after"))

    assert stopping(on_not_running=on_not_running).run() is True
    assert sandbox.ledger.count("cancel") == 1


def test_a_stop_that_never_arrived_is_asked_again_by_the_retry(sandbox: WebRobotSandbox) -> None:
    seeded = sandbox.seed_run(Life(duration=99))
    sandbox.inject(Fault("cancel", "drop_before"))
    rehearsal = stopping()
    with pytest.raises(VendorUnavailableError):
        rehearsal.run()

    assert rehearsal.retry().run() is True
    assert sandbox.ledger.cancels == [seeded.id]


def test_a_retry_after_the_stop_asks_for_no_second_one(sandbox: WebRobotSandbox) -> None:
    sandbox.seed_run(Life(duration=99))
    rehearsal = stopping()
    rehearsal.run()
    sandbox.seed_run(Life(duration=99))  # somebody has started the task again

    assert rehearsal.retry().run() is True
    assert len(sandbox.ledger.cancels) == 1


def test_a_task_that_does_not_run_is_no_lost_stop(sandbox: WebRobotSandbox) -> None:
    with pytest.raises(ConflictError):
        stopping(on_not_running="fail").run()
