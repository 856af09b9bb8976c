"""WebRobot's endpoints that are not about runs: pages of other sites, Strapi tables, health.

Marks: (a) the vendor's API page, (c) an assumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.endpoints import endpoint, listing
from airflow_provider_etlapis.hooks.webrobot.documents import parse_anything
from airflow_provider_etlapis.hooks.webrobot.inputs import id_text, json_object_of, whole_number
from airflow_provider_etlapis.text import shown
from airflow_provider_etlapis.wire.call import Call, Page, Response, segment
from airflow_provider_etlapis.wire.errors import MalformedAnswerError

_PROTOCOLS = ("http", "https")
_ROW_KEYS = ("data", "results", "items", "content")


class WebRobotPages(RemoteRunHook):
    """The calls of WebRobot's API that start and read no runs."""

    @endpoint
    def get_html(self, url: str, protocol: Literal["http", "https"] | None = None) -> Call[str]:
        """Return the HTML that WebRobot finds at an address (a).

        :param url: with or without its scheme; sent without it, encoded as one segment of the path (c).
        :param protocol: the scheme, where the address has none. Default: ``https``.
        """
        address, named = _address(url, protocol)
        return Call(
            "GET",
            f"webrobot/api/html/{segment(address)}/{named}",
            lambda response: response.text,
            headers={"Accept": "text/html"},
        )

    @listing
    def find_all(self, table: str, page_size: int = 50, first_page: int = 0) -> Call[Page[dict[str, Any]]]:
        """Yield all records of a table, page by page (a).

        The answer's form is not documented: an array is taken, and an object that holds one as ``data``. Neither is
        the number of the first page: it is 0, the parameter's default. A page that is shorter than asked for is the
        last one, and one that repeats the page before is left out; two in a row end it (c).

        :param table: name of the table.
        :param page_size: records on a page.
        :param first_page: number of the first page.
        """
        size, first = whole_number(page_size, "page_size", 1), whole_number(first_page, "first_page", 0)
        return _page(_table_path(table), first, size, before=None, repeated=False)

    @endpoint
    def get_record(self, table: str, record_id: str) -> Call[Any]:
        """Return one record of a table, in whatever form the server gives it (a)."""
        return Call("GET", _table_path(table, record_id), parse_anything)

    @endpoint
    def insert_record(self, table: str, record: Mapping[str, Any]) -> Call[Any]:
        """Add a record to a table and return the server's answer (a). Never repeated by itself once sent.

        :param record: a JSON object.
        """
        return Call("POST", _table_path(table), parse_anything, json=json_object_of(record, "record"))

    @endpoint
    def update_record(self, table: str, record_id: str, record: Mapping[str, Any]) -> Call[Any]:
        """Change a record of a table and return the server's answer (a).

        :param record: a JSON object.
        """
        return Call("PUT", _table_path(table, record_id), parse_anything, json=json_object_of(record, "record"))

    @endpoint
    def delete_record(self, table: str, record_id: str) -> Call[Any]:
        """Delete a record of a table and return the server's answer (a). Never repeated by itself once sent."""
        # The answer to a second one would be that there is no such record.
        return Call("DELETE", _table_path(table, record_id), parse_anything, repeatable=False)

    @endpoint
    def get_health(self) -> Call[Any]:
        """Return what the server says about its health, JSON of any kind (a). Proves little: see ``check``."""
        return Call("GET", "health", parse_anything)


def _address(url: Any, protocol: Any) -> tuple[str, str]:
    """Return an address without its scheme, and the scheme.

    :raises InvalidInputError: if it is no http or https address, or names two schemes.
    """
    scheme, separator, rest = url.strip().partition("://") if isinstance(url, str) else ("", "", "")
    address = rest if separator else scheme
    named = scheme.lower() if separator else protocol or "https"
    if named not in _PROTOCOLS or (protocol is not None and protocol != named):
        raise InvalidInputError(
            f"get_html takes an http or https address with one scheme, not {shown(url)}, {shown(protocol)}"
        )
    try:
        address.encode()
        host = urlsplit(f"//{address}").hostname
    except ValueError:  # such as half an IPv6 address, or half a character
        host = None
    if not host:
        raise InvalidInputError(f"url must be an address such as https://example.com/page, not {shown(url)}")
    return address, named


def _table_path(table: str, *record_id: str) -> str:
    # With the base URL of the reference this makes /api/api/...: so the vendor's document has it.
    parts = (id_text(table, "table"), *(id_text(each, "record_id") for each in record_id))
    return "/".join(("api/strapi-tables", *map(segment, parts)))


def _page(path: str, number: int, size: int, *, before: list[Any] | None, repeated: bool) -> Call[Page[dict[str, Any]]]:
    """Return the call for one page.

    :param before: the records of the page before.
    :param repeated: whether that one repeated its own predecessor, as page 1 does where pages count from 1.
    """

    def parse(response: Response) -> Page[dict[str, Any]]:
        rows = _rows(response)
        repeats = bool(rows) and rows == before
        if repeats and repeated:
            return Page(())
        more = len(rows) >= size
        following = _page(path, number + 1, size, before=rows, repeated=repeats) if more else None
        return Page(() if repeats else rows, following)

    return Call("GET", path, parse, query={"page": number, "pageSize": size})


def _rows(response: Response) -> list[dict[str, Any]]:
    value = parse_anything(response)
    if isinstance(value, dict):
        value = next((value[key] for key in _ROW_KEYS if isinstance(value.get(key), list)), value)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise MalformedAnswerError("records that are no array of objects", status=response.status)
    return value
