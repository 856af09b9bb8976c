"""What an operator does at the end of a wait: judge the run, cancel or leave it, and say what a retry will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_etlapis.exceptions import RemoteRunTimeoutError
from airflow_provider_etlapis.operators.attempt import Attempt, Deadline, Phase
from airflow_provider_etlapis.operators.cancel import cancel_quietly
from airflow_provider_etlapis.operators.deferral import is_timed_out
from airflow_provider_etlapis.operators.hook_mixin import completed
from airflow_provider_etlapis.operators.outcome import ended_badly, not_ended
from airflow_provider_etlapis.operators.outlets import tell_outlets
from airflow_provider_etlapis.operators.remote_log import log_tail
from airflow_provider_etlapis.operators.task_state import TaskStateRepository
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Step
from airflow_provider_etlapis.runs.resume import AttemptRecord
from airflow_provider_etlapis.runs.waiting import Verdict, utc

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_etlapis.hooks.base import RemoteRunHook


class EndingTask(Protocol):
    """What the end of a wait needs of an operator: its hook, its log, and its policies."""

    durable: bool
    cancel_on_kill: bool
    cancel_on_timeout: bool
    warning_is_failure: bool

    @property
    def hook(self) -> RemoteRunHook:
        """The vendor's hook."""

    @property
    def log(self) -> Any:
        """The task's log."""

    @property
    def log_remote(self) -> bool | str:
        """Whether the vendor's log is copied."""

    @property
    def outlets(self) -> Sequence[Any]:
        """The task's assets."""


class RunEnding:
    """The end of one attempt.

    :param task: the operator, for its policies and its hook.
    :param attempt: the attempt as it stands.
    :param context: of the task.
    """

    def __init__(self, task: EndingTask, attempt: Attempt, context: Context) -> None:
        self._task = task
        self._attempt = attempt
        self._context = context
        self._state = TaskStateRepository(context, enabled=task.durable)

    def started(self, run: RemoteRun) -> dict[str, Any]:
        """Return the manifest of a run that is not waited for."""
        tell_outlets(self._context, self._task.outlets, run)
        return run.manifest()

    def finished(self, run: RemoteRun, *, logged: Sequence[Step] = (), seen: str | None = None) -> dict[str, Any]:
        """Judge a run that has ended, and return its manifest.

        :param logged: steps that are in the task's log already.
        :param seen: the state in which the trigger saw the run end.
        :raises RemoteRunFailedError: if it ended badly.
        """
        task = self._task
        record = self._record_of(run.ref)
        run = completed(task.hook, run, task.log)
        if run.state.is_good and (seen == RunState.CANCELLED or (record is not None and record.cancelled)):
            # Some vendors say "canceled" when a stop is asked for, and something else later: never a success.
            task.log.warning("Run %s was cancelled: %s does not make it a success", run.ref.run_id, run.vendor_status)
            run = replace(run, state=RunState.CANCELLED)
        good = run.state.is_good and not (run.state is RunState.WARNING and task.warning_is_failure)
        tail: Sequence[str] = ()
        if not good and task.hook.capabilities.logs and task.log_remote is not False:
            tail = log_tail(task.hook, run.ref)
        for step in run.steps:
            if step not in logged:
                task.log.info("Step %s ended as %s", step.name, step.vendor_status)
        if record is not None:
            cancelled = record.cancelled or run.state is RunState.CANCELLED
            self._state.save(replace(record, finished=True, cancelled=cancelled))
        error = ended_badly(run, warning_is_failure=task.warning_is_failure, log_tail=tail)
        if error is not None:
            raise error
        write = task.log.warning if run.state is RunState.WARNING else task.log.info
        write("Run %s ended as %s", run.ref.run_id, run.vendor_status)
        return self.started(run)

    def not_done(self, verdict: str, message: str) -> Exception:
        """Return the error for a wait that ended before its run did; at its deadline, the run is cancelled or left."""
        ref = self._attempt.ref
        assert ref is not None  # noqa: S101 a wait has a run
        if verdict != Verdict.DEADLINE:
            return not_ended(verdict, message, ref)
        fate = self._fate_at_deadline(ref)
        return RemoteRunTimeoutError(f"{message}. {fate}", {"run_id": ref.run_id, "vendor": ref.vendor})

    def never_free(self, free_by: Deadline) -> Exception:
        """Return the error for a start that was refused up to the deadline."""
        until = "" if free_by.at is None else f" (deadline {utc(free_by.at)})"
        return RemoteRunTimeoutError(
            f"The vendor refused the start within {free_by.limit}{until}. Nothing was started."
        )

    def _fate_at_deadline(self, ref: RunRef) -> str:
        if self._attempt.phase is Phase.BLOCKED:
            return "It was in the way of the start, so nothing was started; it was left alone."
        if not self._attempt.started_by_us:
            return "The run was not started by this task and was left alone."
        if not self._task.cancel_on_timeout:
            return "The run was left alone (cancel_on_timeout=False); a retry of this task attaches to it again."
        report = cancel_quietly(self._task.hook, ref, self._task.log)
        if report.asked and (record := self._record_of(ref)) is not None:
            self._state.save(replace(record, cancelled=True))
        note = report.note.rstrip(".")
        after = " A retry of this task waits for its end and starts a new run." if report.asked else ""
        return f"Cancelling it (cancel_on_timeout=True): {note}.{after}"

    def _record_of(self, ref: RunRef) -> AttemptRecord | None:
        record = self._state.peek()
        return record if record is not None and record.ref is not None and record.ref.run_id == ref.run_id else None


def kill(task: EndingTask, attempt: Attempt) -> None:
    """Cancel the run of a task that is killed on a worker, or leave it as the policies say."""
    ref = attempt.ref
    if ref is None:
        return
    late = is_timed_out()
    if late:
        task.log.error("Run %s did not finish within execution_timeout", ref.run_id)
    policy = "cancel_on_timeout" if late else "cancel_on_kill"
    if attempt.run_to_cancel is None:
        task.log.info("The task was ended; run %s was not started by it and is left alone", ref.run_id)
    elif not getattr(task, policy):
        task.log.info("The task was ended; run %s is left alone (%s=False)", ref.run_id, policy)
    else:
        cancel_quietly(task.hook, ref, task.log)
