"""RunFinishedTrigger with the vendors on localhost: each end is one event, whatever goes wrong in between."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_etlapis.runs import ended
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.pytest_plugin import SandboxFactory
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from airflow_provider_etlapis.triggers import finished
from airflow_provider_etlapis.triggers.finished import RunFinishedTrigger
from tests.support.airflow_context import TaskLog
from tests.support.releases import through_database

try:
    from airflow.triggers.shared_stream import SharedStreamManager
except ImportError:
    SharedStreamManager = None  # type: ignore[assignment, misc]

shared_streams = pytest.mark.skipif(SharedStreamManager is None, reason="Airflow 3.3 brings shared streams")

QUICK = Life(duration=0.1)
BAD = Life(duration=0.1, outcome="error")
Make = Callable[..., RunFinishedTrigger]
DIRECTOR = (
    "celery_director",
    finished.celery_director_workflow_finished,
    {"project": "demo", "name": "ETL"},
    "demo.ETL",
)
VENDORS = [
    DIRECTOR,
    ("etlworks", finished.etlworks_flow_finished, {"flow_id": 12345}, "12345"),
    ("etlworks", finished.etlworks_flow_finished, {"flow_name": "Load orders"}, "12346"),
    ("meiro", finished.meiro_workspace_finished, {"workspace_id": 100}, "100"),
    ("meiro", finished.meiro_workspace_finished, {"workspace_name": "demo slow"}, "102"),
    ("webrobot", finished.webrobot_job_finished, {"project_id": 98, "job_id": 210}, "98/210"),
    ("dataworq", finished.dataworq_job_finished, {"flow_name": "SalesLoad"}, "SalesLoad"),
]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 what is waited for happens in other threads as well
            await asyncio.sleep(0.02)


class Store:
    """The state store of one asset, as Airflow 3.3 gives it to a watcher."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.error: Exception | None = None

    def told(self) -> set[str]:
        return {run_id for text in self.texts.values() for run_id in json.loads(text)["told"]}

    async def aget(self, key: str, default: Any = None) -> Any:
        if self.error is not None:
            raise self.error
        return json.loads(self.texts[key]) if key in self.texts else default

    async def aset(self, key: str, value: Any) -> None:
        if self.error is not None:
            raise self.error
        self.texts[key] = json.dumps(value)


class Seen(list[dict[str, Any]]):
    """The events of a trigger that runs."""

    def ids(self) -> list[str]:
        return [event["run_id"] for event in self]

    async def reach(self, count: int) -> None:
        await until(lambda: len(self) >= count)


@asynccontextmanager
async def watching(trigger: RunFinishedTrigger, store: Store | None = None) -> AsyncIterator[Seen]:
    """Run a trigger by itself, as Airflow 3.0 to 3.2 do, in the form in which it comes out of the database."""
    _, arguments = trigger.serialize()
    copy = type(trigger)(**through_database(arguments))
    copy.asset_state_store = store
    seen = Seen()

    async def collect() -> None:
        async for event in copy.run():
            seen.append(through_database(event.payload))

    task = asyncio.create_task(collect())
    try:
        yield seen
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def looks(sandbox: VendorSandbox, operation: str | None = None, more: int = 2) -> None:
    """Wait until the vendor was asked a few times more."""

    def asked() -> int:
        return len([each for each in sandbox.ledger.requests if operation in (None, each.operation)])

    wanted = asked() + more
    await until(lambda: asked() >= wanted)


def failures(task_log: TaskLog) -> list[str]:
    """Return the lines about a vendor that could not be asked; some Airflows warn of other things as well."""
    return [line for line in task_log.warnings() if "could not be asked" in line]


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended, "SPACING", 0.05)


@pytest.fixture
def director(etlapis_sandbox: SandboxFactory) -> Any:
    return etlapis_sandbox.celery_director(conn_id="celery_director_default")


def for_etl(**more: Any) -> RunFinishedTrigger:
    return finished.celery_director_workflow_finished(
        **{"project": "demo", "name": "ETL", "poll_interval": 0.1, **more}
    )


@pytest.mark.parametrize(
    ("vendor", "make", "what", "flow"), VENDORS, ids=lambda value: value if type(value) is str else ""
)
async def test_each_vendors_runs_make_events(
    vendor: str, make: Make, what: dict[str, Any], flow: str, etlapis_sandbox: SandboxFactory
) -> None:
    sandbox = etlapis_sandbox.start(vendor, conn_id=f"{vendor}_default")
    sandbox.seed_run(QUICK, flow=flow, age=30)
    async with watching(make(**what, poll_interval=0.1)) as seen:
        await looks(sandbox, more=8)
        assert seen == []
        for number in range(3):
            sandbox.seed_run(BAD if number == 1 else QUICK, flow=flow)
            if number != 1:
                await seen.reach(len(seen) + 1)
            else:
                await looks(sandbox, more=12)

    assert len(set(seen.ids())) == len(seen) == 2
    assert {event["state"] for event in seen} == {"succeeded"}
    assert all(event["vendor"] == vendor and "steps" not in event for event in seen)


async def test_a_run_that_began_before_the_first_look_is_told_when_it_ends(director: Any) -> None:
    run = director.seed_run(Life(duration=0.8), age=0.1)
    async with watching(for_etl()) as seen:
        await seen.reach(1)
    assert seen.ids() == [run.id]


async def test_a_bad_end_is_told_if_it_is_asked_for(director: Any) -> None:
    async with watching(for_etl(only="ended")) as seen:
        await looks(director)
        director.seed_run(BAD)
        await seen.reach(1)
    assert seen[0]["state"] == "failed"


async def test_without_end_times_etlworks_runs_are_told_by_their_numbers(etlapis_sandbox: SandboxFactory) -> None:
    etlworks: Any = etlapis_sandbox.etlworks(conn_id="etlworks_default", tells_details=False)
    etlworks.seed_run(QUICK, flow="12345", age=60)
    async with watching(finished.etlworks_flow_finished(flow_id=12345, poll_interval=0.1)) as seen:
        await looks(etlworks)
        first = etlworks.seed_run(QUICK, flow="12345")
        await seen.reach(1)
        await looks(etlworks, more=8)
    assert seen.ids() == [f"12345/{first.id}"]


async def test_webrobot_says_that_runs_without_ids_cannot_be_told_apart(
    etlapis_sandbox: SandboxFactory, task_log: TaskLog
) -> None:
    webrobot: Any = etlapis_sandbox.webrobot(conn_id="webrobot_default", task_references=False)
    webrobot.seed_run(QUICK, age=60)
    trigger = finished.webrobot_job_finished(project_id=98, job_id=210, poll_interval=0.05)
    async with watching(trigger) as seen:
        await looks(webrobot, more=2)
        await asyncio.sleep(0.1)
    assert seen == []
    assert "cannot be told apart" in task_log.text


@pytest.mark.parametrize("fault", [Fault(status=503, times=2), Fault(kind="html", times=2)], ids=["503", "html"])
async def test_trouble_of_the_vendor_loses_nothing_and_is_told_once(
    fault: Fault, director: Any, task_log: TaskLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = director.connection()
    monkeypatch.setenv(
        "AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT",
        json.dumps({**connection, "extra": {**connection["extra"], "retries": 0}}),
    )
    async with watching(for_etl()) as seen:
        await looks(director)
        director.inject(fault)
        run = director.seed_run(QUICK)
        await seen.reach(1)
    assert seen.ids() == [run.id]
    assert len(failures(task_log)) == 1
    assert "again, after" in task_log.text


async def test_a_connection_that_is_mended_is_read_anew(
    director: Any, task_log: TaskLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = director.connection()
    monkeypatch.delenv("AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT")
    async with watching(for_etl()) as seen:
        await asyncio.sleep(0.3)
        monkeypatch.setenv("AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT", json.dumps(good))
        await looks(director)
        director.seed_run(QUICK)
        await seen.reach(1)
    assert len(failures(task_log)) == 1


async def test_a_wrong_name_is_told_and_asked_less_and_less_often(director: Any, task_log: TaskLog) -> None:
    wrong = RunFinishedTrigger(
        hook=for_etl().hook, conn_id="celery_director_default", what={"workflow": "ETL"}, poll_interval=0.01
    )
    async with watching(wrong):
        await asyncio.sleep(1.0)
    assert len(failures(task_log)) == 1
    assert "named by project and name" in task_log.text
    assert director.ledger.count("list") <= 3


async def test_a_restart_goes_on_where_the_position_is_and_without_one_begins_anew(director: Any) -> None:
    store = Store()
    async with watching(for_etl(), store) as seen:
        await looks(director)
        told = director.seed_run(QUICK)
        await seen.reach(1)
        await looks(director, more=3)  # the position is written by then
    meanwhile = [director.seed_run(QUICK).id for _ in range(2)]
    await asyncio.sleep(0.3)

    async with watching(for_etl()) as anew, watching(for_etl(), store) as again:
        await again.reach(2)
        await looks(director, more=4)

    assert (seen.ids(), set(again.ids())) == ([told.id], set(meanwhile))
    assert len(again) == 2
    assert anew == []


async def test_a_position_that_cannot_be_read_is_waited_for(director: Any, task_log: TaskLog) -> None:
    store = Store()
    async with watching(for_etl(), store):
        await looks(director, more=3)
    run = director.seed_run(QUICK)
    await asyncio.sleep(0.3)
    store.error = RuntimeError("no API server")
    async with watching(for_etl(), store) as seen:
        await looks(director, more=3)
        assert seen == []
        store.error = None
        await seen.reach(1)
    assert seen.ids() == [run.id]
    assert len([line for line in task_log.warnings() if "no API server" in line]) == 1


async def test_a_damaged_position_is_told_and_replaced(director: Any, task_log: TaskLog) -> None:
    store = Store()
    async with watching(for_etl(), store):
        await looks(director, more=3)
    (key,) = store.texts
    store.texts[key] = '"nonsense"'
    async with watching(for_etl(), store):
        await looks(director, more=3)
    assert "since" in json.loads(store.texts[key])
    assert "nonsense" in task_log.text


async def test_a_watcher_of_several_assets_is_told_that_it_has_no_position(director: Any, task_log: TaskLog) -> None:
    store = Store()
    store.error = ValueError("Task has 2 concrete inlets and outlets")
    async with watching(for_etl(), store) as seen:
        await looks(director)
        director.seed_run(QUICK)
        await seen.reach(1)
    assert "another poll_interval" in task_log.text


async def test_it_refuses_to_be_deferred() -> None:
    trigger = for_etl()
    trigger.task_instance = SimpleNamespace(task_id="task")
    with pytest.raises(TypeError, match="asset watchers"):
        await anext(trigger.run())


def test_arguments_are_checked_where_the_dag_is_written() -> None:
    for arguments in ({"only": "good"}, {"poll_interval": 0}):
        with pytest.raises(ValueError, match="must be"):
            for_etl(**arguments)
    with pytest.raises(ValueError, match="flow_id, flow_name"):
        finished.etlworks_flow_finished()


def test_it_is_an_event_trigger_and_importing_it_imports_no_hook() -> None:
    assert isinstance(for_etl(), BaseTrigger)
    module = "airflow_provider_etlapis.triggers.finished"
    code = f"import sys, {module}; print([name for name in sys.modules if 'etlapis.hooks' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip().endswith("[]"), done.stderr


class Triggerer:
    """Airflow's own shared streams, with triggers in them as the triggerer runs them."""

    def __init__(self) -> None:
        self.manager = SharedStreamManager()
        self.unconfirmed: list[int] = []
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, trigger: RunFinishedTrigger, store: Store) -> Seen:
        trigger.asset_state_store = store
        seen, number, key = Seen(), len(self._tasks), trigger.shared_stream_key()

        async def play() -> None:
            stream = self.manager.subscribe(trigger_id=number, trigger=trigger, key=key)
            try:
                async for event in trigger.filter_shared_stream(stream):
                    self.unconfirmed.append(self.manager.bind_pending_event(trigger_id=number, key=key))
                    seen.append(event.payload)
            finally:
                await self.manager.unsubscribe(number, key)

        self._tasks.append(asyncio.create_task(play()))
        return seen

    def events_are_kept(self) -> None:
        self.manager.confirm_persisted(self.unconfirmed)
        self.unconfirmed.clear()

    async def stop(self) -> None:
        assert not any(task.done() for task in self._tasks)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self.manager.stop_all()


@shared_streams
async def test_the_triggers_of_a_connection_share_one_poll_and_one_list(director: Any) -> None:
    triggerer, store = Triggerer(), Store()
    seen = [triggerer.start(for_etl(name=name, only="ended"), store) for name in ("ETL", "FAILS", "SLOW")]
    await until(lambda: len(store.texts) == 3)
    first, begun = director.ledger.count("list"), time.monotonic()
    await asyncio.sleep(2.0)
    assert director.ledger.count("list") - first <= (time.monotonic() - begun) / 0.1 + 3
    good, bad = director.seed_run(QUICK), director.seed_run(BAD, flow="demo.FAILS")
    await seen[0].reach(1)
    await seen[1].reach(1)
    await triggerer.stop()
    assert (seen[0].ids(), seen[1].ids(), seen[2].ids()) == ([good.id], [bad.id], [])
    assert len({trigger.shared_stream_key() for trigger in (for_etl(), for_etl(name="SLOW"))}) == 1
    assert for_etl(conn_id="other").shared_stream_key() != for_etl().shared_stream_key()


@shared_streams
async def test_the_position_is_written_only_once_airflow_has_kept_the_event(director: Any) -> None:
    triggerer, store = Triggerer(), Store()
    seen = triggerer.start(for_etl(), store)
    await until(lambda: bool(store.texts))
    run = director.seed_run(QUICK)
    await seen.reach(1)
    await looks(director, more=4)
    assert run.id not in store.told()
    triggerer.events_are_kept()
    await until(lambda: run.id in store.told())
    await triggerer.stop()


@shared_streams
async def test_a_triggerer_that_dies_before_the_event_is_kept_tells_the_run_again(director: Any) -> None:
    store = Store()
    dying = Triggerer()
    seen = dying.start(for_etl(), store)
    await until(lambda: bool(store.texts))
    run = director.seed_run(QUICK)
    await seen.reach(1)
    await dying.stop()
    next_one = Triggerer()
    again = next_one.start(for_etl(), store)
    await again.reach(1)
    await next_one.stop()
    assert seen.ids() == again.ids() == [run.id]
