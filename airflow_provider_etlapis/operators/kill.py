"""What an operator does when Airflow ends its task on a worker: find out who ended it, then cancel the run or leave it.

Airflow calls ``on_kill`` in a signal handler, for a person's mark or clear as for a worker that stops. The code that
the signal has interrupted may hold the lock of the log or of the connection to Airflow: both are used in a thread, with
a limit, and the log last of all.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.operators.attempt import AttachedBecause, Attempt
from airflow_provider_etlapis.operators.cancel import cancel_quietly
from airflow_provider_etlapis.operators.deferral import ended_before_resuming, is_timed_out
from airflow_provider_etlapis.operators.task_state import TaskStateRepository, published

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_etlapis.operators.ending import EndingTask
    from airflow_provider_etlapis.operators.start import RunStarter
    from airflow_provider_etlapis.runs.logs import TaskLog
    from airflow_provider_etlapis.runs.model import RunRef

_ANSWERED_WITHIN = 2.0
"""Seconds for each question to Airflow: it kills what is left of the process 5 s after the signal."""

_NO_TRY_FOLLOWS = (None, "failed", "success", "skipped", "upstream_failed", "removed")
_CLEARED = "restarting"

Answer = TypeVar("Answer")


class EndedBy(StrEnum):
    """Who ended a task on a worker."""

    PERSON = "person"
    """A mark or a clear; also the scheduler, where no try follows."""
    WORKER = "worker"
    """The worker stops, or its supervisor has lost Airflow: the task is still to run."""
    UNKNOWN = "unknown"
    """Airflow did not say in time."""


def end_on_worker(task: EndingTask, attempt: Attempt, starter: RunStarter | None, context: Context | None) -> Attempt:
    """Cancel the run of a task that is ended on a worker, or leave it as its policies say; return the attempt then.

    :param task: the operator.
    :param starter: while a start is under way.
    :param context: of the task, ``None`` if it was not executed yet.
    """
    log = _HeldLog()
    try:
        return _end(task, attempt, starter, context, log)
    finally:
        with contextlib.suppress(TimeoutError):  # it is written as soon as the interrupted code goes on
            within(_ANSWERED_WITHIN / 2, lambda: log.write_to(task.log))


class _HeldLog:
    """Keeps lines until they can be written."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str, tuple[Any, ...]]] = []

    def info(self, message: str, *values: Any) -> None:
        self._lines.append(("info", message, values))

    def warning(self, message: str, *values: Any) -> None:
        self._lines.append(("warning", message, values))

    def error(self, message: str, *values: Any) -> None:
        self._lines.append(("error", message, values))

    def write_to(self, log: Any) -> None:
        for level, message, values in self._lines:
            getattr(log, level)(message, *values)


def _end(
    task: EndingTask, attempt: Attempt, starter: RunStarter | None, context: Context | None, log: _HeldLog
) -> Attempt:
    late = is_timed_out()
    may_have_run = attempt.run_to_cancel is not None or starter is not None
    if may_have_run and not late and task.cancel_on_kill and context is not None and _can_follow(task, context):
        ended_by = who_ended(context["ti"], log)
        if ended_by is not EndedBy.PERSON:
            _log_left(task, attempt, context, ended_by, log)
            return attempt
    attempt = _attempt_at_kill(attempt, starter, log)
    ref = attempt.ref
    if ref is None:
        return attempt
    if late:
        log.error("Run %s did not finish within execution_timeout", ref.run_id)
    policy = "cancel_on_timeout" if late else "cancel_on_kill"
    if attempt.run_to_cancel is None:
        log.info("The task was ended; run %s was not started by it and is left alone", ref.run_id)
    elif not getattr(task, policy):
        log.info("The task was ended; run %s is left alone (%s=False)", ref.run_id, policy)
    else:
        _cancel_and_remember(task, ref, context, log)
    return attempt


def who_ended(ti: Any, log: TaskLog) -> EndedBy:
    """Ask Airflow whether a person ended the task: a task that is still to run was ended by its worker.

    Outside a task process (a test, a script) there is nobody to ask, and the caller is the person.

    :param ti: the task instance.
    """
    from airflow_provider_etlapis.triggers.releases import NotInTaskError, state_of

    try:
        state = within(_ANSWERED_WITHIN, lambda: state_of(ti))
    except NotInTaskError:
        return EndedBy.PERSON
    except Exception as error:  # noqa: BLE001 whatever fails here must not end in a cancelled run
        log.warning("Airflow could not be asked who ended this task: %s", error)
        return EndedBy.UNKNOWN
    return EndedBy.PERSON if state in _NO_TRY_FOLLOWS or state == _CLEARED else EndedBy.WORKER


def within(seconds: float, ask: Callable[[], Answer]) -> Answer:
    """Return an answer that may have to wait for what a signal has interrupted.

    :raises TimeoutError: if it does not come in time; the question goes on and its answer is dropped.
    """
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:  # noqa: BLE001 raised again for the caller
            errors.append(error)

    inherited = contextvars.copy_context()
    thread = threading.Thread(target=lambda: inherited.run(run), name="etlapis-on-kill", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return answers[0]


def _can_follow(task: EndingTask, context: Context) -> bool:
    """Say whether a retry can find the run; where it cannot, it starts another, and this one must not go on."""
    if not task.durable:
        return False
    marked = task.hook.capabilities.finds_lost_starts and bool(task.hook.start_proof.marker)
    return marked or TaskStateRepository(context, enabled=True).is_kept


def _log_left(task: EndingTask, attempt: Attempt, context: Context, ended_by: EndedBy, log: TaskLog) -> None:
    ti = context["ti"]
    run = "A start that is under way" if attempt.ref is None else f"Run {attempt.ref.run_id}"
    why = (
        "The worker was stopped, and nobody ended this task"
        if ended_by is EndedBy.WORKER
        else "The task was ended, and Airflow did not say by whom"
    )
    if ti.try_number <= ti.max_tries:
        then = "a retry of this task attaches to it again"
    elif attempt.ref is None:
        then = "no retry is left: look for its run on the vendor's side"
    else:
        conn_id, run_id = task.hook.conn_id, attempt.ref.run_id
        then = f"no retry is left: to end it, use etlapis runs cancel --conn-id {conn_id} --run-id {run_id}"
    log.warning("%s. %s goes on; %s", why, run, then)


def _attempt_at_kill(attempt: Attempt, starter: RunStarter | None, log: TaskLog) -> Attempt:
    """Return the attempt as it stands when its task is killed: a start may be under way, or a resumption not begun."""
    known: tuple[RunRef, bool] | None = None
    because = AttachedBecause.LOST_START
    if attempt.ref is None and starter is not None:
        try:
            ref = starter.interrupted()
        except EtlApiError as error:
            log.warning("The task was killed while its start request was under way. %s", error)
            return attempt
        known = None if ref is None else (ref, True)
    if attempt.ref is None and known is None and (context := ended_before_resuming()) is not None:
        because = AttachedBecause.RESUMED
        if (claim := published(context)) is not None:
            known = (claim.ref, claim.started_by_us)
    if known is None:
        return attempt
    return attempt.attached(known[0], because, started_by_us=known[1], deadline=attempt.deadline)


def _cancel_and_remember(task: EndingTask, ref: RunRef, context: Context | None, log: TaskLog) -> None:
    """Cancel the run; that is written down first, so that a good end later is never taken for a success."""
    noted = context is not None and _note_cancelled(task, ref, context, log, cancelled=True)
    report = cancel_quietly(task.hook, ref, log)
    if noted and context is not None and not report.asked:
        _note_cancelled(task, ref, context, log, cancelled=False)


def _note_cancelled(task: EndingTask, ref: RunRef, context: Context, log: TaskLog, *, cancelled: bool) -> bool:
    state = TaskStateRepository(context, enabled=task.durable)

    def note() -> bool:
        record = state.peek()
        if record is None or record.ref is None or record.ref.run_id != ref.run_id:
            return False
        return record.cancelled != cancelled and state.save(replace(record, cancelled=cancelled))

    try:
        return within(_ANSWERED_WITHIN, note)
    except Exception as error:  # noqa: BLE001 the cancel matters more than its note
        log.warning("Could not write down that run %s is cancelled: %s", ref.run_id, error)
        return False
