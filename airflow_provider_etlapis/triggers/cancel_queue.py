"""Cancels many runs of one connection within its budget: states by list, then the cancels, all before other polls."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_etlapis.exceptions import CredentialsRejectedError, EtlApiError, PermissionDeniedError
from airflow_provider_etlapis.hooks.base import CancelReport, RemoteRunHook, go_first
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef

log = logging.getLogger(__name__)

_GATHER = 0.2
"""Seconds in which the kills of one DAG run come together."""
_READ_INDIVIDUALLY = 3
"""Fewer than that are read one by one: a list costs as much."""
_MOST_AT_ONCE = 16
"""Cancels under way, their wait for the budget included."""
PERSISTENCE = 300.0
"""Seconds for which a cancel is tried again while the vendor is away or its rate limit is used up."""
PAUSE = 5.0
"""Seconds between two tries."""
_INTERVAL = 0.25
_QUICK = 4
"""Cancels in that many seconds that make a vendor quick: they go one after the other, on one connection. With fewer,
one more is under way from then on."""


class Owner(Protocol):
    """The owner of a connection, as its cancels see it."""

    conn_id: str

    @property
    def hook(self) -> RemoteRunHook:
        """The hook that serves now."""

    def acquire(self) -> None:
        """Use the connection from now on."""

    def release(self) -> None:
        """Use it no more."""

    async def renew(self, refused: RemoteRunHook) -> None:
        """Read the connection again."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A run to cancel.

    :param until: loop time until which it is tried again if that may help.
    """

    ref: RunRef
    answer: asyncio.Future[CancelReport]
    until: float


class CancelQueue:
    """The cancels of one connection.

    :param owner: of the connection.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._pending: dict[str, _Asked] = {}
        self._under_way = 0
        self._worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many cancels have not been answered yet."""
        return len(self._pending) + self._under_way

    async def cancel(self, ref: RunRef) -> CancelReport:
        """Cancel a run; whoever asks for the same run shares the answer.

        :raises EtlApiError: if it failed.
        """
        if ref.run_id not in self._pending:
            loop = asyncio.get_running_loop()
            self._pending[ref.run_id] = _Asked(ref, loop.create_future(), loop.time() + PERSISTENCE)
        asked = self._pending[ref.run_id]
        if self._worker is None:
            # In an empty context: its log lines belong to no task.
            context = contextvars.Context()
            context.run(go_first)
            self._worker = asyncio.get_running_loop().create_task(
                self._work(), name=f"cancels of {self._owner.conn_id}", context=context
            )
        return await asyncio.shield(asked.answer)

    async def _work(self) -> None:
        self._owner.acquire()
        try:
            while self._pending:
                await asyncio.sleep(_GATHER)
                batch, self._pending = list(self._pending.values()), {}
                self._under_way = len(batch)
                await self._cancel_batch(batch)
        finally:
            self._worker = None
            self._owner.release()

    async def _cancel_batch(self, batch: Sequence[_Asked]) -> None:
        seen = await self._states(batch)
        left = deque(batch)

        async def one_by_one() -> None:
            while left:
                asked = left.popleft()
                pause = await self._answer(asked, seen.pop(asked.ref.run_id, None))
                if pause is not None:
                    left.append(asked)
                    await asyncio.sleep(pause)

        async with asyncio.TaskGroup() as group:
            at_once = 0
            begun = 0
            while left:
                if at_once < _MOST_AT_ONCE and len(batch) - len(left) - begun < _QUICK:
                    group.create_task(one_by_one())
                    at_once += 1
                begun = len(batch) - len(left)
                await asyncio.sleep(_INTERVAL)

    async def _answer(self, asked: _Asked, seen: RemoteRun | None) -> float | None:
        """Cancel one run. Return ``None`` if that is settled, else the seconds after which to try again.

        By then a cancel that got no answer has taken effect if ever, and the run is read before another is sent.
        """
        ref, answer = asked.ref, asked.answer
        has_time = asyncio.get_running_loop().time() + PAUSE < asked.until
        try:
            report = await self._cancel_one(ref, seen)
            if report.try_again and has_time:
                log.info("Trying again: %s", report.note)
                return PAUSE
        except Exception as error:  # noqa: BLE001 one run's failure is that of its kill, not of the others
            if has_time and isinstance(error, EtlApiError) and error.retry_helps:
                log.info("Cancelling run %s failed, trying again: %s", ref.run_id, error)
                return max(PAUSE, error.acts_for)
            log.warning("Cancelling run %s failed, it may still be running: %s", ref.run_id, error)
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # whoever asked may be gone
        else:
            if not answer.done():
                answer.set_result(report)
        self._under_way -= 1
        return None

    async def _states(self, batch: Sequence[_Asked]) -> dict[str, RemoteRun]:
        """Return what lists tell about these runs; what they do not tell is read individually."""
        hook = self._owner.hook
        if len(batch) < _READ_INDIVIDUALLY or not hook.reads_in_bulk:
            return {}
        try:
            return await hook.read_runs.aio([asked.ref for asked in batch])
        except EtlApiError as error:
            log.info("Runs to be cancelled could not be listed, reading them one by one: %s", error)
            return {}

    async def _cancel_one(self, ref: RunRef, seen: RemoteRun | None) -> CancelReport:
        hook = self._owner.hook
        await hook.aclient()
        if not hook.capabilities.cancel:
            return CancelReport(False, f"run {ref.run_id} goes on. {hook.capabilities.cancel_note}")
        try:
            return await _cancelled(hook, ref, seen)
        except (CredentialsRejectedError, PermissionDeniedError):
            await self._owner.renew(hook)
            return await _cancelled(self._owner.hook, ref, seen)


async def _cancelled(hook: RemoteRunHook, ref: RunRef, seen: RemoteRun | None) -> CancelReport:
    return await (hook.cancel_run.aio(ref) if seen is None else hook.cancel_seen.aio(seen))
