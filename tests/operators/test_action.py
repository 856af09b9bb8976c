"""Operators that act: each step once, recorded, and gone on from by a retry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout

from airflow_provider_etlapis.exceptions import (
    EtlApiError,
    PollingGaveUpError,
    RemoteRunTimeoutError,
    RequestRefusedError,
    StartLostError,
    TaskStateUnavailableError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.operators import action_records
from airflow_provider_etlapis.operators.action import (
    ActionIncompleteError,
    ActionStep,
    ActionSteps,
    Finding,
    VendorActionOperator,
)
from airflow_provider_etlapis.operators.action_records import StepRecord
from airflow_provider_etlapis.runs.evidence import Evidence
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from tests.support.airflow_context import BrokenStateStore, FakeStateStore, TaskLog
from tests.support.fake_vendor import CONN_ID, FakeHook, FakeVendor
from tests.support.rehearsal import Rehearsal

Answer = Any


@dataclass
class World:
    """What the vendor answers to the two steps of the action below, and what it was asked."""

    make: list[Answer] = field(default_factory=list)
    name: list[Answer] = field(default_factory=list)
    findings: list[Finding[str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    records: list[StepRecord] = field(default_factory=list)
    can_look: bool = True

    def answer(self, step: str) -> str:
        self.asked.append(step)
        answers = self.make if step == "make" else self.name
        answer = answers.pop(0) if answers else f"{step} {self.asked.count(step)}"
        if isinstance(answer, BaseException):
            raise answer
        return str(answer)

    def look(self, record: StepRecord) -> Finding[str]:
        self.records.append(record)
        return self.findings.pop(0) if len(self.findings) > 1 else self.findings[0]


class TwoSteps(VendorActionOperator):
    """Makes something, which must not be done twice, and names it, which may."""

    conn_id_field = "fake_conn_id"

    def __init__(self, *, world: World, kind: str = "plain", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fake_conn_id = CONN_ID
        self.world = world
        self.kind = kind

    @classmethod
    def hook_class(cls) -> type[FakeHook]:
        return FakeHook

    def act(self, steps: ActionSteps) -> dict[str, str]:
        world = self.world
        made = steps.do(
            ActionStep(
                key="make",
                doing="making a thing",
                act=lambda: world.answer("make"),
                done=lambda made: f"{made!r} was made",
                inputs={"kind": self.kind},
                before=lambda: {"seen": len(world.asked)},
                check_outcome=world.look if world.can_look else None,
                if_lost="Look for it.",
            )
        )
        named = steps.do(
            ActionStep(
                key="name",
                doing="naming it",
                act=lambda: world.answer("name"),
                done=lambda named: f"it was named {named!r}",
                is_repeatable=True,
            )
        )
        return {"made": made, "named": named}


@pytest.fixture
def world() -> World:
    return World()


def acting(world: World, *, retries: int = 3, **arguments: Any) -> Rehearsal:
    return Rehearsal(lambda: TwoSteps(task_id="act", world=world, retries=retries), **arguments)


def lost(seconds: float = 0.0) -> VendorUnavailableError:
    error = VendorUnavailableError("no answer", may_have_acted=True)
    error.acts_for = seconds
    return error


def unsent() -> VendorUnavailableError:
    return VendorUnavailableError("connection refused", may_have_acted=False)


FOUND = Finding(Evidence.FOUND, "it is there", "found")
ABSENT: Finding[str] = Finding(Evidence.ABSENT, "it is not there")
UNSURE: Finding[str] = Finding(Evidence.UNSURE, "something like it is there")


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


# -- without a store (Airflow before 3.3) -------------------------------------------------------------------------


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


# -- a store that fails -------------------------------------------------------------------------------------------


@pytest.fixture
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action_records, "_PATIENCE", 0.3)


class Store(FakeStateStore):
    """A store that a test breaks for a number of requests."""

    def __init__(self) -> None:
        super().__init__()
        self.broken_reads = 0
        self.broken_writes: Callable[[str, Any], bool] = lambda key, value: False

    def get(self, key: str, default: Any = None) -> Any:
        if self.broken_reads > 0:
            self.broken_reads -= 1
            raise ConnectionError("no state store now")
        return super().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if self.broken_writes(key, value):
            raise ConnectionError("no state store now")
        super().set(key, value, retention=retention)


@pytest.mark.usefixtures("_hurry")
def test_a_store_that_a_retry_cannot_read_is_not_an_empty_one(world: World) -> None:
    store = Store()
    world.name = [unsent()]
    task = acting(world, store=store)
    with pytest.raises(VendorUnavailableError):
        task.run()
    store.broken_reads = 1_000_000

    with pytest.raises(TaskStateUnavailableError, match="unknown what an earlier try has done") as failure:
        task.retry().run()
    assert failure.value.retry_helps
    assert world.asked == ["make", "name"], "nothing was sent"

    store.broken_reads = 0
    assert task.retry().run() == {"made": "make 1", "named": "name 2"}


def test_a_store_that_is_away_for_a_moment_is_read_again(world: World) -> None:
    store = Store()
    world.name = [unsent()]
    task = acting(world, store=store)
    with pytest.raises(VendorUnavailableError):
        task.run()
    store.broken_reads = 3

    assert task.retry().run() == {"made": "make 1", "named": "name 2"}


@pytest.mark.usefixtures("_hurry")
def test_nothing_that_must_not_be_repeated_is_sent_before_it_is_noted(world: World) -> None:
    with pytest.raises(TaskStateUnavailableError, match="Nothing was sent"):
        acting(world, store=BrokenStateStore()).run()

    assert world.asked == []


@pytest.mark.usefixtures("_hurry")
def test_a_result_that_could_not_be_noted_makes_a_later_failure_final(world: World) -> None:
    store = Store()
    store.broken_writes = lambda key, value: bool(value.get("is_done"))
    world.name = [unsent()]

    with pytest.raises(ActionIncompleteError, match="'make 1' was made"):
        acting(world, store=store).run()


def test_a_record_that_cannot_be_understood_is_not_passed_over(world: World) -> None:
    store = Store()
    task = acting(world, store=store)
    task.run()
    store.set("action.make", ["from", "another", "release"])

    with pytest.raises(TaskStateUnavailableError, match="cannot be understood"):
        task.retry().run()


def test_records_hold_plain_json_under_a_key_for_each_step(world: World) -> None:
    task = acting(world)
    task.run()

    assert task.store is not None
    assert sorted(task.store.texts) == ["action", "action.make", "action.name"]
    kept = task.store.get("action.make")
    assert (kept["is_done"], kept["result"], kept["max_tries"]) == (True, "make 1", 3)


def test_an_error_with_nothing_done_is_raised_as_it_is(world: World) -> None:
    world.make = [RequestRefusedError("not like this")]

    with pytest.raises(RequestRefusedError, match="not like this") as refused:
        acting(world).run()

    assert isinstance(refused.value, EtlApiError)
