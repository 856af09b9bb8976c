"""What every operator here does: start a run once, wait for it on the worker or deferred, judge how it ended."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack, get_args

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.links import RemoteRunLink
from airflow_provider_etlapis.operators.arguments import LogRemote, TaskArguments
from airflow_provider_etlapis.operators.attempt import (
    AttachedBecause,
    Attempt,
    Deadline,
    Obstacle,
    OnAlreadyRunning,
    StartPolicy,
)
from airflow_provider_etlapis.operators.deferral import Deferral, TriggerOutcome, read_event, why_no_event
from airflow_provider_etlapis.operators.ending import RunEnding
from airflow_provider_etlapis.operators.follow import TaskPause, follow
from airflow_provider_etlapis.operators.hook_mixin import HookMixin
from airflow_provider_etlapis.operators.inputs import one_of, seconds, true_or_false
from airflow_provider_etlapis.operators.kill import end_on_worker
from airflow_provider_etlapis.operators.remote_log import LogCopy
from airflow_provider_etlapis.operators.start import RunStarter
from airflow_provider_etlapis.operators.task_state import (
    TaskStateRepository,
    intent_of,
    is_automatic_retry,
    publish,
    published,
)
from airflow_provider_etlapis.runs.claims import Claim
from airflow_provider_etlapis.runs.resume import LOST_START_POLICIES, OnLostStart
from airflow_provider_etlapis.runs.waiting import DEFAULT_PATIENCE, Outcome, Verdict, Wait, WaitPolicy

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_etlapis.runs.model import RunRef


class RemoteRunOperator(HookMixin, BaseOperator):
    """Base of the operators that start a remote run.

    :param wait_for_completion: wait for the run's end; otherwise succeed as soon as it is started.
    :param deferrable: wait in a triggerer instead of on a worker. Default: ``[operators] default_deferrable``.
    :param poll_interval: seconds (or a timedelta) between two polls of the run.
    :param timeout: seconds (or a timedelta) after which the wait fails, counted from the start of the run; ``None``
        for no limit. A retry that attaches to the same run keeps the deadline, unless it has passed already.
        ``execution_timeout`` holds as well, deferred or not; the earlier one counts.
    :param poll_failure_budget: seconds (or a timedelta) for which polling may fail without a break before the wait
        is given up. The run is left alone then, and a retry of the task attaches to it again.
    :param cancel_on_kill: cancel the run when a person marks the task failed or clears it while it waits.
    :param cancel_on_timeout: cancel the run when the deadline passes.
    :param on_lost_start: what to do if the start request got no usable response and it is unknown whether it started
        a run: ``"fail"`` and say what to check, ``"adopt"`` the likeliest run, ``"restart"`` at the risk of two runs.
        Where it is known, the task attaches to the run, or starts it again if it is surely not there.
    :param on_already_running: what to do if the vendor refuses the start because the target runs already (vendors
        without that rule never do): ``"fail"``, ``"wait"`` for that run's end and start then, ``"attach"`` and
        wait for that run instead, which is never cancelled by us.
    :param log_remote: copy the run's log into the task's: ``True`` as it comes (deferred, that takes requests of
        its own for each run), ``False`` never, ``"on_failure"`` its last lines when the run ended badly. Where the
        vendor has no log, this changes nothing.
    :param durable: remember the run, so that a retry attaches to it instead of starting a second one.
    :param follow_progress: deferred only: poll the run individually, at the cost of one request per run and poll, so
        that the log shows each step as it changes.
    """

    operator_extra_links = (RemoteRunLink(),)
    warning_is_failure: bool = False

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 30.0,
        timeout: float | timedelta | None = timedelta(days=7),
        poll_failure_budget: float | timedelta = DEFAULT_PATIENCE,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        on_lost_start: OnLostStart = "fail",
        on_already_running: OnAlreadyRunning = "fail",
        log_remote: LogRemote = "on_failure",
        durable: bool = True,
        follow_progress: bool = False,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        one_of("on_lost_start", on_lost_start, LOST_START_POLICIES)
        one_of("on_already_running", on_already_running, get_args(OnAlreadyRunning))
        one_of("log_remote", log_remote, get_args(LogRemote))
        true_or_false(
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            cancel_on_kill=cancel_on_kill,
            cancel_on_timeout=cancel_on_timeout,
            durable=durable,
            follow_progress=follow_progress,
        )
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = seconds(poll_interval, "poll_interval")
        self.timeout = None if timeout is None else seconds(timeout, "timeout")
        self.poll_failure_budget = seconds(poll_failure_budget, "poll_failure_budget")
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.on_lost_start: OnLostStart = on_lost_start
        self.on_already_running: OnAlreadyRunning = on_already_running
        self.log_remote: LogRemote = log_remote
        self.durable = durable
        self.follow_progress = follow_progress
        self._attempt = Attempt(time.time())
        self._starter: RunStarter | None = None
        self._context: Context | None = None
        self._pause = TaskPause()
        self.page_of_run: str | None = None

    # What a vendor's operator says

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Return what to start, for the hook, checked.

        :raises InvalidInputError: saying what to change; nothing was sent by then.
        """

    # The task's life

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the run, or attach to that of an earlier try, and wait for it."""
        self._attempt = Attempt(time.time())
        return self._start_and_wait(context, self._deadline(None))

    def execute_when_free(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Start the run after the one in its way has ended."""
        told = read_event(event)
        self._attempt = self._attempt.blocked_by(told.ref)
        if told.verdict != Verdict.DONE:
            raise self._ending(context).not_done(told.verdict, told.message)
        self._attempt = self._attempt.unblocked()
        free_by = self._deadline(None) if told.deadline is None else Deadline(told.deadline, told.limit)
        return self._start_and_wait(context, free_by)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Resume the task after a deferred wait.

        :param event: ``{"status": verdict, "ref": {...}, "owned": bool, "deadline": float | None, "message": str}``.
        """
        return self._conclude(context, read_event(event))

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> dict[str, Any]:
        """Resume the task after a deferral; also one that no triggerer ended in time, or whose trigger crashed."""
        try:
            result: dict[str, Any] = super().resume_execution(next_method, next_kwargs, context)
        except EtlApiError:
            raise
        except Exception as error:
            known, reason = published(context), why_no_event(error)
            if known is None or reason is None:
                raise
            ref = known.ref
            if reason == "failure":
                self.log.warning(
                    "The trigger failed. Run %s was left alone; a retry of this task attaches to it again", ref.run_id
                )
                raise
            message = f"Run {ref.run_id} did not finish in time: no triggerer ended the wait in time"
            late = TriggerOutcome(ref, Verdict.DEADLINE, message, known.started_by_us, None, "", None)
            return self._conclude(context, late)
        return result

    def on_kill(self) -> None:
        """Cancel the run when a person ends the task on its worker; leave it for the retry when the worker stops."""
        self._pause.end_task()
        self._attempt = end_on_worker(self, self._attempt, self._starter, self._context)

    # Step by step

    def _start_and_wait(self, context: Context, free_by: Deadline) -> dict[str, Any]:
        self._context = context
        spec = self.spec()
        self._starter = starter = self._make_starter(context, spec)
        while True:
            found = starter.start_or_attach(spec)
            if not isinstance(found, Obstacle):
                break
            self._wait_until_free(context, found, free_by)
        self._starter = None
        record = found.record
        deadline = self._deadline(record.deadline)
        self._attempt = self._attempt.attached(
            found.run.ref, found.because, started_by_us=record.owned, deadline=deadline
        )
        self._state(context).save(replace(record, deadline=deadline.at))
        self.page_of_run = found.run.url or ""
        publish(context, found.run, self._claim(context, found.run.ref), self.log)
        if not self.wait_for_completion:
            return self._ending(context).started(found.run)
        if self.deferrable and not found.run.state.is_terminal:
            self._defer(found.run.ref, deadline, "execute_complete")
        return self._wait_here(context, found.run.ref, deadline)

    def _make_starter(self, context: Context, spec: Mapping[str, Any]) -> RunStarter:
        retries = self.retries or 0
        policy = StartPolicy(
            self.on_lost_start,
            self.on_already_running,
            cancels_earlier_runs=self.cancel_on_kill and self.wait_for_completion,
            cancels_at_deadline=self.cancel_on_timeout,
            poll_interval=self.poll_interval,
            poll_failure_budget=self.poll_failure_budget,
        )
        return RunStarter(
            self.hook,
            self.poll,
            self.log,
            self._state(context),
            policy,
            intent_of(context, spec, retries),
            is_retry=self.durable and is_automatic_retry(context, retries),
            dag_run_began=getattr(context.get("dag_run"), "start_date", None),
            stopping=self._attempt.stopping,
            pause=self._pause,
        )

    def _wait_until_free(self, context: Context, obstacle: Obstacle, free_by: Deadline) -> None:
        """Wait for the end of the run because of which the start was refused, or which is still stopping."""
        if obstacle.ref is not None:
            self.log.info("Waiting for run %s to end, to start then", obstacle.ref.run_id)
            self._attempt = self._attempt.blocked_by(obstacle.ref)
            if self.deferrable:
                self._defer(obstacle.ref, free_by, "execute_when_free")
            _, outcome = self._follow(obstacle.ref, free_by, copies_log=False)
            if outcome.verdict is not Verdict.DONE:
                raise self._ending(context).not_done(outcome.verdict, outcome.message)
            self._attempt = self._attempt.unblocked()
        elif free_by.at is not None and time.time() >= free_by.at:
            raise self._ending(context).never_free(free_by)
        # A vendor may refuse for a while after a run has ended: not asked again at once.
        self._pause(self.poll_interval)

    def _wait_here(self, context: Context, ref: RunRef, deadline: Deadline) -> dict[str, Any]:
        wait, outcome = self._follow(ref, deadline, copies_log=self._copies_log)
        ending = self._ending(context)
        if outcome.verdict is not Verdict.DONE or wait.last is None:
            raise ending.not_done(outcome.verdict, outcome.message)
        return ending.finished(wait.last, logged=wait.last.steps)

    def _conclude(self, context: Context, told: TriggerOutcome) -> dict[str, Any]:
        """Act on the end of a deferred wait."""
        self._context = context
        deadline = Deadline(told.deadline, told.limit)
        self._attempt = self._attempt.attached(
            told.ref, AttachedBecause.RESUMED, started_by_us=told.started_by_us, deadline=deadline
        )
        ending = self._ending(context)
        if told.verdict != Verdict.DONE:
            raise ending.not_done(told.verdict, told.message)
        # With the patience of the wait itself: an end that was seen must not be lost to one odd answer now.
        wait, outcome = self._follow(told.ref, deadline, copies_log=False)
        if wait.last is not None:
            self.page_of_run = wait.last.url or ""
        if outcome.verdict is not Verdict.DONE or wait.last is None:
            raise ending.not_done(outcome.verdict, outcome.message)
        return ending.finished(wait.last, logged=wait.last.steps, seen=told.state)

    # The means

    def _state(self, context: Context) -> TaskStateRepository:
        return TaskStateRepository(context, enabled=self.durable)

    def _claim(self, context: Context, ref: RunRef) -> Claim:
        return Claim(
            ref,
            conn_id=self.hook.conn_id,
            started_by_us=self._attempt.started_by_us,
            max_tries=context["ti"].max_tries,
            waits=self.wait_for_completion,
            cancel_on_kill=self.cancel_on_kill,
            cancel_on_timeout=self.cancel_on_timeout,
            deadline=self._attempt.deadline.at,
        )

    def _ending(self, context: Context) -> RunEnding:
        return RunEnding(self, self._attempt, context)

    def _follow(self, ref: RunRef, deadline: Deadline, *, copies_log: bool) -> tuple[Wait, Outcome]:
        policy = WaitPolicy(deadline.at, self.poll_failure_budget)
        wait = Wait(ref, policy, seen_well=True, limit=deadline.limit)
        copy = LogCopy(self.hook, ref, self.log).copy_new_lines if copies_log else lambda: None
        self._pause(0.0)
        return wait, follow(wait, self.poll, self.log, interval=self.poll_interval, after_poll=copy, pause=self._pause)

    def _defer(self, ref: RunRef, deadline: Deadline, method_name: str) -> None:
        deferral = Deferral(
            hook=self.hook_path(),
            conn_id=self.hook.conn_id,
            ref=ref,
            poll_interval=self.poll_interval,
            deadline=deadline.at,
            limit=deadline.limit,
            poll_failure_budget=self.poll_failure_budget,
            cancel_on_kill=self.cancel_on_kill,
            started_by_us=self._attempt.started_by_us,
            poll_individually=self.follow_progress,
            with_log=self._copies_log,
            seen_well=True,
        )
        self.defer(trigger=deferral.trigger(), method_name=method_name, timeout=deferral.timeout)

    @property
    def _copies_log(self) -> bool:
        return self.log_remote is True and self.hook.capabilities.logs and self._attempt.started_by_us

    def _deadline(self, remembered: float | None) -> Deadline:
        return Deadline.earliest(
            timeout=self.timeout,
            execution_timeout=self.execution_timeout,
            entered_at=self._attempt.entered_at,
            now=time.time(),
            remembered=remembered,
        )
