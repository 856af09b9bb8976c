"""How WebRobot's runs are stopped: by their task, as documented, else by calls of a later description of its API."""

from __future__ import annotations

from typing import Any

from airflow_provider_etlapis.exceptions import (
    ConflictError,
    EtlApiError,
    NotFoundError,
    RequestRefusedError,
    UnrecognizedAnswerError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.base import CancelReport
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.webrobot.read import WebRobotReads
from airflow_provider_etlapis.hooks.webrobot.runs import task_name, task_of
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef

_LATER = "(not in the vendor's reference)"


class WebRobotStops(WebRobotReads):
    """Stops of runs."""

    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        """Stop a run that has not ended: by a stop of its task, as documented.

        Where the task of an execution is not known or refuses to stop, the execution is deleted; where only the job is
        known, the job is stopped. Both calls are from a later description of the API. A stop that WebRobot refuses,
        or that gets no answer of its own, is reported as not asked for: the run may go on to a good end.

        :raises VendorUnavailableError: if a stop got no answer, or a server's fault as its answer.
        """
        return (yield from self.cancel_seen.plan((yield from self.read_run.plan(ref))))

    @endpoint
    def cancel_seen(self, run: RemoteRun) -> Program[CancelReport]:
        """Stop a run that was just read, unless it has ended; as :meth:`cancel_run`."""
        ref = run.ref
        if run.state.is_terminal:
            return CancelReport(False, f"run {ref.run_id} had ended already: {run.vendor_status}")
        if "execution_id" in ref.ids:
            return (yield from self._stop_execution(ref))
        by_task = "task_id" in ref.ids
        why_not = yield from _refusal(self.stop_task.plan(**ref.ids) if by_task else self.stop_job.plan(**ref.ids))
        if by_task and isinstance(why_not, ConflictError):
            return CancelReport(False, f"{task_name(ref.ids)} is not running")
        return _report(
            ref, why_not, f". {self.capabilities.cancel_note}" if by_task else f" by a stop of its job {_LATER}"
        )

    def _stop_execution(self, ref: RunRef) -> Program[CancelReport]:
        task_id = task_of(ref.ids["execution_id"], (yield from self._tasks_of(ref.ids)))
        if task_id is not None:
            why_not = yield from _refusal(self.stop_task.plan(ref.ids["project_id"], ref.ids["job_id"], task_id))
            if why_not is None or isinstance(why_not, VendorUnavailableError):
                return _report(ref, why_not, f" by a stop of task {task_id}. {self.capabilities.cancel_note}")
            self.log.info("Task %s of run %s was not stopped: %s. Deleting the execution", task_id, ref.run_id, why_not)
        why_not = yield from _refusal(self.cancel_execution.plan(**ref.ids))
        return _report(ref, why_not, f" by deleting the execution {_LATER}")


def _refusal(stop: Program[Any]) -> Program[EtlApiError | None]:
    """Make a stop call and return why it was not accepted, ``None`` if it was.

    :raises VendorUnavailableError: if it got no answer, or a fault of the server: it may have been accepted.
    """
    try:
        yield from stop
    except (NotFoundError, RequestRefusedError) as error:
        return error
    except VendorUnavailableError as error:
        has_good_status = error.status is not None and 200 <= error.status < 300
        if has_good_status or isinstance(error, UnrecognizedAnswerError):
            return error
        raise
    return None


def _report(ref: RunRef, why_not: EtlApiError | None, how: str) -> CancelReport:
    if why_not is None:
        return CancelReport(True, f"asked to stop run {ref.run_id}{how}")
    if isinstance(why_not, VendorUnavailableError):
        note = f"the stop of run {ref.run_id} got no usable answer, it may go on: {why_not}"
        return CancelReport(False, note, try_again=True)
    return CancelReport(False, f"run {ref.run_id} could not be stopped, it may go on: {why_not}")
