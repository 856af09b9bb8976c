"""Before Airflow 3.3 a kill, a restart and a move are one cancelled coroutine: only a person's act cancels the run.

The rule is tested on every Airflow; the two that the framework has, each on the releases that have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from airflow_provider_etlapis.runs.model import RunRef, RunState
from airflow_provider_etlapis.triggers import guard, releases
from airflow_provider_etlapis.triggers import run as trigger_module
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger
from tests.support.airflow_context import FakeTaskInstance
from tests.support.fake_vendor import CONN_ID, VENDOR, FakeHook, FakeVendor
from tests.support.releases import AIRFLOW

NOW = 1_800_000_000.0


@pytest.fixture
def older_airflow() -> Iterator[None]:
    """Let the trigger believe that nobody tells it of a kill."""
    with mock.patch.object(trigger_module, "KILLS_ARE_TOLD", False):
        yield


@pytest.fixture(autouse=True)
async def _no_watcher_left() -> AsyncIterator[None]:
    yield
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=2)


async def end_in_the_middle(
    vendor: FakeVendor, *, state: Any = "failed", follows: str = "r", known: bool = True, **arguments: Any
) -> None:
    """Cancel the coroutine of a wait, as the triggerer does; the task is in `state` by then."""
    vendor.looks["r"] = [RunState.RUNNING]
    hook = f"{FakeHook.__module__}.{FakeHook.__qualname__}"
    ref = RunRef(VENDOR, {"id": "r"}).to_json()
    made = RemoteRunTrigger(**{"hook": hook, "conn_id": CONN_ID, "ref": ref, "poll_interval": 0.02, **arguments})
    made.task_instance = FakeTaskInstance() if known else None  # type: ignore[assignment]
    asked = {"side_effect": state} if isinstance(state, Exception) else {"return_value": state}
    with mock.patch.object(guard, "_state_of", **asked), mock.patch.object(guard, "_run_of", return_value=follows):
        waiting = asyncio.ensure_future(anext(made.run()))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


@pytest.mark.parametrize("state", ["failed", "success", "queued", None])
@pytest.mark.usefixtures("older_airflow")
async def test_a_person_who_ends_the_task_cancels_the_run_once(vendor: FakeVendor, state: str | None) -> None:
    await end_in_the_middle(vendor, state=state)

    assert vendor.cancels == ["r"]


@pytest.mark.usefixtures("older_airflow")
async def test_a_next_try_that_is_deferred_for_another_run_leaves_the_old_one_to_be_cancelled(
    vendor: FakeVendor,
) -> None:
    await end_in_the_middle(vendor, state="deferred", follows="another")

    assert vendor.cancels == ["r"]


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param({"state": "deferred"}, id="restart or move"),
        pytest.param({"state": ConnectionError("no database")}, id="cannot be found out"),
        pytest.param({"known": False}, id="dag.test"),
        pytest.param({"cancel_on_kill": False}, id="not wanted"),
        pytest.param({"owned": False}, id="not ours"),
    ],
)
@pytest.mark.usefixtures("older_airflow")
async def test_nothing_else_cancels_it(vendor: FakeVendor, situation: dict[str, Any]) -> None:
    await end_in_the_middle(vendor, **situation)

    assert vendor.cancels == []


@pytest.mark.usefixtures("older_airflow")
async def test_a_deferral_that_airflow_ends_in_time_is_left_to_the_resumed_task(vendor: FakeVendor) -> None:
    with mock.patch.object(trigger_module, "timed_out", return_value=True):
        await end_in_the_middle(vendor)

    assert vendor.cancels == []


async def test_where_kills_are_told_the_cancelled_coroutine_itself_does_nothing(vendor: FakeVendor) -> None:
    with mock.patch.object(trigger_module, "KILLS_ARE_TOLD", True):
        await end_in_the_middle(vendor)

    assert vendor.cancels == []


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow calls on_kill from 3.3 on")
@pytest.mark.parametrize(("state", "cancels"), [("failed", ["r"]), ("deferred", [])])
async def test_a_kill_that_airflow_cancels_before_it_has_called_on_kill_still_cancels_the_run(
    vendor: FakeVendor, state: str, cancels: list[str]
) -> None:
    """With hundreds of kills at once, Airflow's own line before ``on_kill`` takes longer than its next cancel."""
    from airflow.jobs.triggerer_job_runner import TriggerRunner

    async def slowly(*args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0.2)

    vendor.looks["r"] = [RunState.RUNNING]
    hook = f"{FakeHook.__module__}.{FakeHook.__qualname__}"
    made = RemoteRunTrigger(hook=hook, conn_id=CONN_ID, ref=RunRef(VENDOR, {"id": "r"}).to_json(), poll_interval=0.02)
    task_instance: Any = FakeTaskInstance()
    task_instance.id, task_instance.context_carrier = "01a2", None
    made.task_instance = task_instance
    runner = TriggerRunner()
    task = asyncio.ensure_future(runner.run_trigger(1, made))
    runner.triggers[1] = {"task": task, "is_watcher": False, "name": "kill", "events": 0}
    with (
        mock.patch.object(guard, "_state_of", return_value=state),
        mock.patch.object(guard, "_run_of", return_value="r"),
        mock.patch.object(TriggerRunner, "log", SimpleNamespace(info=mock.Mock(), ainfo=slowly)),
    ):
        await asyncio.sleep(0.1)
        for _ in range(2):  # as the triggerer does each second while the row is gone
            runner.to_cancel.append(1)
            await runner.cancel_triggers()
            await asyncio.sleep(0.05)
        with pytest.raises(asyncio.CancelledError):
            await task

    assert vendor.cancels == cancels


async def test_a_triggerer_that_stops_cancels_no_run(vendor: FakeVendor) -> None:
    """It cancels without a message, and cannot be asked for the task's state any more."""
    hook = f"{FakeHook.__module__}.{FakeHook.__qualname__}"
    made = RemoteRunTrigger(hook=hook, conn_id=CONN_ID, ref=RunRef(VENDOR, {"id": "r"}).to_json())
    made.task_instance = FakeTaskInstance()  # type: ignore[assignment]
    vendor.looks["r"] = [RunState.RUNNING]
    with (
        mock.patch.object(trigger_module, "KILLS_ARE_TOLD", True),
        mock.patch.object(guard, "_state_of", return_value="failed") as asked,
    ):
        waiting = asyncio.ensure_future(anext(made.run()))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await made.cleanup()

    assert (vendor.cancels, asked.call_count) == ([], 0)


def test_kills_are_told_from_airflow_3_3_on() -> None:
    assert releases.KILLS_ARE_TOLD is (AIRFLOW >= (3, 3))


@pytest.mark.parametrize(
    ("deadline", "limit", "expected"),
    [
        (None, None, False),
        (NOW + 1, None, False),
        (NOW - 1, None, True),
        (None, datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=1), False),
        (None, datetime.fromtimestamp(NOW, UTC) - timedelta(seconds=1), True),
        (NOW + 1, datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None) - timedelta(seconds=1), True),
    ],
)
def test_a_deferral_whose_time_is_up_is_no_kill(deadline: float | None, limit: datetime | None, expected: bool) -> None:
    assert releases.timed_out(SimpleNamespace(trigger_timeout=limit), deadline, NOW) is expected


@pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 asks its database: see tests/stack/test_stack_airflow_2.py")
@pytest.mark.parametrize(("map_index", "name"), [(-1, "task"), (3, "task_3")])
def test_the_state_is_that_of_the_mapped_task(map_index: int, name: str) -> None:
    ti = FakeTaskInstance(map_index=map_index)
    answer = SimpleNamespace(task_states={ti.run_id: {name: "deferred", "task_9": "failed"}})
    comms = mock.Mock(send=mock.Mock(return_value=answer))

    with mock.patch("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", comms, create=True):
        assert releases.state_of(ti) == "deferred"
