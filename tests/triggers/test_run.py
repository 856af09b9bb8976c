"""The deferred wait: what is kept in Airflow's database, one event, and the guard before a run is cancelled."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import pytest

from airflow_provider_etlapis.exceptions import CredentialsRejectedError, VendorUnavailableError
from airflow_provider_etlapis.hooks.base import CancelReport
from airflow_provider_etlapis.runs.model import RunRef, RunState
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.triggers import guard
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger, handed_over
from airflow_provider_etlapis.triggers.runtime import hook_class, runtime_of
from tests.support.airflow_context import FakeTaskInstance, TaskLog
from tests.support.fake_vendor import CONN_ID, VENDOR, FakeHook, FakeVendor
from tests.support.releases import through_database

HOOK = f"{FakeHook.__module__}.{FakeHook.__qualname__}"
GOOD, BAD, ALIVE = RunState.SUCCEEDED, RunState.FAILED, RunState.RUNNING


def trigger(run_id: str = "r", **arguments: Any) -> RemoteRunTrigger:
    ref = RunRef(VENDOR, {"id": run_id}).to_json()
    made = RemoteRunTrigger(**{"hook": HOOK, "conn_id": CONN_ID, "ref": ref, "poll_interval": 0.02, **arguments})
    made.task_instance = FakeTaskInstance()  # type: ignore[assignment]
    return made


async def event_of(made: RemoteRunTrigger) -> dict[str, Any]:
    async with asyncio.timeout(10):
        events = [event async for event in made.run()]
    assert len(events) == 1
    payload: dict[str, Any] = json.loads(json.dumps(events[0].payload))
    return payload


@pytest.fixture(autouse=True)
async def _no_watcher_left() -> AsyncIterator[None]:
    yield
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=2)


def test_arguments_survive_airflows_serialisation() -> None:
    made = trigger(
        deadline=1.5e9, cancel_on_kill=False, owned=False, singly=True, with_log=True, patience=7.0, not_before=1.4e9
    )
    path, arguments = made.serialize()

    again = RemoteRunTrigger(**through_database(arguments))

    assert path == "airflow_provider_etlapis.triggers.run.RemoteRunTrigger"
    assert again.serialize() == (path, arguments)
    assert json.loads(json.dumps(arguments)) == arguments


def test_arguments_of_other_releases_are_accepted_and_kept() -> None:
    oldest = RemoteRunTrigger(hook=HOOK, conn_id=CONN_ID, ref={"vendor": VENDOR, "ids": {"id": "r"}})
    newest = trigger(invented_later={"x": 1}, dropped_long_ago="y")

    assert oldest.deadline is None
    assert newest.serialize()[1]["invented_later"] == {"x": 1}
    assert newest.serialize()[1]["dropped_long_ago"] == "y"


async def test_no_event_before_airflow_can_take_the_task_up(vendor: FakeVendor) -> None:
    vendor.looks["r"] = [GOOD]
    before = time.time()

    event = await event_of(trigger(not_before=before + 0.5))

    assert event["state"] == "succeeded"
    assert time.time() >= before + 0.5


async def test_the_time_to_hand_over_ends_with_the_deadline(vendor: FakeVendor) -> None:
    vendor.looks["r"] = [GOOD]
    deadline = time.time() + 0.3

    event = await event_of(trigger(not_before=deadline + 60, deadline=deadline))

    assert event["state"] == "succeeded"


def test_a_worker_is_left_a_heartbeat_to_notice_the_deferral(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "20")

    assert handed_over() == pytest.approx(time.time() + 23, abs=1)


@pytest.mark.parametrize(
    ("looks", "arguments", "status", "state"),
    [
        ([ALIVE, GOOD], {}, "done", "succeeded"),
        ([ALIVE, BAD], {}, "done", "failed"),
        ([ALIVE, RunState.UNKNOWN, GOOD], {}, "done", "succeeded"),
        ([ALIVE, VendorUnavailableError("503"), GOOD], {}, "done", "succeeded"),
        ([VendorUnavailableError("503")], {"patience": 0.1}, "gave_up", None),
        ([CredentialsRejectedError("401")], {}, "refused", None),
        ([ALIVE, KeyError("status")], {}, "gave_up", "running"),
    ],
)
@pytest.mark.parametrize("bulk", [False, True], ids=["singly", "bulk"])
async def test_one_event_tells_how_the_wait_ended(
    vendor: FakeVendor, looks: list[Any], arguments: dict[str, Any], status: str, state: str | None, bulk: bool
) -> None:
    vendor.looks["r"], vendor.bulk = list(looks), bulk

    event = await event_of(trigger(**arguments))

    assert (event["status"], event["state"]) == (status, state)
    assert event["ref"] == RunRef(VENDOR, {"id": "r"}).to_json()
    assert event["owned"] is True
    assert bool(event["message"]) is (status != "done")


async def test_each_change_is_told_once_and_the_end_is_left_to_the_task_that_reads_the_run_again(
    vendor: FakeVendor, task_log: TaskLog
) -> None:
    vendor.looks["r"] = [RunState.QUEUED, ALIVE, ALIVE, GOOD]

    await event_of(trigger())

    assert [text for _, text in task_log.lines if text.startswith("Run r ")] == ["Run r is QUEUED", "Run r is RUNNING"]


async def test_a_deadline_is_met_though_the_next_look_is_far(vendor: FakeVendor) -> None:
    vendor.looks["r"] = [ALIVE]
    began = time.monotonic()

    event = await event_of(trigger(poll_interval=60, deadline=time.time() + 0.2))

    assert event["status"] == "deadline"
    assert time.monotonic() - began < 2


async def test_a_deadline_that_has_passed_ends_the_wait_at_once(vendor: FakeVendor) -> None:
    vendor.looks["r"] = [ALIVE]

    assert (await event_of(trigger(deadline=time.time() - 60)))["status"] == "deadline"


async def test_a_connection_that_is_not_there_ends_the_wait_and_says_so(vendor: FakeVendor) -> None:
    event = await event_of(trigger(conn_id="nowhere"))

    assert event["status"] == "refused"
    assert "'nowhere'" in event["message"]


async def test_a_hook_that_is_not_there_ends_the_wait_and_says_so(vendor: FakeVendor) -> None:
    event = await event_of(trigger(hook="airflow_provider_etlapis.hooks.gone.GoneHook"))

    assert event["status"] == "gave_up"
    assert "gone" in event["message"]


async def test_waits_of_one_connection_share_a_watcher_and_a_later_one_gets_its_own(vendor: FakeVendor) -> None:
    vendor.looks = {name: [ALIVE, ALIVE, GOOD] for name in "abc"}
    first = runtime_of(HOOK, CONN_ID).watcher
    assert runtime_of(HOOK, CONN_ID).watcher is first
    assert runtime_of(HOOK, "another").watcher is not first

    await asyncio.gather(*(event_of(trigger(name)) for name in "abc"))
    await asyncio.sleep(0.1)

    assert runtime_of(HOOK, CONN_ID).watcher is not first


def test_only_a_hook_class_is_a_hook() -> None:
    assert hook_class(HOOK) is FakeHook
    with pytest.raises(TypeError, match="no RemoteRunHook"):
        hook_class("subprocess.Popen")


# The guard


async def killed(
    made: RemoteRunTrigger, state: Any = "failed", followed: Any = None, error: Exception | None = None
) -> None:
    with (
        mock.patch.object(guard, "_state_of", return_value=state, side_effect=error),
        mock.patch.object(guard, "_run_of", return_value=followed),
    ):
        await made.on_kill()


@pytest.mark.parametrize(
    ("state", "followed", "cancels"),
    [
        pytest.param("failed", None, 1, id="marked_failed"),
        pytest.param("success", None, 1, id="marked_success"),
        pytest.param("failed", "r", 1, id="marked_failed_with_the_xcom_still_there"),
        pytest.param(None, None, 1, id="cleared"),
        pytest.param("scheduled", None, 1, id="cleared_and_scheduled"),
        pytest.param("running", None, 1, id="cleared_and_running"),
        pytest.param("deferred", "r", 0, id="moved_to_another_triggerer"),
        pytest.param("deferred", "other", 1, id="cleared_and_deferred_with_a_new_run"),
    ],
)
async def test_a_run_is_cancelled_when_a_person_ended_its_task_and_only_then(
    vendor: FakeVendor, state: str | None, followed: str | None, cancels: int
) -> None:
    await killed(trigger(), state, followed)

    assert vendor.cancels == ["r"] * cancels


async def test_what_cannot_be_found_out_cancels_nothing(vendor: FakeVendor, task_log: TaskLog) -> None:
    await killed(trigger(), error=ConnectionError("no database"))

    assert vendor.cancels == []
    assert "it is left alone" in task_log.text


@pytest.mark.parametrize("arguments", [{"owned": False}, {"cancel_on_kill": False}])
async def test_what_is_not_ours_or_is_to_go_on_is_not_cancelled(vendor: FakeVendor, arguments: dict[str, Any]) -> None:
    await killed(trigger(**arguments))

    assert vendor.cancels == []


async def test_a_kill_after_the_event_cancels_nothing(vendor: FakeVendor) -> None:
    vendor.looks["r"] = [GOOD]
    made = trigger()
    await event_of(made)

    await killed(made)

    assert vendor.cancels == []


async def test_a_vendor_that_does_not_answer_a_cancel_is_said_and_does_not_raise(
    vendor: FakeVendor, task_log: TaskLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        async def aio(self, ref: RunRef) -> None:
            raise VendorUnavailableError("away")

    monkeypatch.setattr(FakeHook, "cancel_run", Away())
    await killed(trigger())

    assert "Cancelling run r failed, it may go on: away" in task_log.text


async def test_a_cancel_that_takes_long_is_reported_by_name_with_what_to_do_and_goes_on(
    vendor: FakeVendor, task_log: TaskLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        async def aio(self, ref: RunRef) -> CancelReport:
            await asyncio.sleep(0.4)
            return CancelReport(asked=True, note="asked to cancel")

    monkeypatch.setattr(FakeHook, "cancel_run", Slow())
    monkeypatch.setenv("AIRFLOW__TRIGGERER__ON_KILL_TIMEOUT", "0.1")
    await killed(trigger())

    assert "Run r is not cancelled yet" in task_log.text
    assert f"etlapis runs cancel --conn-id {CONN_ID} --run-id r" in task_log.text
    assert "Cancelling: asked to cancel" in task_log.text


async def test_a_kill_that_airflow_cancels_once_a_second_is_carried_through(
    vendor: FakeVendor, task_log: TaskLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = []

    class Slow:
        async def aio(self, ref: RunRef) -> CancelReport:
            await asyncio.sleep(0.4)
            cancelled.append(ref.run_id)
            return CancelReport(asked=True, note="asked to cancel")

    monkeypatch.setattr(FakeHook, "cancel_run", Slow())
    with mock.patch.object(guard, "_state_of", return_value="failed"):
        killing = asyncio.ensure_future(trigger().on_kill())
        for _ in range(3):
            await asyncio.sleep(0.05)
            killing.cancel("user-action")
        await killing

    assert cancelled == ["r"]
    assert "Cancelling: asked to cancel" in task_log.text


async def test_fifty_deferred_runs_of_a_director_cost_one_list_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    with CeleryDirectorSandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_MANY", json.dumps(sandbox.connection()))
        runs = [sandbox.seed_run(Life(duration=1.2), age=n / 100) for n in range(50)]
        path = "airflow_provider_etlapis.hooks.celery_director.CeleryDirectorHook"
        made = [
            trigger(
                hook=path,
                conn_id="many",
                poll_interval=0.3,
                ref=RunRef("celery_director", {"workflow_id": run.id}, run.started_at).to_json(),
            )
            for run in runs
        ]

        events = await asyncio.gather(*map(event_of, made))

        assert {event["state"] for event in events} == {"succeeded"}
        assert sandbox.ledger.count("get") == 0
        assert 3 <= sandbox.ledger.count("list") <= 6
