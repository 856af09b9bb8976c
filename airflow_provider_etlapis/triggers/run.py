"""A deferred wait for one remote run, of any vendor.

It does not poll: it registers its run with the watcher of its connection, which asks for many runs at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from airflow.providers.common.compat.sdk import conf
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.metrics import Meter
from airflow_provider_etlapis.runs.logs import tell_log
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, Trouble
from airflow_provider_etlapis.runs.waiting import DEFAULT_PATIENCE, GOING_ON, Outcome, Verdict, Wait, WaitPolicy
from airflow_provider_etlapis.triggers.guard import is_followed_by_another
from airflow_provider_etlapis.triggers.releases import KILLS_ARE_TOLD, timed_out
from airflow_provider_etlapis.triggers.runtime import runtime_of

_HANDOVER = 3.0
_ALIKE = 0.8


def handed_over() -> float:
    """Return when a task that defers now can safely be taken up again, in seconds since the epoch.

    A worker may notice one heartbeat late that the process of a deferred task has ended. Taken up and queued again
    before that, the task would be failed by the scheduler: "executor reported success, but the state is queued".
    """
    heartbeat: float = conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0)
    return time.time() + heartbeat + _HANDOVER


class RemoteRunTrigger(BaseTrigger):
    """Waits until a remote run has ended, its deadline has passed, or waiting is given up.

    All arguments are plain JSON and hold no secret: Airflow keeps them in its database as they are. Arguments of
    other releases are accepted, so that a wait survives an upgrade.

    :param hook: dotted path of the vendor's hook class.
    :param conn_id: id of the Airflow connection.
    :param ref: the run, as :meth:`~airflow_provider_etlapis.runs.model.RunRef.to_json` gives it.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch, ``None`` for none.
    :param patience: seconds for which looks may fail without a break.
    :param cancel_on_kill: cancel the run when a person ends the task.
    :param owned: whether the task started the run; another's run is never cancelled.
    :param singly: read the run on its own at each look, with its steps.
    :param with_log: copy new lines of the run's log into the task's at each look.
    :param limit: the parameter that sets the deadline, with its value, for messages: ``"timeout=3600 s"``.
    :param seen_well: whether the credential has just been answered about the run, so that one odd answer ends
        nothing.
    :param not_before: seconds since the epoch before which no event is sent, but for the deadline's, see
        :func:`handed_over`; ``None``: at once.
    """

    def __init__(
        self,
        *,
        hook: str,
        conn_id: str,
        ref: Mapping[str, Any],
        poll_interval: float = 30.0,
        deadline: float | None = None,
        patience: float = DEFAULT_PATIENCE,
        cancel_on_kill: bool = True,
        owned: bool = True,
        singly: bool = False,
        with_log: bool = False,
        limit: str = "",
        seen_well: bool = False,
        not_before: float | None = None,
        **others: Any,
    ) -> None:
        refuse_misspelt(others, type(self))
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base is not typed
        self.hook = hook
        self.conn_id = conn_id
        self.ref = RunRef.from_json(ref)
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.patience = patience
        self.cancel_on_kill = cancel_on_kill
        self.owned = owned
        self.singly = singly
        self.with_log = with_log
        self.limit = limit
        self.seen_well = seen_well
        self.not_before = not_before
        self._others = others
        self._fired = False
        self._kill_is_due = False

    @property
    def log(self) -> Any:
        """The logger of the class; Airflow would make one for each of a thousand triggers."""
        if "_log" not in vars(type(self)):
            type(self)._log = super().log
        return type(self)._log

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **self._others,
                "hook": self.hook,
                "conn_id": self.conn_id,
                "ref": self.ref.to_json(),
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "patience": self.patience,
                "cancel_on_kill": self.cancel_on_kill,
                "owned": self.owned,
                "singly": self.singly,
                "with_log": self.with_log,
                "limit": self.limit,
                "seen_well": self.seen_well,
                "not_before": self.not_before,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield one event: ``{"status", "message", "ref", "owned", "deadline", "limit", "state"}``."""
        policy = WaitPolicy(self.deadline, self.patience)
        wait = Wait(self.ref, policy, seen_well=self.seen_well, limit=self.limit)
        try:
            outcome = await self._end_of(wait)
            await self._handover()
        except asyncio.CancelledError as error:
            if not KILLS_ARE_TOLD:
                await self._on_cancelled()
            # Airflow says in the message that a person has acted; a triggerer that stops cancels without one.
            self._kill_is_due = KILLS_ARE_TOLD and bool(error.args)
            raise
        self._fired = True
        # Nothing may be awaited after this: Airflow then cancels the coroutine as if a person had ended the task.
        yield TriggerEvent(  # type: ignore[no-untyped-call]  # Airflow's class is not typed
            {
                "status": outcome.verdict.value,
                "message": outcome.message,
                "ref": self.ref.to_json(),
                "owned": self.owned,
                "deadline": self.deadline,
                "limit": self.limit,
                "state": wait.last.state.value if wait.last else None,
            }
        )

    async def _end_of(self, wait: Wait) -> Outcome:
        """Return how the wait has ended."""
        if (outcome := wait.on_clock(time.time())).verdict is not Verdict.GO_ON:
            return outcome
        watcher = runtime_of(self.hook, self.conn_id).watcher
        place = watcher.subscribe(
            self.ref,
            self.poll_interval,
            singly=self.singly,
            with_log=self.with_log,
            seconds_left=wait.seconds_left(time.time()),
        )
        try:
            while outcome.verdict is Verdict.GO_ON:
                await place.changed()
                update, now = place.take(), time.time()
                if update is None:
                    outcome = wait.on_clock(now)
                elif isinstance(update, RemoteRun):
                    outcome = wait.on_run(update, now)
                elif isinstance(update, Trouble):
                    outcome = wait.on_trouble(update, now)
                else:
                    tell_log(self.log, update.lines)
                    continue
                outcome = self._told(outcome)
        finally:
            watcher.unsubscribe(place)
        return outcome

    async def _handover(self) -> None:
        """Wait until the task can be taken up again; no longer than its own deadline."""
        if self.not_before is None:
            return
        latest = self.not_before if self.deadline is None else min(self.not_before, self.deadline)
        if (left := latest - time.time()) > 0:
            self.log.info("Run ended; resuming the task in %.1f s, once Airflow has recorded the deferral", left)
            await asyncio.sleep(left)

    def _told(self, outcome: Outcome) -> Outcome:
        if outcome.verdict is not Verdict.DONE:  # the task that is taken up reads the run once more, and tells its end
            for line in outcome.news:
                self.log.info(line)
        for line in outcome.warnings:
            self.log.warning(line)
        return GOING_ON if outcome.verdict is Verdict.GO_ON else outcome  # what was told is not kept meanwhile

    async def cleanup(self) -> None:
        """Make up for an ``on_kill`` that Airflow meant to call and did not.

        It cancels a trigger again each second, also while it writes the line that it logs before ``on_kill``: with
        hundreds of kills on a busy machine, that second cancel comes first and ``on_kill`` is never called.
        """
        if self._kill_is_due:
            await self._on_cancelled()

    async def on_kill(self) -> None:
        """Cancel the run because a person ended the task (Airflow 3.3 and later).

        Airflow 3.3 also calls this when the trigger only moves to another triggerer, and when the task was
        cleared and its next try follows the same run already: the guard tells them apart.
        """
        self._kill_is_due = False
        killing = asyncio.create_task(self._kill(), name=f"kill of run {self.ref.run_id}")
        while not killing.done():
            # Airflow cancels whatever a kill has not done within a second, and then once a second.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(killing)
        if not killing.cancelled():
            killing.result()

    async def _kill(self) -> None:
        if self._fired or not self.owned:
            return
        run_id = self.ref.run_id
        if not self.cancel_on_kill:
            self.log.info("The task was ended; run %s is left alone (cancel_on_kill=False)", run_id)
            return
        if await is_followed_by_another(self.task_instance, self.ref):
            self.log.info("Run %s is still waited for, it is left alone", run_id)
            return
        runtime = runtime_of(self.hook, self.conn_id)
        cancelling = asyncio.ensure_future(runtime.cancel(self.ref))
        limit = conf.getfloat("triggerer", "on_kill_timeout", fallback=30.0)
        while not cancelling.done():
            await asyncio.wait([cancelling], timeout=limit)
            if not cancelling.done():
                self.log.warning(
                    "Run %s is not cancelled yet after another %.0f s: %d cancels of connection %r are waiting for its "
                    "request budget or its server. Going on; if this triggerer stops before, cancel the run with: "
                    "etlapis runs cancel --conn-id %s --run-id %s",
                    run_id,
                    limit,
                    runtime.cancels_waiting,
                    self.conn_id,
                    self.conn_id,
                    run_id,
                )
        try:
            report = cancelling.result()
        except EtlApiError as error:
            self.log.warning("Cancelling run %s failed, it may go on: %s", run_id, error)
        else:
            self.log.info("Cancelling: %s", report.note)
            if report.asked:
                Meter(self.conn_id, self.ref.vendor, in_triggerer=True).count("cancels")

    async def _on_cancelled(self) -> None:
        """Do as :meth:`on_kill` if a person is behind the end of this coroutine, which Airflow has not said.

        A triggerer that stops, restarts or gives the trigger away also cancels it: the task is still deferred then.
        """
        unknown = self.task_instance is None  # as in `dag.test()`
        if unknown or not self.cancel_on_kill or timed_out(self.task_instance, self.deadline, time.time()):
            return
        await self.on_kill()


def refuse_misspelt(unknown: Iterable[str], trigger_class: type) -> None:
    """Refuse arguments whose names are nearly those of the trigger; a row of another release may hold any others.

    :param unknown: names that the trigger has no parameter for.
    :raises TypeError: naming the argument and the parameter that it resembles.
    """
    known = [name for name in inspect.signature(trigger_class).parameters if name != "others"]
    for name in unknown:
        if near := get_close_matches(name, known, n=1, cutoff=_ALIKE):
            raise TypeError(f"{trigger_class.__name__} has no argument {name!r}; did you mean {near[0]!r}?")
