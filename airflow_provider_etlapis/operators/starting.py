"""Obtains the run of a try: starts it once, or finds the one that an earlier try, or a lost answer, has left."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.exceptions import (
    AlreadyRunningError,
    EtlApiError,
    NotFoundError,
    StartLostError,
)
from airflow_provider_etlapis.metrics import Meter
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.runs.evidence import Evidence, Search
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef
from airflow_provider_etlapis.runs.resume import (
    Intent,
    LostStart,
    Memory,
    OnLostStart,
    Recall,
    Resume,
    recall,
    resume,
    settle_lost_start,
)

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.base import RemoteRunHook
    from airflow_provider_etlapis.operators.memory import TaskMemory
    from airflow_provider_etlapis.runs.logs import TaskLog


_KILLED_TIMEOUT = 4.0
_SEARCHES = (0.0, 1.0)
"""Seconds before each search: a call that was cut off may still be on its way when the first one is made."""


class Starter:
    """Carries out the decisions of :mod:`~airflow_provider_etlapis.runs.resume` for one try of a task."""

    def __init__(self, hook: RemoteRunHook, log: TaskLog, memory: TaskMemory, on_lost_start: OnLostStart) -> None:
        self._hook = hook
        self._log = log
        self._memory = memory
        self._on_lost_start = on_lost_start
        self._under_way: tuple[Mapping[str, Any], Intent] | None = None

    def obtain(
        self, spec: Mapping[str, Any], intent: Intent, *, is_retry: bool, began: datetime | None
    ) -> tuple[RemoteRun, Memory]:
        """Return the run of this try, and what is to be remembered of it.

        :param spec: what to start.
        :param intent: of this try.
        :param is_retry: whether an earlier try of this task instance may have left a run.
        :param began: when the DAG run began: without a store, the run may be as old as that.
        :raises StartLostError: if a start call got no answer and what became of it cannot be told.
        """
        left = self._memory.load()
        can_look = self._hook.capabilities.finds_lost_starts
        if is_retry and left is None and not self._memory.is_kept and not can_look:
            self._log.warning(
                "This retry cannot know whether an earlier try has left a run: there is no task state store, and this "
                "vendor cannot be asked. Starting one"
            )
        what = recall(left, intent, earlier_tries=is_retry and can_look, keeps_memory=self._memory.is_kept)
        if what is Recall.RUN and left is not None and left.ref is not None:
            run = self._look_back(left.ref)
            changed = left.intent.fingerprint != intent.fingerprint
            decision = resume(left.ref, run, inputs_changed=changed, cancelled=left.cancelled)
            self._log.info(decision.reason)
            if run is not None and decision.action is not Resume.START:
                Meter(self._hook.conn_id, left.ref.vendor).count("reattached")
                return run, left
        elif what is Recall.INTENT:
            known = left.intent if left else intent
            if left is None and began is not None:
                known = replace(intent, at=began.timestamp(), is_reconstructed=True)
            found = self._settle_lost_start(spec, known)
            if found is not None:
                return found, Memory(known)
        return self._start(spec, intent)

    def _start(self, spec: Mapping[str, Any], intent: Intent) -> tuple[RemoteRun, Memory]:
        intent = replace(intent, at=time.time(), watermark=self._hook.before_start(spec))
        self._memory.save(Memory(intent))
        try:
            run = self._start_once(spec, intent)
        except EtlApiError as error:
            if not error.may_have_acted:
                self._memory.forget()
                raise
            self._log.warning("The start request got no usable response: %s", error)
            intent = replace(intent, acts_until=time.time() + error.acts_for)
            self._memory.save(Memory(intent))
            found = self._settle_lost_start(spec, intent)
            run = found if found is not None else self._start_again(spec, intent)
        return run, Memory(intent, run.ref, run.url)

    def interrupted(self) -> RemoteRun | None:
        """Return the run of a start call that the end of the task has cut off, ``None`` if there was no such call.

        :raises StartLostError: if there was one, and it cannot be told what it came to.
        """
        if self._under_way is None:
            return None
        spec, intent = self._under_way
        with self._hook.hasty_copy(_KILLED_TIMEOUT) as hook:
            for pause in _SEARCHES:
                time.sleep(pause)
                search = hook.find_started(spec, intent)
                if search.sighting is Evidence.FOUND:
                    return search.candidates[0]
        found = ", ".join(run.ref.run_id for run in search.candidates) or "none that is surely its run"
        raise StartLostError(
            f"Looked for {search.looked_for}: found {found}. It may still start a run, or have done so"
        )

    def _start_once(self, spec: Mapping[str, Any], intent: Intent) -> RemoteRun:
        self._under_way = spec, intent
        try:
            run = self._hook.start_run(spec, intent.marker)
        except EtlApiError as error:
            if not error.may_have_acted:
                self._under_way = None
            raise
        self._log.info("Started run %s of %s", run.ref.run_id, run.name)
        return run

    def _start_again(self, spec: Mapping[str, Any], intent: Intent) -> RemoteRun:
        """Start a run whose first start call surely came to nothing, unless the vendor knows better by now."""
        try:
            return self._start_once(spec, intent)
        except AlreadyRunningError:
            found = self._settle_lost_start(spec, intent)
            if found is None:
                raise
            return found

    def _settle_lost_start(self, spec: Mapping[str, Any], intent: Intent) -> RemoteRun | None:
        decision = settle_lost_start(self._search(spec, intent), self._on_lost_start)
        if decision.action is LostStart.REFUSE:
            raise StartLostError(decision.reason)
        self._log.warning(decision.reason)
        return decision.run

    def _search(self, spec: Mapping[str, Any], intent: Intent) -> Search:
        """Look for the run until it is found, or until the call can no longer take effect."""
        until = intent.acts_until if intent.acts_until is not None else intent.at + evidence.ACTS_AFTER_TIMEOUT
        for pause in itertools.chain((0.0, 1.0, 2.0, 4.0), itertools.repeat(5.0)):
            time.sleep(min(pause, max(0.1, until - time.time())))
            asked_at = time.time()
            search = self._hook.find_started(spec, intent)
            if search.sighting is Evidence.FOUND or search.is_final or asked_at >= until:
                return search
        raise AssertionError("there is always another pause")

    def _look_back(self, ref: RunRef) -> RemoteRun | None:
        try:
            return self._hook.read_run(ref)
        except NotFoundError:
            return None
