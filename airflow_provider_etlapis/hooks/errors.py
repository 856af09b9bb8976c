"""Turns errors of the wire into errors of a task, and these into what they mean for a wait."""

from __future__ import annotations

from airflow_provider_etlapis import exceptions
from airflow_provider_etlapis.runs.model import Trouble, TroubleKind
from airflow_provider_etlapis.wire import errors

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
    """Return the error that a task or a user of a hook sees."""
    for wire_class, (task_class, hint) in _HINTS.items():
        if isinstance(error, wire_class):
            told = hint.format(conn_id=conn_id)
            return task_class(f"{error} ({told})" if told else str(error))
    unavailable = (
        exceptions.RateLimitedError if isinstance(error, errors.RateLimitedError) else exceptions.VendorUnavailableError
    )
    acted = error.sent and not isinstance(error, errors.RateLimitedError)
    return unavailable(str(error), may_have_acted=acted, status=error.status, retry_after=error.retry_after)


def trouble_of(error: exceptions.EtlApiError) -> Trouble:
    """Return what a failed look means for a wait."""
    if isinstance(error, exceptions.NotFoundError):
        kind = TroubleKind.MISSING
    elif isinstance(error, exceptions.CredentialsRejectedError | exceptions.PermissionDeniedError):
        kind = TroubleKind.CREDENTIAL
    else:
        kind = TroubleKind.PASSING if error.retry_helps else TroubleKind.WRONG
    return Trouble(kind, str(error))
