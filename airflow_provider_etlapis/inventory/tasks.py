"""Reads from Airflow's metadata database which task instances have a remote run: the one place that knows its tables.

Needs access to the database: the Airflow CLI's machines and the API server have it, tasks of Airflow 3 do not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from airflow_provider_etlapis.connection_forms import FORMS
from airflow_provider_etlapis.runs.claims import Claim, ClaimingTask

log = logging.getLogger(__name__)

CLAIM_KEY = "remote_run"
"""The XCom in which an operator writes down its run."""
_RESULT_KEY = "return_value"


def claiming_tasks(
    since: datetime | None = None,
    *,
    dag_id: str | None = None,
    task_id: str | None = None,
    run_id: str | None = None,
) -> list[ClaimingTask]:
    """Return the task instances that have a remote run, the newest claim first.

    Source: the XCom ``remote_run`` that each operator pushes once its run is known, and Airflow's task instances.

    :param since: leave out claims that were written before; ``None`` for all that Airflow still has.
    :param dag_id: of one DAG only; likewise ``task_id`` and ``run_id`` (the DAG run's).
    """
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import and_, select

    xcom = _xcom_model()
    same_task = and_(
        TaskInstance.dag_id == xcom.dag_id,
        TaskInstance.run_id == xcom.run_id,
        TaskInstance.task_id == xcom.task_id,
        TaskInstance.map_index == xcom.map_index,
    )
    query: Any = (
        select(
            TaskInstance.dag_id,
            TaskInstance.run_id,
            TaskInstance.task_id,
            TaskInstance.map_index,
            TaskInstance.try_number,
            TaskInstance.max_tries,
            TaskInstance.state,
            TaskInstance.updated_at,
            xcom,
        )
        .join(xcom, same_task)
        .where(xcom.key == CLAIM_KEY)
        .order_by(xcom.timestamp.desc())
    )
    if since is not None:
        query = query.where(xcom.timestamp >= since)
    for column, value in ((xcom.dag_id, dag_id), (xcom.task_id, task_id), (xcom.run_id, run_id)):
        if value is not None:
            query = query.where(column == value)
    with _session() as session:
        rows = session.execute(query).all()
        finished = _with_result(session, xcom, since, dag_id)
        return [task for row in rows if (task := _task(row, finished)) is not None]


def _with_result(session: Any, xcom: Any, since: datetime | None, dag_id: str | None) -> set[tuple[str, str, str, int]]:
    from sqlalchemy import select

    query = select(xcom.dag_id, xcom.run_id, xcom.task_id, xcom.map_index).where(xcom.key == _RESULT_KEY)
    if since is not None:
        query = query.where(xcom.timestamp >= since)
    if dag_id is not None:
        query = query.where(xcom.dag_id == dag_id)
    return {tuple(row) for row in session.execute(query)}


def _task(row: Any, finished: set[tuple[str, str, str, int]]) -> ClaimingTask | None:
    try:
        stored = row[8].value  # Airflow 2 has deserialized it as it was loaded
        claim = Claim.from_json(stored if isinstance(stored, dict) else _xcom_model().deserialize_value(row[8]))
    except Exception as error:  # noqa: BLE001 an XCom backend of the user's raises whatever it likes
        log.warning("The XCom %s of %s %s cannot be read: %s", CLAIM_KEY, row.dag_id, row.task_id, error)
        return None
    if claim.ref.vendor not in _VENDORS:
        return None
    return ClaimingTask(
        dag_id=row.dag_id,
        run_id=row.run_id,
        task_id=row.task_id,
        map_index=row.map_index,
        try_number=row.try_number,
        max_tries=row.max_tries,
        state=None if row.state is None else str(getattr(row.state, "value", row.state)),
        claim=claim,
        changed_at=None if row.updated_at is None else row.updated_at.timestamp(),
        has_result=(row.dag_id, row.run_id, row.task_id, row.map_index) in finished,
    )


def known_conn_ids() -> list[str]:
    """Return the ids of the connections of the five types in the database and in environment variables, sorted."""
    import os

    from airflow.models.connection import Connection
    from sqlalchemy import select

    with _session() as session:
        found: set[str] = set(
            session.scalars(select(Connection.conn_id).where(Connection.conn_type.in_(sorted(_VENDORS))))
        )
    prefix = "AIRFLOW_CONN_"
    named = (name[len(prefix) :].lower() for name in os.environ if name.startswith(prefix))
    return sorted(found | set(_of_our_types(named)))


def _of_our_types(conn_ids: Iterable[str]) -> Iterable[str]:
    from airflow.models.connection import Connection

    for conn_id in conn_ids:
        try:
            if Connection.get_connection_from_secrets(conn_id).conn_type in _VENDORS:
                yield conn_id
        except Exception as error:  # noqa: BLE001 another's variable may hold anything
            log.info("Connection %s of the environment cannot be read: %s", conn_id, type(error).__name__)


def _session() -> AbstractContextManager[Any]:
    from airflow.utils.session import create_session

    session: AbstractContextManager[Any] = create_session()
    return session


def _xcom_model() -> Any:
    from airflow.models import xcom

    return getattr(xcom, "XComModel", None) or xcom.XCom  # Airflow 2 has the backend class itself as its table


_VENDORS = frozenset(form.conn_type for form in FORMS)
