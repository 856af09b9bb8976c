"""What Etlworks answers: the parsers of its JSON, its own errors, and how a record becomes a run.

Marks in docstrings: (a) the vendor's REST quickstart, (b) its other public pages, (c) not documented, assumed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from airflow_provider_etlapis.connection_forms import ETLWORKS
from airflow_provider_etlapis.hooks.etlworks.shapes import Flow, FlowAuditRecord, FlowExecutionResponse, ReportedFlow
from airflow_provider_etlapis.hooks.values import moment, moment_of_millis
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.wire.call import Call, Page, Query, Response, json_array, json_object
from airflow_provider_etlapis.wire.errors import BadRequestError, MalformedAnswerError, ServerFaultError
from airflow_provider_etlapis.wire.exchange import server_words

VENDOR = ETLWORKS.conn_type
PASSING = frozenset({500})
"""Statuses beyond the usual ones after which the vendor asks to repeat a read (a)."""

_STATES = {
    "queued": RunState.QUEUED,
    "running": RunState.RUNNING,
    "success": RunState.SUCCEEDED,
    "warning": RunState.WARNING,
    "error": RunState.FAILED,
    "canceled": RunState.CANCELLED,
    "cancelled": RunState.CANCELLED,  # (c)
}

# (c): only the reporting API names these; the record of a run has them under one of the names, or not at all.
STARTED = ("started", "startTime", "startedAt", "start")
_ENDED = ("ended", "endTime", "endedAt", "finished", "end")
_ERROR_TEXTS = ("exception", "error", "errorMessage", "message")
_DETAILS = ("parentAuditId", "retries", "eventId", "eventName", "messageId", "user", "records")
_MOST_DIGITS = 18
_LONGEST_NAME = 300
_LONGEST_ERROR = 2000

_OFFSET = re.compile(r":\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)$", re.IGNORECASE)

# What the vendor calls a start that it does not make: executions are suspended (b), or too many go on (c).
_NOT_BEGUN = re.compile(
    r"suspended|(?:too many|maximum number of) (?:\w+ ){0,3}?(?:executions|flows|runs|instances|jobs|tasks)",
    re.IGNORECASE,
)


def an_object(response: Response) -> dict[str, Any]:
    """Parse an answer that must be a JSON object.

    :raises BadRequestError: if it says ``success: false``, as some endpoints do with status 200 (a).
    """
    return _unless_failed(json_object(response), response, BadRequestError)


def an_array(response: Response) -> list[dict[str, Any]]:
    """Parse an answer that must be a JSON array of objects; an object that says ``success: false`` is an error."""
    value = response.json()
    if isinstance(value, dict):
        _unless_failed(value, response, BadRequestError)
    return json_array(response)


def flows(response: Response) -> list[Flow]:
    """Parse a list of flows; each must have ``id`` and ``name``, nothing else is taken for granted."""
    rows = an_array(response)
    for row in rows:
        _flow(row, response)
    return cast("list[Flow]", rows)


def flow(response: Response) -> Flow:
    """Parse one flow."""
    return _flow(an_object(response), response)


def execution_response(response: Response) -> FlowExecutionResponse:
    """Parse the answer to a start: ``status`` must be a whole number, 0 is the good one."""
    value = an_object(response)
    code = whole(value.get("status"))
    if code is None:
        raise MalformedAnswerError("the answer to the start has no whole number as status", status=response.status)
    return cast("FlowExecutionResponse", {**value, "status": code})


def record(response: Response) -> FlowAuditRecord:
    """Parse the record of a run: ``status`` must be a word.

    ``success: false`` says nothing about the run, so it counts as a fault that may pass.
    """
    value = _unless_failed(json_object(response), response, ServerFaultError)
    if not isinstance(value.get("status"), str):
        raise MalformedAnswerError("the record of the run has no word as status", status=response.status)
    return cast("FlowAuditRecord", value)


def present_record(response: Response) -> FlowAuditRecord:
    """Parse the record of a flow's present or latest run.

    A flow that has never run may be answered by a record without a status and without an id, (c). Anything else
    without a word as status says nothing.
    """
    value = json_object(response)
    is_bare = value.get("status") is None and value.get("auditId") is None
    if is_bare and value.keys() <= FlowAuditRecord.__annotations__.keys():
        return cast("FlowAuditRecord", {**value, "status": None})
    return record(response)


def is_own_error(response: Response) -> bool:
    """Say whether an error answer has the vendor's own shape.

    That is ``{"status": 400, "error": "Bad Request", "message": "...", "path": "..."}`` with the answer's own status,
    (a), tolerant of fields that are missing; or ``{"success": false, "error": "..."}``, (b). A field that contradicts
    it, such as another status, makes it somebody else's.
    """
    try:
        value = response.json()
    except MalformedAnswerError:
        return False
    if not isinstance(value, dict) or not isinstance(value.get("error"), str):
        return False
    if value.get("success") is False:
        return True
    if value.get("success") is True or value.get("status", response.status) != response.status:
        return False
    return all(isinstance(value.get(name, ""), str | None) for name in ("message", "path"))


def says_nothing_began(text: str) -> bool:
    """Say whether the vendor's own words about a start say that it was not made, so that a retry may help."""
    return _NOT_BEGUN.search(text) is not None


def quoted(answer: Mapping[str, Any], excerpt: Callable[[bytes], str]) -> str:
    """Return what matters of the answer to a start, for a message. The rest may echo what was sent, secrets among it.

    :param excerpt: makes a short text without secrets of a body.
    """
    parts = [f"{name} {number}" for name in ("status", "auditId") if (number := whole(answer.get(name))) is not None]
    texts = {name: text for name in ("exception", "error", "message") if isinstance(text := answer.get(name), str)}
    parts += [f"{name}: {printable(excerpt(text.encode(errors='replace')))}" for name, text in texts.items() if text]
    return ", ".join(parts)


def printable(text: str) -> str:
    """Return a text of the vendor without control characters, which could rewrite a terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)


def report(response: Response) -> list[ReportedFlow]:
    """Parse the daily report."""
    rows = an_array(response)
    for row in rows:
        executions = row.get("executions")
        if not isinstance(executions, list) or not all(isinstance(each, dict) for each in executions):
            raise MalformedAnswerError("a flow of the report has no executions", status=response.status)
    return cast("list[ReportedFlow]", rows)


def a_page(path: str, query: Query, limit: int, offset: int = 0, before: Sequence[Any] = ()) -> Call[Page[Any]]:
    """Return the call for one page of a listing that takes ``limit`` and ``offset`` (a).

    The listing ends on an empty page, on reaching ``X-Total-Count``, without that header on a page shorter than
    the limit, and on a page that repeats the one before (an endpoint that ignores ``offset``).

    :param before: the items of the page before.
    """

    def parse(response: Response) -> Page[Any]:
        rows = an_array(response)
        if not rows or rows == before:
            return Page([])
        reached = offset + len(rows)
        total = whole(response.headers.get("x-total-count"))
        ended = reached >= total if total is not None else len(rows) < limit
        return Page(rows, None if ended else a_page(path, query, limit, reached, rows))

    return Call("GET", path, parse, query={**query, "limit": limit, "offset": offset}, passing=PASSING)


def whole(value: Any) -> int | None:
    """Return a whole number that came as a number or as text, ``None`` if it is neither, or larger than any id."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 10**_MOST_DIGITS else None
    text = value.strip() if isinstance(value, str) and len(value) <= 2 * _MOST_DIGITS else ""
    is_number = text.isascii() and text.removeprefix("-").isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_number else None


def state_of(word: Any) -> RunState:
    """Return the state that a status word of the vendor stands for."""
    return _STATES.get(str(word).strip().lower(), RunState.UNKNOWN)


def started_of(row: Mapping[str, Any]) -> datetime | None:
    """Return when a run was started, where its record tells."""
    return _first_moment(row, STARTED)


def sure_start_of(row: Mapping[str, Any]) -> float | None:
    """Return when a run was started, in seconds since the epoch, where its record leaves no doubt.

    Numbers are milliseconds since the epoch, (a). A text without an offset may be in any zone, so it is none here.
    """
    for name in STARTED:
        value = row.get(name)
        if (found := moment_of_millis(value)) is not None:
            return found.timestamp()
        if isinstance(value, str) and _OFFSET.search(value.strip()) and (found := moment(value)) is not None:
            return found.timestamp()
    return None


def ended_of(row: Mapping[str, Any]) -> datetime | None:
    """Return when a run ended, where its record tells."""
    return _first_moment(row, _ENDED)


def run_of(row: Mapping[str, Any], ref: RunRef, name: str = "") -> RemoteRun:
    """Return a record, or an execution of the report, as a run.

    :param ref: the run that was asked for.
    :param name: of the flow, if the row does not tell.
    """
    status = row.get("status")
    state = state_of(status)
    texts = (row.get(key) for key in _ERROR_TEXTS)
    error = next((text.strip() for text in texts if isinstance(text, str) and text.strip()), "")
    return RemoteRun(
        ref=ref,
        state=state,
        vendor_status="(no status)" if status is None else _bounded(status),
        name=_bounded(row.get("flowName") or name or f"flow {ref.ids.get('flow_id')}"),
        started=started_of(row),
        ended=ended_of(row) if state.is_terminal else None,
        error=printable(error[:_LONGEST_ERROR]) or None if state is RunState.FAILED else None,
        details={key: _detail(row[key]) for key in _DETAILS if row.get(key) is not None},
    )


def _bounded(value: Any) -> str:
    return printable(str(value)[:_LONGEST_NAME])


def _detail(value: Any) -> Any:
    return value if isinstance(value, bool | float) or whole(value) is not None else _bounded(value)


def _first_moment(row: Mapping[str, Any], names: Sequence[str]) -> datetime | None:
    for name in names:
        found = moment_of_millis(row.get(name)) or moment(row.get(name))
        if found is not None:
            return found
    return None


def _flow(row: dict[str, Any], response: Response) -> Flow:
    if whole(row.get("id")) is None or not isinstance(row.get("name"), str):
        raise MalformedAnswerError("a flow has no id or no name", status=response.status)
    return cast("Flow", row)


def _unless_failed(
    value: dict[str, Any], response: Response, error_class: type[BadRequestError] | type[ServerFaultError]
) -> dict[str, Any]:
    if value.get("success") is False:
        code = f" ({value['code']})" if value.get("code") else ""
        raise error_class(
            f"the answer says success: false: {server_words(response) or 'without saying why'}{code}",
            status=response.status,
        )
    return value
