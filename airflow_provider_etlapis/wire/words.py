"""The words of errors: what a server says in an error answer, and what there is no time left for."""

from __future__ import annotations

import math
from collections.abc import Collection

from airflow_provider_etlapis.wire import deadline
from airflow_provider_etlapis.wire.call import Response
from airflow_provider_etlapis.wire.errors import OutOfTimeError, ServerFaultError, WireError, status_error_class
from airflow_provider_etlapis.wire.policy import retry_after_seconds
from airflow_provider_etlapis.wire.redact import Redactor

LONGEST_WORDS = 1_000
"""Characters of a server's own words that an error quotes."""
_MOST_WORDS = 20


def out_of_time(what: str) -> OutOfTimeError:
    """Return the error for a step that the caller has no time left for.

    :param what: what is not done, as it follows "not enough time left to".
    """
    left = deadline.left()
    told = f"{max(0.0, left):.1f} s" if math.isfinite(left) else "nothing"
    return OutOfTimeError(f"Not enough time left ({told}) to {what}", sent=False, timed_out=True)


def status_error(
    what: str, response: Response, redact: Redactor, now: float, passing: Collection[int] = ()
) -> WireError:
    """Return the error for an answer with a status that is not a success, with the server's own words.

    :param passing: statuses that this vendor uses for passing faults: a fault of the server, whatever the status.
    """
    location = response.headers.get("location")
    hint = ""
    if location and 300 <= response.status < 400:
        hint = f" (redirects are not followed; it points to {redact(location, 200)}: is the base URL right?)"
    error_class = ServerFaultError if response.status in passing else status_error_class(response.status)
    return error_class(
        f"{what}: HTTP {response.status}: "
        f"{redact(server_words(response), LONGEST_WORDS) or redact.excerpt(response.body)}{hint}",
        status=response.status,
        retry_after=retry_after_seconds(response.headers.get("retry-after"), now),
        by_vendor=response.by_vendor,
    )


def server_words(response: Response) -> str:
    """Return the error text of a JSON error body in any of the usual shapes, empty if there is none.

    It is long enough for a secret in it to be whole: redaction cuts it where it is shown.
    """
    try:
        body = response.json()
    except WireError:
        return ""
    if not isinstance(body, dict):
        return ""
    words: list[str] = []
    for key in ("error", "message", "detail", "errors"):
        value = body.get(key)
        for text in value[:_MOST_WORDS] if isinstance(value, list) else [value]:
            if isinstance(text, str) and text and text not in words:
                words.append(text)
    return "; ".join(words)[: 20 * LONGEST_WORDS]
