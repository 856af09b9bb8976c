"""One judge for workers, resumed tasks and sensors: what the end of a wait means for the task."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_etlapis.exceptions import (
    PollingGaveUpError,
    RemoteRunCancelledError,
    RemoteRunError,
    RemoteRunFailedError,
    RemoteRunGoneError,
    RequestRefusedError,
)
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.waiting import Verdict


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
        parts[0] += f": {run.error}"
    if log_tail:
        parts.append("Last lines of its log:\n" + "\n".join(log_tail))
    if run.url:
        parts.append(f"See {run.url}")
    cancelled = run.state is RunState.CANCELLED
    return (RemoteRunCancelledError if cancelled else RemoteRunFailedError)("\n".join(parts), run.manifest())


def not_ended(verdict: str, message: str, ref: RunRef) -> RemoteRunError | RequestRefusedError:
    """Return the error for a wait that ended before its run did, other than by its deadline."""
    known = {"run_id": ref.run_id, "vendor": ref.vendor}
    if verdict == Verdict.GAVE_UP:
        return PollingGaveUpError(message, known)
    if verdict == Verdict.GONE:
        return RemoteRunGoneError(message, known)
    return RequestRefusedError(message)
