"""Turns errors of the wire into errors of a task, and these into what they mean for a wait."""

from __future__ import annotations

from airflow_provider_etlapis import exceptions
from airflow_provider_etlapis.runs.evidence import FailedCall, judge_call
from airflow_provider_etlapis.runs.model import Trouble, TroubleKind
from airflow_provider_etlapis.wire import errors

_ONLY_BY_VENDOR = (errors.NotFoundError, errors.ConflictError, errors.BadRequestError)
"""What only the vendor can say: about its things and their state."""

_NOT_SENT = (exceptions.InvalidInputError, exceptions.NotOfferedError, exceptions.ConnectionSettingsError)

_HINTS: dict[type[errors.WireError], tuple[type[exceptions.EtlApiError], str]] = {
    errors.UnauthorizedError: (
        exceptions.CredentialsRejectedError,
        "the credential of connection {conn_id!r} is refused; check its login, password or key",
    ),
    errors.ForbiddenError: (
        exceptions.PermissionDeniedError,
        "the credential of connection {conn_id!r} lacks a right for this",
    ),
    errors.NotFoundError: (
        exceptions.NotFoundError,
        "not there, or not visible to the credential of connection {conn_id!r}; check the id and the base URL",
    ),
    errors.ConflictError: (exceptions.ConflictError, ""),
    errors.BadRequestError: (exceptions.RequestRefusedError, ""),
    errors.RedirectedError: (exceptions.ConnectionSettingsError, "check the base URL of connection {conn_id!r}"),
}


def task_error(error: errors.WireError, conn_id: str) -> exceptions.EtlApiError:
    """Return the error that a task or a user of a hook sees.

    An error status in a shape that is not the vendor's own says nothing about the thing that was asked for: it may
    come from a proxy, a sign-on page or a wrong address.
    """
    proof = judge_call(FailedCall(error.sent, error.by_vendor, error.status, error.timed_out))
    made = _made(error, conn_id)
    made.by_vendor = error.by_vendor
    made.status = error.status
    made.retry_after = error.retry_after
    made.may_have_acted = proof.may_have_acted
    made.acts_for = proof.acts_for
    return made


def _made(error: errors.WireError, conn_id: str) -> exceptions.EtlApiError:
    if isinstance(error, errors.SettingsError):
        return exceptions.ConnectionSettingsError(f"Connection {conn_id!r}: {error}")
    if isinstance(error, errors.RateLimitedError):
        return exceptions.RateLimitedError(str(error))
    if isinstance(error, _ONLY_BY_VENDOR) and error.status is not None and not error.by_vendor:
        return exceptions.UnrecognizedAnswerError(
            f"{error} (this is not the vendor's own error: a proxy, a sign-on page or another server may have "
            f"answered; check the address of connection {conn_id!r} if it stays so)"
        )
    for wire_class, (task_class, hint) in _HINTS.items():
        if isinstance(error, wire_class):
            told = hint.format(conn_id=conn_id)
            return task_class(f"{error} ({told})" if told else str(error))
    where = f" (connection {conn_id!r})" if isinstance(error, errors.UnreachableError) else ""
    return exceptions.VendorUnavailableError(f"{error}{where}")


def trouble_of(error: exceptions.EtlApiError) -> Trouble:
    """Return what a failed look means for a wait."""
    if isinstance(error, exceptions.UnrecognizedAnswerError):
        kind = TroubleKind.UNRECOGNIZED
    elif isinstance(error, exceptions.NotFoundError):
        kind = TroubleKind.MISSING
    elif isinstance(error, exceptions.CredentialsRejectedError | exceptions.PermissionDeniedError):
        kind = TroubleKind.CREDENTIAL
    elif error.retry_helps:
        kind = TroubleKind.PASSING
    else:
        was_not_sent = error.status is None and isinstance(error, _NOT_SENT)
        kind = TroubleKind.WRONG if was_not_sent else TroubleKind.REFUSED
    return Trouble(kind, str(error), is_confirmed=error.by_vendor or error.status is None)
