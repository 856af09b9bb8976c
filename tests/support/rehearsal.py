"""Plays one task instance through its tries as Airflow does: each try and each resumption with a new operator object,
a deferred wait in a trigger that went through its serialised form. No Airflow service runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator, TaskDeferred

from airflow_provider_etlapis.triggers import guard
from airflow_provider_etlapis.triggers.releases import KILLS_ARE_TOLD
from airflow_provider_etlapis.wire.call import Request, Response
from airflow_provider_etlapis.wire.sync import SyncClient  # before any sleep is replaced: it keeps the real one
from tests.support.airflow_context import FakeStateStore, FakeTaskInstance, context_of
from tests.support.releases import through_database, without_handover

LONGEST_TRY = 10.0
"""Seconds after which a wait that does not end fails the test."""

_real_sleep = time.sleep


class ProcessGoneError(BaseException):
    """The worker's process ends here: nothing of the package may catch it."""


class Rehearsal:
    """One task instance.

    :param make: makes its operator; called anew for each process that the task would run in.
    :param store: the task's state store; ``None`` is Airflow 3.0 to 3.2.
    """

    def __init__(
        self, make: Callable[[], BaseOperator], *, store: FakeStateStore | None = None, keeps_state: bool = True
    ) -> None:
        self._make = make
        first = make()
        self.ti = FakeTaskInstance(first.task_id, retries=first.retries or 0)
        self.store = (store or FakeStateStore()) if keeps_state else None
        self.dag_run = SimpleNamespace(start_date=datetime.now(UTC))
        self.deferrals: list[TaskDeferred] = []
        self.trigger_arguments: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.returned: Any = None
        self._when_known: Callable[[], None] | None = None
        self._when_told: Callable[[], None] = lambda: None
        self.ti.on_push = lambda key: self._tell()

    # What a test asks for

    def run(self, *, when_known: Callable[[], None] | None = None, when_told: Callable[[], None] = lambda: None) -> Any:
        """Play a whole try and return what the task returns, or raise what it fails with.

        :param when_known: called once, at the moment the task makes its run known (by XCom).
        :param when_told: called when a trigger has fired, before the task is taken up again.
        """
        self._when_known = when_known
        self._when_told = when_told
        with _hurried():
            try:
                self.returned = self._make().execute(self._context())
            except TaskDeferred as deferred:
                self.returned = self._resumed(deferred)
        return self.returned

    def lose_process(self) -> None:
        """Play a try up to the middle of its wait, where its process is gone: nothing of ours is called."""
        operator = self._make()
        with contextlib.suppress(ProcessGoneError, TaskDeferred), self._dying_in_wait(operator):
            operator.execute(self._context())
            raise AssertionError("the task did not come to wait")

    def lose_process_when_known(self) -> None:
        """Play a try up to the moment at which its run is known to it and written nowhere."""

        def end() -> None:
            raise ProcessGoneError

        with contextlib.suppress(ProcessGoneError), _hurried():
            self._when_known = end
            self._make().execute(self._context())
            raise AssertionError("the task did not get to know a run")

    def lose_process_when(self, is_time: Callable[[], bool]) -> None:
        """Play a try up to the request by which this has become true: its process is gone before an answer is read."""
        transmit = SyncClient._transmit

        def cut_off(client: SyncClient, request: Request) -> Response:
            try:
                return transmit(client, request)
            finally:
                if is_time():
                    raise ProcessGoneError

        with contextlib.suppress(ProcessGoneError), _hurried(), mock.patch.object(SyncClient, "_transmit", cut_off):
            self._make().execute(self._context())
            raise AssertionError("the process was not lost")

    def kill(self, *, state: str = "failed", just_before: Callable[[], None] = lambda: None) -> None:
        """A person ends the task in the middle of its wait.

        :param state: the task's state by then, as the trigger's guard finds it.
        :param just_before: called just before that.
        """
        operator = self._make()
        try:
            with self._dying_in_wait(operator):
                operator.execute(self._context())
            raise AssertionError("the task did not come to wait")
        except TaskDeferred as deferred:
            self.deferrals.append(deferred)
            asyncio.run(self._killed_trigger(deferred, state, just_before))
        except ProcessGoneError:
            just_before()
            operator.on_kill()

    def kill_as_soon_as(self, is_time: Callable[[], bool]) -> None:
        """A person ends the task while an answer is on its way: the one by whose arrival this has become true."""
        operator = self._make()
        transmit, killed = SyncClient._transmit, False

        def cut_off(client: SyncClient, request: Request) -> Response:
            nonlocal killed
            answer = transmit(client, request)
            if not killed and is_time():
                killed = True
                operator.on_kill()
                raise ProcessGoneError
            return answer

        with contextlib.suppress(ProcessGoneError), _hurried(), mock.patch.object(SyncClient, "_transmit", cut_off):
            operator.execute(self._context())
            raise AssertionError("the task was not ended")

    def move_trigger(self) -> Any:
        """Defer, move the trigger to another triggerer in the middle, and play the task to its end."""
        with _hurried():
            try:
                self._make().execute(self._context())
            except TaskDeferred as deferred:
                asyncio.run(self._killed_trigger(deferred, "deferred"))
                self.returned = self._resumed(deferred)
                return self.returned
        raise AssertionError("the task did not defer")

    def fail_deferral(self, error: str) -> Any:
        """Defer, and take the task up again as Airflow does when no event came."""
        try:
            self._make().execute(self._context())
        except TaskDeferred as deferred:
            self.deferrals.append(deferred)
            return self._make().resume_execution("__fail__", {"error": error}, self._context())
        raise AssertionError("the task did not defer")

    def change(self, make: Callable[[], BaseOperator]) -> None:
        """A new version of the DAG file comes: from now on, its operator is made like this."""
        self._make = make

    def retry(self) -> Rehearsal:
        """Go on to the next try as Airflow does by itself."""
        self.ti.begin_retry()
        return self

    def clear(self) -> Rehearsal:
        """Go on to the next try as after a person's clear."""
        self.ti.begin_cleared(self._make().retries or 0)
        return self

    @property
    def backstop(self) -> timedelta | None:
        """The framework's own timeout of the last deferral."""
        return self.deferrals[-1].timeout

    # How it is played

    def _context(self) -> Any:
        return context_of(self.ti, self.store, dag_run=self.dag_run)

    @contextlib.contextmanager
    def _dying_in_wait(self, operator: BaseOperator) -> Iterator[None]:
        """End the process at the first pause after the run is known (a sensor knows it from the start)."""
        known = isinstance(operator, BaseSensorOperator)

        def note() -> None:
            nonlocal known
            known = True

        def sleep(seconds: float) -> None:
            if known:
                raise ProcessGoneError
            _real_sleep(min(seconds, 0.02))

        self._when_known = note
        with mock.patch("time.sleep", sleep):
            yield

    def _tell(self) -> None:
        call, self._when_known = self._when_known, None
        if call is not None:
            call()

    def _resumed(self, deferred: TaskDeferred) -> Any:
        while True:
            self.deferrals.append(deferred)
            event = asyncio.run(self._event_of(deferred))
            self._when_told()
            operator = self._make()
            try:
                return operator.resume_execution(
                    deferred.method_name, {**(deferred.kwargs or {}), "event": event}, self._context()
                )
            except TaskDeferred as again:
                deferred = again

    def _trigger(self, deferred: TaskDeferred) -> Any:
        _, arguments = deferred.trigger.serialize()
        self.trigger_arguments.append(arguments)
        trigger = type(deferred.trigger)(**without_handover(arguments))
        trigger.task_instance = self.ti
        return trigger

    async def _event_of(self, deferred: TaskDeferred) -> dict[str, Any]:
        trigger = self._trigger(deferred)
        async with asyncio.timeout(LONGEST_TRY):
            event = await anext(trigger.run())
        await _watchers_ended()
        payload: dict[str, Any] = through_database(event.payload)
        self.events.append(payload)
        return payload

    async def _killed_trigger(
        self, deferred: TaskDeferred, state: str, just_before: Callable[[], None] = lambda: None
    ) -> None:
        trigger = self._trigger(deferred)
        waiting = asyncio.create_task(_first(trigger.run()))
        await asyncio.sleep(0.08)
        assert not waiting.done(), "the wait ended before it could be killed"
        with (
            mock.patch.object(guard, "_state_of", return_value=state),
            mock.patch.object(guard, "_run_of", return_value=self.ti.xcoms.get("run_id")),
        ):
            just_before()
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            if KILLS_ARE_TOLD:
                await trigger.on_kill()
        await _watchers_ended()


def _first(events: Any) -> Coroutine[Any, Any, Any]:
    async def first() -> Any:
        return await anext(events)

    return first()


async def _watchers_ended() -> None:
    """Let the watchers that have no wait any more close what they hold."""
    for _ in range(3):  # a watcher ends, then its connection closes
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=5)


@contextlib.contextmanager
def _hurried() -> Iterator[None]:
    """Let no pause on the worker take longer than a poll of these tests does, and no wait go on for ever."""
    end = time.monotonic() + LONGEST_TRY

    def sleep(seconds: float) -> None:
        if time.monotonic() > end:
            raise ProcessGoneError("the wait on the worker does not end")
        _real_sleep(min(seconds, 0.02))

    with mock.patch("time.sleep", sleep):
        yield
