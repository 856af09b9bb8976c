"""WebRobot on localhost, the part that is not about runs: the key, errors, strictness, pages, tables and health."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from email.utils import formatdate
from functools import wraps
from typing import Any, TypeVar

from airflow_provider_etlapis.sandbox.messages import Call, Reply, gateway_page, route
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from airflow_provider_etlapis.sandbox.webrobot.work import stamp

_TEXTS = {
    400: "Invalid request",
    401: "Authentication required: a valid X-API-Key header is missing, or the key lacks a scope",
    403: "The API key lacks the scope for this",
    404: "Not found",
    405: "Method not allowed",
    409: "Already running, or not running",
    415: "Unsupported media type",
    429: "Too many requests for this API key",
    500: "Internal error",
}
_PAGE = "<!DOCTYPE html><html><head><title>{url}</title></head><body><h1>Fetched {url}</h1></body></html>"


FrameT = TypeVar("FrameT", bound="WebRobotFrame")


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def operation(
    name: str, method: str, template: str
) -> Callable[[Callable[[FrameT, Call], Reply]], Callable[[FrameT, Call], Reply]]:
    """Mark the handler of one operation, which may refuse a request by ``RefusedError``."""

    def mark(handler: Callable[[FrameT, Call], Reply]) -> Callable[[FrameT, Call], Reply]:
        @wraps(handler)
        def strict(sandbox: FrameT, call: Call) -> Reply:
            try:
                return handler(sandbox, call)
            except RefusedError as refused:
                return refused.reply

        return route(name, method, template)(strict)

    return mark


class WebRobotFrame(VendorSandbox):
    """What all of WebRobot's operations share; every attribute may be changed while it serves.

    ``api_key``, ``base_path``, ``missing_scopes`` and ``dates_by_clock`` are options of the sandbox. ``tables`` holds
    Strapi records by table and id; ``first_page`` is the number of a listing's first page, ``wraps_records`` whether a
    listing is an object with ``data``. ``pages`` holds HTML by address; other addresses get a page of their own.
    """

    api_key: str
    base_path: str
    missing_scopes: frozenset[str]
    tables: dict[str, dict[str, dict[str, Any]]]
    pages: dict[str, str]
    dates_by_clock: bool
    first_page: int = 0
    wraps_records: bool = False

    def _complete(self, exchange: Any) -> Reply:
        """Answer; by the sandbox's own clock, if it is to have one."""
        reply = super()._complete(exchange)
        if not self.dates_by_clock:
            return reply
        return replace(reply, headers={"Date": formatdate(self.clock.now(), usegmt=True), **reply.headers})

    def credentials(self) -> dict[str, Any]:
        """Return the key as the password, and the base path if it is not the usual one."""
        extra = {} if self.base_path == "/api" else {"base_path": self.base_path or "/"}
        return {"login": "", "password": self.api_key, "extra": extra}

    def unwrap(self, call: Call) -> Call:
        """Take the base path for the usual one; without it nothing is found."""
        if self.base_path == "/api":
            return call
        inside = call.path.startswith(f"{self.base_path}/")
        return replace(call, path=f"/api{call.path.removeprefix(self.base_path)}" if inside else "/outside")

    def refuse_login(self, call: Call) -> Reply | None:
        """Check the key."""
        return None if call.header("X-API-Key") == self.api_key else self.error(401)

    def error(self, status: int, text: str | None = None, *, path: str = "") -> Reply:
        """Answer with the vendor's error object; what the server never says itself is a proxy's."""
        if status not in _TEXTS:
            return gateway_page(status)
        body = {"error": text or _TEXTS[status], "code": status, "timestamp": stamp(self.clock.now())}
        return Reply.json(status, body)

    # -- strictness -------------------------------------------------------------------------------------------

    def refused(self, status: int, text: str | None = None) -> RefusedError:
        """Return what to raise for a request that is answered with an error."""
        return RefusedError(self.error(status, text))

    def need_scope(self, scope: str, status: int = 401) -> None:
        """Refuse a key without a scope: with a 401, except where the vendor says 403."""
        if scope in self.missing_scopes:
            raise self.refused(status, f"Scope {scope} is required")

    def only_query(self, call: Call, *known: str) -> None:
        """Refuse query parameters that the operation does not have, and repeated ones."""
        names = [name for name, _ in call.query]
        for name in names:
            if name not in known or names.count(name) > 1:
                raise self.refused(400, f"Unexpected query parameter {name!r}")

    def no_body(self, call: Call) -> None:
        """Refuse a body where none is known; an empty object is let pass."""
        if call.body and call.body.strip() != b"{}":
            raise self.refused(400, "No body expected")

    def json_object(self, call: Call, *, optional: bool = False) -> dict[str, Any]:
        """Return the body, which must be a JSON object of the right content type."""
        if optional and not call.body:
            return {}
        if (call.header("Content-Type") or "").partition(";")[0].strip().lower() != "application/json":
            raise self.refused(415)
        try:
            body = json.loads(call.body)
        except ValueError:
            raise self.refused(400, "The body is no JSON") from None
        if not isinstance(body, dict):
            raise self.refused(400, "The body must be a JSON object")
        return body

    def number(self, call: Call, name: str, default: int, least: int) -> int:
        """Return a whole number of the query."""
        text = call.query_value(name)
        if text is None:
            return default
        if not text.isdigit() or int(text) < least:
            raise self.refused(400, f"{name} must be a whole number from {least}")
        return int(text)

    def moment(self, call: Call, name: str, default: float) -> float:
        """Return a moment of the query, ISO 8601 with a zone, in unix seconds."""
        text = call.query_value(name)
        if text is None:
            return default
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            raise self.refused(400, f"{name} must be an ISO 8601 date-time with a zone")
        return found.timestamp()

    # -- pages, tables, health --------------------------------------------------------------------------------

    @operation("html", "GET", "/api/webrobot/api/html/{url}/{protocol}")
    def get_html(self, call: Call) -> Reply:
        """Show the page at an address, which is one segment of the path."""
        self.only_query(call)
        protocol = call.parameters["protocol"]
        if protocol not in {"http", "https"}:
            raise self.refused(400, "protocol must be http or https")
        url = f"{protocol}://{call.parameters['url']}"
        return Reply.html(200, self.pages.get(url, _PAGE.format(url=url)))

    @operation("find_all", "GET", "/api/api/strapi-tables/{table}")
    def find_all(self, call: Call) -> Reply:
        """List a page of records, the first added first."""
        self.only_query(call, "page", "pageSize")
        page, size = self.number(call, "page", self.first_page, 0), self.number(call, "pageSize", 50, 1)
        first = max(page - self.first_page, 0) * size
        rows = list(self._records(call).values())[first : first + size]
        return Reply.json(200, {"data": rows} if self.wraps_records else rows)

    @operation("insert", "POST", "/api/api/strapi-tables/{table}")
    def insert(self, call: Call) -> Reply:
        """Add a record and show it with its id."""
        records = self._records(call)
        record_id = str(1 + max(map(int, records), default=0))
        records[record_id] = {**self.json_object(call), "id": record_id}
        return Reply.json(200, records[record_id])

    @operation("record", "GET", "/api/api/strapi-tables/{table}/{id}")
    def get_record(self, call: Call) -> Reply:
        """Show one record."""
        self.only_query(call)
        return Reply.json(200, self._record(call))

    @operation("update", "PUT", "/api/api/strapi-tables/{table}/{id}")
    def update(self, call: Call) -> Reply:
        """Replace a record and show it."""
        self._record(call)
        record_id = call.parameters["id"]
        record = {**self.json_object(call), "id": record_id}
        self._records(call)[record_id] = record
        return Reply.json(200, record)

    @operation("delete", "DELETE", "/api/api/strapi-tables/{table}/{id}")
    def delete(self, call: Call) -> Reply:
        """Remove a record; answers null."""
        self._record(call)
        del self._records(call)[call.parameters["id"]]
        return Reply.json(200, None)

    @operation("health", "GET", "/api/health")
    def health(self, call: Call) -> Reply:
        """Answer null, as the vendor's page has it."""
        self.only_query(call)
        return Reply.json(200, None)

    def _records(self, call: Call) -> dict[str, dict[str, Any]]:
        table = self.tables.get(call.parameters["table"])
        if table is None:
            raise self.refused(404, "Table not found")
        return table

    def _record(self, call: Call) -> dict[str, Any]:
        record = self._records(call).get(call.parameters["id"])
        if record is None:
            raise self.refused(404, "Record not found")
        return record
