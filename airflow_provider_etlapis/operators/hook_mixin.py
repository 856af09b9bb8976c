"""Gives operators and sensors the hook of their connection, and one way to poll a run through it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_etlapis.exceptions import CredentialsRejectedError, EtlApiError, PermissionDeniedError
from airflow_provider_etlapis.faces import public_path

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.base import RemoteRunHook
    from airflow_provider_etlapis.runs.logs import TaskLog
    from airflow_provider_etlapis.runs.model import RemoteRun, RunRef


class HookMixin:
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

    @classmethod
    def hook_path(cls) -> str:
        """Return the dotted path of the hook class, for the trigger."""
        return public_path(cls.hook_class())

    @property
    def hook(self) -> RemoteRunHook:
        """The vendor's hook."""
        if self._hook is None:
            self._hook = self.hook_class()(getattr(self, self.conn_id_field))
        return self._hook

    def poll(self, ref: RunRef) -> RemoteRun:
        """Poll a run; if the credential is refused, read the connection again and poll once more.

        So a password that is changed while a worker waits does not end the wait, as in a triggerer.

        :raises EtlApiError: if the poll fails.
        """
        try:
            return self.hook.look(ref)
        except (CredentialsRejectedError, PermissionDeniedError):
            self.hook.close()
            return self.hook.look(ref)


def completed(hook: RemoteRunHook, run: RemoteRun, log: TaskLog) -> RemoteRun:
    """Return a run that has ended with further facts of its vendor; how it ended is known, whatever fails here.

    :param hook: the vendor's hook.
    :param run: the run as a wait saw it.
    :param log: the task's log.
    """
    try:
        return hook.complete_run(run)
    except EtlApiError as error:
        log.warning("Some facts about run %s could not be read: %s", run.ref.run_id, error)
        return run
