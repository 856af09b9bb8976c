"""What a task pushes the moment its run is known, for links, kills and other tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_etlapis.links import XCOM_RUN_URL
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_etlapis.runs.logs import TaskLog

XCOM_RUN_ID = "run_id"
XCOM_REMOTE_RUN = "remote_run"


def publish(context: Context, run: RemoteRun, *, started_by_us: bool, log: TaskLog) -> None:
    """Push the run's id, its reference and its page."""
    ti = context["ti"]
    ti.xcom_push(key=XCOM_RUN_ID, value=run.ref.run_id)
    ti.xcom_push(key=XCOM_REMOTE_RUN, value={**run.ref.to_json(), "owned": started_by_us})
    if run.url:
        ti.xcom_push(key=XCOM_RUN_URL, value=run.url)
        log.info("See %s", run.url)


def published(context: Context) -> tuple[RunRef, bool] | None:
    """Return the run that this try has pushed, and whether the task started it; ``None`` if there is none."""
    ti = context["ti"]
    mapped = ti.map_index is not None and ti.map_index >= 0
    value = ti.xcom_pull(task_ids=ti.task_id, key=XCOM_REMOTE_RUN, map_indexes=ti.map_index if mapped else None)
    return (RunRef.from_json(value), bool(value.get("owned", True))) if value else None
