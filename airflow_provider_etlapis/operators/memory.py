"""Where a try leaves what the next one must know: the task's state store of Airflow 3.3 and later."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from airflow_provider_etlapis.runs.resume import Intent, Memory, fingerprint, marker

log = logging.getLogger(__name__)

STORE_KEY = "remote_run"


class TaskMemory:
    """What the tries of one task instance remember. A store that fails is said, and costs no run."""

    def __init__(self, context: Mapping[str, Any], *, enabled: bool) -> None:
        self._store = context.get("task_state_store") if enabled else None
        self._readable = True

    @property
    def is_kept(self) -> bool:
        """Whether there is a store that would tell of earlier tries: one that cannot be read says nothing."""
        return self._store is not None and self._readable

    def load(self) -> Memory | None:
        """Return what an earlier try left, ``None`` if nothing or if it cannot be read."""
        if self._store is None:
            return None
        try:
            stored = self._store.get(STORE_KEY)
            return Memory.from_json(stored) if stored else None
        except Exception:  # the store is not ours: any fault of it must not stop the task
            log.warning(
                "The task's state store could not be read; this try does not know of earlier ones", exc_info=True
            )
            self._readable = False
            return None

    def save(self, memory: Memory) -> None:
        """Keep something for the next try."""
        if self._store is None:
            return
        try:
            self._store.set(STORE_KEY, memory.to_json())
        except Exception:  # as above; the run goes on, and this try follows it
            log.warning(
                "The task's state store could not be written; if this worker dies, a retry may not find the run",
                exc_info=True,
            )

    def forget(self) -> None:
        """Forget an intent that surely came to nothing."""
        if self._store is None:
            return
        try:
            self._store.delete(STORE_KEY)
        except Exception:  # as above; the next try looks for the run and finds none
            log.warning("The task's state store could not be written", exc_info=True)


def intent_of(context: Mapping[str, Any], spec: Mapping[str, Any], retries: int) -> Intent:
    """Return the intent of this try of a task."""
    ti = context["ti"]
    map_index = -1 if ti.map_index is None else ti.map_index
    return Intent(
        marker=marker(
            dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=map_index, max_tries=ti.max_tries
        ),
        fingerprint=fingerprint(spec),
        max_tries=ti.max_tries,
        retries=retries,
        at=time.time(),
    )


def is_automatic_retry(context: Mapping[str, Any], retries: int) -> bool:
    """Say whether this try follows a failed one by itself: not a first try, and not one after a clear."""
    ti = context["ti"]
    return bool(ti.try_number != ti.max_tries - retries + 1)
