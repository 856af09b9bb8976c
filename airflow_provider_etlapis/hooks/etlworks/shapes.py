"""The JSON shapes of Etlworks' answers, in the vendor's own names.

Marks in docstrings: (a) the vendor's REST quickstart, (b) its other public pages, (c) not documented, assumed.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


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
    """A run: ``status`` (a), the rest (b). Times, user, counts and error text have no documented names.

    ``status`` is ``None`` only where a flow's present record was asked for and the flow has never run, (c).
    """

    status: str | None
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
