"""What operators that act keep in the task state store, and what they do when it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import TaskStateUnavailableError, VendorUnavailableError
from airflow_provider_etlapis.operators import action_records
from airflow_provider_etlapis.operators.action import ActionIncompleteError
from tests.operators.action_kit import World, acting, unsent
from tests.support.airflow_context import BrokenStateStore, FakeStateStore


@pytest.fixture
def world() -> World:
    return World()


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
