"""What Airflow raises in place of a trigger's event, told apart alike on every release."""

from __future__ import annotations

from typing import Literal

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
