"""The one owner of a connection in a triggerer: session, login, budget, watcher and cancels belong to it.

Waits, events and kills take what they need from here, so that one connection has one session, one login and one request
budget, however many triggers there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from functools import partial
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.errors import trouble_of
from airflow_provider_etlapis.metrics import Meter
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, Trouble
from airflow_provider_etlapis.runs.watching import LogLines, Watcher
from airflow_provider_etlapis.triggers.cancel_queue import CancelQueue

log = logging.getLogger(__name__)

LINGER = 10.0
"""Seconds for which an idle session is kept: kills come a moment after the waits of their tasks have left."""

_runtimes: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], ConnectionRuntime]] = WeakKeyDictionary()


def runtime_of(hook: str, conn_id: str) -> ConnectionRuntime:
    """Return the owner of a connection in the running event loop; there is one as long as it is used.

    :param hook: dotted path of the hook class.
    :param conn_id: id of the Airflow connection.
    """
    mine = _runtimes.setdefault(asyncio.get_running_loop(), {})
    key = (hook, conn_id)
    if key not in mine:
        mine[key] = ConnectionRuntime(hook, conn_id, lambda: mine.pop(key, None))
    return mine[key]


def hook_class(path: str) -> type[RemoteRunHook]:
    """Return the hook class of a dotted path."""
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, RemoteRunHook)):
        raise TypeError(f"{path} is no RemoteRunHook")
    return found


class ConnectionRuntime:
    """Owns what one connection needs in one event loop. Each user acquires it and releases it.

    :param hook: dotted path of the hook class.
    :param conn_id: id of the Airflow connection.
    :param on_closed: called when nobody uses it any more and its session is closed.
    """

    def __init__(self, hook: str, conn_id: str, on_closed: Any = lambda: None) -> None:
        self.conn_id = conn_id
        self._hook_path = hook
        self._on_closed = on_closed
        self._hook: RemoteRunHook | None = None
        self._users = 0
        self._linger: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._watcher: Watcher | None = None
        self._cancels = CancelQueue(self)

    @property
    def hook(self) -> RemoteRunHook:
        """The hook that all users of the connection share now."""
        if self._hook is None:
            self._hook = hook_class(self._hook_path)(self.conn_id)
        return self._hook

    @property
    def watcher(self) -> Watcher:
        """The connection's watcher; it ends with its last wait, and the next wait gets a new one."""
        if self._watcher is None:
            module = self._hook_path.rpartition(".")[0].removesuffix(".hook")  # a hook's package is named as its vendor
            meter = Meter(self.conn_id, module.rpartition(".")[2], in_triggerer=True)
            self._watcher = Watcher(
                partial(PollSource, self), f"connection {self.conn_id!r}", self._forget_watcher, meter=meter
            )
        return self._watcher

    def _forget_watcher(self) -> None:
        self._watcher = None

    def acquire(self) -> None:
        """Use the connection from now on."""
        self._users += 1
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def release(self) -> None:
        """Use it no more; idle, it is closed after a while."""
        self._users -= 1
        if self._users:
            return
        if LINGER <= 0:
            self._close()
        else:
            self._linger = asyncio.get_running_loop().call_later(LINGER, self._close)

    async def renew(self, refused: RemoteRunHook) -> None:
        """Read the connection again for what comes next; the budget and a pause of the vendor's stay.

        :param refused: the hook whose credential was refused: another user may have renewed it meanwhile.
        """
        if refused is not self._hook:
            return
        self._hook = hook_class(self._hook_path)(self.conn_id)
        self._hook.keep_limits_of(refused)
        await refused.aclose()

    async def cancel(self, ref: RunRef) -> Any:
        """Cancel a run, before any poll of the connection; states of many are read by list.

        :returns: the :class:`~airflow_provider_etlapis.hooks.base.CancelReport`.
        :raises EtlApiError: if it failed.
        """
        return await self._cancels.cancel(ref)

    @property
    def cancels_waiting(self) -> int:
        """How many cancels have not been answered yet."""
        return self._cancels.waiting

    def _close(self) -> None:
        self._linger = None
        if self._users:
            return
        hook, self._hook = self._hook, None
        self._on_closed()
        if hook is not None:
            self._closing = asyncio.get_running_loop().create_task(hook.aclose(), name=f"closing {self.conn_id}")


class PollSource:
    """A connection as its watcher sees it: polls that end in a run or in trouble, and a connection that is renewed.

    :param runtime: owner of the connection.
    """

    def __init__(self, runtime: ConnectionRuntime) -> None:
        self._runtime = runtime
        runtime.acquire()
        _ = runtime.hook  # a class that cannot be imported is a defect of the wait, told at once

    @property
    def reads_in_bulk(self) -> bool:
        """Whether one request tells the state of many runs."""
        return self._runtime.hook.reads_in_bulk

    @property
    def requests_per_minute(self) -> float | None:
        """The connection's budget; unknown before the first poll."""
        return self._runtime.hook.known_requests_per_minute

    async def look_at_many(self, refs: Collection[RunRef]) -> Mapping[str, RemoteRun] | Trouble:
        """Return what is sure about these runs."""
        try:
            return await self._runtime.hook.read_runs.aio(refs)
        except EtlApiError as error:
            return trouble_of(error)

    async def look_at(self, ref: RunRef) -> RemoteRun | Trouble:
        """Return what the vendor says about one run."""
        try:
            return await self._runtime.hook.look.aio(ref)
        except EtlApiError as error:
            return trouble_of(error)

    async def read_log(self, ref: RunRef, cursor: Any) -> LogLines | Trouble:
        """Return the run's log lines since a cursor."""
        try:
            return await self._runtime.hook.read_log.aio(ref, cursor)
        except EtlApiError as error:
            return trouble_of(error)

    async def renew(self) -> None:
        """Read the connection again for the next poll."""
        await self._runtime.renew(self._runtime.hook)

    async def aclose(self) -> None:
        """Give the connection back."""
        self._runtime.release()
