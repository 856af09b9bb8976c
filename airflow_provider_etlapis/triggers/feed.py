"""Asks a vendor for the runs of things, for all triggers of one connection: one hook, one list where that serves.

It never raises on a vendor's trouble and never hurries: what fails is asked for less and less often.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_etlapis.exceptions import (
    ConnectionSettingsError,
    CredentialsRejectedError,
    EtlApiError,
    NotFoundError,
    RateLimitedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.errors import trouble_of
from airflow_provider_etlapis.runs.ended import FIRST_LOOK, Mark, Pace
from airflow_provider_etlapis.runs.model import RemoteRun, Trouble, TroubleKind
from airflow_provider_etlapis.triggers.runtime import hook_class, runtime_of

log = logging.getLogger(__name__)

_GATEWAY_FAULTS = frozenset({502, 503, 504})
_FEWER_SINGLY = 3
_ALONG = 0.2


class Want:
    """One trigger's part of a feed: what it wants to know of, and from when on.

    :param what: names the thing, in the vendor's words.
    :param interval: seconds between two looks.
    :param mark: how far its ends have been told; the trigger moves it, a look only reads it.
    """

    def __init__(self, what: Mapping[str, Any], interval: float, mark: Mark | None) -> None:
        self.what = what
        self.mark = mark
        self.pace = Pace(", ".join(f"{name} {value}" for name, value in what.items()), interval)

    def since(self, now: float) -> float:
        """Return the moment to which a look goes back."""
        return now - FIRST_LOOK if self.mark is None else self.mark.since


@dataclass(frozen=True, slots=True)
class Look:
    """What the vendor has shown of one thing.

    :param runs: its runs, ended or not.
    :param at: seconds since the epoch when it was asked.
    :param gone: ids of runs that it had shown as going on and does not know any more.
    """

    runs: list[RemoteRun]
    at: float
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The looks of one moment, and what is to be done once the events made of them are kept by Airflow."""

    looks: Mapping[Want, Look]
    when_kept: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def kept(self) -> None:
        """Do it."""
        while self.when_kept:
            await self.when_kept.pop(0)()


class Feed:
    """The things of one connection that are looked at.

    :param hook: dotted path of the vendor's hook class.
    :param conn_id: id of the Airflow connection.
    """

    def __init__(self, hook: str, conn_id: str) -> None:
        self._hook = hook
        self._conn_id = conn_id
        self._wants: list[Want] = []
        self._changed = asyncio.Event()

    def join(self, want: Want) -> None:
        """Look at a thing from now on."""
        self._wants.append(want)
        self._changed.set()

    def leave(self, want: Want) -> None:
        """Look at it no more."""
        self._wants.remove(want)

    def hurry(self, want: Want, after: float = 0.0) -> None:
        """Look at a thing sooner than planned.

        :param after: seconds from now.
        """
        want.pace.due = min(want.pace.due, time.monotonic() + after)
        self._changed.set()

    async def snapshots(self) -> AsyncGenerator[Snapshot]:
        """Yield what is seen, for ever."""
        connection = Pace(f"Connection {self._conn_id!r}", 1.0)
        await asyncio.to_thread(hook_class, self._hook)  # the first import takes its time
        runtime = runtime_of(self._hook, self._conn_id)
        runtime.acquire()
        try:
            while True:
                due = await self._due(connection)
                looks: dict[Want, Look] = {}
                hook = runtime.hook
                try:
                    await self._look_at(hook, due, looks)
                except Exception as error:  # noqa: BLE001 whatever fails, the feed goes on; what it was is logged
                    _warn(connection.on_trouble(_trouble(error), time.monotonic()), error)
                    if _may_need_a_new_connection(error):
                        await runtime.renew(hook)
                else:
                    _inform(connection.on_answer(time.monotonic()))
                    connection.due = float("-inf")
                if looks:
                    yield Snapshot(looks)
        finally:
            runtime.release()

    async def _due(self, connection: Pace) -> list[Want]:
        """Wait until something is to be looked at, and return it."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            next_due = max(connection.due, min((want.pace.due for want in self._wants), default=float("inf")))
            if next_due <= now:
                # Those that are due soon come along, so that things of one interval share a list from then on.
                return [want for want in self._wants if want.pace.due <= now + _ALONG * want.pace.interval]
            with suppress(TimeoutError):
                async with asyncio.timeout(None if next_due == float("inf") else next_due - now):
                    await self._changed.wait()

    async def _look_at(self, hook: RemoteRunHook, due: list[Want], looks: dict[Want, Look]) -> None:
        """Look at each of these, and note what was seen.

        :raises Exception: what is wrong with the connection as a whole; the rest is told and looked at later.
        """
        await hook.aclient()
        at = time.time()
        shared = await hook.list_shared.aio(min(want.since(at) for want in due))
        for want in due:
            try:
                looks[want] = await _look(hook, want, shared, at)
            except EtlApiError as error:
                if _is_of_connection(error):
                    raise
                _warn(want.pace.on_trouble(trouble_of(error), time.monotonic()), error)
            except Exception as error:  # noqa: BLE001 one thing's defect does not end the others; it is told
                _warn(want.pace.on_trouble(_trouble(error), time.monotonic()), error)
            else:
                _inform(want.pace.on_answer(time.monotonic()))


async def _look(hook: RemoteRunHook, want: Want, shared: Any, at: float) -> Look:
    """Return what the vendor shows of a thing, and what became of runs that it had shown as going on before."""
    runs = await hook.runs_of.aio(want.what, want.since(at), shared)
    shown = {run.ref.run_id for run in runs}
    missing = [ref for run_id, ref in (want.mark.going if want.mark else {}).items() if run_id not in shown]
    found: Mapping[str, RemoteRun] = {}
    gone = set()
    if len(missing) > _FEWER_SINGLY and hook.reads_in_bulk:
        found = await hook.read_runs.aio(missing)
    for ref in missing:
        if ref.run_id in found and not found[ref.run_id].state.is_terminal:
            runs.append(found[ref.run_id])
            continue
        try:
            runs.append(await hook.read_run.aio(ref))
        except NotFoundError as error:
            log.info("Run %s is gone, its end will not be told: %s", ref.run_id, error)
            gone.add(ref.run_id)
        except EtlApiError as error:
            if _is_of_connection(error):
                raise
            log.debug("Run %s could not be read, it is looked at again: %s", ref.run_id, error)
    return Look(runs, at, frozenset(gone))


def _is_of_connection(error: EtlApiError) -> bool:
    """Say whether the other things of the connection would fare no better."""
    if isinstance(error, VendorUnavailableError):
        return isinstance(error, RateLimitedError) or error.status is None or error.status in _GATEWAY_FAULTS
    return isinstance(error, CredentialsRejectedError | ConnectionSettingsError)


def _may_need_a_new_connection(error: Exception) -> bool:
    """Say whether the connection may have been changed, so that it is to be read anew."""
    return not isinstance(error, VendorUnavailableError)


def _trouble(error: Exception) -> Trouble:
    if isinstance(error, EtlApiError):
        return trouble_of(error)
    return Trouble(TroubleKind.DEFECT, f"{type(error).__name__}: {error}")


def _warn(line: str | None, error: Exception) -> None:
    if line is not None:
        log.warning(line, exc_info=None if isinstance(error, EtlApiError) else error)


def _inform(line: str | None) -> None:
    if line is not None:
        log.info(line)


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], Feed]] = WeakKeyDictionary()


def feed_of(hook: str, conn_id: str) -> Feed:
    """Return the feed that the triggers of a connection share in the running event loop.

    It holds no connection: that lives with whoever draws snapshots. So it is kept for good, and a trigger that joins
    while another poll of the same connection ends cannot be left behind.
    """
    mine = _feeds.setdefault(asyncio.get_running_loop(), {})
    return mine.setdefault((hook, conn_id), Feed(hook, conn_id))
