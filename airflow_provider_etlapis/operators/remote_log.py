"""The vendor's log of a run, in the log of a task on a worker: as it comes, or its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.runs.logs import TaskLog, tell_log

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.base import RemoteRunHook
    from airflow_provider_etlapis.runs.model import RunRef

_TAIL = 50


class LogCopy:
    """Copies a run's log into a task's, each time from where it stopped before."""

    def __init__(self, hook: RemoteRunHook, ref: RunRef, log: TaskLog) -> None:
        self._hook = hook
        self._ref = ref
        self._log = log
        self._cursor: Any = None

    def copy_new_lines(self) -> None:
        """Copy what is new; a log that cannot be read ends no wait."""
        try:
            chunk = self._hook.read_log(self._ref, self._cursor)
        except EtlApiError as error:
            self._log.info("Could not read the log of run %s: %s", self._ref.run_id, error)
            return
        tell_log(self._log, chunk.lines)
        self._cursor = chunk.cursor


def log_tail(hook: RemoteRunHook, ref: RunRef) -> Sequence[str]:
    """Return the last 50 lines of a run's log, or one that says why there are none."""
    try:
        return hook.read_log_tail(ref, _TAIL)
    except EtlApiError as error:
        return (f"(the log could not be read: {error})",)
