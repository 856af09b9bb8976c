"""A deferral: what is handed to the trigger, what comes back, and what Airflow does in place of an event."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, get_current_context

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.runs.waiting import DEFAULT_PATIENCE

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_etlapis.triggers.run import RemoteRunTrigger

_BACKSTOP = timedelta(minutes=1)
"""How much later than the deadline the framework ends a deferral: its timeout is for when no triggerer is alive."""

NoEvent = Literal["timeout", "failure"]


@dataclass(frozen=True, slots=True)
class Deferral:
    """One deferred wait, in the one form in which operators and sensors hand it to a trigger.

    :param hook: dotted path of the vendor's hook class.
    :param deadline: seconds since the epoch, ``None`` for none.
    :param limit: the parameter that sets it, for messages.
    :param seen_well: whether the credential has just been answered about the run.
    """

    hook: str
    conn_id: str
    ref: RunRef
    poll_interval: float
    deadline: float | None
    limit: str = ""
    poll_failure_budget: float = DEFAULT_PATIENCE
    cancel_on_kill: bool = True
    started_by_us: bool = False
    poll_individually: bool = False
    with_log: bool = False
    seen_well: bool = False

    def trigger(self) -> RemoteRunTrigger:
        """Return the trigger; its arguments keep the names that rows of earlier releases have."""
        from airflow_provider_etlapis.triggers.run import RemoteRunTrigger, handed_over

        return RemoteRunTrigger(
            hook=self.hook,
            conn_id=self.conn_id,
            ref=self.ref.to_json(),
            poll_interval=self.poll_interval,
            deadline=self.deadline,
            limit=self.limit,
            patience=self.poll_failure_budget,
            cancel_on_kill=self.cancel_on_kill,
            owned=self.started_by_us,
            singly=self.poll_individually,
            with_log=self.with_log,
            seen_well=self.seen_well,
            not_before=handed_over(),
        )

    @property
    def timeout(self) -> timedelta | None:
        """The framework's own timeout."""
        if self.deadline is None:
            return None
        return timedelta(seconds=max(0.0, self.deadline - time.time())) + _BACKSTOP


@dataclass(frozen=True, slots=True)
class TriggerOutcome:
    """What a trigger's event says about the end of a wait.

    :param verdict: a :class:`~airflow_provider_etlapis.runs.waiting.Verdict`, or a word of another release.
    :param state: the state in which the trigger saw the run end.
    """

    ref: RunRef
    verdict: str
    message: str
    started_by_us: bool
    deadline: float | None
    limit: str
    state: str | None


def read_event(event: Mapping[str, Any] | None) -> TriggerOutcome:
    """Read a trigger's event, of this release or an earlier one.

    :raises EtlApiError: if it is none.
    """
    if not event or "status" not in event or "ref" not in event:
        raise EtlApiError(f"The trigger sent no usable event: {event!r}")
    return TriggerOutcome(
        ref=RunRef.from_json(event["ref"]),
        verdict=str(event["status"]),
        message=str(event.get("message", "")),
        started_by_us=bool(event.get("owned", True)),
        deadline=event.get("deadline"),
        limit=str(event.get("limit") or ""),
        state=event.get("state"),
    )


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
