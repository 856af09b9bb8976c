"""What every sensor here does: wait for a run that it did not start, and never cancel it."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_etlapis.exceptions import InvalidInputError, SensedRunFailedError
from airflow_provider_etlapis.links import XCOM_RUN_URL, RemoteRunLink
from airflow_provider_etlapis.operators.arguments import AirflowSensorArguments
from airflow_provider_etlapis.operators.deferral import Deferral, read_event, why_no_event
from airflow_provider_etlapis.operators.ending import ended_badly
from airflow_provider_etlapis.operators.follow import follow, not_ended, poll_once
from airflow_provider_etlapis.operators.hook_mixin import HookMixin, completed
from airflow_provider_etlapis.operators.inputs import seconds, true_or_false
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.waiting import DEFAULT_PATIENCE, Verdict, Wait, WaitPolicy

if TYPE_CHECKING:
    from airflow.sdk import Context


class RemoteRunSensor(HookMixin, BaseSensorOperator):
    """Base of the sensors that wait for one remote run.

    Succeeds when the run has ended well, with its manifest as the return value; fails when it has ended badly
    (no retries are spent on that). Never cancels the run.

    :param deferrable: wait in a triggerer instead of on a worker. Default: ``[operators] default_deferrable``.
    :param poll_failure_budget: seconds (or a timedelta) for which polling may fail without a break.

    ``poke_interval``, ``timeout``, ``mode``, ``soft_fail`` and the others are those of every Airflow sensor. With
    ``mode="reschedule"`` each poll is a process of its own that knows nothing of the one before: a vendor that does
    not answer is then waited for until ``timeout``, whatever ``poll_failure_budget`` says.
    """

    operator_extra_links = (RemoteRunLink(),)
    warning_is_failure: bool = False

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_failure_budget: float | timedelta = DEFAULT_PATIENCE,
        **kwargs: Unpack[AirflowSensorArguments],
    ) -> None:
        if (poke_interval := kwargs.get("poke_interval")) is not None:
            seconds(poke_interval, "poke_interval")
        super().__init__(**kwargs)
        true_or_false(deferrable=deferrable)
        self.deferrable = deferrable
        self.poll_failure_budget = seconds(poll_failure_budget, "poll_failure_budget")
        self._wait: Wait | None = None

    @abstractmethod
    def ref(self) -> RunRef:
        """Return the run to wait for, checked.

        :raises InvalidInputError: saying what to change; nothing was sent by then.
        """

    def execute(self, context: Context) -> Any:
        """Poll once, then wait on the worker or deferred."""
        if not self.deferrable:
            return super().execute(context)
        with self._soft_ends():
            looked = self.poke(context)
        if looked.is_done:
            return looked.xcom_value
        return self._defer(self.ref(), seen_well=self._wait is not None and self._wait.last is not None)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume the sensor after a deferral; its ends are those of the worker's loop, alike on every Airflow."""
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
        """Poll the run once."""
        ref = self.ref()
        if self._wait is None:
            self._wait = Wait(ref, WaitPolicy(None, self.poll_failure_budget))
        is_known = self._wait.last is not None
        outcome = poll_once(self._wait, self.poll, self.log)
        if self._wait.last is not None:
            self.page_of_run = self._wait.last.url or ""
            if self.page_of_run and not is_known:
                context["ti"].xcom_push(key=XCOM_RUN_URL, value=self.page_of_run)
        if outcome.verdict is Verdict.GO_ON:
            return PokeReturnValue(is_done=False)
        if outcome.verdict is Verdict.DONE and self._wait.last is not None:
            return PokeReturnValue(is_done=True, xcom_value=self._judged(self._wait.last))
        raise self._softened(not_ended(outcome.verdict, outcome.message, ref))

    def _defer(self, ref: RunRef, deadline: float | None = None, *, seen_well: bool) -> None:
        deferral = Deferral(
            hook=self.hook_path(),
            conn_id=self.hook.conn_id,
            ref=ref,
            poll_interval=float(self.poke_interval),
            deadline=time.time() + float(self.timeout) if deadline is None else deadline,
            limit=f"timeout={float(self.timeout):g} s",
            poll_failure_budget=self.poll_failure_budget,
            seen_well=seen_well,
        )
        self.defer(trigger=deferral.trigger(), method_name="execute_complete", timeout=deferral.timeout)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Resume the sensor after a deferred wait."""
        told = read_event(event)
        verdict, message = told.verdict, told.message
        if verdict == Verdict.DONE:
            # With the patience of the wait itself: an end that was seen must not be lost to one odd answer now.
            wait = Wait(told.ref, WaitPolicy(told.deadline, self.poll_failure_budget), seen_well=True)
            interval = float(self.poke_interval)
            outcome = follow(wait, self.poll, self.log, interval=interval, only_first_answer=True)
            verdict, message = outcome.verdict, outcome.message
            if wait.last is not None and told.state == RunState.CANCELLED:
                # Some vendors say "canceled" when a stop is asked for, and something else later: never a success.
                return self._judged(replace(wait.last, state=RunState.CANCELLED))
            if wait.last is not None and verdict == Verdict.DONE:
                return self._judged(wait.last)
            if verdict == Verdict.GO_ON:
                self.log.warning("Run %s is still running after all: waiting on", told.ref.run_id)
                self._defer(told.ref, told.deadline, seen_well=True)
        if verdict == Verdict.DEADLINE:
            raise AirflowSensorTimeout(f"{message}. A sensor leaves the run alone.")
        raise not_ended(verdict, message, told.ref)

    def _judged(self, run: RemoteRun) -> dict[str, Any]:
        run = completed(self.hook, run, self.log)
        error = ended_badly(run, warning_is_failure=self.warning_is_failure)
        if error is not None:
            raise self._softened(SensedRunFailedError(str(error), error.manifest)) from error
        return run.manifest()

    def _softened(self, error: Exception) -> Exception:
        """Return what to raise under ``soft_fail``, alike on the worker and after a deferral."""
        return AirflowSkipException(f"Skipping because of soft_fail: {error}") if self.soft_fail else error


class OneRunSensor(RemoteRunSensor):
    """Base of the sensors that wait for one run, named by its ids or by the ``run_id`` that operators push.

    A subclass keeps its ids, and ``run_id``, in attributes of their names.
    """

    run_id: str | None
    id_fields: ClassVar[tuple[str, ...]]
    """The parameters that name a run together; the last alone may also hold a whole ``run_id``."""

    def named_ref(self, *ids: Any) -> RunRef:
        """Return the run that the ids name.

        :raises InvalidInputError: if one of them cannot be an id.
        """
        make: Callable[..., RunRef] = self.hook_class().ref  # type: ignore[attr-defined]  # each with ids of its own
        return make(*ids)

    def check_name(self) -> None:
        """Check, when the DAG is parsed, that the run is named in one way.

        :raises InvalidInputError: saying what is missing, or one too many.
        """
        missing = [field for field in self.id_fields if getattr(self, field) is None]
        ids = " and ".join(self.id_fields)
        if self.run_id is None and missing:
            raise InvalidInputError(
                f"name the run by {ids}, or by run_id as operators push it; {' and '.join(missing)} is missing"
            )
        if self.run_id is not None and len(missing) < len(self.id_fields):
            raise InvalidInputError(f"name the run by {ids}, or by run_id, not by both")

    def ref(self) -> RunRef:
        """Return the run to wait for."""
        if self.run_id is not None:
            return self.hook_class().ref_of(self.run_id)
        *others, last = self.id_fields
        whole = getattr(self, last)
        if not isinstance(whole, str) or "/" not in whole:
            return self.named_ref(*(getattr(self, field) for field in self.id_fields))
        ref = self.hook_class().ref_of(whole)
        if any(str(getattr(self, field)).strip() != ref.ids.get(field) for field in others):
            raise InvalidInputError(f"{last} is {whole!r}, which is another run than {' and '.join(others)} say")
        return ref
