"""What an operator does at the end of a wait: judge the run, cancel or leave it, and say what a retry will do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_etlapis.exceptions import (
    RemoteRunCancelledError,
    RemoteRunFailedError,
    RemoteRunTimeoutError,
)
from airflow_provider_etlapis.operators.attempt import Attempt, Deadline, Phase
from airflow_provider_etlapis.operators.cancel import cancel_quietly
from airflow_provider_etlapis.operators.follow import not_ended
from airflow_provider_etlapis.operators.hook_mixin import completed
from airflow_provider_etlapis.operators.remote_log import log_tail
from airflow_provider_etlapis.operators.task_state import TaskStateRepository, publish_bad_end
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Step
from airflow_provider_etlapis.runs.resume import AttemptRecord
from airflow_provider_etlapis.runs.waiting import Verdict, utc
from airflow_provider_etlapis.text import printable

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
        note_in_outlets(self._context, self._task.outlets, run)
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
            publish_bad_end(self._context, run, task.log)
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
            return "It was in the way, was not started by this task and was left alone. Nothing was started."
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


def ended_badly(
    run: RemoteRun, *, warning_is_failure: bool, log_tail: Sequence[str] = ()
) -> RemoteRunFailedError | None:
    """Return the error for a run that has ended, ``None`` if it ended well.

    The message has all that an on-call reader needs: the vendor's status and error text, the last log lines, the
    link.
    """
    if run.state.is_good and not (run.state is RunState.WARNING and warning_is_failure):
        return None
    parts = [f"Run {run.ref.run_id} of {run.name or run.ref.vendor} ended as {run.vendor_status}"]
    if run.error:
        parts[0] += f": {printable(run.error, _LONGEST_ERROR, lines=True)}"
    if log_tail:
        parts.append("Last lines of its log:\n" + "\n".join(printable(line) for line in log_tail))
    if run.url:
        parts.append(f"See {run.url}")
    cancelled = run.state is RunState.CANCELLED
    return (RemoteRunCancelledError if cancelled else RemoteRunFailedError)("\n".join(parts), run.manifest())


_LONGEST_ERROR = 10_000
_FACTS = ("run_id", "url", "duration", "vendor_status")


def note_in_outlets(context: Context, outlets: Iterable[Any], run: RemoteRun) -> None:
    """Add the facts of a run to the events of a task's assets (datasets on Airflow 2).

    What a DAG's author has put there under the same names stays. Aliases are left alone: which assets they stand for
    is the author's to say.

    :param context: the task's; before Airflow 2.10 it has no events of outlets.
    :param outlets: of the task.
    """
    events = context.get("outlet_events")
    if events is None:
        return
    facts = {name: value for name, value in run.facts().items() if name in _FACTS}
    for asset in outlets:
        if isinstance(asset, Asset):
            events[asset].extra = {**facts, **(events[asset].extra or {})}
