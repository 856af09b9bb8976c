"""What can go wrong on the wire, one class per situation; each knows whether the same request may work later."""

from __future__ import annotations

import errno

REFUSED_CONNECTION = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH})
"""Why a connection cannot be made while a server restarts."""


class WireError(Exception):
    """Base of everything that a request can end in, other than an answer.

    :param message: what happened, redacted, ready for a log.
    :param sent: whether the request may have reached the server. ``False`` only where it surely did not.
    :param status: HTTP status code of the answer, if there was one.
    :param retry_after: seconds that the server asked to wait, if it did.
    :param by_vendor: whether the answer has the vendor's own shape, so that it is the vendor's word and not that of
        something in between.
    :param timed_out: whether the time for an answer ran out, so that the request may still be under way.
    """

    transient = False
    """Whether the same request may well succeed a little later, with nothing changed."""

    def __init__(
        self,
        message: str,
        *,
        sent: bool = True,
        status: int | None = None,
        retry_after: float | None = None,
        by_vendor: bool = False,
        timed_out: bool = False,
    ) -> None:
        super().__init__(message)
        self.sent = sent
        self.status = status
        self.retry_after = retry_after
        self.by_vendor = by_vendor
        self.timed_out = timed_out

    @property
    def is_odd(self) -> bool:
        """Whether it is a status that is not in the vendor's own words: something in between may have made it up."""
        return False


class UnreachableError(WireError):
    """No whole answer came: connection refused or reset, name not found, TLS failure, timeout."""

    transient = True
    refused = False
    """Whether nobody listens there at the moment, as while a server restarts: the address itself may be right."""


class OutOfTimeError(WireError):
    """The time that the caller has left does not suffice for the next step; nothing was sent for it."""

    transient = True


class SettingsError(WireError):
    """A setting of the connection, or of this machine's environment, cannot work; nothing was sent.

    :param message: names the setting and what to write instead.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=False)


class MalformedAnswerError(WireError):
    """An answer with a good status that is not what the API promises: HTML, half a JSON body, nothing at all."""

    transient = True


class AnswerTooLargeError(WireError):
    """An answer that is larger than the connection allows; asking again would bring the same."""


class StatusError(WireError):
    """The server answered with a status that is not a success."""

    @property
    def is_odd(self) -> bool:
        """Whether it is not in the vendor's own words, and not one that is tried again anyway."""
        return not self.by_vendor and not self.transient


class BadRequestError(StatusError):
    """4xx without a class of its own (400, 405, 415, 422...): the request itself is at fault."""


class UnauthorizedError(StatusError):
    """401: the credential is missing, wrong or expired."""


class ForbiddenError(StatusError):
    """403: the credential is known and lacks the right."""


class NotFoundError(StatusError):
    """404 or 410: no such thing, or not visible to this credential."""


class ConflictError(StatusError):
    """409: the thing is in a state that excludes the request, such as already running."""


class RateLimitedError(StatusError):
    """429: too many requests; refused before anything was done."""

    transient = True


class ServerFaultError(StatusError):
    """5xx, or a status that the vendor uses like one: it or a proxy failed; what was asked may have been done."""

    transient = True


class RedirectedError(StatusError):
    """3xx: redirects are not followed, because the credential headers would go along."""


_BY_STATUS: dict[int, type[StatusError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    429: RateLimitedError,
}


def status_error_class(status: int) -> type[StatusError]:
    """Return the class for an HTTP status that is not a success."""
    if 300 <= status < 400:
        return RedirectedError
    if status >= 500:
        return ServerFaultError
    return _BY_STATUS.get(status, BadRequestError)
