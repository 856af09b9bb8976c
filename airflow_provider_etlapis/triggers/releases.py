"""What differs for a trigger between the Airflow releases: kills, a task's state, and polls that triggers share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer
else:
    try:
        from airflow.triggers.shared_stream import SharedStreamProducer
    except ImportError:  # Airflow before 3.3, where nobody asks for one
        SharedStreamProducer = object

__all__ = ["KILLS_ARE_TOLD", "NotInTaskError", "SharedStreamProducer", "state_of", "timed_out"]

KILLS_ARE_TOLD = hasattr(BaseTrigger, "on_kill")
"""Whether Airflow tells a trigger that a person has ended its task (3.3 and later).

Before that the coroutine is only cancelled, as it also is when the triggerer ends or gives the trigger away.
"""


class NotInTaskError(LookupError):
    """This process is no task and no triggerer of Airflow's: there is nobody to ask for a task's state."""


def timed_out(ti: Any, deadline: float | None, now: float) -> bool:
    """Say whether Airflow has ended a deferral because its time is up; the resumed task decides about the run then.

    :param ti: the trigger's task instance.
    :param deadline: the trigger's own deadline, which comes before the framework's.
    :param now: seconds since the epoch.
    """
    if deadline is not None and now >= deadline:
        return True
    # Airflow 2 also counts execution_timeout, from the start of the try.
    limit = getattr(ti, "trigger_timeout", None)
    if not isinstance(limit, datetime):
        return False
    return now >= (limit if limit.tzinfo else limit.replace(tzinfo=UTC)).timestamp()


def state_of(ti: Any) -> str | None:
    """Return the state of a trigger's task instance as the database has it now, ``None`` if it has none.

    Blocks: call it in a thread, by way of ``sync_to_async``.

    :raises NotInTaskError: outside a task and a triggerer, as in a test.
    """
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        return _state_in_database(ti)
    try:
        states = RuntimeTaskInstance.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
    except NameError as error:  # the connection to a supervisor is a global that Airflow sets
        raise NotInTaskError("this process has no supervisor") from error
    name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
    state = states.get(ti.run_id, {}).get(name)
    return None if state is None else str(state)


def _state_in_database(ti: Any) -> str | None:
    """Read the state on Airflow 2, whose triggerer works on the database itself."""
    if not type(ti).__module__.startswith("airflow."):
        raise NotInTaskError(f"{type(ti).__name__} is no task instance of Airflow's")
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        state = (
            session.query(TaskInstance.state)
            .filter_by(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index)
            .scalar()
        )
    return None if state is None else str(state)
