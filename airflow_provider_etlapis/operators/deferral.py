"""What Airflow does in place of a trigger's event, told apart alike on every release."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, get_current_context

if TYPE_CHECKING:
    from airflow.sdk import Context

NoEvent = Literal["timeout", "failure"]


def why_no_event(error: BaseException) -> NoEvent | None:
    """Say why a deferred task is taken up without an event, ``None`` if the error is about something else.

    Airflow 3 has a class for the deferral whose time is up; Airflow 2 has one class for both, and says it in words.

    :param error: what ``resume_execution`` of Airflow's own base class raised.
    """
    name = type(error).__name__
    if name == "TaskDeferralTimeout":
        return "timeout"
    if name == "TaskDeferralError":
        return "timeout" if "timeout" in str(error) else "failure"
    return None


def is_timed_out() -> bool:
    """Say whether Airflow calls ``on_kill`` because ``execution_timeout`` has passed, and not for a person."""
    return isinstance(sys.exc_info()[1], AirflowTaskTimeout)


def ended_before_resuming() -> Context | None:
    """Return the context of a deferred task that Airflow 2 ends before it calls any code of ours, else ``None``.

    It counts ``execution_timeout`` from the start of the try: a task that is taken up later than that fails at once,
    and is told by ``on_kill`` only.
    """
    try:
        context = get_current_context()
    except Exception:  # noqa: BLE001 Airflow 2 and 3 have a class each for a task that is not being executed
        return None
    return context if getattr(context["ti"], "next_method", None) else None
