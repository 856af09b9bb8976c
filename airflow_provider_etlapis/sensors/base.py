"""What every sensor here does: wait for a run that it did not start, and never cancel it."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_etlapis.exceptions import EtlApiError, SensedRunFailedError
from airflow_provider_etlapis.links import XCOM_RUN_URL, RemoteRunLink
from airflow_provider_etlapis.operators.deferral import why_no_event
from airflow_provider_etlapis.operators.hooked import UsesHook, completed
from airflow_provider_etlapis.operators.judging import ended_badly, not_ended
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.waiting import DEFAULT_PATIENCE, Verdict, Wait, WaitPolicy

if TYPE_CHECKING:
    from airflow.sdk import Context

_BACKSTOP = timedelta(minutes=1)


class RemoteRunSensor(UsesHook, BaseSensorOperator):
    """Base of the sensors that wait for one remote run.

    Succeeds when the run has ended well, with its manifest as the return value; fails when it has ended badly
    (no retries are spent on that). Never cancels the run.

    :param deferrable: wait in a triggerer instead of on a worker. Default: ``[operators] default_deferrable``.
    :param poll_failure_budget: seconds for which the vendor may fail to answer without a break.

    ``poke_interval``, ``timeout``, ``mode``, ``soft_fail`` and the others are those of every Airflow sensor. With
    ``mode="reschedule"`` each look is a process of its own that knows nothing of the one before: a vendor that does
    not answer is then waited for until ``timeout``, whatever ``poll_failure_budget`` says.
    """

    operator_extra_links = (RemoteRunLink(),)
    warning_is_failure: bool = False

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_failure_budget: float = DEFAULT_PATIENCE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.poll_failure_budget = poll_failure_budget
        self._wait: Wait | None = None

    @abstractmethod
    def ref(self) -> RunRef:
        """Return the run to wait for, checked.

        :raises InvalidInputError: saying what to change; nothing was sent by then.
        """

    def execute(self, context: Context) -> Any:
        """Look once, then wait on the worker or deferred."""
        if not self.deferrable:
            return super().execute(context)
        with self._soft_ends():
            looked = self.poke(context)
        if looked.is_done:
            return looked.xcom_value
        return self._defer(self.ref())

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Take up the sensor after a deferral; its ends are those of the worker's loop, alike on every Airflow."""
        with self._soft_ends():
            try:
                return super().resume_execution(next_method, next_kwargs, context)
            except AirflowException as error:
                if why_no_event(error) == "timeout":
                    raise AirflowSensorTimeout("No triggerer ended the wait in time; the run was left alone") from error
                raise

    @contextmanager
    def _soft_ends(self) -> Iterator[None]:
        """Skip as ``soft_fail`` and ``never_fail`` ask, around what Airflow's own loop of the worker is not around.

        Airflow's own treatment of a deferred sensor differs: Airflow 2 does not know ``never_fail`` there, and
        3.0 does not skip when the time is up.
        """
        try:
            yield
        except AirflowSkipException:
            raise
        except Exception as error:
            if self.soft_fail and isinstance(error, AirflowException):
                raise self._softened(error) from error
            if self.never_fail:
                raise AirflowSkipException(f"Skipping because of never_fail: {error}") from error
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the run once."""
        ref = self.ref()
        if self._wait is None:
            self._wait = Wait(ref, WaitPolicy(None, self.poll_failure_budget))
        is_known = self._wait.last is not None
        outcome = self.look(self._wait)
        if not is_known and self._wait.last is not None and self._wait.last.url:
            context["ti"].xcom_push(key=XCOM_RUN_URL, value=self._wait.last.url)
        if outcome.verdict is Verdict.GO_ON:
            return PokeReturnValue(is_done=False)
        if outcome.verdict is Verdict.DONE and self._wait.last is not None:
            return PokeReturnValue(is_done=True, xcom_value=self._judged(self._wait.last))
        raise self._softened(not_ended(outcome.verdict, outcome.message, ref))

    def _defer(self, ref: RunRef, deadline: float | None = None) -> None:
        from airflow_provider_etlapis.triggers.run import RemoteRunTrigger, handed_over

        until = time.time() + float(self.timeout) if deadline is None else deadline
        self.defer(
            trigger=RemoteRunTrigger(
                hook=self.hook_path(),
                conn_id=self.hook.conn_id,
                ref=ref.to_json(),
                poll_interval=float(self.poke_interval),
                deadline=until,
                patience=self.poll_failure_budget,
                owned=False,
                not_before=handed_over(),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, until - time.time())) + _BACKSTOP,
        )

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Take up the sensor again after a deferred wait."""
        if not event or "status" not in event or "ref" not in event:
            raise EtlApiError(f"The trigger sent no usable event: {event!r}")
        ref, deadline = RunRef.from_json(event["ref"]), event.get("deadline")
        verdict, message = str(event["status"]), str(event.get("message", ""))
        if verdict == Verdict.DONE:
            wait = Wait(ref, WaitPolicy(deadline, self.poll_failure_budget))
            # With the patience of the wait itself: an end that was seen must not be lost to a blip now.
            while (outcome := self.look(wait)).verdict is Verdict.GO_ON and wait.last is None:
                time.sleep(float(self.poke_interval))
            verdict, message = outcome.verdict, outcome.message
            if wait.last is not None and event.get("state") == RunState.CANCELLED:
                # Some vendors say "canceled" when a stop is asked for, and something else later: never a success.
                return self._judged(replace(wait.last, state=RunState.CANCELLED))
            if wait.last is not None and verdict == Verdict.DONE:
                return self._judged(wait.last)
            if verdict == Verdict.GO_ON:
                self.log.warning("Run %s goes on after all: waiting on", ref.run_id)
                self._defer(ref, deadline)
        if verdict == Verdict.DEADLINE:
            raise AirflowSensorTimeout(f"{message}. A sensor leaves the run alone.")
        raise not_ended(verdict, message, ref)

    def _judged(self, run: RemoteRun) -> dict[str, Any]:
        run = completed(self.hook, run, self.log)
        error = ended_badly(run, warning_is_failure=self.warning_is_failure)
        if error is not None:
            raise self._softened(SensedRunFailedError(str(error), error.manifest)) from error
        return run.manifest()

    def _softened(self, error: Exception) -> Exception:
        """Return what to raise under ``soft_fail``, alike on the worker and after a deferral."""
        return AirflowSkipException(f"Skipping because of soft_fail: {error}") if self.soft_fail else error
