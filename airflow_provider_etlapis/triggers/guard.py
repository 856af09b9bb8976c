"""Tells a person's kill from a trigger that only moves, so that no run is cancelled wrongly."""

from __future__ import annotations

import logging
from typing import Any

from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.triggers.releases import state_of as _state_of

log = logging.getLogger(__name__)


async def is_followed_by_another(ti: Any, ref: RunRef) -> bool:
    """Say whether the task is deferred all the same and follows this very run.

    Then the trigger was moved to another triggerer, or the task was cleared and its next try took the run over:
    the run must go on. When that cannot be found out, the run goes on too: work that is cancelled wrongly is
    worse than work that has to be cancelled by hand.

    :param ti: the trigger's task instance.
    :param ref: the trigger's run.
    """
    from asgiref.sync import sync_to_async

    if ti is None:
        return False
    try:
        state = await sync_to_async(_state_of)(ti)
        if state != "deferred":
            return False
        followed = await sync_to_async(_run_of)(ti)
    except Exception:  # whatever fails here, it must not end in a cancelled run
        log.warning("Could not find out who waits for run %s now; it is left alone", ref.run_id, exc_info=True)
        return True
    return followed is None or followed == ref.run_id


def _run_of(ti: Any) -> str | None:
    from airflow.providers.common.compat.sdk import XCom

    value = XCom.get_one(key="run_id", dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)
    return None if value is None else str(value)
