"""Gets the run of a try: starts it once, or attaches to the one that an earlier try or a lost response has left."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.exceptions import AlreadyRunningError, EtlApiError, StartLostError
from airflow_provider_etlapis.metrics import Meter
from airflow_provider_etlapis.operators.attempt import AttachedBecause, Attachment, Obstacle, StartPolicy
from airflow_provider_etlapis.operators.cancel import cancel_quietly
from airflow_provider_etlapis.operators.follow import follow, not_ended
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.runs.evidence import Evidence, Search
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef
from airflow_provider_etlapis.runs.resume import (
    AttemptPlan,
    AttemptRecord,
    Intent,
    LostStart,
    Resume,
    plan,
    resume,
    settle_lost_start,
    superseded,
)
from airflow_provider_etlapis.runs.waiting import Verdict, Wait, WaitPolicy

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.base import RemoteRunHook
    from airflow_provider_etlapis.operators.follow import Pause, Poll
    from airflow_provider_etlapis.operators.task_state import TaskStateRepository
    from airflow_provider_etlapis.runs.logs import TaskLog

_FAILED_LOOKS = 4
_KILLED_TIMEOUT = 4.0
_KILLED_PAUSES = (0.0, 1.0)
"""Seconds before each search when a task is killed: a request that was cut off may still be on its way."""


class RunStarter:
    """Carries out the decisions of :mod:`~airflow_provider_etlapis.runs.resume` for one try of a task.

    :param poll: reads a run, with a connection that is read again if its credential is refused.
    :param intent: of this try.
    :param is_retry: whether an earlier try of this task instance may have left a run.
    :param dag_run_began: without a store, a run of an earlier try may be as old as that.
    :param stopping: id of an earlier run of this task that was cancelled and may still be stopping.
    :param pause: waits between two searches, and ends them when the task is ended. Default: ``time.sleep``.
    """

    def __init__(
        self,
        hook: RemoteRunHook,
        poll: Poll,
        log: TaskLog,
        state: TaskStateRepository,
        policy: StartPolicy,
        intent: Intent,
        *,
        is_retry: bool,
        dag_run_began: datetime | None,
        stopping: str | None = None,
        pause: Pause | None = None,
    ) -> None:
        self._hook = hook
        self._poll = poll
        self._log = log
        self._state = state
        self._policy = policy
        self._intent = intent
        self._is_retry = is_retry
        self._dag_run_began = dag_run_began
        self._stopping = stopping
        self._pause = pause or time.sleep
        self._under_way: tuple[Mapping[str, Any], Intent] | None = None

    def start_or_attach(self, spec: Mapping[str, Any]) -> Attachment | Obstacle:
        """Return the run of this try, or what is in the way of its start.

        :param spec: what to start.
        :raises TaskStateUnavailableError: if what an earlier try left cannot be read.
        :raises StartLostError: if a start request got no usable response and it is unknown what it came to.
        :raises AlreadyRunningError: if the vendor refuses the start because the target runs already, and
            ``on_already_running`` is ``"fail"``. An earlier run of this task that is still stopping is waited for.
        """
        record = self._state.load()
        self._stopping = self._stopping or self._ended_by_clear(record)
        try:
            return self._left_by_earlier_try(spec, record) or self._start(spec)
        except AlreadyRunningError as error:
            return self._in_the_way(spec, error)

    def interrupted(self) -> RunRef | None:
        """Return the run of a start request that the end of the task has cut off, ``None`` if there was none.

        :raises StartLostError: if there was one, and it is unknown what it came to.
        """
        if self._under_way is None:
            return None
        spec, intent = self._under_way
        with self._hook.hasty_copy(_KILLED_TIMEOUT) as hook:
            for pause in _KILLED_PAUSES:
                time.sleep(pause)
                search = hook.find_started(spec, intent)
                if search.sighting is Evidence.FOUND:
                    return search.candidates[0].ref
        found = ", ".join(run.ref.run_id for run in search.candidates) or "none that is surely its run"
        raise StartLostError(
            f"Looked for {search.looked_for}: found {found}. It may still start a run, or have done so"
        )

    # What an earlier try has left

    def _ended_by_clear(self, record: AttemptRecord | None) -> str | None:
        """Return the id of an earlier run that is not to go on beside a new one and may still be stopping.

        A run from before a clear is cancelled here if it goes on: whoever had to do that when the person cleared the
        task may have been gone, or may come to it only later.
        """
        if record is None or record.ref is None:
            return None
        if record.cancelled:
            return record.ref.run_id
        passed = record.deadline is not None and record.deadline <= time.time()
        left_by_policy = passed and not self._policy.cancels_at_deadline
        if superseded(record, self._intent) is None or left_by_policy or not self._policy.cancels_earlier_runs:
            return None
        self._log.info(
            "This task was cleared. Cancelling earlier run %s so that it does not run alongside the new one",
            record.ref.run_id,
        )
        cancel_quietly(self._hook, record.ref, self._log)
        return record.ref.run_id if self._hook.capabilities.cancel else None

    def _left_by_earlier_try(
        self, spec: Mapping[str, Any], record: AttemptRecord | None
    ) -> Attachment | Obstacle | None:
        """Return what is to be done about an earlier try's run, ``None`` if there is none to attach to."""
        can_search = self._hook.capabilities.finds_lost_starts
        what = plan(
            record,
            self._intent,
            earlier_tries=self._is_retry and can_search,
            keeps_state=self._state.is_kept,
            has_marker=bool(self._hook.start_proof.marker),
        )
        if what is AttemptPlan.CHECK_RUN and record is not None and record.ref is not None:
            return self._check_run(record, record.ref)
        if what is AttemptPlan.SEARCH:
            return self._search_earlier_try(spec, record)
        if what is AttemptPlan.SEARCH_MARKER:
            return self._found_by_marker(spec)
        if self._is_retry and not self._state.is_kept and not can_search:
            self._log.warning(
                "Airflow 3.0 to 3.2 have no task state store, and this vendor cannot be searched: whether an "
                "earlier try has left a run is unknown. Starting one"
            )
        return None

    def _check_run(self, record: AttemptRecord, ref: RunRef) -> Attachment | Obstacle | None:
        run = self._read_earlier(ref)
        changed = record.intent.fingerprint != self._intent.fingerprint
        decision = resume(ref, run, inputs_changed=changed, cancelled=record.cancelled)
        self._log.info(decision.reason)
        if run is None or decision.action is Resume.START:
            return None
        if decision.action is Resume.WAIT_THEN_START:
            return Obstacle(ref)
        return self._attachment(run, AttachedBecause.EARLIER_TRY, record)

    def _read_earlier(self, ref: RunRef) -> RemoteRun | None:
        """Return an earlier run, ``None`` if the vendor itself keeps saying that it does not know it.

        With the patience of a wait: one odd answer is not knowledge.
        """
        wait = Wait(ref, WaitPolicy(patience=self._policy.poll_failure_budget), seen_well=True)
        outcome = follow(
            wait, self._poll, self._log, interval=self._policy.poll_interval, only_first_answer=True, pause=self._pause
        )
        if wait.last is None and outcome.verdict is not Verdict.GONE:
            raise not_ended(outcome.verdict, outcome.message, ref)
        return wait.last

    def _search_earlier_try(self, spec: Mapping[str, Any], record: AttemptRecord | None) -> Attachment | None:
        if record is not None:
            intent, cause = (
                record.intent,
                "An earlier try was interrupted during a start, or could not write down its run.",
            )
        else:
            began = self._dag_run_began.timestamp() if self._dag_run_began else self._intent.at
            intent = replace(self._intent, at=began, is_reconstructed=True)
            cause = "Airflow 3.0 to 3.2 have no task state store, so an earlier try may have left a run."
        found = self._settle(spec, intent, cause)
        if found is None:
            return None
        return self._attachment(found, AttachedBecause.EARLIER_TRY, AttemptRecord(intent))

    def _found_by_marker(self, spec: Mapping[str, Any]) -> Attachment | None:
        """Return the run that carries this task's marker although nothing was written down about it."""
        try:
            search = self._hook.find_started(spec, replace(self._intent, is_reconstructed=True))
        except EtlApiError as error:
            if error.retry_helps:
                raise
            self._log.info("Runs could not be searched for this task's marker: %s", error)
            return None
        if search.sighting is not Evidence.FOUND or (best := search.candidates[0]).state.is_terminal:
            return None
        self._log.warning("Attaching to run %s, which an earlier try started and could not write down", best.ref.run_id)
        return self._attachment(best, AttachedBecause.EARLIER_TRY, AttemptRecord(self._intent))

    def _attachment(self, run: RemoteRun, because: AttachedBecause, record: AttemptRecord) -> Attachment:
        if because is AttachedBecause.EARLIER_TRY:
            Meter(self._hook.conn_id, run.ref.vendor).count("reattached")
        record = replace(record, ref=run.ref, url=run.url)
        self._state.save(record)
        return Attachment(run, because, record)

    # Starting

    def _start(self, spec: Mapping[str, Any]) -> Attachment:
        intent = replace(self._intent, at=time.time(), watermark=self._hook.before_start(spec))
        self._state.save(AttemptRecord(intent))
        try:
            run = self._start_once(spec, intent)
        except EtlApiError as error:
            if not error.may_have_acted:
                self._state.forget()
                raise
            return self._after_lost_start(spec, intent, error)
        return self._attachment(run, AttachedBecause.STARTED, AttemptRecord(intent))

    def _after_lost_start(self, spec: Mapping[str, Any], intent: Intent, error: EtlApiError) -> Attachment:
        cause = f"The start request got no usable response ({error})."
        self._log.warning(cause)
        intent = replace(intent, acts_until=time.time() + error.acts_for)
        self._state.save(AttemptRecord(intent))
        found = self._settle(spec, intent, cause)
        if found is not None:
            return self._attachment(found, AttachedBecause.LOST_START, AttemptRecord(intent))
        try:
            run = self._start_once(spec, intent)
        except AlreadyRunningError:  # the vendor knows better by now
            found = self._settle(spec, intent, cause)
            if found is None:
                raise
            return self._attachment(found, AttachedBecause.LOST_START, AttemptRecord(intent))
        return self._attachment(run, AttachedBecause.STARTED, AttemptRecord(intent))

    def _start_once(self, spec: Mapping[str, Any], intent: Intent) -> RemoteRun:
        self._pause(0.0)  # a task that is ended starts nothing any more
        self._under_way = spec, intent
        try:
            run = self._hook.start_once(spec, intent.marker)
        except EtlApiError as error:
            if not error.may_have_acted:
                self._under_way = None
            raise
        self._log.info("Started run %s of %s", run.ref.run_id, run.name)
        return run

    def _settle(self, spec: Mapping[str, Any], intent: Intent, cause: str) -> RemoteRun | None:
        """Return the run of a start request without a response, ``None`` if one may be started.

        :raises StartLostError: if neither can be told.
        """
        try:
            search = self._search(spec, intent)
        except EtlApiError as error:
            if error.retry_helps:
                raise
            raise StartLostError(
                f"{cause} Looking for its run failed: {error}. No second run was started. Check on the vendor's side "
                "whether the run is there: if it is, wait for it with the sensor; if not, clear this task."
            ) from error
        decision = settle_lost_start(search, self._policy.on_lost_start, cause)
        if decision.action is LostStart.REFUSE:
            raise StartLostError(decision.reason)
        self._log.warning(decision.reason)
        return decision.run

    def _search(self, spec: Mapping[str, Any], intent: Intent) -> Search:
        """Look for the run until its marker is seen, or until the request can no longer take effect.

        Without a marker, a single run is shown to be ours only once no other one can come.

        :raises EtlApiError: if looks fail up to the end, four at least: one odd answer ends nothing.
        """
        failed = 0
        until = intent.acts_until if intent.acts_until is not None else intent.at + evidence.ACTS_AFTER_TIMEOUT
        for pause in itertools.chain((0.0, 1.0, 2.0, 4.0), itertools.repeat(5.0)):
            self._pause(pause if failed else min(pause, max(0.1, until - time.time())))
            is_last = time.time() >= until
            try:
                search = self._hook.find_started(spec, intent)
            except EtlApiError as error:
                failed += 1
                if (is_last and failed >= _FAILED_LOOKS) or not _may_pass(error):
                    raise
                self._log.warning("Looking for the run failed, trying again: %s", error)
                continue
            if is_last or search.is_final:
                return search
        raise AssertionError("there is always another pause")

    # A run in the way

    def _in_the_way(self, spec: Mapping[str, Any], error: AlreadyRunningError) -> Attachment | Obstacle:
        policy = self._policy.on_already_running
        if policy == "fail" and self._stopping is None:
            raise self._with_what_runs(spec, error)
        other = self._hook.find_running(spec)
        if other is None or other.state.is_terminal:
            self._log.info("What was running has ended: starting")
            return Obstacle(None)
        is_stopping = other.ref.run_id == self._stopping
        if policy == "fail" and not is_stopping:
            raise _naming(error, other)
        if policy == "attach" and not is_stopping:
            self._log.info("Attaching to run %s, which this task did not start", other.ref.run_id)
            record = AttemptRecord(self._intent, owned=False)
            return self._attachment(other, AttachedBecause.ALREADY_RUNNING, record)
        return Obstacle(other.ref)

    def _with_what_runs(self, spec: Mapping[str, Any], error: AlreadyRunningError) -> AlreadyRunningError:
        try:
            return _naming(error, self._hook.find_running(spec))
        except EtlApiError as other:
            self._log.info("What runs already could not be read: %s", other)
            return _naming(error, None)


def _naming(error: AlreadyRunningError, run: RemoteRun | None) -> AlreadyRunningError:
    """Return the error with the run that is in the way, and what the task could do instead."""
    since = f", since {run.started.isoformat(timespec='seconds')}" if run is not None and run.started else ""
    which = "" if run is None else f" Run {run.ref.run_id} is in the way{since}."
    error.args = (
        f"{error}.{which} Nothing was started. on_already_running='wait' starts once it has ended, 'attach' waits for "
        "it as if it were this task's own",
    )
    return error


def _may_pass(error: EtlApiError) -> bool:
    """Say whether a look that failed so may go well a little later: an answer may be odd once, our request not."""
    return error.retry_helps or error.status is not None
