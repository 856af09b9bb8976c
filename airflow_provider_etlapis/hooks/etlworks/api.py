"""Etlworks Integrator's REST API: its address, its credential and its endpoints, in the vendor's own words.

Marks in docstrings: (a) the vendor's REST quickstart, (b) its other public pages, (c) not documented, assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, cast

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint, listing
from airflow_provider_etlapis.hooks.etlworks import answers as answers
from airflow_provider_etlapis.hooks.etlworks import inputs as inputs
from airflow_provider_etlapis.hooks.etlworks.answers import PASSING
from airflow_provider_etlapis.hooks.etlworks.auth import ApiKeyAuth, PasswordAuth
from airflow_provider_etlapis.hooks.etlworks.shapes import (
    AuditEvent,
    Flow,
    FlowAuditRecord,
    FlowExecutionResponse,
    ReportedFlow,
    RunningTask,
)
from airflow_provider_etlapis.hooks.values import moment, uuid_text
from airflow_provider_etlapis.text import near, shown
from airflow_provider_etlapis.wire.auth import Auth
from airflow_provider_etlapis.wire.call import Call, Page, Query, Response, json_object, segment

CLOUD = "https://app.etlworks.com"
DEFAULT_PAGE = 50
LARGEST_PAGE = 200
TASK_TYPES = ("stream", "extract", "load", "task", "hwm")


class EtlworksApi(RemoteRunHook):
    """The endpoints. Times in answers are milliseconds since the epoch; ``since`` filters are ISO 8601, (a)."""

    def address(self, values: ConnectionValues) -> str:
        """Return the root of the host: ``/rest`` stands in the paths, because health and tasks lie beside it."""
        return values.base_url(default=CLOUD, strip=("/v1/flows", "/v1", "/rest", "/rest"))

    def auth(self, values: ConnectionValues) -> Auth:
        """Return the API key as a bearer, or the exchange of login and password for a token."""
        tenant = values.extras["tenant_id"]
        if not values.password:
            raise values.fault("fill in an API key as password, or a login and its password")
        if values.login:
            return PasswordAuth(
                self.address(values),
                values.login,
                values.password,
                headers=values.extras["secret_headers"] or {},
                path=values.extras["login_path"],
                tenant=tenant,
            )
        if tenant:
            raise values.fault("tenant_id needs a login and its password: an API key belongs to one tenant for good")
        return ApiKeyAuth(values.password)

    @staticmethod
    def is_own_error(response: Response) -> bool:
        """Say whether an error answer is in the vendor's documented shape, (a), and so not a proxy's."""
        return answers.is_own_error(response)

    # Flows

    @endpoint
    def list_flows(
        self,
        q: str | None = None,
        tag: str | Sequence[str] | None = None,
        sort: str | None = None,
        since: datetime | str | None = None,
    ) -> Call[list[Flow]]:
        """Return the flows that the credential sees, in one answer without pages, (a).

        The filters are those of "most list endpoints", (a); whether this one obeys each is not said.

        :param q: part of the name.
        :param tag: a tag, or several; whether all or any of them must be there is not said. ``None`` for any.
        :param sort: a field, with a leading ``-`` for descending order.
        :param since: changed after this moment: a datetime with its zone, or ISO 8601.
        :returns: ``[{"id": int, "name": str, ...}]``.
        :raises PermissionDeniedError: for a credential below Editor, on some releases (b).
        """
        query: Query = {
            "q": _optional(q, "q"),
            "tag": _tags(tag),
            "sort": _optional(sort, "sort"),
            "since": _iso_text(since, "since"),
        }
        return Call("GET", "rest/v1/flows", answers.flows, query=query, passing=PASSING)

    @endpoint
    def get_flow(self, flow_id: int | str) -> Call[Flow]:
        """Return one flow, (b).

        :param flow_id: number of the flow.
        :raises NotFoundError: if it is not there, or not visible to the credential.
        """
        return Call("GET", f"rest/v1/flows/{inputs.number_id(flow_id, 'flow_id')}", answers.flow, passing=PASSING)

    @endpoint
    def find_flow(self, name: str) -> Program[Flow]:
        """Return the flow with exactly this name. ``q`` finds parts of names, so it only makes the list shorter.

        :param name: full name, capitals as they are.
        :raises InvalidInputError: if there is none, or more than one: then the flow must be named by its id.
        """
        name = inputs.flow_name_text(name)
        found = [flow for flow in (yield from self.list_flows.plan(q=name)) if flow["name"] == name]
        visible: list[Flow] = []
        if not found:  # the list need not obey q as we understand it
            visible = yield from self.list_flows.plan()
            found = [flow for flow in visible if flow["name"] == name]
        if len(found) == 1:
            return found[0]
        if not found:
            raise InvalidInputError(
                f"no flow visible to the credential of connection {self.conn_id!r} has exactly the name {shown(name)}"
                f"{near(name, (str(flow['name']) for flow in visible))}"
            )
        ids = inputs.listed(str(flow["id"]) for flow in found)
        raise InvalidInputError(f"{len(found)} flows have the name {shown(name)}: {ids}; use flow_id instead")

    @endpoint
    def run_flow(self, flow_id: int | str, parameters: Mapping[str, str] | None = None) -> Call[FlowExecutionResponse]:
        """Start a run of a flow and return the outcome of that, (a).

        ``status`` of the answer: 0 started, 1 already running, 2 canceled, (a); 3 was not running, 4 success,
        5 error, (b). Never repeated by itself once it may have reached the server.

        :param flow_id: number of the flow.
        :param parameters: flat map of strings to strings, which the flow has as ``{name}``.
        :returns: ``{"flowId": int, "auditId": int, "status": int}``.
        :raises InvalidInputError: if a parameter is no string.
        """
        wanted = inputs.string_map(parameters)
        path = f"rest/v1/flows/{inputs.number_id(flow_id, 'flow_id')}/run"
        return Call("POST", path, answers.execution_response, json=wanted, starts_run=True)

    @endpoint
    def run_flow_by_name(self, flow_name: str) -> Call[FlowExecutionResponse]:
        """Start a run of a flow by its name, (b), without parameters: this call is documented to take none.

        :param flow_name: name of the flow.
        :returns: as :meth:`run_flow`.
        """
        path = f"rest/v1/flows/flow-name/{segment(inputs.flow_name_text(flow_name))}/run"
        return Call("POST", path, answers.execution_response, json={}, starts_run=True)

    # Executions

    @endpoint
    def get_execution(
        self,
        flow_id: int | str,
        audit_id: int | str | None = None,
        *,
        message_id: str | None = None,
        status: str | None = None,
    ) -> Call[FlowAuditRecord]:
        """Return the record of a run, (a); without ``audit_id`` that of the flow's present or latest one, (b).

        :param flow_id: number of the flow.
        :param audit_id: number of the run.
        :param message_id: UUID of the message that started it, for runs started by a listener, (b).
        :param status: a filter of unknown meaning, (b).
        :returns: ``{"status": "queued" | "running" | "success" | "warning" | "error" | "canceled", ...}``; without
            ``audit_id`` and ``message_id``, ``{"status": None}`` for a flow that has never run, where the vendor does
            not answer that with a 404, (c).
        """
        of_a_run = audit_id is not None or message_id is not None
        return Call(
            "GET",
            f"rest/v1/executions/{inputs.number_id(flow_id, 'flow_id')}",
            answers.record if of_a_run else answers.present_record,
            query={
                "auditId": None if audit_id is None else inputs.number_id(audit_id, "audit_id"),
                "messageId": None if message_id is None else uuid_text(message_id, "message_id"),
                "status": _optional(status, "status"),
            },
            passing=PASSING,
        )

    @listing
    def iter_history(
        self, flow_id: int | str, limit: int = DEFAULT_PAGE, offset: int = 0
    ) -> Call[Page[FlowAuditRecord]]:
        """Yield the runs of a flow, page by page, (a); the shape of an item and the order are not documented (c).

        :param flow_id: number of the flow.
        :param limit: items on a page, 1 to 200.
        :param offset: items to leave out.
        """
        return self._pages(f"rest/v1/executions/{inputs.number_id(flow_id, 'flow_id')}/history", {}, limit, offset)

    @endpoint
    def download_log(self, flow_id: int | str, audit_id: int | str) -> Call[str]:
        """Return the log of a run as text, (b).

        The page shows the credential in the query string, where it would leak into access logs; it is sent as a
        header here, as everywhere else, (c).

        :param flow_id: number of the flow.
        :param audit_id: number of the run.
        """
        query = {"flowId": inputs.number_id(flow_id, "flow_id"), "auditId": inputs.number_id(audit_id, "audit_id")}
        return Call(
            "GET",
            "rest/v1/executions/console/download",
            lambda response: response.text,
            query=query,
            headers={"Accept": "*/*"},
            passing=PASSING,
        )

    @endpoint
    def list_running_tasks(self, audit_id: int | str, task_type: str | None = None) -> Call[list[RunningTask]]:
        """Return what a run is doing right now, (b); administrators only. Not below ``/rest`` as all the others.

        :param audit_id: number of the run.
        :param task_type: ``stream``, ``extract``, ``load``, ``task`` or ``hwm``.
        """
        if task_type is not None and task_type not in TASK_TYPES:
            raise InvalidInputError(f"task_type must be one of {', '.join(TASK_TYPES)}, not {shown(task_type)}")
        return Call(
            "GET",
            f"etl/rest/v1/tasks/{inputs.number_id(audit_id, 'audit_id')}/",
            lambda response: cast("list[RunningTask]", answers.an_array(response)),
            query={"type": task_type},
            passing=PASSING,
        )

    @endpoint
    def get_executions_report(
        self,
        day: date | str | None = None,
        *,
        days_back: int | None = None,
        include_metrics: bool = False,
        tenant_id: int | None = None,
    ) -> Call[list[ReportedFlow]]:
        """Return all runs of one day by flow, (b); administrators only.

        :param day: the day in the account's time zone, a date or ``YYYY-MM-DD``.
        :param days_back: instead of ``day``, days before today. The vendor calls it ``offset``; it is none of pages.
        :param include_metrics: add metrics and exception messages.
        :param tenant_id: another tenant; super administrators only.
        :returns: ``[{"flowId": int, "name": str, "executions": [{"flowId", "auditId", "status", "user", "started",
            "ended", "records"}]}]``.
        """
        if day is not None and days_back is not None:
            raise InvalidInputError("give day or days_back, not both")
        if days_back is not None:
            inputs.whole_number(days_back, "days_back", 0)
        return Call(
            "GET",
            "rest/v1/metrics/executions",
            answers.report,
            query={
                "date": None if day is None else _day_text(day),
                "offset": days_back,
                "includeMetrics": include_metrics or None,
                "tenantId": None if tenant_id is None else inputs.number_id(tenant_id, "tenant_id"),
            },
            passing=PASSING,
        )

    # The rest

    @listing
    def iter_audit_trail(
        self, limit: int = DEFAULT_PAGE, offset: int = 0, *, with_exceptions: bool = False
    ) -> Call[Page[AuditEvent]]:
        """Yield the events of the audit trail, page by page, (a); the last 1,000, administrators only, (b).

        :param limit: items on a page, 1 to 200.
        :param offset: items to leave out.
        :param with_exceptions: add stack traces, (b).
        """
        return self._pages("rest/v1/audit", {"exception": with_exceptions or None}, limit, offset)

    @listing
    def iter_items(
        self, path: str, query: Query | None = None, limit: int = DEFAULT_PAGE, offset: int = 0
    ) -> Call[Page[dict[str, Any]]]:
        """Yield the items of any listing that takes ``limit`` and ``offset``, (a).

        :param path: path as the vendor writes it, below ``/rest``, such as ``/v1/audit``; variable parts encoded.
        :param query: further query parameters.
        :param limit: items on a page, 1 to 200.
        :param offset: items to leave out.
        """
        return self._pages(inputs.listing_path(path), query or {}, limit, offset)

    @endpoint
    def get_health(self, *, all_nodes: bool = False) -> Call[dict[str, Any]]:
        """Return ``{"status": "UP", "db": {...}, ...}``, (b): reachability only, the credential is not asked for.

        :param all_nodes: of all nodes, not only the one that answers.
        """
        return Call("GET", "health", json_object, query={"allNodes": all_nodes or None})

    @staticmethod
    def _pages(path: str, query: Query, limit: int, offset: int) -> Call[Page[Any]]:
        inputs.whole_number(limit, "limit", 1, LARGEST_PAGE)
        inputs.whole_number(offset, "offset", 0)
        return answers.a_page(path, query, limit, offset)


def _iso_text(value: datetime | str | None, name: str) -> str | None:
    """Return a moment as the vendor's filters want it, such as ``2026-05-01T00:00:00Z``."""
    if value is None:
        return None
    if isinstance(value, datetime) and value.tzinfo is None:
        raise InvalidInputError(f"{name} must have a time zone: {value!r}")
    try:
        found = value.astimezone(UTC) if isinstance(value, datetime) else moment(value)
    except OverflowError:  # at both ends of the calendar
        found = None
    if found is None:
        raise InvalidInputError(f"{name} must be a datetime or ISO 8601, not {shown(value)}")
    return found.isoformat().replace("+00:00", "Z")


def _optional(value: str | None, name: str) -> str | None:
    return None if value is None else inputs.text(value, name)


def _tags(value: str | Sequence[str] | None) -> str | list[str] | None:
    """Return the tags of a filter, each of them text: none at all would mean all flows."""
    if value is None or isinstance(value, str):
        return _optional(value, "tag")
    if not isinstance(value, list | tuple | set | frozenset) or not value:
        raise InvalidInputError(f"tag must be a tag or several, not {shown(value)}; leave it out for all flows")
    return [inputs.text(tag, "tag") for tag in value]


def _day_text(value: date | str) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise InvalidInputError(f"day must be a date or YYYY-MM-DD, not {shown(value)}") from None
