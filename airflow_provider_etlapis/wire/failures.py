"""Why no answer came, in words for the person who can mend it: the same for both clients."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from airflow_provider_etlapis.wire.redact import Redactor

_LONGEST_CAUSE = 300
_MOST_CAUSES = 20
_LINKS = ("reason", "os_error", "original_error", "certificate_error", "__cause__", "__context__")
"""Where requests, urllib3, aiohttp and Python keep what a failure came from."""
_NO_WAY = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
_PROXY_FAILURES = frozenset({"ProxyError", "ClientProxyConnectionError", "ClientHttpProxyError"})
_HUNG_UP = frozenset({"RemoteDisconnected", "ServerDisconnectedError", "ClientConnectionResetError"})
_NO_HTTP = frozenset({"BadStatusLine", "BadHttpMessage", "InvalidHeader", "BadHttpMethod", "LineTooLong"})


def cause_of(error: Exception, url: str, proxy: str | None, redact: Redactor) -> str:
    """Say why a request got no answer, and what to change where a setting may be at fault.

    :param url: of the request.
    :param proxy: URL of the proxy that it went by.
    """
    causes = list(_causes(error))
    if any(type(cause).__name__ in _PROXY_FAILURES for cause in causes):
        place = redact(_place(proxy or ""), _LONGEST_CAUSE)
        return (
            f"the proxy {place} lets nothing through ({_refusal(causes, place, redact)}); check the proxy and its login"
        )
    place = redact(_place(url), _LONGEST_CAUSE)
    for cause in causes:
        words = _words(cause, url.partition(":")[0], place)
        if words:
            return words
    return f"{type(error).__name__}: {redact(str(error), _LONGEST_CAUSE)}"


def _place(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:  # brackets without an end
        return url.rpartition("@")[2]


def _words(cause: BaseException, scheme: str, place: str) -> str:
    number = getattr(cause, "errno", None)
    names = {each.__name__ for each in type(cause).__mro__}
    if isinstance(cause, socket.gaierror):
        return f"the name in {place} cannot be looked up; check the connection's host, and this machine's DNS"
    if type(cause).__module__ == "ssl":  # aiohttp's own only claim to be one, and lack its attributes
        return _tls_words(cause, place)
    if number == errno.ECONNREFUSED:
        return f"Connection refused: nobody listens at {place}; check host and port, and whether the server runs"
    if number in _NO_WAY:
        return f"there is no way to {place} from this machine; check its network, VPN and firewall"
    if names & _HUNG_UP or number in {errno.ECONNRESET, errno.EPIPE}:
        return f"{place} has closed the connection without an answer"
    if names & _NO_HTTP:
        hint = "; if it speaks TLS, write https:// before the host" if scheme == "http" else ""
        return f"what answers at {place} is not HTTP{hint}"
    return ""


def _tls_words(cause: BaseException, place: str) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {place} is refused ({cause.verify_message}); where it is right, name its authority in "
            "the extra 'ca_file'"
        )
    reason = str(getattr(cause, "reason", None) or cause).replace("_", " ").lower()
    if "wrong version number" in reason or "record layer failure" in reason or "http request" in reason:
        return f"{place} does not speak TLS; write http:// before the host, or the port at which it does"
    if "certificate required" in reason or "handshake failure" in reason:
        return f"{place} refuses the TLS handshake ({reason}); it may ask for the extra 'client_certificate'"
    return f"TLS with {place} failed: {reason}"


def _refusal(causes: list[BaseException], place: str, redact: Redactor) -> str:
    for cause in causes:
        if type(cause).__module__ == "ssl":
            return _tls_words(cause, place)
        status, message = getattr(cause, "status", None), getattr(cause, "message", "")
        if isinstance(status, int):
            return redact(f"{status} {message}", _LONGEST_CAUSE)
    refusal = next((cause for cause in causes if getattr(cause, "errno", None) is not None), causes[-1])
    number = getattr(refusal, "errno", None)
    return os.strerror(number) if isinstance(number, int) else redact(str(refusal), _LONGEST_CAUSE)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that it came from, outermost first, each once."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_CAUSES:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        found = [getattr(cause, link, None) for link in _LINKS]
        waiting += [each for each in (*found, *cause.args) if isinstance(each, BaseException)]
