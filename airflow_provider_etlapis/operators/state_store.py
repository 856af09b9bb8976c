"""Where the tries of a task instance keep what they leave: Airflow's task state store, or, on Airflow 2, its audit log.

Airflow 3.3 and later have a store for that. Airflow 2 has none, but its workers have the database, and rows of its
audit log are deleted by no retry and no clear; a person who reads the log of a task there sees its remote runs. Airflow
3.0 to 3.2 have neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

EVENT = "etlapis.task_state"


def store_of(context: Mapping[str, Any]) -> Any:
    """Return the store of a task, with ``get(key)``, ``set(key, value)`` and ``delete(key)``; ``None`` if it has none.

    :param context: of the task.
    """
    ti = context["ti"]
    return AuditLogStore(ti) if _is_of_airflow_2(ti) else context.get("task_state_store")


class AuditLogStore:
    """What the tries of one task instance have left in the audit log; the newest row counts.

    :param ti: the task instance, as Airflow 2 runs it.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti

    def get(self, key: str) -> Any:
        """Return what was kept last under a key, ``None`` if nothing was, or it was deleted."""
        from airflow.models.log import Log
        from airflow.utils.session import create_session
        from sqlalchemy import select

        ti = self._ti
        newest = (
            select(Log.extra)
            .where(
                Log.dag_id == ti.dag_id,
                Log.task_id == ti.task_id,
                Log.run_id == ti.run_id,
                Log.map_index == ti.map_index,
                Log.event == _event(key),
            )
            .order_by(Log.id.desc())
            .limit(1)
        )
        with create_session() as session:
            kept = session.scalar(newest)
        return None if kept is None else json.loads(kept)

    def set(self, key: str, value: Any) -> None:
        """Keep plain JSON under a key."""
        from airflow.models.log import Log
        from airflow.utils.session import create_session

        with create_session() as session:
            session.add(Log(_event(key), self._ti, extra=json.dumps(value)))

    def delete(self, key: str) -> None:
        """Forget what was kept under a key; the audit log keeps its rows."""
        self.set(key, None)


def _event(key: str) -> str:
    return f"{EVENT}.{key}"


def _is_of_airflow_2(ti: Any) -> bool:
    import airflow

    if not airflow.__version__.startswith("2."):
        return False
    from airflow.models.taskinstance import TaskInstance

    return isinstance(ti, TaskInstance)
