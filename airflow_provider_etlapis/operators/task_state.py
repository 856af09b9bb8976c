"""What a try leaves: for the next one in a store (Airflow 2, and 3.3 and later), for others as XComs."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.exceptions import TaskStateUnavailableError
from airflow_provider_etlapis.links import XCOM_RUN_URL
from airflow_provider_etlapis.operators.state_store import store_of
from airflow_provider_etlapis.runs.claims import Claim
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef
from airflow_provider_etlapis.runs.resume import AttemptRecord, Intent, fingerprint, marker
from airflow_provider_etlapis.text import printable

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_etlapis.runs.logs import TaskLog

log = logging.getLogger(__name__)

STORE_KEY = "remote_run"
XCOM_RUN_ID = "run_id"
XCOM_REMOTE_RUN = "remote_run"

_READ_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_WRITE_PAUSES = (1.0, 2.0, 4.0)
_RUN_WRITE_PAUSES = (*_WRITE_PAUSES, 8.0, 15.0)
"""Longer where a run is known: a retry would have to look for it."""


class TaskStateRepository:
    """What the tries of one task instance remember.

    A record that cannot be written is logged and never stops the run. One that cannot be read is another matter: a
    retry that does not know what an earlier try left must not start anything.

    :param context: of the task.
    :param enabled: whether anything is remembered at all (``durable``).
    """

    def __init__(self, context: Mapping[str, Any], *, enabled: bool) -> None:
        self._store = store_of(context) if enabled else None
        self._is_first_try = context["ti"].try_number <= 1

    @property
    def is_kept(self) -> bool:
        """Whether there is a store that keeps what earlier tries have left."""
        return self._store is not None

    def load(self) -> AttemptRecord | None:
        """Return what an earlier try left, ``None`` if it left nothing.

        :raises TaskStateUnavailableError: if it cannot be read for a minute; a first try has nothing to read.
        """
        if self._store is None:
            return None
        for pause in (*_READ_PAUSES, None):
            try:
                stored = self._store.get(STORE_KEY)
                return AttemptRecord.from_json(stored) if stored else None
            except Exception as error:  # the store is not ours: whatever it raises, nothing is known
                if self._is_first_try:
                    log.warning("The task state store could not be read; this is the first try", exc_info=True)
                    return None
                if pause is None:
                    raise TaskStateUnavailableError(
                        f"The task state store could not be read for {sum(_READ_PAUSES):.0f} s, so it is unknown "
                        f"whether an earlier try left a run: {type(error).__name__}: {str(error)[:300]}. Nothing was "
                        "started; a retry of this task tries again."
                    ) from error
                log.warning("The task state store could not be read, trying again in %.0f s: %s", pause, error)
                time.sleep(pause)
        raise AssertionError("the last pause is none")

    def peek(self) -> AttemptRecord | None:
        """Return what there is, ``None`` also if it cannot be read: where a run has ended, that must not matter."""
        if self._store is None:
            return None
        try:
            stored = self._store.get(STORE_KEY)
            return AttemptRecord.from_json(stored) if stored else None
        except Exception:  # the store is not ours, as in load()
            log.warning("The task state store could not be read", exc_info=True)
            return None

    def save(self, record: AttemptRecord) -> bool:
        """Keep something for the next try; return whether it was kept."""
        if self._store is None:
            return False
        if record.ref is None:
            return self._write(lambda store: store.set(STORE_KEY, record.to_json()))
        what = f"Run {record.ref.run_id} could not be written down"
        return self._write(lambda store: store.set(STORE_KEY, record.to_json()), what, _RUN_WRITE_PAUSES)

    def forget(self) -> None:
        """Forget a start that surely came to nothing."""
        if self._store is not None:
            self._write(lambda store: store.delete(STORE_KEY))

    def _write(
        self,
        change: Any,
        what: str = "The task state store could not be written",
        pauses: tuple[float, ...] = _WRITE_PAUSES,
    ) -> bool:
        for pause in (*pauses, None):
            try:
                change(self._store)
            except Exception as error:  # as above; the run goes on, and this try follows it
                if pause is None:
                    log.warning("%s; if this worker dies, a retry may not find the run", what, exc_info=True)
                    return False
                log.warning("%s, trying again in %.0f s: %s", what, pause, error)
                time.sleep(pause)
            else:
                return True
        raise AssertionError("the last pause is none")


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


def publish(context: Context, run: RemoteRun, claim: Claim, log: TaskLog) -> None:
    """Push the run's id, the task's claim on it and its page; where that fails, the run is waited for all the same."""
    values = {
        XCOM_RUN_ID: run.ref.run_id,
        XCOM_REMOTE_RUN: claim.to_json(),
        **({XCOM_RUN_URL: run.url} if run.url else {}),
    }
    _push(context, values, run.ref, log, _WRITE_PAUSES)
    if run.url:
        log.info("See %s", run.url)


def publish_bad_end(context: Context, run: RemoteRun, log: TaskLog) -> None:
    """Add to the task's claim that it saw the run end badly: nobody needs to ask the vendor for it again."""
    claim = published(context)
    if claim is not None and claim.ref.run_id == run.ref.run_id:
        ended = replace(claim, ended_as=printable(run.vendor_status))
        _push(context, {XCOM_REMOTE_RUN: ended.to_json()}, run.ref, log, ())


def _push(context: Context, values: Mapping[str, Any], ref: RunRef, log: TaskLog, pauses: tuple[float, ...]) -> None:
    for pause in (*pauses, None):
        try:
            for key, value in values.items():
                context["ti"].xcom_push(key=key, value=value)
            break
        except Exception as error:  # noqa: BLE001 Airflow's own client raises whatever its HTTP library does
            if pause is None:
                log.warning("The XComs of run %s could not be pushed: %s. The task goes on", ref.run_id, error)
                break
            time.sleep(pause)


def published(context: Context) -> Claim | None:
    """Return the claim that this try has pushed, ``None`` if there is none."""
    ti = context["ti"]
    mapped = ti.map_index is not None and ti.map_index >= 0
    value = ti.xcom_pull(task_ids=ti.task_id, key=XCOM_REMOTE_RUN, map_indexes=ti.map_index if mapped else None)
    return Claim.from_json(value) if value else None
