"""What a user of Airflow may see and do on the page, by Airflow's own rights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from airflow.providers.common.compat.sdk import conf

from airflow_provider_etlapis.inventory.survey import Row


class Rights:
    """The rights of one user.

    :param user: as Airflow's auth manager knows it.
    """

    def __init__(self, user: Any) -> None:
        self._user = user
        self._manager: Any = get_auth_manager()
        self._connections: dict[tuple[str, str], bool] = {}

    def visible(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that the user may see: those of readable DAGs, and for the rest of readable connections."""
        readable = self._readable({row.task.dag_id for row in rows if row.task is not None})
        return [
            row for row in rows if (row.task.dag_id in readable if row.task is not None else self.may_read(row.conn_id))
        ]

    def may_read(self, conn_id: str) -> bool:
        """Say whether the user may read a connection."""
        return self._may("GET", conn_id)

    def may_cancel(self, row: Row) -> bool:
        """Say whether the user may cancel a run: who may edit its DAG's runs, else who may edit its connection."""
        if row.task is None:
            return self._may("PUT", row.conn_id)
        return bool(
            self._manager.is_authorized_dag(
                method="PUT",
                access_entity=DagAccessEntity.RUN,
                details=DagDetails(id=row.task.dag_id, **_team(DagModel, row.task.dag_id)),
                user=self._user,
            )
        )

    def _readable(self, dag_ids: Iterable[str]) -> set[str]:
        by_team: dict[tuple[tuple[str, Any], ...], set[str]] = defaultdict(set)
        for dag_id in dag_ids:
            by_team[tuple(_team(DagModel, dag_id).items())].add(dag_id)
        found: set[str] = set()
        for team, of_team in by_team.items():
            found |= self._manager.filter_authorized_dag_ids(
                dag_ids=of_team, user=self._user, method="GET", **dict(team)
            )
        return found

    def _may(self, method: str, conn_id: str) -> bool:
        key = (method, conn_id)
        if key not in self._connections:
            self._connections[key] = bool(
                self._manager.is_authorized_connection(
                    method=method,
                    details=ConnectionDetails(conn_id=conn_id, **_team(Connection, conn_id)),
                    user=self._user,
                )
            )
        return self._connections[key]


def _team(model: Any, name: str) -> dict[str, Any]:
    """Return the team that owns a DAG or a connection, as a keyword argument: none where Airflow has no teams."""
    if not conf.getboolean("core", "multi_team", fallback=False):
        return {}
    return {"team_name": model.get_team_name(name)}
