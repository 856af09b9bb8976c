"""How the logs of WebRobot's executions are read: new lines since the last poll, and the end of a log."""

from __future__ import annotations

from typing import Any, Literal

from airflow_provider_etlapis.exceptions import NotFoundError
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.webrobot.api import WebRobotEndpoints
from airflow_provider_etlapis.hooks.webrobot.inputs import job_ids
from airflow_provider_etlapis.hooks.webrobot.runs import execution_named_by, new_lines
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.runs.watching import LogLines

_LOG_WINDOW = 500


class WebRobotLogs(WebRobotEndpoints):
    """The log of a run: that of its execution."""

    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        """Return the driver's new log lines.

        The API returns the last lines only, so the cursor holds those of the poll before; if more than 500 come between
        two polls, some are missed.
        """
        ids = yield from self._log_ids(ref, (ref.watermark or {}).get("reference"))
        if ids is None:
            return LogLines((), cursor)
        shown = yield from self.get_execution_logs.plan(**ids, pod_type="driver", tail=_LOG_WINDOW)
        return LogLines(tuple(new_lines(cursor or (), shown)), shown or cursor)

    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        """Return the last lines of the executors' log and of the driver's, each with its origin in front."""
        ids = yield from self._log_ids(ref, None)
        if ids is None:
            return ()
        found: list[str] = []
        pods: tuple[Literal["executor", "driver"], ...] = ("executor", "driver")
        for pod_type in pods:
            try:
                shown = yield from self.get_execution_logs.plan(**ids, pod_type=pod_type, tail=lines)
            except NotFoundError:
                continue  # gone with its pods, or never there: the other one may still tell
            found += [f"[{pod_type}] {line}" for line in shown[-lines:]]
        return tuple(found)

    def _log_ids(self, ref: RunRef, before: str | None) -> Program[dict[str, str] | None]:
        """Return the ids of the execution whose log is that of a run, ``None`` where it has none (yet).

        :param before: the execution that its task named before the run.
        """
        if "execution_id" in ref.ids:
            return dict(ref.ids)
        if "task_id" not in ref.ids:
            return None
        task = yield from self.get_task.plan(**ref.ids)
        execution_id = execution_named_by(task)
        if execution_id is None or execution_id == before:
            return None
        return {**job_ids(ref.ids["project_id"], ref.ids["job_id"]), "execution_id": execution_id}
