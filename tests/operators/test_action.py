"""Operators that act: each step once, recorded, and gone on from by a retry."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout

from airflow_provider_etlapis.exceptions import (
    EtlApiError,
    PollingGaveUpError,
    RemoteRunTimeoutError,
    RequestRefusedError,
    StartLostError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.operators.action import ActionIncompleteError
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from tests.operators.action_kit import ABSENT, FOUND, UNSURE, TwoSteps, World, acting, lost, unsent
from tests.support.airflow_context import TaskLog
from tests.support.fake_vendor import FakeVendor


@pytest.fixture
def world() -> World:
    return World()


# -- once ---------------------------------------------------------------------------------------------------------


def test_each_step_is_done_once(world: World) -> None:
    assert acting(world).run() == {"made": "make 1", "named": "name 1"}
    assert world.asked == ["make", "name"]


@pytest.mark.parametrize("error", [unsent(), lost(), RuntimeError("a defect"), AirflowTaskTimeout()])
def test_a_retry_goes_on_after_the_last_step_that_is_done(world: World, error: BaseException) -> None:
    world.name = [error]
    task = acting(world)
    with pytest.raises(type(error)):
        task.run()

    assert task.retry().run() == {"made": "make 1", "named": "name 2"}
    assert world.asked == ["make", "name", "name"]


def test_a_retry_after_the_end_does_nothing_and_returns_the_same(world: World) -> None:
    task = acting(world)
    first = task.run()

    assert task.retry().run() == first
    assert world.asked == ["make", "name"]


def test_a_clear_does_everything_again_also_in_the_middle(world: World) -> None:
    world.name = [unsent()]
    task = acting(world)
    with pytest.raises(VendorUnavailableError):
        task.run()

    assert task.clear().run() == {"made": "make 2", "named": "name 2"}
    assert task.clear().run() == {"made": "make 3", "named": "name 3"}


def test_a_clear_that_lowered_retries_hide_does_everything_again_after_the_end(world: World) -> None:
    task = acting(world, retries=2)
    task.run()
    task.change(lambda: TwoSteps(task_id="act", world=world, retries=1))

    task.clear()  # max_tries is 2 again
    assert task.run() == {"made": "make 2", "named": "name 2"}
    world.name = [unsent()]
    assert task.retry().run() == {"made": "make 2", "named": "name 2"}


def test_retries_that_changed_in_the_middle_are_no_clear(world: World) -> None:
    world.name = [unsent()]
    task = acting(world, retries=3)
    with pytest.raises(VendorUnavailableError):
        task.run()
    task.change(lambda: TwoSteps(task_id="act", world=world, retries=5))

    assert task.retry().run()["made"] == "make 1"


def test_a_request_that_surely_had_no_effect_is_made_by_the_retry(world: World) -> None:
    world.make = [unsent()]
    task = acting(world)
    with pytest.raises(VendorUnavailableError):
        task.run()

    assert task.retry().run()["made"] == "make 2"


def test_changed_inputs_are_said_and_the_result_is_kept(world: World, task_log: TaskLog) -> None:
    world.name = [unsent()]
    task = acting(world)
    with pytest.raises(VendorUnavailableError):
        task.run()
    task.change(lambda: TwoSteps(task_id="act", world=world, retries=3, kind="another"))

    assert task.retry().run()["made"] == "make 1"
    assert any("inputs have changed" in text for text in task_log.warnings())


# -- an answer that was lost --------------------------------------------------------------------------------------


def test_a_step_that_is_found_is_done(world: World) -> None:
    world.make, world.findings = [lost()], [FOUND]

    assert acting(world).run() == {"made": "found", "named": "name 1"}
    assert world.asked == ["make", "name"]


def test_the_look_gets_what_was_seen_before_the_request(world: World) -> None:
    world.make, world.findings = [lost()], [FOUND]

    acting(world).run()

    assert world.records[0].before == {"seen": 0}


def test_a_step_that_is_absent_while_it_may_still_take_effect_is_looked_for_again(world: World) -> None:
    world.make, world.findings = [lost(0.5)], [ABSENT, ABSENT, FOUND]

    assert acting(world).run()["made"] == "found"
    assert len(world.records) == 3


def test_a_step_that_is_absent_when_it_can_no_longer_take_effect_is_done_again_once(world: World) -> None:
    world.make, world.findings = [lost()], [ABSENT]
    assert acting(world).run()["made"] == "make 2"

    world.asked.clear()
    world.make = [lost(), lost(), lost()]
    with pytest.raises(VendorUnavailableError):
        acting(world).run()
    assert world.asked == ["make", "make"]


@pytest.mark.parametrize("can_look", [True, False])
def test_a_step_that_cannot_be_told_fails_for_good_in_plain_words(world: World, can_look: bool) -> None:
    world.make, world.findings, world.can_look = [lost()], [UNSURE], can_look

    with pytest.raises(StartLostError) as refused:
        acting(world).run()

    assert isinstance(refused.value, AirflowFailException)
    said = str(refused.value)
    assert said.startswith("Making a thing got no usable response: no answer. It is unknown whether it was done")
    assert said.endswith("It was not repeated. Look for it.")
    assert world.asked == ["make"]


def test_a_retry_settles_what_a_lost_worker_has_left_under_way(world: World) -> None:
    class GoneError(BaseException):
        pass

    world.make, world.findings = [GoneError()], [FOUND]
    task = acting(world)
    with pytest.raises(GoneError):
        task.run()

    assert task.retry().run()["made"] == "found"
    assert world.asked == ["make", "name"]


def test_a_look_that_fails_is_made_again_by_the_retry(world: World) -> None:
    world.make = [lost()]
    task = acting(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "look", lambda record: _raise(unsent()))
        with pytest.raises(VendorUnavailableError):
            task.run()

    world.findings = [FOUND]
    assert task.retry().run()["made"] == "found"


def _raise(error: BaseException) -> Any:
    raise error


def test_a_step_that_may_be_repeated_is_repeated_by_the_retry(world: World) -> None:
    world.name = [lost()]
    task = acting(world)
    with pytest.raises(VendorUnavailableError):
        task.run()

    assert task.retry().run()["named"] == "name 2"


# -- waiting for a run --------------------------------------------------------------------------------------------


def waiting(world: World, timeout: float | None = 1e-6) -> RemoteRun:
    operator = TwoSteps(task_id="act", world=world)
    return operator.wait_for_end(RunRef("fake", {"id": "run-1"}), 0.01, timeout, "It was asked to stop.")


def test_an_end_that_is_seen_at_the_deadline_only_is_an_end(world: World, vendor: FakeVendor) -> None:
    vendor.looks["run-1"] = [VendorUnavailableError("away"), RunState.CANCELLED]

    assert waiting(world).state is RunState.CANCELLED


def test_a_run_that_goes_on_at_the_deadline_is_a_timeout(world: World, vendor: FakeVendor) -> None:
    vendor.looks["run-1"] = [RunState.RUNNING]

    with pytest.raises(RemoteRunTimeoutError, match=r"It was asked to stop\. Run run-1 did not finish within timeout="):
        waiting(world)


def test_a_run_that_cannot_be_read_at_the_deadline_has_its_own_cause(world: World, vendor: FakeVendor) -> None:
    vendor.looks["run-1"] = [VendorUnavailableError("away")]

    with pytest.raises(PollingGaveUpError, match="could not be asked at the deadline: away"):
        waiting(world)


def test_without_a_limit_the_wait_goes_on_to_the_end(world: World, vendor: FakeVendor) -> None:
    vendor.looks["run-1"] = [RunState.RUNNING, RequestRefusedError("odd"), RunState.RUNNING, RunState.SUCCEEDED]

    assert waiting(world, None).state is RunState.SUCCEEDED


# -- without a store (Airflow 3.0 to 3.2) -------------------------------------------------------------------------


@pytest.mark.parametrize("error", [unsent(), lost(), RuntimeError("a defect"), AirflowTaskTimeout("too long")])
def test_without_a_store_a_later_failure_spends_no_retry_and_says_what_is_done(
    world: World, error: BaseException
) -> None:
    world.name = [error]

    with pytest.raises(ActionIncompleteError) as incomplete:
        acting(world, keeps_state=False).run()

    assert isinstance(incomplete.value, AirflowFailException)
    assert str(incomplete.value).startswith(f"'make 1' was made. Naming it failed: {error}. That is left to be done by")


def test_without_a_store_a_step_that_was_cut_off_spends_no_retry(world: World) -> None:
    world.make = [AirflowTaskTimeout("too long")]

    with pytest.raises(StartLostError, match=r"Making a thing was cut off: too long.*Look for it\."):
        acting(world, keeps_state=False).run()


def test_without_a_store_a_failure_before_anything_was_done_is_retried(world: World, task_log: TaskLog) -> None:
    world.make = [unsent()]
    task = acting(world, keeps_state=False)
    with pytest.raises(VendorUnavailableError):
        task.run()

    assert task.retry().run()["made"] == "make 2"
    assert any("cannot know whether an earlier try was cut off" in text for text in task_log.warnings())


def test_an_error_with_nothing_done_is_raised_as_it_is(world: World) -> None:
    world.make = [RequestRefusedError("not like this")]

    with pytest.raises(RequestRefusedError, match="not like this") as refused:
        acting(world).run()

    assert isinstance(refused.value, EtlApiError)
