"""Keeps what the steps of an action have come to in the task's state store."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_etlapis.exceptions import TaskStateUnavailableError
from airflow_provider_etlapis.operators.state_store import store_of
from airflow_provider_etlapis.operators.task_state import is_automatic_retry

log = logging.getLogger(__name__)

STORE_KEY = "action"
"""Key of the record that the whole action has ended; that of each step is this, a dot and its own name."""

_PATIENCE = 15.0
"""Seconds for which the store is tried again before the task fails."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What is kept about one step.

    :param inputs: fingerprint of what the step was done with.
    :param max_tries: the task instance's ``max_tries``: a clear raises it, a retry leaves it alone.
    :param retries: the task's ``retries`` at that time.
    :param at: seconds since the epoch, just before the request.
    :param acts_until: seconds since the epoch, by when a request without an answer has taken effect if ever; ``None``
        where it was cut off.
    :param before: what the vendor's side showed before the request, as plain JSON.
    :param is_done: whether the vendor has answered it; then ``result`` is what the step has returned.
    """

    inputs: str
    max_tries: int
    retries: int
    at: float
    acts_until: float | None = None
    before: Any = None
    is_done: bool = False
    result: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON for the task's state store."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StepRecord:
        """Read what :meth:`to_json` wrote; unknown keys are left alone."""
        return cls(**{name: value[name] for name in cls.__slots__ if name in value})


class StepRecords:
    """The records of one action. Where there is no store (Airflow 3.0 to 3.2) nothing is kept.

    A store that cannot be read on a retry is not an empty one: the task fails, and another retry may find it readable.

    :param context: of the try.
    :param retries: the task's ``retries``.
    """

    def __init__(self, context: Mapping[str, Any], retries: int) -> None:
        self._store = store_of(context)
        self._is_retry = is_automatic_retry(context, retries)
        self._max_tries: int = context["ti"].max_tries
        self._retries = retries
        self.is_kept = self._store is not None
        """Whether a retry will know what this try has done."""
        self.is_retry_without_store = self._store is None and self._is_retry
        """Whether this is a retry that cannot know what an earlier try has done."""

    def begin(self, inputs: str, before: Any) -> StepRecord:
        """Return the record of a step that is about to be done."""
        return StepRecord(inputs, self._max_tries, self._retries, time.time(), before=before)

    def recall(self, key: str) -> StepRecord | None:
        """Return what an earlier try has left of a step; a clear leaves nothing.

        :raises TaskStateUnavailableError: if a retry cannot read it.
        """
        value = self._read(f"{STORE_KEY}.{key}")
        try:
            left = StepRecord.from_json(value) if value else None
        except (TypeError, AttributeError) as error:
            raise TaskStateUnavailableError(f"The record of an earlier try cannot be understood: {error}") from None
        if left is None or left.max_tries != self._max_tries:
            return None
        if left.retries != self._retries:
            # Lowering `retries` may hide a clear from max_tries. After the action's end, that is the likelier cause.
            ended = self._read(STORE_KEY)
            if ended and ended.get("max_tries") == self._max_tries:
                return None
        return left

    def save(self, key: str, record: StepRecord, *, is_needed: bool = False) -> None:
        """Keep a record.

        :param is_needed: whether nothing may be sent without it, because a retry could do it twice.
        :raises TaskStateUnavailableError: if it is needed and cannot be written.
        """
        self._write(f"{STORE_KEY}.{key}", record.to_json(), is_needed=is_needed)

    def note_end(self) -> None:
        """Note that all steps are done."""
        self._write(STORE_KEY, {"max_tries": self._max_tries}, is_needed=False)

    def forget(self, key: str) -> None:
        """Forget a step that surely came to nothing."""
        if self._store is None:
            return
        try:
            self._store.delete(f"{STORE_KEY}.{key}")
        except Exception:  # the store is not ours; the next try checks the vendor's side
            log.warning("The task state store could not be written", exc_info=True)

    def _read(self, key: str) -> Any:
        if self._store is None:
            return None
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return self._store.get(key)
            except Exception as error:
                if time.monotonic() < until:
                    time.sleep(1.0)
                    continue
                if self._is_retry:
                    raise TaskStateUnavailableError(
                        f"The task state store could not be read for {_PATIENCE:.0f} s, so it is unknown what an "
                        f"earlier try has done. Nothing was sent; a retry may find it readable: {error}"
                    ) from error
                log.warning("The task state store could not be read; this is the first try", exc_info=True)
                return None

    def _write(self, key: str, value: Mapping[str, Any], *, is_needed: bool) -> None:
        if self._store is None:
            return
        until = time.monotonic() + (_PATIENCE if is_needed else 0.0)
        while True:
            try:
                self._store.set(key, value)
            except Exception as error:
                if time.monotonic() < until:
                    time.sleep(1.0)
                    continue
                if is_needed:
                    raise TaskStateUnavailableError(
                        f"The task state store could not be written for {_PATIENCE:.0f} s. Nothing was sent, because a "
                        f"retry could not know of it: {error}"
                    ) from error
                self.is_kept = False
                log.warning("The task state store could not be written; a retry will not know", exc_info=True)
            return
