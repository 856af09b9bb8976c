"""Who is measured: how each contestant's trigger is made, and how its event says that the run ended well.

Standard library only at the top: it also runs inside the rivals' environment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CONN_ID = "bench"
_A_DAY = 86400.0


@dataclass(frozen=True)
class Contestant:
    """One trigger against one vendor.

    :param label: for tables.
    :param vendor: what the server plays.
    :param make: makes the trigger of a run from what the server says about it, the interval and the hook's path.
    :param ended_well: whether an event's payload tells the good end.
    :param hook: dotted path of our hook; empty for rivals.
    :param sizes: numbers of runs it is measured with; empty for all.
    """

    label: str
    vendor: str
    make: Callable[[Any, float, str], Any]
    ended_well: Callable[[Any], bool]
    hook: str = ""
    sizes: Sequence[int] = ()

    @property
    def is_ours(self) -> bool:
        """Whether it is this provider's."""
        return bool(self.hook)


def _dbt_cloud(run_id: Any, interval: float, _: str) -> Any:
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    return DbtCloudRunJobTrigger(
        conn_id=CONN_ID, run_id=int(run_id), end_time=time.time() + _A_DAY, poll_interval=interval, account_id=1
    )


def _airbyte(run_id: Any, interval: float, _: str) -> Any:
    from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

    return AirbyteSyncTrigger(
        job_id=int(run_id), conn_id=CONN_ID, end_time=time.time() + _A_DAY, poll_interval=interval
    )


def _databricks(run_id: Any, interval: float, _: str) -> Any:
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    return DatabricksExecutionTrigger(
        run_id=int(run_id), databricks_conn_id=CONN_ID, polling_period_seconds=int(interval)
    )


def _http(run_id: Any, interval: float, _: str) -> Any:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return HttpSensorTrigger(endpoint=f"runs/{run_id}", http_conn_id=CONN_ID, method="GET", poke_interval=interval)


def _ours(ref: Any, interval: float, hook: str) -> Any:
    from airflow_provider_etlapis.triggers.run import RemoteRunTrigger

    return RemoteRunTrigger(hook=hook, conn_id=CONN_ID, ref=ref, poll_interval=interval, deadline=time.time() + _A_DAY)


def _done(payload: Any) -> bool:
    return isinstance(payload, Mapping) and payload.get("status") == "done"


def our_contestant(label: str, vendor: str, hook: str, sizes: Sequence[int] = ()) -> Contestant:
    """Return the contestant for one of our vendors."""
    return Contestant(label, vendor, _ours, _done, hook, sizes)


RIVALS: dict[str, Contestant] = {
    "dbt_cloud": Contestant("dbt Cloud", "dbt_cloud", _dbt_cloud, lambda told: told.get("status") == "success"),
    "airbyte": Contestant("Airbyte", "airbyte", _airbyte, lambda told: told.get("status") == "success"),
    "databricks": Contestant(
        "Databricks", "databricks", _databricks, lambda told: "SUCCESS" in str(told.get("run_state"))
    ),
    "http": Contestant("HTTP", "http", _http, lambda told: told is True),
}

_HOOKS = "airflow_provider_etlapis.hooks"
OURS: dict[str, Contestant] = {
    "celery_director": our_contestant(
        "Celery Director", "celery_director", f"{_HOOKS}.celery_director.CeleryDirectorHook"
    ),
    "meiro": our_contestant("Meiro", "meiro", f"{_HOOKS}.meiro.MeiroHook"),
    "webrobot": our_contestant("WebRobot, 10 projects", "webrobot", f"{_HOOKS}.webrobot.WebRobotHook"),
    "etlworks_admin": our_contestant(
        "Etlworks, administrator's key", "etlworks_admin", f"{_HOOKS}.etlworks.EtlworksHook"
    ),
    "dataworq": our_contestant("DataWORQ", "dataworq", f"{_HOOKS}.dataworq.DataworqHook", sizes=(1, 100)),
    "etlworks": our_contestant("Etlworks, any other key", "etlworks", f"{_HOOKS}.etlworks.EtlworksHook"),
}

CONTESTANTS: dict[str, Contestant] = {**RIVALS, **OURS}
