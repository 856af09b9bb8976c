"""The end of a task on its worker: a person's mark cancels, a worker that stops leaves the run for the retry."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import RemoteRunCancelledError, TaskEndedError
from airflow_provider_etlapis.hooks.base import CancelReport
from airflow_provider_etlapis.operators import follow, kill
from airflow_provider_etlapis.runs.model import RunState
from airflow_provider_etlapis.triggers import releases
from tests.support.airflow_context import TaskLog
from tests.support.fake_vendor import FakeHook, FakeVendor, operator
from tests.support.rehearsal import Rehearsal

GOOD, ALIVE = RunState.SUCCEEDED, RunState.RUNNING


def say(monkeypatch: pytest.MonkeyPatch, state: Any) -> None:
    """Let Airflow give this state of the task, or raise it."""

    def state_of(ti: Any) -> Any:
        if isinstance(state, Exception):
            raise state
        return state

    monkeypatch.setattr(releases, "state_of", state_of)


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "removed", "restarting", None])
def test_a_person_who_ends_the_task_cancels_its_run(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    vendor.lives = [[ALIVE]]
    say(monkeypatch, state)

    Rehearsal(operator()).kill()

    assert vendor.cancels == ["run-1"]


@pytest.mark.parametrize("state", ["running", "up_for_retry", "queued", "a state of another release"])
def test_a_worker_that_stops_leaves_the_run_and_the_retry_follows_it(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch, task_log: TaskLog, state: str
) -> None:
    vendor.lives = [[ALIVE, ALIVE, GOOD]]
    say(monkeypatch, state)
    task = Rehearsal(operator(retries=1))

    task.kill()
    manifest = task.retry().run()

    assert (vendor.starts, vendor.cancels) == (["run-1"], [])
    assert manifest["run_id"] == "run-1"
    assert "The worker was stopped, and nobody ended this task. Run run-1 goes on; a retry" in task_log.text


def test_a_worker_that_stops_during_the_last_try_says_how_to_end_the_run(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch, task_log: TaskLog
) -> None:
    vendor.lives = [[ALIVE]]
    say(monkeypatch, "running")

    Rehearsal(operator(retries=0)).kill()

    assert vendor.cancels == []
    assert "etlapis runs cancel --conn-id" in task_log.text


def test_a_run_is_left_when_airflow_cannot_say_who_ended_the_task(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch, task_log: TaskLog
) -> None:
    vendor.lives = [[ALIVE]]
    say(monkeypatch, ConnectionError("the API server is away"))

    Rehearsal(operator(retries=1)).kill()

    assert vendor.cancels == []
    assert "Airflow did not say by whom" in task_log.text
    assert "the API server is away" in task_log.text


def test_a_run_is_left_when_airflow_does_not_answer_in_time(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.lives = [[ALIVE]]
    never = threading.Event()
    monkeypatch.setattr(kill, "_ANSWERED_WITHIN", 0.1)
    monkeypatch.setattr(releases, "state_of", lambda ti: never.wait(5))

    Rehearsal(operator(retries=1)).kill()
    never.set()

    assert vendor.cancels == []


def test_without_a_store_a_run_is_left_only_if_it_carries_a_marker(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.lives = [[ALIVE], [ALIVE]]
    say(monkeypatch, "running")

    for marker in ("the run's comment", ""):
        monkeypatch.setattr(FakeHook, "start_proof", replace(FakeHook.start_proof, marker=marker))
        Rehearsal(operator(retries=1), keeps_state=False).kill()

    assert vendor.cancels == ["run-2"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_run_that_no_retry_could_find_is_cancelled_when_the_worker_stops(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    vendor.lives = [[ALIVE]]
    blind = replace(FakeHook.capabilities, finds_lost_starts=not durable)
    monkeypatch.setattr(FakeHook, "capabilities", blind)
    say(monkeypatch, "running")

    Rehearsal(operator(retries=1, durable=durable), keeps_state=False).kill()

    assert vendor.cancels == ["run-1"]


def test_a_cancel_is_remembered_before_it_is_sent(vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.lives = [[ALIVE]]
    task = Rehearsal(operator(retries=1))
    seen: list[bool] = []

    def look_then_cancel(*arguments: Any) -> CancelReport:
        assert task.store is not None
        seen.append(task.store.get("remote_run")["cancelled"])
        return CancelReport(True, "asked")

    monkeypatch.setattr(kill, "cancel_quietly", look_then_cancel)
    task.kill()

    assert seen == [True]


def test_a_run_that_was_cancelled_is_no_success_for_the_retry_even_if_it_ended_well(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.lives = [[ALIVE, GOOD], [ALIVE, GOOD]]
    task = Rehearsal(operator(retries=1))

    task.kill()
    vendor.looks["run-1"] = [GOOD]
    manifest = task.retry().run()

    assert manifest["run_id"] == "run-2"


@pytest.fixture
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("handler")
def test_a_signal_wakes_the_wait(vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.lives = [[ALIVE]]
    say(monkeypatch, "running")
    made = operator(poll_interval=60.0, retries=1)()
    task = Rehearsal(lambda: made)
    signal.signal(signal.SIGTERM, lambda *_: made.on_kill())
    polled = threading.Event()
    see = vendor.see

    def see_and_say(run_id: str) -> Any:
        polled.set()
        return see(run_id)

    monkeypatch.setattr(vendor, "see", see_and_say)
    threading.Thread(target=lambda: (polled.wait(30), signal.raise_signal(signal.SIGTERM)), daemon=True).start()

    began = time.monotonic()
    with pytest.raises(TaskEndedError, match="Airflow has ended this task"):
        made.execute(task._context())

    assert time.monotonic() - began < 30
    assert vendor.cancels == []


def test_a_task_that_is_ended_before_its_start_starts_nothing(vendor: FakeVendor) -> None:
    made = operator()()
    made.on_kill()

    with pytest.raises(TaskEndedError):
        made.execute(Rehearsal(lambda: made)._context())

    assert vendor.starts == []


def test_a_pause_takes_its_time() -> None:
    began = time.monotonic()
    follow.TaskPause()(0.2)

    assert time.monotonic() - began >= 0.2


def test_the_error_is_one_that_a_retry_helps() -> None:
    assert TaskEndedError("").retry_helps
    assert not issubclass(TaskEndedError, RemoteRunCancelledError)
