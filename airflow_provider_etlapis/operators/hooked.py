"""How operators and sensors come by their vendor's hook, and look at runs through it."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_etlapis.exceptions import CredentialsRejectedError, EtlApiError, PermissionDeniedError
from airflow_provider_etlapis.runs.waiting import Outcome, Verdict, Wait

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.base import RemoteRunHook
    from airflow_provider_etlapis.runs.logs import TaskLog
    from airflow_provider_etlapis.runs.model import RemoteRun, RunRef


class UsesHook:
    """Gives a task the hook of its connection, made on first use: never when DAGs are parsed."""

    if TYPE_CHECKING:

        @property
        def log(self) -> Any:
            """The task's log."""

    conn_id_field: ClassVar[str]
    """Name of the attribute that holds the connection's id."""

    _hook: RemoteRunHook | None = None

    @classmethod
    @abstractmethod
    def hook_class(cls) -> type[RemoteRunHook]:
        """Return the vendor's hook class; imported here, because importing it takes the HTTP libraries."""

    @property
    def hook(self) -> RemoteRunHook:
        """The vendor's hook."""
        if self._hook is None:
            self._hook = self.hook_class()(getattr(self, self.conn_id_field))
        return self._hook

    def look_at(self, ref: RunRef) -> RemoteRun:
        """Look at a run; if the credential is refused, read the connection anew and look once more, as a watcher does.

        So a password that is changed while a worker waits ends no wait, alike on the worker and deferred.

        :raises EtlApiError: if the look fails.
        """
        try:
            return self.hook.look(ref)
        except (CredentialsRejectedError, PermissionDeniedError):
            self.hook.close()
            return self.hook.look(ref)

    def look(self, wait: Wait) -> Outcome:
        """Look once for a wait, and write what is new to the task's log."""
        from airflow_provider_etlapis.hooks.errors import trouble_of

        try:
            outcome = wait.on_run(self.look_at(wait.ref), time.time())
        except EtlApiError as error:
            outcome = wait.on_trouble(trouble_of(error), time.time())
        for line in outcome.news:
            self.log.info(line)
        for line in outcome.warnings:
            self.log.warning(line)
        return outcome

    def wait_out(self, wait: Wait, interval: float, after_look: Callable[[], object] = lambda: None) -> Outcome:
        """Look for a wait, on the worker, until it is over.

        :param interval: seconds between two looks.
        :param after_look: called after each look.
        """
        while True:
            outcome = self.look(wait)
            after_look()
            if outcome.verdict is not Verdict.GO_ON:
                return outcome
            left = wait.seconds_left(time.time())
            time.sleep(interval if left is None else max(0.0, min(interval, left)))

    @classmethod
    def hook_path(cls) -> str:
        """Return the dotted path of the hook class, for the trigger."""
        found = cls.hook_class()
        return f"{found.__module__}.{found.__qualname__}"


def completed(hook: RemoteRunHook, run: RemoteRun, log: TaskLog) -> RemoteRun:
    """Return an ended run with all that its vendor tells; how it ended is known, so a failure to read more is not one.

    :param hook: the vendor's hook.
    :param run: the run as a wait saw it.
    :param log: the task's log.
    """
    try:
        return hook.complete_run(run)
    except EtlApiError as error:
        log.warning("Some facts about run %s could not be read: %s", run.ref.run_id, error)
        return run
