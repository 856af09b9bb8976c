"""Base of operators that act on a vendor's side without following a run of their own: copy, cancel, stop, read.

An action is made of steps. Each step is done once and recorded, so that a retry goes on where the try before it has
stopped. What must not be relaxed: a step that must not be done twice and whose answer was lost is settled by checking
the vendor's side, or fails the task.
"""

from __future__ import annotations

import itertools
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_provider_etlapis.exceptions import (
    EtlApiError,
    PermanentError,
    PollingGaveUpError,
    RemoteRunTimeoutError,
    StartLostError,
)
from airflow_provider_etlapis.operators.action_records import StepRecord, StepRecords
from airflow_provider_etlapis.operators.follow import follow, not_ended
from airflow_provider_etlapis.operators.hook_mixin import HookMixin
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.runs.evidence import Evidence
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef
from airflow_provider_etlapis.runs.resume import fingerprint
from airflow_provider_etlapis.runs.waiting import Verdict, Wait, WaitPolicy

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_etlapis.runs.logs import TaskLog

T = TypeVar("T")

_PAUSES = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each check of a step whose answer was lost; then 5 again and again."""


class ActionIncompleteError(PermanentError):
    """A part of the action is done, and what failed after it cannot be made good by a retry; a person has to finish."""


@dataclass(frozen=True, slots=True)
class Finding(Generic[T]):
    """What one check of the vendor's side shows about a step whose answer was lost.

    :param evidence: ``FOUND`` (it is done), ``ABSENT`` (nothing shows it so far) or ``UNSURE``.
    :param words: what was found, for a message.
    :param result: of a step that is done.
    """

    evidence: Evidence
    words: str
    result: T | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionStep(Generic[T]):
    """One request that changes something on the vendor's side.

    :param key: names the step in the state store.
    :param doing: what it does, for messages: ``"copying workspace 300"``.
    :param act: makes the request and returns its result as plain JSON.
    :param done: returns what was done, for messages, by the result: ``"workspace 300 was copied to workspace 301"``.
    :param inputs: what the step is done with, as plain JSON, to notice that it changed between two tries.
    :param is_repeatable: whether doing it twice is as good as once; otherwise a lost answer has to be settled.
    :param before: returns what the vendor's side shows before the request, as plain JSON, for ``check_outcome``.
    :param check_outcome: returns what became of a request without an answer; without it, that cannot be determined.
    :param if_lost: what a person has to check if it cannot be determined.
    """

    key: str
    doing: str
    act: Callable[[], T]
    done: Callable[[T], str]
    inputs: Any = None
    is_repeatable: bool = False
    before: Callable[[], Any] = lambda: None
    check_outcome: Callable[[StepRecord], Finding[T]] | None = None
    if_lost: str = "Check on the vendor's side whether it was done; if it was not, clear this task."


class ActionSteps:
    """Does the steps of one try of an action, and keeps what the next try must know.

    :param context: of the try.
    :param retries: the task's ``retries``.
    """

    def __init__(self, context: Mapping[str, Any], retries: int, log: TaskLog) -> None:
        self._records = StepRecords(context, retries)
        self._log = log
        self._done: list[str] = []
        self._doing = ""
        self._cut_off: ActionStep[Any] | None = None

    def do(self, step: ActionStep[T]) -> T:
        """Do a step, unless an earlier try has done it, and return its result.

        :raises StartLostError: if an answer was lost and it cannot be determined whether the step is done.
        :raises TaskStateUnavailableError: if the task state store cannot be used.
        """
        self._doing = step.doing
        left = self._records.recall(step.key)
        if left is not None and left.is_done:
            self._log.info("An earlier try did this step: %s", step.done(left.result))
            if left.inputs != fingerprint(step.inputs):
                self._log.warning(
                    "The inputs have changed since. The earlier result is kept; clear the task to act with the new ones"
                )
            return self._note(step, left.result)
        if left is not None:
            self._log.warning("An earlier try was cut off while %s. Checking what became of it", step.doing)
            finding = self._settled(step, left, None)
            if finding.evidence is Evidence.FOUND:
                return self._keep(step, left, finding)
        elif self._records.is_retry_without_store and not step.is_repeatable:
            self._log.warning(
                "This retry cannot know whether an earlier try was cut off while %s: there is no task state store "
                "(Airflow 3.0 to 3.2). Doing it now",
                step.doing,
            )
        return self._act(step)

    def finish(self) -> None:
        """Note that all steps are done: another try of this series returns their results and does nothing."""
        if self._done and self._records.is_kept:
            self._records.note_end()

    def failure(self, error: BaseException) -> BaseException:
        """Return the error that a try ends with: a retry must not repeat what it cannot know of."""
        cut_off = self._cut_off
        if cut_off is not None and not self._records.is_kept and not cut_off.is_repeatable:
            error = StartLostError(
                f"{_sentence(cut_off.doing)} was cut off: {error}. It is unknown whether it was done. {cut_off.if_lost}"
            )
        if not self._done or isinstance(error, ActionIncompleteError):
            return error
        done = "; ".join(self._done)
        is_permanent = isinstance(error, EtlApiError) and not error.retry_helps
        if self._records.is_kept and not is_permanent:
            self._log.warning("Done so far: %s. A retry goes on from there", done)
            return error
        failed = f"{_sentence(self._doing)} failed" if self._doing else "What came after it failed"
        why = "" if is_permanent else " A retry could not know of it and would do it again, so none is made."
        return ActionIncompleteError(
            f"{_sentence(done)}. {failed}: {str(error).rstrip('.')}. That is left to be done by hand.{why} "
            "Clearing this task does everything again."
        )

    def _act(self, step: ActionStep[T]) -> T:
        before = step.before()
        for is_last in (False, True):
            record = self._records.begin(fingerprint(step.inputs), before)
            self._records.save(step.key, record, is_needed=not step.is_repeatable)
            try:
                result = step.act()
            except EtlApiError as error:
                if not error.may_have_acted:
                    self._records.forget(step.key)
                    raise
                self._log.warning("While %s, the request got no usable response: %s", step.doing, error)
                record = replace(record, acts_until=time.time() + error.acts_for)
                self._records.save(step.key, record)
                finding = self._settled(step, record, error)
                if finding.evidence is Evidence.FOUND:
                    return self._keep(step, record, finding)
                if is_last or step.is_repeatable:
                    raise
                self._log.warning("It was surely not done (%s); doing it again", finding.words)
            except BaseException:  # a timeout of the task, a defect: whether the request was sent is not known here
                self._cut_off = step
                raise
            else:
                return self._keep(step, record, Finding(Evidence.FOUND, "", result))
        raise AssertionError("the last round returns or raises")

    def _settled(self, step: ActionStep[T], record: StepRecord, error: EtlApiError | None) -> Finding[T]:
        """Check until the step is seen done, or until its request can no longer take effect.

        :raises StartLostError: if that cannot be determined, and the step must not be done twice.
        """
        until = record.acts_until if record.acts_until is not None else record.at + evidence.ACTS_AFTER_TIMEOUT
        finding: Finding[T] = Finding(Evidence.UNSURE, "the vendor's API does not show it")
        if step.check_outcome is not None:
            for pause in itertools.chain(_PAUSES, itertools.repeat(5.0)):
                time.sleep(min(pause, max(0.1, until - time.time())))
                asked_at = time.time()
                finding = step.check_outcome(record)
                if finding.evidence is not Evidence.ABSENT or asked_at >= until:
                    break
        if finding.evidence is Evidence.UNSURE and not step.is_repeatable:
            cause = f": {error}" if error else ", because the try was cut off"
            raise StartLostError(
                f"{_sentence(step.doing)} got no usable response{cause}. It is unknown whether it was done: "
                f"{finding.words}. It was not repeated. {step.if_lost}"
            ) from error
        return finding

    def _keep(self, step: ActionStep[T], record: StepRecord, finding: Finding[T]) -> T:
        if finding.words:
            self._log.info("%s", finding.words)
        self._records.save(step.key, replace(record, is_done=True, result=finding.result))
        return self._note(step, finding.result)

    def _note(self, step: ActionStep[T], result: Any) -> T:
        self._done.append(step.done(result))
        self._doing = ""
        noted: T = result
        return noted


class VendorActionOperator(HookMixin, BaseOperator):
    """Base of the operators that act and follow no run of their own.

    A retry does only what the tries before it have not done; a clear does everything again. On Airflow 3.0 to 3.2
    nothing can be kept between two tries: if a later step fails, the task fails for good and its error names what was
    done and what is left to do by hand.
    """

    @abstractmethod
    def act(self, steps: ActionSteps) -> Any:
        """Do the action, each change by :meth:`ActionSteps.do`, and return the task's result as plain JSON.

        Inputs are checked first: nothing is sent with wrong ones.
        """

    def execute(self, context: Context) -> Any:
        """Do the action, or go on where an earlier try of this task has stopped."""
        steps = ActionSteps(context, self.retries or 0, self.log)
        try:
            result = self.act(steps)
        except (Exception, AirflowTaskTimeout) as error:
            failure = steps.failure(error)
            if failure is error:
                raise
            raise failure from error
        steps.finish()
        return result

    def wait_for_end(self, ref: RunRef, interval: float, timeout: float | None, asked: str) -> RemoteRun:
        """Wait on the worker until a run that was just read has ended. The only place where an action waits.

        :param interval: seconds between two reads.
        :param timeout: seconds after which the wait fails, ``None`` for no limit.
        :param asked: what was asked of the vendor, for the error.
        :raises RemoteRunTimeoutError: if it has not ended by then.
        :raises RemoteRunError: if the wait ends otherwise before the run does.
        """
        deadline = None if timeout is None else time.time() + timeout
        limit = "" if timeout is None else f"timeout={timeout:g} s"
        wait = Wait(ref, WaitPolicy(deadline), seen_well=True, limit=limit)
        outcome = follow(wait, self.poll, self.log, interval=interval)
        if outcome.verdict is Verdict.DONE and wait.last is not None:
            return wait.last
        if outcome.verdict is not Verdict.DEADLINE:
            raise not_ended(outcome.verdict, f"{asked} {outcome.message}", ref)
        try:
            run = self.poll(ref)
        except EtlApiError as error:
            raise PollingGaveUpError(
                f"{asked} {outcome.message}, and the vendor could not be asked at the deadline: {error}",
                {"run_id": ref.run_id, "vendor": ref.vendor},
            ) from error
        if run.state.is_terminal:
            return run
        raise RemoteRunTimeoutError(f"{asked} {outcome.message}", run.manifest())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
