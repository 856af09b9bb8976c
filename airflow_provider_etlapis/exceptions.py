"""What a task can fail with, one class per situation. Those that a retry cannot help fail the task at once.

Each class says so by its base: ``AirflowFailException`` ends the task without spending retries.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


class EtlApiError(AirflowException):
    """Base of all errors of this provider."""

    retry_helps = True
    """Whether another try of the task may come out differently with nothing changed by a person."""
    may_have_acted = False
    """Whether the vendor may have done what was asked, although no usable answer came."""
    acts_for = 0.0
    """Seconds for which that may still happen, counted from the error."""
    by_vendor = False
    """Whether the answer behind the error has the vendor's own shape: it is not something in between that speaks."""
    status: int | None = None
    """HTTP status of the answer, if there was one."""
    retry_after: float | None = None
    """Seconds that the vendor asked to wait, if it did."""


class PermanentError(EtlApiError, AirflowFailException):
    """Base of errors that another try cannot help: the task fails at once and keeps its retries."""

    retry_helps = False


class ConnectionSettingsError(PermanentError):
    """The Airflow connection holds something that cannot work; the message names the field and what to change."""


class InvalidInputError(PermanentError, ValueError):
    """An argument of an operator or a hook method is wrong; nothing was sent."""


class NotOfferedError(PermanentError):
    """The vendor's API has no call for what was asked, or none that we know; nothing was sent."""


class CredentialsRejectedError(PermanentError):
    """The vendor refuses the credential of the connection (HTTP 401)."""


class PermissionDeniedError(PermanentError):
    """The credential is known and lacks a right (HTTP 403)."""


class NotFoundError(PermanentError):
    """The vendor knows no such thing, or does not show it to this credential (HTTP 404)."""


class RequestRefusedError(PermanentError):
    """The vendor refuses the request as it is (HTTP 400 and the like)."""


class ConflictError(RequestRefusedError):
    """The thing is in a state that excludes the request (HTTP 409), such as already running."""


class AlreadyRunningError(ConflictError):
    """The vendor refuses a start because the thing runs already; nothing was started."""


class VendorUnavailableError(EtlApiError):
    """The vendor or the way to it fails: no answer, a server fault, a damaged answer.

    :param may_have_acted: whether the vendor may have done what was asked.
    :param status: HTTP status of the answer, if there was one.
    :param retry_after: seconds that the vendor asked to wait.
    """

    def __init__(
        self,
        message: str,
        *,
        may_have_acted: bool = True,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.may_have_acted = may_have_acted
        self.status = status
        self.retry_after = retry_after


class UnrecognizedAnswerError(VendorUnavailableError):
    """An error status in a shape that is not the vendor's own, such as a proxy's 404: nothing is known by it."""


class RateLimitedError(VendorUnavailableError):
    """The vendor's rate limit is used up (HTTP 429); nothing was done."""


class RemoteRunError(EtlApiError):
    """Base of errors about one run.

    :param manifest: what is known about the run, as plain JSON.
    """

    def __init__(self, message: str, manifest: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.manifest = manifest or {}


class RemoteRunFailedError(RemoteRunError):
    """The run ended badly; a retry of the task starts a new one."""


class RemoteRunCancelledError(RemoteRunFailedError):
    """The run was cancelled on the vendor's side; a retry of the task starts a new one."""


class RemoteRunTimeoutError(RemoteRunError):
    """The run had not ended by the deadline of the wait."""


class RemoteRunGoneError(RemoteRunError):
    """The vendor does not know the run."""


class PollingGaveUpError(RemoteRunError):
    """The vendor could not be asked for longer than the stated budget; a retry follows the run again."""


class TaskEndedError(EtlApiError):
    """Airflow has ended the task on its worker; the task's log says what became of its run."""


class StartLostError(PermanentError):
    """A start request got no usable response, and it is unknown whether it started a run; a person has to check."""


class TaskStateUnavailableError(EtlApiError):
    """What an earlier try left cannot be read, so nothing was started; a retry of the task tries again."""


class SensedRunFailedError(RemoteRunFailedError, PermanentError):
    """The run that a sensor waits for ended badly; another try of the sensor would find the same."""

    retry_helps = False
