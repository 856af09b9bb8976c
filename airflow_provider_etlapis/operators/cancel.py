"""Cancels a run at the end of a task, without ever hiding why the task ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.metrics import Meter

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.base import CancelReport, RemoteRunHook
    from airflow_provider_etlapis.runs.logs import TaskLog
    from airflow_provider_etlapis.runs.model import RunRef

_TIMEOUT = 8.0


def cancel_quietly(hook: RemoteRunHook, ref: RunRef, log: TaskLog) -> CancelReport:
    """Ask for a run's cancellation where the vendor has a call for that; return what came of it, for a message.

    :param hook: the vendor's hook; its connection is not looked up again, and each request takes at most 8 seconds.
    :param log: the task's log.
    """
    from airflow_provider_etlapis.hooks.base import CancelReport

    try:
        with hook.hasty_copy(_TIMEOUT) as hasty:
            can = hasty.capabilities
            if can.cancel:
                report = hasty.cancel_run(ref)
                log.info("Cancelling: %s", report.note)
                if report.asked:
                    Meter(hook.conn_id, ref.vendor).count("cancels")
                return report
    except EtlApiError as error:
        log.warning("Cancelling run %s failed, it may go on: %s", ref.run_id, error)
        return CancelReport(is_maybe_asked(error), f"it failed, run {ref.run_id} may go on: {error}")
    note = f"not possible, run {ref.run_id} goes on. {can.cancel_note}".strip()
    log.warning("Cancelling is %s", note)
    return CancelReport(False, note)


def is_maybe_asked(error: EtlApiError) -> bool:
    """Say whether a cancel that failed may have reached the vendor: then a good end later is not taken for a success.

    A page that something in between has answered with is no answer of the vendor, and was most likely given in its
    place: the run counts as not cancelled.
    """
    return error.may_have_acted and (error.status is None or error.status >= 500)
