"""What Etlworks answers: the JSON shapes, their parsers, and how a record becomes a run.

Marks in docstrings: (a) the vendor's REST quickstart, (b) its other public pages, (c) not documented, assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NotRequired, TypedDict, cast

from airflow_provider_etlapis.connection_forms import ETLWORKS
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
_STARTED = ("started", "startTime", "startedAt", "start")
_ENDED = ("ended", "endTime", "endedAt", "finished", "end")
_ERROR_TEXTS = ("exception", "error", "errorMessage", "message")
_TOLD = ("parentAuditId", "retries", "eventId", "eventName", "messageId", "user", "records")


class Flow(TypedDict):
    """A flow, (a). Times are milliseconds since the epoch. Further keys come along unchanged."""

    id: int
    name: str
    description: NotRequired[str]
    flowType: NotRequired[str]
    tags: NotRequired[list[str]]
    enabledSchedules: NotRequired[int]
    disabledSchedules: NotRequired[int]
    latestFinishedStatus: NotRequired[str]
    createdBy: NotRequired[str]
    created: NotRequired[int]
    modifiedBy: NotRequired[str]
    modified: NotRequired[int]


class FlowExecutionResponse(TypedDict):
    """The answer to a start, (a). ``status`` is the start's outcome, not the run's progress."""

    status: int
    flowId: NotRequired[int]
    auditId: NotRequired[int | str | None]
    messageUuid: NotRequired[str]
    exception: NotRequired[str]


class FlowAuditRecord(TypedDict):
    """A run: ``status`` (a), the rest (b). Times, user, counts and error text have no documented names."""

    status: str
    auditId: NotRequired[int | str]
    parentAuditId: NotRequired[int | None]
    retries: NotRequired[int | None]
    flowId: NotRequired[int]
    flowName: NotRequired[str]
    eventId: NotRequired[int | None]
    eventName: NotRequired[str | None]
    messageId: NotRequired[str | None]


class ReportedExecution(TypedDict):
    """A run in the daily report, (b). Times are milliseconds since the epoch."""

    flowId: int
    auditId: int
    status: str
    user: NotRequired[str]
    started: NotRequired[int | None]
    ended: NotRequired[int | None]
    records: NotRequired[int | None]


class ReportedFlow(TypedDict):
    """A flow in the daily report with its runs of that day, (b)."""

    flowId: int
    name: str
    executions: list[ReportedExecution]
    icon: NotRequired[str]


class AuditEvent(TypedDict, total=False):
    """An event of the audit trail, (b), in the vendor's abbreviations.

    ``an`` application, ``md`` event such as ``runFlow``, ``ur`` user, ``tn`` tenant, ``rt`` succeeded, ``ex``
    stack trace, ``dn`` milliseconds, ``dt`` start.
    """

    id: int
    an: str
    md: str
    ur: str
    tn: str
    rt: bool
    ex: str
    hip: str
    cip: str
    dn: int
    dt: Any


class RunningTask(TypedDict, total=False):
    """A task inside a running flow, (b). ``started`` is milliseconds since the epoch."""

    requestId: str
    owner: str
    name: str
    started: int
    duration: float
    code: str
    type: str
    tenant: str
    recordsProcessed: int


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
    """Return a whole number that came as a number or as text, ``None`` if it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.removeprefix("-").isdigit() else None


def state_of(word: Any) -> RunState:
    """Return the state that a status word of the vendor stands for."""
    return _STATES.get(str(word).strip().lower(), RunState.UNKNOWN)


def started_of(row: Mapping[str, Any]) -> datetime | None:
    """Return when a run was started, where its record tells."""
    return _first_moment(row, _STARTED)


def ended_of(row: Mapping[str, Any]) -> datetime | None:
    """Return when a run ended, where its record tells."""
    return _first_moment(row, _ENDED)


def run_of(row: Mapping[str, Any], ref: RunRef, name: str = "") -> RemoteRun:
    """Return a record, or an execution of the report, as a run.

    :param ref: the run that was asked for.
    :param name: of the flow, if the row does not tell.
    """
    state = state_of(row["status"])
    texts = (row.get(key) for key in _ERROR_TEXTS)
    error = next((text.strip() for text in texts if isinstance(text, str) and text.strip()), None)
    return RemoteRun(
        ref=ref,
        state=state,
        vendor_status=str(row["status"]),
        name=str(row.get("flowName") or name or f"flow {ref.ids.get('flow_id')}"),
        started=started_of(row),
        ended=ended_of(row) if state.is_terminal else None,
        error=error if state is RunState.FAILED else None,
        details={key: row[key] for key in _TOLD if row.get(key) is not None},
    )


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
