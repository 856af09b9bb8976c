"""Plays one task instance as Airflow does: workers, triggerers, a scheduler, a person, and the vendor's sandbox.

Every process has an operator or a trigger of its own; a trigger goes through its serialised row. Moments are counted
in requests of the vendor, not in seconds, so that a slow machine plays the same scenario.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest import mock

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

import airflow_provider_etlapis.wire.sync  # noqa: F401 before any sleep is replaced: its clients keep the real one
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.operators.task_state import TaskStateRepository
from airflow_provider_etlapis.runs import evidence, waiting
from airflow_provider_etlapis.runs.resume import AttemptRecord
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.runs import Run
from airflow_provider_etlapis.triggers import cancel_queue, guard, runtime
from airflow_provider_etlapis.triggers.releases import KILLS_ARE_TOLD
from airflow_provider_etlapis.wire import policy
from airflow_provider_etlapis.wire.aio import AsyncClient
from tests.contract.row import Row
from tests.faults.scenario import LATE, MOVES, OUTAGES, PERSON, Act, Rival, Scenario, Struck
from tests.support.airflow_context import FakeStateStore, FakeTaskInstance, capture_logs, context_of
from tests.support.releases import through_database, without_handover

GATEWAY_SECRET = "gw-51c0-not-for-logs"
LIFE = 100.0
"""Vendor seconds of each run: it ends when the scenario lets the sandbox's clock run over it."""
POLL = 0.004
LONGEST_TRY = 120.0
MOST_PAUSES = 2_000
"""Pauses of a worker after which its wait is taken for one without an end, however slow the machine."""
GRACE = 0.06

_real_sleep = time.sleep
_LOGGERS = ("airflow_provider_etlapis", "airflow.task")


class ProcessGoneError(BaseException):
    """The worker's process ends here: nothing of the package may catch it."""


class TryNeverEndsError(BaseException):
    """A wait goes on although it should be over."""


@dataclass
class Started:
    """A run that a request of the task has made.

    :param alive: runs of the task that were alive by then.
    """

    run: Run
    generation: int
    number: int
    alive: tuple[str, ...]


@dataclass
class Try:
    """One try, and what became of it.

    :param generation: raised by each clear.
    :param ending: ``success``, ``failed`` (it raised ``error``), ``lost`` (its process is gone) or ``person``.
    :param struck: faults that hit, with the phase of the try in which they did.
    :param alive_before: runs of the task that were alive when it began.
    """

    number: int
    generation: int
    act: Act
    alive_before: tuple[str, ...] = ()
    ending: str = ""
    error: BaseException | None = None
    manifest: dict[str, Any] | None = None
    run_id: str | None = None
    starts: list[str] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)
    struck: set[tuple[str, str]] = field(default_factory=set)
    rival: str | None = None
    reached_wait: bool = False
    was_over: bool = False
    raced: str | None = None
    log: str = ""


class BadStore(FakeStateStore):
    """A store that fails in one way or both."""

    def __init__(self, behind: FakeStateStore, how: str) -> None:
        super().__init__()
        self.texts = behind.texts
        self._how = how
        self._fails = 2

    def _is_away(self) -> bool:
        """Whether it is one of the first calls of a store that is away for a moment."""
        self._fails -= 1
        return self._how == "away" and self._fails >= 0

    def get(self, key: str, default: Any = None) -> Any:
        if self._is_away():
            raise ConnectionError("no state store for a moment")
        if self._how in ("broken", "unreadable"):
            raise ConnectionError("no state store today")
        return super().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if self._is_away():
            raise ConnectionError("no state store for a moment")
        if self._how in ("broken", "unwritable"):
            raise ConnectionError("no state store today")
        super().set(key, value)

    def delete(self, key: str) -> None:
        if self._how in ("broken", "unwritable"):
            raise ConnectionError("no state store today")
        super().delete(key)


class Instance(FakeTaskInstance):
    """A task instance with its state, as a person and a triggerer's guard see it."""

    state: str | None = None


class World:
    """One scenario on its stage."""

    def __init__(self, scenario: Scenario, row: Row) -> None:
        self.scenario = scenario
        self.row = row
        self.sandbox = row.sandbox()
        self.sandbox.clock._base += scenario.clock_ahead
        self.sandbox.dates_by_clock = bool(scenario.clock_ahead)
        self.ti = Instance("run", retries=scenario.retries, map_index=scenario.map_index)
        self.store = FakeStateStore() if scenario.keeps_state else None
        self.tries: list[Try] = []
        self.starts: list[Started] = []
        self.generation = 0
        self.shown: list[Any] = []
        self.secrets: list[str] = []
        self.left_open: list[str] = []
        self._phase = "obtain"
        self._looks = 0
        self._pauses = 0
        self._in_triggerer = False
        self._ends_at: int | None = None
        self._armed: list[tuple[str, Any]] = []
        self._planned = 0
        self._sessions: list[Any] = []
        self._old_trigger: Any = None
        rivals = {act.rival for act in scenario.acts if act.rival is not None}
        self._rivals = {rival: rival_of(row, rival) for rival in rivals}
        self._try: Try | None = None

    # The scenario

    def play(self) -> None:
        """Play all acts, and plain tries after them until the task has ended."""
        with self._stage():
            acts = list(self.scenario.acts)
            cleared = False
            while acts or self._goes_on():
                if self.tries and not self._goes_on():
                    cleared = True
                self._next_try(acts.pop(0) if acts else Act(), cleared=cleared)
                cleared = self.tries[-1].ending == "person" and self.tries[-1].act.kind in (
                    "person_clear",
                    "clear_race",
                )

    def _goes_on(self) -> bool:
        """Whether the scheduler, or a person who has cleared the task, will have it tried again."""
        if not self.tries:
            return True
        last = self.tries[-1]
        if last.ending == "person":
            return last.act.kind in ("person_clear", "clear_race")
        return self.will_retry(last)

    def will_retry(self, last: Try) -> bool:
        """Say whether the scheduler tries the task again by itself after this try."""
        if last.ending == "lost" or (last.ending == "failed" and not isinstance(last.error, AirflowFailException)):
            return last.number <= self.ti.max_tries
        return False

    def _next_try(self, act: Act, *, cleared: bool) -> None:
        if self.tries:
            if self.tries[-1].act.ends_between:
                self.end_runs()
            if cleared:
                self.generation += 1
                self.ti.begin_cleared(self.scenario.retries)
            else:
                self.ti.begin_retry()
        now = Try(self.ti.try_number, self.generation, act, alive_before=self.alive())
        self._try = now
        self.tries.append(now)
        cancels = len(self.sandbox.ledger.cancels)
        with self._logged() as lines:
            self._play_try(now)
            if self._old_trigger is not None and now.raced is None:
                asyncio.run(self._kill_old())
        now.cancels = self.sandbox.ledger.cancels[cancels:]
        now.run_id = now.run_id or self.ti.xcoms.get("run_id")
        now.log = "\n".join(lines)
        self.shown += [dict(self.ti.xcoms), now.log, now.manifest, _told(now.error)]
        if self.store is not None:
            self.shown.append(dict(self.store.texts))

    def _play_try(self, now: Try) -> None:
        act = now.act
        self._phase, self._looks, self._pauses, self._ends_at = "obtain", 0, 0, None
        self._plan(act)
        for struck in act.struck:
            if struck.moment in ("start", "obtain", "cancel"):
                self._arm(struck)
        operator = self._operator()
        self.ti.state = "running"
        try:
            with self._worker(act):
                try:
                    now.manifest = operator.execute(self._context(act))
                except TaskDeferred as deferred:
                    now.manifest = self._deferred(deferred, now)
            now.ending = now.ending or "success"
        except ProcessGoneError:
            self._process_gone(operator, now)
        except Exception as error:  # noqa: BLE001 the judge says whether it may be
            now.ending, now.error = "failed", error
        finally:
            self._disarm()

    def _process_gone(self, operator: RemoteRunOperator, now: Try) -> None:
        if now.act.kind not in PERSON:
            now.ending = "lost"
            return
        now.ending = "person"
        self._set_by_person(now.act)
        self._phase = "cancel"
        with mock.patch("time.sleep", _short_sleep):
            operator.on_kill()

    # What stands on the stage

    def _operator(self) -> RemoteRunOperator:
        scenario, act = self.scenario, self._now.act
        wanted: dict[str, Any] = {
            "task_id": "run",
            "deferrable": scenario.deferrable,
            "poll_interval": POLL,
            "retries": scenario.retries,
            "on_lost_start": scenario.on_lost_start,
            "cancel_on_kill": scenario.cancel_on_kill,
            "cancel_on_timeout": scenario.cancel_on_timeout,
            "durable": scenario.durable,
            "wait_for_completion": scenario.waits,
            **scenario.arguments,
            **self.row.inputs[0],
        }
        again = len(self.tries) > 1 and self.tries[-2].generation == self.generation
        if act.kind == "deadline" and not again:
            wanted["timeout"] = 0.2
        elif act.kind in ("deadline", "execution_deadline"):
            # A retry keeps the deadline of the run that it follows, but has a time of its own to execute.
            wanted["execution_timeout"] = timedelta(seconds=0.4)
        if act.kind == "no_triggerer":
            wanted["timeout"] = 3600.0
        if act.kind in OUTAGES:
            wanted["poll_failure_budget"] = 0.1
        return self.row.operator(**wanted)

    @property
    def _now(self) -> Try:
        assert self._try is not None
        return self._try

    def _context(self, act: Act) -> Any:
        store = self.store
        if store is not None and act.store != "ok":
            store = BadStore(store, act.store)
        return context_of(self.ti, store)

    def _plan(self, act: Act) -> None:
        """Leave one life for the next start, and more of the same for further ones."""
        self.sandbox.default_life = Life(duration=LIFE, outcome=act.life)
        if len(self.starts) == self._planned:
            self.sandbox.plan(Life(duration=LIFE, outcome=act.life))
            self._planned += 1

    def alive(self) -> tuple[str, ...]:
        """Return the ids of the task's runs that the vendor calls alive."""
        return tuple(run.id for run in self.sandbox.ledger.live_runs() if not run.seeded)

    def run_of(self, run_id: str | None) -> Run | None:
        """Return the sandbox's run of an id as the task knows it."""
        if run_id is None:
            return None
        return self.sandbox.runs.get(run_id) or self.sandbox.runs.get(run_id.rpartition("/")[2])

    def phase_of(self, run: Run) -> str:
        """Return what the vendor says of a run now."""
        return run.current(self.sandbox.clock.now()).phase

    def end_runs(self) -> None:
        """Let every run come to its end."""
        self.sandbox.clock.advance(LIFE + 20)

    # Moments

    def _request_comes(self, record: Any) -> None:
        if record.operation == "start" and self._now.act.rival is not None and self._now.rival is None:
            flow, request = self._rivals[self._now.act.rival]
            run = self.sandbox.seed_run(Life(duration=LIFE), flow=flow, request=request)
            self._now.rival = run.id
        if self._phase in ("look", "moved") or self._in_triggerer:
            self._looks += 1
            if self._ends_at is not None and self._looks > self._ends_at:
                self._ends_at = None
                self.end_runs()

    def _pushed(self, key: str) -> None:
        """Take note that the task has made its run known: from here on, it waits."""
        if key != "run_id" or self._phase != "obtain":
            return
        if self._now.act.kind == "die_after_start":
            raise ProcessGoneError
        self._disarm("start", "obtain")
        run = self.run_of(self.ti.xcoms["run_id"])
        self._now.was_over = run is not None and not run.is_live(self.sandbox.clock.now())
        self._phase = "take_up" if self._now.was_over else "look"
        self._now.reached_wait = not self._now.was_over
        for struck in self._now.act.struck:
            if struck.moment == "look" and not self._now.was_over:
                self._arm(struck)
        if self._now.act.kind == "plain" or not self._is_waiting_kind:
            self._ends_at = self._now.act.looks

    @property
    def _is_waiting_kind(self) -> bool:
        """Whether the act happens to a wait for a run that is alive."""
        kind = self._now.act.kind
        return (
            kind in PERSON
            or kind in LATE
            or kind in OUTAGES
            or kind in MOVES
            or kind
            in (
                "die_waiting",
                "trigger_crash",
            )
        )

    def _arm(self, struck: Struck) -> None:
        self._armed.append((struck.moment, self.sandbox.inject(struck.fault)))

    def _disarm(self, *moments: str) -> None:
        for moment, armed in self._armed:
            if not moments or moment in moments:
                armed.remove()
                if armed.hits:
                    self._now.struck.add((moment, _kind_of(armed.fault)))

    # A worker

    @contextlib.contextmanager
    def _worker(self, act: Act) -> Iterator[None]:
        """Be the worker's process: hurried, and gone at the moment that the act names."""
        end = time.monotonic() + LONGEST_TRY
        save = TaskStateRepository.save

        def sleep(seconds: float) -> None:
            self._pauses += 1
            if time.monotonic() > end or self._pauses > MOST_PAUSES:
                raise TryNeverEndsError(
                    f"the wait on the worker does not end: {self._pauses} pauses, {self._looks} looks, in {self._phase}"
                )
            if self._phase == "obtain" and self._pauses == 40:
                self.end_runs()  # of the run in the way of a start, which the task waits for
            if self._phase == "look" and self._looks > act.looks and (act.kind in PERSON or act.kind == "die_waiting"):
                raise ProcessGoneError
            _short_sleep(seconds)

        def note(memory: TaskStateRepository, left: AttemptRecord) -> None:
            if act.kind == "die_before_intent" and left.ref is None:
                raise ProcessGoneError
            if act.kind == "die_before_note" and left.ref is not None:
                raise ProcessGoneError
            save(memory, left)
            if act.kind == "die_after_intent" and left.ref is None:
                raise ProcessGoneError

        with mock.patch("time.sleep", sleep), mock.patch.object(TaskStateRepository, "save", note):
            yield

    # A triggerer

    def _deferred(self, deferred: TaskDeferred, now: Try) -> Any:
        """Play the task from its deferral to the end of the try."""
        first = True
        while True:
            self.ti.state = "deferred"
            row = deferred.trigger.serialize()
            self.shown.append(row[1])
            if self._old_trigger is not None:
                asyncio.run(self._kill_old())
            told = self._no_event(now) if first else None
            if told is None:
                event = asyncio.run(self._watched(row, now, disturbed=first and now.reached_wait))
                if event is None:
                    return None
                self.shown.append(event)
                told = deferred.method_name, {**(deferred.kwargs or {}), "event": event}
            first = False
            self._phase = "take_up"
            self._disarm("look")
            for struck in now.act.struck:
                if struck.moment == "take_up":
                    self._arm(struck)
            self.ti.state = "running"
            try:
                return self._operator().resume_execution(*told, self._context(now.act))
            except TaskDeferred as again:
                deferred = again

    def _no_event(self, now: Try) -> tuple[str, dict[str, Any]] | None:
        """Return how Airflow takes a task up that got no event, if that is the act."""
        if not now.reached_wait:
            return None
        why = {"no_triggerer": "Trigger timeout", "trigger_crash": "Trigger failure"}.get(now.act.kind)
        return None if why is None else ("__fail__", {"error": why})

    def _trigger(self, row: tuple[str, dict[str, Any]]) -> Any:
        from airflow_provider_etlapis.triggers.run import RemoteRunTrigger

        trigger = RemoteRunTrigger(**without_handover(row[1]))
        trigger.task_instance = self.ti
        return trigger

    async def _watched(self, row: tuple[str, dict[str, Any]], now: Try, *, disturbed: bool) -> dict[str, Any] | None:
        """Wait as a triggerer does, and return the event; ``None`` if a person has ended the task."""
        kind = now.act.kind
        self._in_triggerer = True
        trigger = self._trigger(row)
        waiting_for = asyncio.create_task(_event_of(trigger))
        try:
            if not disturbed:
                self._ends_at = self._looks
            elif kind in PERSON or kind in MOVES or kind == "die_waiting":
                await self._until_looked(now.act.looks, waiting_for)
                if not waiting_for.done():
                    if kind in PERSON:
                        await self._person_ends(trigger, waiting_for, now)
                        return None
                    trigger, waiting_for = await self._move(kind, row, trigger, waiting_for)
                self._ends_at = self._looks
            async with asyncio.timeout(LONGEST_TRY):
                event = await waiting_for
        except TimeoutError:
            raise TryNeverEndsError(f"the trigger does not end: {self._looks} looks, in {self._phase}") from None
        finally:
            self._in_triggerer = False
            waiting_for.cancel()
            await self._loop_ends(waiting_for)
        payload: dict[str, Any] = through_database(event.payload)
        return payload

    async def _until_looked(self, looks: int, waiting_for: asyncio.Task[Any]) -> None:
        end = time.monotonic() + LONGEST_TRY
        while self._looks < looks and not waiting_for.done():
            if time.monotonic() > end:
                raise TryNeverEndsError("the trigger does not look")
            await asyncio.sleep(0.002)

    async def _person_ends(self, trigger: Any, waiting_for: asyncio.Task[Any], now: Try) -> None:
        now.ending = "person"
        self._phase = "cancel"
        if now.act.kind == "clear_race" and KILLS_ARE_TOLD:
            # The next try may be deferred already when the triggerer tells the old trigger of its end.
            self._old_trigger, now.raced = trigger, self.ti.xcoms["run_id"]
            await _cancelled(waiting_for)
            return
        self._set_by_person(now.act)
        await _cancelled(waiting_for)
        if KILLS_ARE_TOLD:
            await trigger.on_kill()

    async def _kill_old(self) -> None:
        trigger, self._old_trigger = self._old_trigger, None
        phase, self._phase = self._phase, "cancel"
        await trigger.on_kill()
        self._phase = phase
        await self._loop_ends()

    async def _move(
        self, kind: str, row: tuple[str, dict[str, Any]], trigger: Any, waiting_for: asyncio.Task[Any]
    ) -> tuple[Any, asyncio.Task[Any]]:
        """The trigger restarts, or moves to another triggerer, which Airflow 3.3 also tells as a kill."""
        self._phase = "moved"
        new = None
        if kind == "reassign_late":
            new = self._trigger(row)
            successor = asyncio.create_task(_event_of(new))
            await asyncio.sleep(0.003)
        await _cancelled(waiting_for)
        if kind in ("reassign", "reassign_late") and KILLS_ARE_TOLD:
            await trigger.on_kill()
        if new is None:
            new = self._trigger(row)
            successor = asyncio.create_task(_event_of(new))
        return new, successor

    async def _loop_ends(self, *ended: asyncio.Task[Any]) -> None:
        """Let the watchers without a wait close what they hold, and see that nothing stays open."""
        for _ in range(3):  # a watcher ends, then its connection closes
            others = asyncio.all_tasks() - {asyncio.current_task()} - {task for task in ended if task.done()}
            if others:
                await asyncio.wait(others, timeout=5)
        if runtime._runtimes.get(asyncio.get_running_loop()):
            self.left_open.append("the runtime of a connection")
        if left := [task for task in asyncio.all_tasks() - {asyncio.current_task()} if not task.done()]:
            self.left_open.append(f"tasks {left}")
        if any(not session.closed for session in self._sessions):
            self.left_open.append("a client session")
        self._sessions.clear()

    def _set_by_person(self, act: Act) -> None:
        self.ti.state = {"person_failed": "failed", "person_success": "success"}.get(act.kind, "scheduled")

    # Around it all

    @contextlib.contextmanager
    def _stage(self) -> Iterator[None]:
        open_session = AsyncClient._open
        begin_run = self.sandbox.begin_run
        note_request = self.sandbox.ledger.note_request

        async def opened(client: AsyncClient) -> Any:
            session = await open_session(client)
            self._sessions.append(session)
            return session

        def begun(*args: Any, **kwargs: Any) -> Run:
            alive = self.alive()
            run = begin_run(*args, **kwargs)
            self.starts.append(Started(run, self.generation, self.ti.try_number, alive))
            self._now.starts.append(run.id)
            return run

        def noted(record: Any) -> None:
            note_request(record)
            self._request_comes(record)

        self.ti.on_push = self._pushed
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            enter(self.sandbox)
            enter(mock.patch.object(self.sandbox, "begin_run", begun))
            enter(mock.patch.object(self.sandbox.ledger, "note_request", noted))
            enter(mock.patch.object(AsyncClient, "_open", opened))
            enter(mock.patch.object(guard, "_state_of", lambda ti: ti.state))
            enter(mock.patch.object(guard, "_run_of", lambda ti: ti.xcoms.get("run_id")))
            # Nothing of a scenario takes seconds.
            for name in ("ACTS_AFTER_ANSWER", "ACTS_AFTER_CLOSE", "ACTS_AFTER_TIMEOUT"):
                enter(mock.patch.object(evidence, name, 0.04))
            enter(mock.patch.object(runtime, "LINGER", 0.0))
            enter(mock.patch.multiple(cancel_queue, PERSISTENCE=0.4, PAUSE=0.02))
            enter(mock.patch.object(policy.RetryPolicy.__init__, "__defaults__", (4, 0.002, 0.01, 0.05)))
            patience = waiting.DEFAULT_PATIENCE
            enter(mock.patch.object(waiting.WaitPolicy.__init__, "__defaults__", (None, patience, GRACE)))
            enter(mock.patch.dict(os.environ, self._connection()))
            yield

    def _connection(self) -> dict[str, str]:
        connection = self.sandbox.connection()
        extra = connection["extra"] = {
            **connection.get("extra", {}),
            "retries": self.scenario.wire_retries,
            "requests_per_minute": 600_000,
            "secret_headers": json.dumps({"X-Gateway-Key": GATEWAY_SECRET}),
        }
        telltale = ("password", "token", "api_key", "apikey")
        hidden = [connection.get("password"), GATEWAY_SECRET]
        hidden += [value for key, value in extra.items() if any(word in key for word in telltale)]
        self.secrets = [value for value in hidden if isinstance(value, str) and len(value) >= 4]
        return _environment(self.row, connection)

    @contextlib.contextmanager
    def _logged(self) -> Iterator[list[str]]:
        """Collect what is logged, by Airflow's loggers and Python's own, instead of printing it."""
        lines: list[str] = []

        class Collector(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                lines.append(f"{record.levelname.lower()}: {self.format(record)}")

        collector = Collector(logging.DEBUG)
        kept = []
        for logger in map(logging.getLogger, _LOGGERS):
            kept.append((logger, logger.level, logger.propagate))
            logger.addHandler(collector)
            logger.setLevel(logging.DEBUG)
            logger.propagate = False
        try:
            with capture_logs() as structured:
                try:
                    yield lines
                finally:
                    lines += [f"{line['log_level']}: {line['event']}" for line in structured]
        finally:
            for logger, level, propagate in kept:
                logger.removeHandler(collector)
                logger.setLevel(level)
                logger.propagate = propagate


def _environment(row: Row, connection: dict[str, Any]) -> dict[str, str]:
    return {f"AIRFLOW_CONN_{row.hook.default_conn_name.upper()}": json.dumps(connection)}


async def _event_of(trigger: Any) -> Any:
    return await anext(trigger.run())


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _short_sleep(seconds: float) -> None:
    _real_sleep(min(seconds, 0.003))


def _kind_of(fault: Any) -> str:
    return f"{fault.kind} {fault.status}" if fault.status else str(fault.kind)


_requests: dict[tuple[str, int], tuple[str, dict[str, Any]]] = {}


def _request_of(row: Row, which: int) -> tuple[str, dict[str, Any]]:
    """Return what a run with these inputs is started with, in the vendor's own words, by starting one."""
    if (row.vendor, which) in _requests:
        return _requests[row.vendor, which]
    sandbox = row.sandbox()
    with sandbox, mock.patch.dict(os.environ, _environment(row, sandbox.connection())):
        made = row.operator(task_id="example", wait_for_completion=False, **row.inputs[which])
        made.execute(context_of(FakeTaskInstance("example")))
        run = sandbox.ledger.runs[-1]
        return _requests.setdefault((row.vendor, which), (run.flow, dict(run.request)))


def rival_of(row: Row, rival: Rival) -> tuple[str, dict[str, Any]]:
    """Return what somebody else's run is started with: no text of ours, and another user where the vendor shows one."""
    flow, request = _request_of(row, 0)
    if rival.inputs == "other":
        other_flow, other = _request_of(row, 1)
        if other_flow == flow:
            request = other
    request = {name: _without_marker(value) for name, value in request.items() if not _is_marker(value)}
    if rival.user == "another" and "user_id" in request:
        request = {**request, "user_id": 999}
    return flow, request


def _is_marker(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("airflow dag.")


def _without_marker(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if not _is_marker(item)}
    return value


def _told(error: BaseException | None) -> str:
    import traceback

    return "".join(traceback.format_exception(error)) if error is not None else ""
