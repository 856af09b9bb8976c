"""The Airflow plugin: the page "Remote runs" in Airflow's UI, 3.1 and later. Importing it loads nothing of the page."""

from __future__ import annotations

from typing import Any

from airflow import __version__
from airflow.providers.common.compat.sdk import AirflowPlugin

_RELEASE = tuple(int(part) for part in __version__.split(".")[:2])
PREFIX = "/etlapis"
_OF_TASK = "dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"


class RemoteRunsPlugin(AirflowPlugin):
    """All remote runs of the five vendors and the tasks that wait for them, and the same for one task instance."""

    name = "etlapis"

    external_views: list[Any] = [  # noqa: RUF012 as the base class has it
        {
            "name": "Remote runs",
            "href": f"{PREFIX}/",
            "destination": "nav",
            "category": "browse",
            "url_route": "remote-runs",
        },
        {
            "name": "Remote run",
            "href": f"{PREFIX}/?{_OF_TASK}",
            "destination": "task_instance",
            "url_route": "remote-run",
        },
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # Airflow only reads it
        """The page's server; only an API server asks for it. Before 3.1 there is no place for the page."""
        if _RELEASE < (3, 1):
            return []
        from airflow_provider_etlapis.page.app import app

        return [{"app": app, "url_prefix": PREFIX, "name": "Remote runs of airflow_provider_etlapis"}]
