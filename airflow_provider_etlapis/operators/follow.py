"""The one loop that polls a run and waits: for operators and sensors on a worker, the cancel operator and the shell.

What each poll means is decided in :mod:`~airflow_provider_etlapis.runs.waiting`, which the trigger feeds as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_etlapis.exceptions import (
    EtlApiError,
    PollingGaveUpError,
    RemoteRunError,
    RemoteRunGoneError,
    RequestRefusedError,
    TaskEndedError,
)
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef
from airflow_provider_etlapis.runs.waiting import Outcome, Verdict, Wait

if TYPE_CHECKING:
    from airflow_provider_etlapis.runs.logs import TaskLog

Poll = Callable[[RunRef], RemoteRun]
Pause = Callable[[float], object]

_NOTICED_WITHIN = 1.0


class TaskPause:
    """Pauses a task on its worker until its time is over, or until Airflow ends the task.

    A signal handler must not raise into the code that it has interrupted, and takes no lock: it sets a mark, which the
    pause sees within a second.
    """

    def __init__(self) -> None:
        self._task_ended = False

    def end_task(self) -> None:
        """End this pause and all that come after it."""
        self._task_ended = True

    def __call__(self, seconds: float) -> None:
        """Pause.

        :param seconds: how long; 0 only looks whether the task goes on.
        :raises TaskEndedError: if Airflow has ended the task.
        """
        while True:
            if self._task_ended:
                raise TaskEndedError("Airflow has ended this task on its worker; see above what became of its run")
            if seconds <= 0:
                return
            time.sleep(min(seconds, _NOTICED_WITHIN))
            seconds -= _NOTICED_WITHIN


def poll_once(wait: Wait, poll: Poll, log: TaskLog) -> Outcome:
    """Poll once for a wait, and log what is new.

    :param poll: reads the run; an ``EtlApiError`` is a poll that failed.
    """
    from airflow_provider_etlapis.hooks.errors import trouble_of

    try:
        outcome = wait.on_run(poll(wait.ref), time.time())
    except EtlApiError as error:
        outcome = wait.on_trouble(trouble_of(error), time.time())
    for line in outcome.news:
        log.info(line)
    for line in outcome.warnings:
        log.warning(line)
    return outcome


def follow(
    wait: Wait,
    poll: Poll,
    log: TaskLog,
    *,
    interval: float,
    after_poll: Callable[[], object] = lambda: None,
    only_first_answer: bool = False,
    pause: Pause | None = None,
) -> Outcome:
    """Poll until the wait is over.

    :param interval: seconds between two polls; never beyond the deadline.
    :param after_poll: called after each poll, such as for the run's log.
    :param only_first_answer: return as soon as the vendor has said anything about the run.
    :param pause: waits between two polls. Default: ``time.sleep``.
    """
    while True:
        outcome = poll_once(wait, poll, log)
        after_poll()
        if outcome.verdict is not Verdict.GO_ON or (only_first_answer and wait.last is not None):
            return outcome
        left = wait.seconds_left(time.time())
        (pause or time.sleep)(interval if left is None else max(0.0, min(interval, left)))


def not_ended(verdict: str, message: str, ref: RunRef) -> RemoteRunError | RequestRefusedError:
    """Return the error for a wait that ended before its run did, other than by its deadline."""
    known = {"run_id": ref.run_id, "vendor": ref.vendor}
    if verdict == Verdict.GAVE_UP:
        return PollingGaveUpError(message, known)
    if verdict == Verdict.GONE:
        return RemoteRunGoneError(message, known)
    return RequestRefusedError(message)
