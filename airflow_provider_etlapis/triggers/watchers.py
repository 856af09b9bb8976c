"""The watchers of this process: one per event loop, vendor and connection."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module
from weakref import WeakKeyDictionary

from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.source import HookSource
from airflow_provider_etlapis.metrics import Meter
from airflow_provider_etlapis.runs.watching import Watcher

_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], Watcher]] = WeakKeyDictionary()


def watcher_of(hook: str, conn_id: str) -> Watcher:
    """Return the watcher of a connection in the running event loop; it lives as long as runs are watched.

    :param hook: dotted path of the hook class.
    :param conn_id: id of the Airflow connection.
    """
    mine = _watchers.setdefault(asyncio.get_running_loop(), {})
    key = (hook, conn_id)
    if key not in mine:

        def forget() -> None:
            mine.pop(key, None)

        vendor = hook.split(".")[-2]  # a hook's module is named as its vendor
        meter = Meter(conn_id, vendor, in_triggerer=True)
        mine[key] = Watcher(partial(_open, hook, conn_id), f"connection {conn_id!r}", forget, meter=meter)
    return mine[key]


def _open(hook: str, conn_id: str) -> HookSource:
    return HookSource(hook_class(hook), conn_id)


def hook_class(path: str) -> type[RemoteRunHook]:
    """Return the hook class of a dotted path."""
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, RemoteRunHook)):
        raise TypeError(f"{path} is no RemoteRunHook")
    return found
