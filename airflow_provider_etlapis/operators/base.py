"""What every operator here does: start a run once, wait for it on the worker or deferred, judge how it ended."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_etlapis.exceptions import (
    AlreadyRunningError,
    EtlApiError,
    RemoteRunTimeoutError,
)
from airflow_provider_etlapis.links import XCOM_RUN_URL, RemoteRunLink
from airflow_provider_etlapis.operators.cancelling import cancel_quietly
from airflow_provider_etlapis.operators.deferral import ended_before_resuming, is_timed_out, why_no_event
from airflow_provider_etlapis.operators.hooked import UsesHook, completed
from airflow_provider_etlapis.operators.judging import ended_badly, not_ended
from airflow_provider_etlapis.operators.memory import TaskMemory, intent_of, is_automatic_retry
from airflow_provider_etlapis.operators.outlets import tell_outlets
from airflow_provider_etlapis.operators.remote_log import LogCopy, log_tail
from airflow_provider_etlapis.operators.starting import Starter
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Step
from airflow_provider_etlapis.runs.resume import LOST_START_POLICIES, Intent, Memory, OnLostStart, superseded
from airflow_provider_etlapis.runs.waiting import DEFAULT_PATIENCE, Outcome, Verdict, Wait, WaitPolicy

if TYPE_CHECKING:
    from airflow.sdk import Context

XCOM_RUN_ID = "run_id"
XCOM_REMOTE_RUN = "remote_run"

OnAlreadyRunning = Literal["fail", "wait", "attach"]
LogRemote = Literal[True, False, "on_failure"]

_BACKSTOP = timedelta(minutes=1)


def seconds(value: float | timedelta | None, name: str) -> float | None:
    """Return a number of seconds from a number or a timedelta.

    :raises ValueError: if it is not above 0.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if number is not None and number <= 0:
        raise ValueError(f"{name} must be above 0 seconds, not {number}")
    return number


def one_of(name: str, value: object, allowed: Sequence[object]) -> None:
    """Check an argument that takes one of a few words.

    :raises ValueError: naming the words.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


class RemoteRunOperator(UsesHook, BaseOperator):
    """Base of the operators that start a remote run.

    :param wait_for_completion: wait for the run's end; otherwise succeed as soon as it is started.
    :param deferrable: wait in a triggerer instead of on a worker. Default: ``[operators] default_deferrable``.
    :param poll_interval: seconds between two looks at the run.
    :param timeout: seconds (or a timedelta) after which the wait fails, counted from the start of the run. A retry
        that follows the same run keeps the deadline, unless it has passed already. ``execution_timeout`` holds as
        well, deferred or not; the earlier one counts.
    :param poll_failure_budget: seconds for which the vendor may fail to answer without a break before the wait
        is given up. The run is left alone then, and a retry of the task follows it again.
    :param cancel_on_kill: cancel the run when a person marks the task failed or clears it while it waits.
    :param cancel_on_timeout: cancel the run when the deadline passes.
    :param on_lost_start: what to do if the start call got no answer and it cannot be told whether it started a
        run: ``"fail"`` and say what to check, ``"adopt"`` the likeliest run, ``"restart"`` at the risk of two runs.
        Where it can be told, the run is adopted, or started again if it is surely not there.
    :param on_already_running: what to do if the vendor refuses the start because the thing runs already (vendors
        without that rule never do): ``"fail"``, ``"wait"`` for that run's end and start then, ``"attach"`` and
        wait for that run instead, which is never cancelled by us.
    :param log_remote: copy the run's log into the task's: ``True`` as it comes (deferred, that takes requests of
        its own for each run), ``False`` never, ``"on_failure"`` its last lines when the run ended badly. Where the
        vendor has no log, this changes nothing.
    :param durable: remember the run, so that a retry follows it instead of starting a second one.
    :param follow_progress: deferred only: read the run on its own at each look, at the cost of one request per
        run, so that the log shows each step as it changes.
    """

    operator_extra_links = (RemoteRunLink(),)
    warning_is_failure: bool = False

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 30.0,
        timeout: float | timedelta | None = timedelta(days=7),
        poll_failure_budget: float = DEFAULT_PATIENCE,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        on_lost_start: OnLostStart = "fail",
        on_already_running: OnAlreadyRunning = "fail",
        log_remote: LogRemote = "on_failure",
        durable: bool = True,
        follow_progress: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        one_of("on_lost_start", on_lost_start, LOST_START_POLICIES)
        one_of("on_already_running", on_already_running, get_args(OnAlreadyRunning))
        one_of("log_remote", log_remote, get_args(LogRemote))
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = seconds(poll_interval, "poll_interval") or 0.0
        self.timeout = seconds(timeout, "timeout")
        self.poll_failure_budget = poll_failure_budget
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.on_lost_start: OnLostStart = on_lost_start
        self.on_already_running: OnAlreadyRunning = on_already_running
        self.log_remote: LogRemote = log_remote
        self.durable = durable
        self.follow_progress = follow_progress
        self._following: RunRef | None = None
        self._starter: Starter | None = None
        self._owned = True
        self._free_by: float | None = None
        self._stopping: str | None = None
        self._entered = time.time()

    # What a vendor's operator says

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Return what to start, for the hook, checked.

        :raises InvalidInputError: saying what to change; nothing was sent by then.
        """

    # The task's life

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the run, or follow that of an earlier try, and wait for it."""
        self._entered = time.time()
        return self._begin(context)

    def _begin(self, context: Context) -> dict[str, Any]:
        spec = self.spec()
        memory = TaskMemory(context, enabled=self.durable)
        intent = intent_of(context, spec, self.retries or 0)
        is_retry = self.durable and is_automatic_retry(context, self.retries or 0)
        began = getattr(context.get("dag_run"), "start_date", None)
        self._starter = starter = Starter(self.hook, self.log, memory, self.on_lost_start)
        self._stopping = self._stopping or self._stopped_earlier(memory.load(), intent)
        self._free_by = self._free_by or self._deadline(None)
        while True:
            try:
                run, kept = starter.obtain(spec, intent, is_retry=is_retry, began=began)
            except AlreadyRunningError as error:
                other = self._in_the_way(spec, error)
            else:
                return self._follow(context, run, kept, memory)
            if other is not None and self.on_already_running == "attach" and other.ref.run_id != self._stopping:
                self.log.info("Attaching to run %s, which this task did not start", other.ref.run_id)
                attached = Memory(intent_of(context, spec, self.retries or 0), owned=False)
                return self._follow(context, other, attached, memory)
            if other is not None:
                self._wait_until_free(context, other.ref, self._free_by)
            # A vendor may refuse for a while after a run has ended: not asked again at once.
            time.sleep(self.poll_interval)

    def _stopped_earlier(self, left: Memory | None, intent: Intent) -> str | None:
        """Return the id of an earlier try's run that was cancelled and may still be stopping.

        A run of before a clear is cancelled here if it goes on: whoever had to do that when the person cleared the
        task may have been gone, or may come to it only later.
        """
        if left is None or left.ref is None:
            return None
        if left.cancelled:
            return left.ref.run_id
        left_by_policy = not self.cancel_on_timeout and left.deadline is not None and left.deadline <= time.time()
        if superseded(left, intent) is None or left_by_policy or not (self.cancel_on_kill and self.wait_for_completion):
            return None
        self.log.info("The task was cleared. Making sure that run %s of before does not go on", left.ref.run_id)
        cancel_quietly(self.hook, left.ref, self.log)
        return left.ref.run_id if self.hook.capabilities.cancel else None

    def _in_the_way(self, spec: Mapping[str, Any], error: AlreadyRunningError) -> RemoteRun | None:
        """Return the run because of which a start was refused, ``None`` if it has ended by now.

        :raises AlreadyRunningError: if that is to fail the task. A run of an earlier try that was cancelled and is
            still stopping never does: it is waited for.
        """
        if self.on_already_running == "fail" and self._stopping is None:
            raise error
        if self._free_by is not None and time.time() >= self._free_by:
            message = f"It was still running at the deadline, nothing was started: {error}"
            raise RemoteRunTimeoutError(message) from error
        other = self.hook.find_running(spec)
        if other is None or other.state.is_terminal:
            self.log.info("What was running has ended: starting")
            return None
        if self.on_already_running == "fail" and other.ref.run_id != self._stopping:
            raise error
        return other

    def _follow(self, context: Context, run: RemoteRun, kept: Memory, memory: TaskMemory) -> dict[str, Any]:
        self._owned = kept.owned
        self._publish(context, run)
        deadline = self._deadline(kept.deadline)
        memory.save(replace(kept, ref=run.ref, url=run.url, deadline=deadline))
        if not self.wait_for_completion:
            tell_outlets(context, self.outlets, run)
            return run.manifest()
        if run.state.is_terminal:
            return self._finish(context, self.hook.read_run(run.ref))
        if self.deferrable:
            self._defer(run.ref, deadline, "execute_complete")
        return self._wait_here(context, run.ref, deadline)

    def _wait_until_free(self, context: Context, ref: RunRef, deadline: float | None) -> None:
        """Wait for the end of the run because of which the start was refused."""
        self._owned = False
        self.log.info("Waiting for run %s to end, to start then", ref.run_id)
        if self.deferrable:
            self._defer(ref, deadline, "execute_when_free")
        wait, outcome = self._watch_here(ref, deadline, copies_log=False)
        if outcome.verdict is not Verdict.DONE:
            self._conclude(context, wait.ref, outcome.verdict, outcome.message, deadline)
        self._owned = True

    def execute_when_free(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Start the run after the one in its way has ended."""
        ref, verdict, message = _told_by(event)
        self._owned = False
        self._free_by = (event or {}).get("deadline")
        self._stopping = ref.run_id  # it may be called canceled before it has stopped
        if verdict != Verdict.DONE:
            return self._conclude(context, ref, verdict, message, None)
        self._owned = True
        return self._begin(context)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Take up the task again after a deferred wait.

        :param event: ``{"status": verdict, "ref": {...}, "owned": bool, "deadline": float | None, "message": str}``.
        """
        ref, verdict, message = _told_by(event)
        told = event or {}
        self._owned = bool(told.get("owned", True))
        self._following = ref
        return self._conclude(context, ref, verdict, message, told.get("deadline"), told.get("state"))

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> dict[str, Any]:
        """Take up the task after a deferral; also one that no triggerer ended in time, or whose trigger crashed."""
        try:
            result: dict[str, Any] = super().resume_execution(next_method, next_kwargs, context)
        except EtlApiError:
            raise
        except Exception as error:
            ref, reason = self._remembered(context), why_no_event(error)
            if ref is None or reason is None:
                raise
            if reason == "failure":
                self.log.warning("The trigger failed. Run %s was left alone; a retry follows it again", ref.run_id)
                raise
            self._following = ref
            return self._conclude(
                context, ref, Verdict.DEADLINE, f"Run {ref.run_id}: no triggerer ended the wait in time", None
            )
        return result

    def on_kill(self) -> None:
        """Cancel the run when the task is killed on a worker, also one that is just being started."""
        if self._following is None and self._starter is not None:
            try:
                begun = self._starter.interrupted()
            except EtlApiError as error:
                self.log.warning("The task was killed while its start call was under way. %s", error)
                return
            self._following = begun.ref if begun is not None else None
        if self._following is None and (context := ended_before_resuming()) is not None:
            self._following = self._remembered(context)
        if self._following is None:
            return
        late = is_timed_out()
        if late:
            self.log.error("Run %s had not ended by its deadline, the execution_timeout", self._following.run_id)
        if not self._owned or not (self.cancel_on_timeout if late else self.cancel_on_kill):
            self.log.info("The task was ended; run %s goes on", self._following.run_id)
            return
        cancel_quietly(self.hook, self._following, self.log)

    def _publish(self, context: Context, run: RemoteRun) -> None:
        """Push what links, kills and other tasks need, the moment the run is known."""
        self._following = run.ref
        ti = context["ti"]
        ti.xcom_push(key=XCOM_RUN_ID, value=run.ref.run_id)
        ti.xcom_push(key=XCOM_REMOTE_RUN, value={**run.ref.to_json(), "owned": self._owned})
        if run.url:
            ti.xcom_push(key=XCOM_RUN_URL, value=run.url)
            self.log.info("See %s", run.url)

    def _remembered(self, context: Context) -> RunRef | None:
        ti = context["ti"]
        mapped = ti.map_index is not None and ti.map_index >= 0
        value = ti.xcom_pull(task_ids=ti.task_id, key=XCOM_REMOTE_RUN, map_indexes=ti.map_index if mapped else None)
        if not value:
            return None
        self._owned = bool(value.get("owned", True))
        return RunRef.from_json(value)

    # Waiting

    def _deadline(self, remembered: float | None) -> float | None:
        """Return the earlier of both deadlines, in seconds since the epoch.

        :param remembered: the deadline of an earlier try for the same run.
        """
        now = time.time()
        limits = []
        if self.timeout is not None:
            limits.append(remembered if remembered is not None and remembered > now else now + self.timeout)
        if self.execution_timeout is not None:
            # A little early, so that the framework does not interrupt what is done at the deadline.
            allowed = self.execution_timeout.total_seconds()
            limits.append(self._entered + allowed - min(2.0, allowed / 10))
        return min(limits, default=None)

    def _defer(self, ref: RunRef, deadline: float | None, method_name: str) -> None:
        from airflow_provider_etlapis.triggers.run import RemoteRunTrigger, handed_over

        left = None if deadline is None else timedelta(seconds=max(0.0, deadline - time.time()))
        self.defer(
            trigger=RemoteRunTrigger(
                hook=self.hook_path(),
                conn_id=self.hook.conn_id,
                ref=ref.to_json(),
                poll_interval=self.poll_interval,
                deadline=deadline,
                patience=self.poll_failure_budget,
                cancel_on_kill=self.cancel_on_kill,
                owned=self._owned,
                singly=self.follow_progress,
                with_log=self._copies_log,
                not_before=handed_over(),
            ),
            method_name=method_name,
            # The trigger keeps the deadline; the framework's own timeout is for when no triggerer is alive.
            timeout=None if left is None else left + _BACKSTOP,
        )

    @property
    def _copies_log(self) -> bool:
        return self.log_remote is True and self.hook.capabilities.logs and self._owned

    def _wait_here(self, context: Context, ref: RunRef, deadline: float | None) -> dict[str, Any]:
        wait, outcome = self._watch_here(ref, deadline, copies_log=self._copies_log)
        if outcome.verdict is Verdict.DONE and wait.last is not None:
            return self._finish(context, wait.last, wait.last.steps)
        return self._conclude(context, ref, outcome.verdict, outcome.message, deadline)

    def _watch_here(self, ref: RunRef, deadline: float | None, *, copies_log: bool) -> tuple[Wait, Outcome]:
        wait = Wait(ref, WaitPolicy(deadline, self.poll_failure_budget))
        if copies_log:
            return wait, self.wait_out(wait, self.poll_interval, LogCopy(self.hook, ref, self.log).go_on)
        return wait, self.wait_out(wait, self.poll_interval)

    # The end

    def _conclude(
        self,
        context: Context,
        ref: RunRef,
        verdict: str,
        message: str,
        deadline: float | None,
        seen: str | None = None,
    ) -> dict[str, Any]:
        """Act on the end of a wait.

        :param seen: the state in which the trigger saw the run end.
        """
        if verdict == Verdict.DONE:
            # With the patience of the wait itself: an end that was seen must not be lost to a blip now.
            wait, outcome = self._watch_here(ref, deadline, copies_log=False)
            if outcome.verdict is not Verdict.DONE or wait.last is None:
                return self._conclude(context, ref, outcome.verdict, outcome.message, deadline)
            run = wait.last
            if seen == RunState.CANCELLED:
                # Some vendors say "canceled" when a stop is asked for, and something else later: never a success.
                run = replace(run, state=RunState.CANCELLED)
            return self._finish(context, run, run.steps)
        if verdict != Verdict.DEADLINE:
            raise not_ended(verdict, message, ref)
        run_goes_on = "The run was left alone (cancel_on_timeout=False)."
        if not self._owned:
            run_goes_on = "The run was not started by this task and was left alone."
        elif self.cancel_on_timeout:
            report = cancel_quietly(self.hook, ref, self.log)
            if report.asked:
                self._remember_cancelled(context, ref)
            run_goes_on = f"Cancelling it: {report.note}."
        raise RemoteRunTimeoutError(f"{message}. {run_goes_on}", {"run_id": ref.run_id, "vendor": ref.vendor})

    def _finish(self, context: Context, run: RemoteRun, told: Sequence[Step] = ()) -> dict[str, Any]:
        """Judge a run that has ended.

        :param told: steps that are in the task's log already.
        """
        run = completed(self.hook, run, self.log)
        if run.state.is_good and self._was_cancelled(context, run.ref):
            self.log.warning("Run %s was cancelled: %s does not make it a success", run.ref.run_id, run.vendor_status)
            run = replace(run, state=RunState.CANCELLED)
        if run.state is RunState.CANCELLED:
            self._remember_cancelled(context, run.ref)
        tail: Sequence[str] = ()
        good = run.state.is_good and not (run.state is RunState.WARNING and self.warning_is_failure)
        if not good and self.hook.capabilities.logs and self.log_remote is not False:
            tail = log_tail(self.hook, run.ref)
        for step in run.steps:
            if step in told:
                continue
            self.log.info("Step %s ended as %s", step.name, step.vendor_status)
        memory = TaskMemory(context, enabled=self.durable)
        if (left := memory.load()) is not None:
            memory.save(replace(left, finished=True))
        error = ended_badly(run, warning_is_failure=self.warning_is_failure, log_tail=tail)
        if error is not None:
            raise error
        tell = self.log.warning if run.state is RunState.WARNING else self.log.info
        tell("Run %s ended as %s", run.ref.run_id, run.vendor_status)
        tell_outlets(context, self.outlets, run)
        return run.manifest()

    def _was_cancelled(self, context: Context, ref: RunRef) -> bool:
        left = TaskMemory(context, enabled=self.durable).load()
        return left is not None and left.cancelled and left.ref is not None and left.ref.run_id == ref.run_id

    def _remember_cancelled(self, context: Context, ref: RunRef) -> None:
        """Note that the run is never a success, whatever its vendor calls it when it has stopped."""
        memory = TaskMemory(context, enabled=self.durable)
        left = memory.load()
        if left is not None and left.ref is not None and left.ref.run_id == ref.run_id:
            memory.save(replace(left, cancelled=True))


def _told_by(event: Mapping[str, Any] | None) -> tuple[RunRef, str, str]:
    """Read a trigger's event; anything else fails loudly."""
    if not event or "status" not in event or "ref" not in event:
        raise EtlApiError(f"The trigger sent no usable event: {event!r}")
    return RunRef.from_json(event["ref"]), str(event["status"]), str(event.get("message", ""))
