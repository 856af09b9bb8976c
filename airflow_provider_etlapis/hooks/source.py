"""How the watcher of a connection reads runs: through a hook, with errors as values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.errors import trouble_of
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, Trouble
from airflow_provider_etlapis.runs.watching import LogLines


class HookSource:
    """A hook as the watcher sees it: looks that end in a run or in trouble, and a connection that can be renewed."""

    def __init__(self, hook_class: type[RemoteRunHook], conn_id: str) -> None:
        self._hook_class = hook_class
        self._conn_id = conn_id
        self._hook = hook_class(conn_id)

    @property
    def reads_in_bulk(self) -> bool:
        """Whether one request tells the state of many runs."""
        return self._hook.reads_in_bulk

    @property
    def requests_per_minute(self) -> float | None:
        """The connection's budget; unknown before the first look."""
        channel = self._hook._channel  # not looked up here: that would block
        return channel.settings.requests_per_minute if channel else None

    async def look_at_many(self, refs: Collection[RunRef]) -> Mapping[str, RemoteRun] | Trouble:
        """Return what is sure about these runs."""
        try:
            return await self._hook.read_runs.aio(refs)
        except EtlApiError as error:
            return trouble_of(error)

    async def look_at(self, ref: RunRef) -> RemoteRun | Trouble:
        """Return what the vendor says about one run."""
        try:
            return await self._hook.look.aio(ref)
        except EtlApiError as error:
            return trouble_of(error)

    async def read_log(self, ref: RunRef, cursor: Any) -> LogLines | Trouble:
        """Return the run's log lines since a cursor."""
        try:
            return await self._hook.read_log.aio(ref, cursor)
        except EtlApiError as error:
            return trouble_of(error)

    async def renew(self) -> None:
        """Read the connection anew for the next look."""
        old, self._hook = self._hook, self._hook_class(self._conn_id)
        await old.aclose()

    async def aclose(self) -> None:
        """Close the hook."""
        await self._hook.aclose()
