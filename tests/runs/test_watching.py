"""Many waits, few requests: the watcher with a source of its own, on a real event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Step, Trouble, TroubleKind
from airflow_provider_etlapis.runs.watching import LogLines, Subscription, Update, Watcher
from airflow_provider_etlapis.wire.budget import RequestBudget

TICK = 0.05
PASSING = Trouble(TroubleKind.PASSING, "503")
REFUSED = Trouble(TroubleKind.CREDENTIAL, "401")


def ref(number: int, **more: Any) -> RunRef:
    return RunRef("vendor", {"id": str(number)}, **more)


def run(number: int, state: RunState = RunState.RUNNING, *steps: Step) -> RemoteRun:
    return RemoteRun(ref(number), state, state.value, steps=steps)


class Vendor:
    """A source whose answers a test sets."""

    def __init__(self, *, bulk: bool = True, requests_per_minute: float | None = None) -> None:
        self.reads_in_bulk = bulk
        self.requests_per_minute = requests_per_minute
        self.budget = RequestBudget(requests_per_minute, burst=1)
        self.answer: Callable[[RunRef], RemoteRun | Trouble] = lambda ref: run(int(ref.ids["id"]))
        self.listed: Callable[[Collection[RunRef]], Mapping[str, RemoteRun] | Trouble] | None = None
        self.bulk_reads: list[tuple[float, int]] = []
        self.single_reads: list[tuple[float, str]] = []
        self.log: dict[str, list[str]] = {}
        self.renewed = 0
        self.closed = 0
        self.opened = 0
        self.busy = 0
        self.delay = 0.0

    def open(self) -> Vendor:
        self.opened += 1
        return self

    async def look_at_many(self, refs: Collection[RunRef]) -> Mapping[str, RemoteRun] | Trouble:
        self.bulk_reads.append((time.monotonic(), len(refs)))
        await asyncio.sleep(self.delay)
        if self.listed is not None:
            return self.listed(refs)
        told = {each.run_id: self.answer(each) for each in refs}
        troubles = [answer for answer in told.values() if isinstance(answer, Trouble)]
        return troubles[0] if troubles else {name: each for name, each in told.items() if isinstance(each, RemoteRun)}

    async def look_at(self, ref: RunRef) -> RemoteRun | Trouble:
        await asyncio.sleep(self.budget.reserve(time.monotonic()))  # as the client does
        self.single_reads.append((time.monotonic(), ref.run_id))
        await asyncio.sleep(self.delay)
        return self.answer(ref)

    async def read_log(self, ref: RunRef, cursor: Any) -> LogLines | Trouble:
        lines = self.log.get(ref.run_id, [])
        return LogLines(tuple(lines[cursor or 0 :]), len(lines))

    async def renew(self) -> None:
        await asyncio.sleep(0.02)
        self.renewed += 1

    async def aclose(self) -> None:
        self.closed += 1


async def ended(watcher: Watcher) -> None:
    """Wait until the watcher's own task is over."""
    task = watcher._task
    assert task is not None
    async with asyncio.timeout(5):
        with contextlib.suppress(Exception):
            await task


async def next_of(place: Subscription, timeout: float = 5) -> Update | None:  # noqa: ASYNC109 none is an answer
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await place.changed()
    return place.take()


async def test_fifty_waits_cost_one_request_an_interval() -> None:
    vendor = Vendor()
    watcher = Watcher(vendor.open, "vendor")
    places = [watcher.subscribe(ref(number), TICK) for number in range(50)]
    await asyncio.sleep(TICK * 6.5)
    for place in places:
        watcher.unsubscribe(place)
    await ended(watcher)

    assert 3 <= len(vendor.bulk_reads) <= 7
    assert {size for _, size in vendor.bulk_reads} == {50}
    assert vendor.single_reads == []


async def test_the_first_list_is_asked_for_long_before_a_long_interval_is_over() -> None:
    vendor = Vendor()
    watcher = Watcher(vendor.open, "vendor")
    place = watcher.subscribe(ref(1), 600.0)

    assert await next_of(place, 60) == run(1)

    assert [size for _, size in vendor.bulk_reads] == [1]
    watcher.unsubscribe(place)
    await ended(watcher)


async def test_every_wait_is_told_of_its_own_run_and_of_changes_only() -> None:
    vendor = Vendor()
    watcher = Watcher(vendor.open, "vendor")
    places = {number: watcher.subscribe(ref(number), TICK) for number in range(5)}
    first = [await next_of(place) for place in places.values()]

    assert [each.ref.run_id for each in first if isinstance(each, RemoteRun)] == ["0", "1", "2", "3", "4"]
    assert await next_of(places[3], TICK * 3) is None, "nothing new, so nothing is told"
    vendor.answer = lambda ref: run(
        int(ref.ids["id"]), RunState.SUCCEEDED if ref.ids["id"] == "3" else RunState.RUNNING
    )
    update = await next_of(places[3])
    assert isinstance(update, RemoteRun)
    assert update.state is RunState.SUCCEEDED
    assert await next_of(places[2], TICK * 3) is None
    for place in places.values():
        watcher.unsubscribe(place)
    await ended(watcher)


async def test_a_run_that_the_list_lacks_is_read_singly_and_never_taken_for_ended() -> None:
    vendor = Vendor()
    vendor.listed = lambda refs: {each.run_id: run(int(each.run_id)) for each in refs if each.run_id != "1"}
    watcher = Watcher(vendor.open, "vendor")
    places = [watcher.subscribe(ref(number), TICK) for number in range(3)]

    update = await next_of(places[1])

    assert isinstance(update, RemoteRun)
    assert update.state is RunState.RUNNING
    assert {name for _, name in vendor.single_reads} == {"1"}
    for place in places:
        watcher.unsubscribe(place)
    await ended(watcher)


async def test_where_there_is_no_list_single_reads_are_spread_over_the_interval() -> None:
    vendor = Vendor(bulk=False)
    watcher = Watcher(vendor.open, "vendor")
    began = time.monotonic()
    places = [watcher.subscribe(ref(number), 0.4) for number in range(40)]
    await asyncio.sleep(0.45)
    for place in places:
        watcher.unsubscribe(place)
    await ended(watcher)

    firsts = sorted({name: at for at, name in reversed(vendor.single_reads)}.values())
    assert len(firsts) == 40
    assert vendor.bulk_reads == []
    quarters = [sum(0.1 * q <= at - began < 0.1 * (q + 1) for at in firsts) for q in range(4)]
    assert max(quarters) <= 25, f"they came together: {quarters}"


async def test_intervals_are_stretched_instead_of_breaking_the_budget(caplog: pytest.LogCaptureFixture) -> None:
    vendor = Vendor(bulk=False, requests_per_minute=1200)  # 20 a second; the waits would take 400
    watcher = Watcher(vendor.open, "vendor")
    places = [watcher.subscribe(ref(number), TICK) for number in range(20)]
    await asyncio.sleep(1.6)
    reads = len(vendor.single_reads)
    for place in places:
        watcher.unsubscribe(place)
    await ended(watcher)

    assert 20 <= reads <= 1.6 * 20 + 2
    assert len({name for _, name in vendor.single_reads}) == 20, "everybody has its turn"
    assert [line for line in caplog.messages if "stretched 20.0 times" in line]


async def test_trouble_of_the_list_is_told_to_every_wait_and_the_next_sight_again() -> None:
    vendor = Vendor()
    watcher = Watcher(vendor.open, "vendor")
    places = [watcher.subscribe(ref(number), TICK) for number in range(3)]
    for place in places:
        assert isinstance(await next_of(place), RemoteRun)
    vendor.answer = lambda ref: PASSING
    for place in places:
        assert await next_of(place) == PASSING

    vendor.answer = lambda ref: run(int(ref.ids["id"]))
    for place in places:
        update = await next_of(place)
        while isinstance(update, Trouble):
            update = await next_of(place)
        assert isinstance(update, RemoteRun), "the same state is news after trouble"
        watcher.unsubscribe(place)
    await ended(watcher)


async def test_a_refused_credential_is_read_anew_once_for_all() -> None:
    vendor = Vendor(bulk=False)
    mended = False

    def answer(ref: RunRef) -> RemoteRun | Trouble:
        return run(int(ref.ids["id"])) if mended or vendor.renewed else REFUSED

    vendor.answer = answer
    vendor.delay = 0.03
    watcher = Watcher(vendor.open, "vendor", draw=lambda: 0.0)
    places = [watcher.subscribe(ref(number), TICK) for number in range(10)]

    updates = [await next_of(place) for place in places]

    assert all(isinstance(update, RemoteRun) for update in updates)
    assert vendor.renewed == 1
    for place in places:
        watcher.unsubscribe(place)
    await ended(watcher)


async def test_a_credential_that_stays_refused_is_told() -> None:
    vendor = Vendor()
    vendor.answer = lambda ref: REFUSED
    watcher = Watcher(vendor.open, "vendor")
    place = watcher.subscribe(ref(1), TICK)

    assert await next_of(place) == REFUSED
    watcher.unsubscribe(place)
    await ended(watcher)


@pytest.mark.parametrize("bulk", [True, False])
async def test_a_defect_in_a_look_ends_the_waits_loudly(bulk: bool, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("status")

    vendor = Vendor(bulk=bulk)
    vendor.answer = broken
    watcher = Watcher(vendor.open, "vendor")
    places = [watcher.subscribe(ref(number), TICK) for number in range(3)]

    updates = [await next_of(place) for place in places]

    assert all(isinstance(update, Trouble) and update.kind is TroubleKind.DEFECT for update in updates)
    assert "KeyError" in str(updates[0])
    for place in places:
        watcher.unsubscribe(place)
    await ended(watcher)
    assert vendor.closed == vendor.opened == 1


async def test_a_source_that_cannot_be_opened_ends_the_waits_loudly() -> None:
    def fail() -> Any:
        raise ImportError("no such hook")

    watcher = Watcher(fail, "vendor")
    place = watcher.subscribe(ref(1), TICK)

    update = await next_of(place)

    assert isinstance(update, Trouble)
    assert "no such hook" in update.message
    await ended(watcher)


async def test_the_last_wait_to_leave_closes_the_source() -> None:
    vendor = Vendor()
    left = []
    watcher = Watcher(vendor.open, "vendor", lambda: left.append(True))
    places = [watcher.subscribe(ref(number), 60) for number in range(3)]
    await asyncio.sleep(0.02)

    for place in places[:2]:
        watcher.unsubscribe(place)
    await asyncio.sleep(0.02)
    assert vendor.closed == 0
    watcher.unsubscribe(places[2])
    await ended(watcher)

    assert vendor.closed == 1
    assert left == [True]
    assert watcher.waits == 0


async def test_a_wait_that_leaves_while_its_run_is_read_leaves_no_task_behind() -> None:
    vendor = Vendor(bulk=False)
    vendor.delay = 5
    watcher = Watcher(vendor.open, "vendor", draw=lambda: 0.0)
    place = watcher.subscribe(ref(1), TICK)
    await asyncio.sleep(TICK)
    assert vendor.single_reads

    watcher.unsubscribe(place)
    await ended(watcher)

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_slow_list_does_not_hold_up_the_deadline_of_a_wait() -> None:
    vendor = Vendor()
    vendor.delay = 5
    watcher = Watcher(vendor.open, "vendor")
    place = watcher.subscribe(ref(1), TICK)
    began = time.monotonic()

    assert await next_of(place, 0.2) is None
    assert time.monotonic() - began < 1
    watcher.unsubscribe(place)
    assert watcher._task is not None
    watcher._task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watcher._task


async def test_log_lines_are_told_before_the_end_and_each_once() -> None:
    vendor = Vendor()
    vendor.log["1"] = ["a"]
    watcher = Watcher(vendor.open, "vendor", draw=lambda: 0.0)
    place = watcher.subscribe(ref(1), TICK, with_log=True)

    assert await next_of(place) == LogLines(("a",), 1)
    assert isinstance(await next_of(place), RemoteRun)
    vendor.log["1"] += ["b", "c"]
    vendor.answer = lambda ref: run(1, RunState.SUCCEEDED)
    told = [await next_of(place), await next_of(place)]

    assert told[0] == LogLines(("b", "c"), 3)
    assert isinstance(told[1], RemoteRun)
    watcher.unsubscribe(place)
    await ended(watcher)


async def test_a_wait_for_steps_or_for_whatever_ends_next_is_read_singly_among_listed_ones() -> None:
    vendor = Vendor()
    watcher = Watcher(vendor.open, "vendor", draw=lambda: 0.0)
    places = [
        watcher.subscribe(ref(1), TICK),
        watcher.subscribe(ref(2), TICK, singly=True),
        watcher.subscribe(ref(3, newest="ended"), TICK),
    ]
    await asyncio.sleep(TICK * 4)
    for place in places:
        watcher.unsubscribe(place)
    await ended(watcher)

    assert {name for _, name in vendor.single_reads} == {"2", "3"}
    assert {size for _, size in vendor.bulk_reads} == {1}


async def test_a_vendor_that_refuses_lists_from_now_on_is_read_singly() -> None:
    vendor = Vendor()
    watcher = Watcher(vendor.open, "vendor")
    places = [watcher.subscribe(ref(number), TICK) for number in range(3)]
    await asyncio.sleep(TICK * 2.5)
    vendor.reads_in_bulk = False
    await asyncio.sleep(TICK * 1.5)
    lists = len(vendor.bulk_reads)
    await asyncio.sleep(TICK * 3)
    for place in places:
        watcher.unsubscribe(place)
    await ended(watcher)

    assert len(vendor.bulk_reads) == lists
    assert {name for _, name in vendor.single_reads} == {"0", "1", "2"}


async def test_a_wait_that_comes_late_is_looked_at_within_its_own_interval() -> None:
    vendor = Vendor()
    watcher = Watcher(vendor.open, "vendor")
    slow = watcher.subscribe(ref(1), 60)
    await asyncio.sleep(0.02)
    quick = watcher.subscribe(ref(2), TICK)

    assert isinstance(await next_of(quick, 1), RemoteRun)
    watcher.unsubscribe(slow)
    watcher.unsubscribe(quick)
    await ended(watcher)


async def test_a_wait_whose_time_is_up_is_woken_and_again_for_as_long_as_it_stays() -> None:
    vendor = Vendor()
    watcher = Watcher(vendor.open, "vendor")
    patient = watcher.subscribe(ref(1), 60)
    patient_woken = asyncio.ensure_future(patient.changed())
    await asyncio.sleep(0.02)
    hasty = watcher.subscribe(ref(2), 60, seconds_left=0.1)
    began = time.monotonic()
    woken = []
    for _ in range(2):
        async with asyncio.timeout(1.5):
            await hasty.changed()
        woken.append(time.monotonic() - began)
        assert hasty.take() is None
    await asyncio.sleep(0)

    assert 0.1 <= woken[0] < 0.6
    assert 1.1 <= woken[1] < 1.6
    assert not patient_woken.done(), "nothing was due for the other"
    watcher.unsubscribe(patient)
    watcher.unsubscribe(hasty)
    await ended(watcher)


async def test_waits_whose_time_is_up_together_are_woken_in_small_parts() -> None:
    vendor = Vendor()
    watcher = Watcher(vendor.open, "vendor")
    places = [watcher.subscribe(ref(number), 60, seconds_left=0.05) for number in range(300)]
    turn = 0
    woken: Counter[int] = Counter()

    async def note(place: Subscription) -> None:
        await place.changed()
        woken[turn] += 1
        watcher.unsubscribe(place)

    async with asyncio.timeout(5):
        notes = [asyncio.create_task(note(place)) for place in places]
        while len(woken) == 0 or sum(woken.values()) < len(places):
            turn += 1
            await asyncio.sleep(0)
        await asyncio.gather(*notes)
    await ended(watcher)

    assert max(woken.values()) <= 50


async def test_the_watcher_runs_in_a_context_of_its_own() -> None:
    task_of = contextvars.ContextVar("task_of", default="nobody")
    task_of.set("the first task")
    seen: list[str] = []
    vendor = Vendor()

    def answer(ref: RunRef) -> RemoteRun:
        seen.append(task_of.get())
        return run(1)

    vendor.answer = answer
    watcher = Watcher(vendor.open, "vendor")
    place = watcher.subscribe(ref(1), TICK)
    await next_of(place)
    watcher.unsubscribe(place)
    await ended(watcher)

    assert set(seen) == {"nobody"}


async def test_steps_alone_are_news_too() -> None:
    vendor = Vendor()
    watcher = Watcher(vendor.open, "vendor", draw=lambda: 0.0)
    place = watcher.subscribe(ref(1), TICK, singly=True)
    first = await next_of(place)
    vendor.answer = lambda ref: run(1, RunState.RUNNING, Step("LOAD", RunState.RUNNING, "progress"))

    second = await next_of(place)

    assert isinstance(first, RemoteRun)
    assert isinstance(second, RemoteRun)
    assert replace(first, steps=second.steps) == second
    watcher.unsubscribe(place)
    await ended(watcher)
