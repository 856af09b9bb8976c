"""How Meiro Integrations' endpoints are called: paging that obeys what the server echoes, ids, flags and lists."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.meiro.shapes import Acknowledgement, OrderDir
from airflow_provider_etlapis.hooks.values import integer_id
from airflow_provider_etlapis.wire.call import Call, Page, Query, Response, Scalar, json_object
from airflow_provider_etlapis.wire.errors import BadRequestError, MalformedAnswerError

T = TypeVar("T")

PAGE_SIZE = 100
"""Rows asked for at once: the largest number that a server grants is not stated (c), it echoes what it gave."""

MOST_PAGES = 10_000
"""Pages after which a list is taken for one without an end."""


class SpelledQuery(Mapping[str, Scalar | Sequence[Scalar] | None]):
    """Query parameters whose lists and booleans are spelled as the connection says, once that has been read.

    The document types them as "array" and "bool" and does not show them on the wire (c). By default a list is
    ``1,2``, as the document's URI templates mean by their own standard, and a boolean ``true`` or ``false``.

    :param values: returns the connection's values; asked when the request is made.
    """

    def __init__(self, given: Query, values: Callable[[], ConnectionValues]) -> None:
        self._given = given
        self._values = values

    def _spelled(self) -> dict[str, Scalar | Sequence[Scalar] | None]:
        extras = self._values().extras
        spelled: dict[str, Scalar | Sequence[Scalar] | None] = {}
        for name, value in self._given.items():
            if isinstance(value, bool) and extras["boolean_parameters"] == "1":
                spelled[name] = int(value)
            elif isinstance(value, Sequence) and not isinstance(value, str):
                if extras["array_parameters"] == "comma":
                    spelled[name] = ",".join(map(str, value))
                elif extras["array_parameters"] == "brackets":
                    spelled[f"{name}[]"] = value
                else:
                    spelled[name] = value
            else:
                spelled[name] = value
        return spelled

    def __getitem__(self, name: str) -> Scalar | Sequence[Scalar] | None:
        return self._spelled()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._spelled())

    def __len__(self) -> int:
        return len(self._given)


@dataclass(frozen=True, slots=True)
class PagedList(Generic[T]):
    """One paged list: where it is, and what its pages are called.

    :param key: name of the rows in the answer.
    :param query: further parameters.
    :param spell: spells the parameters for the connection.
    """

    path: str
    key: str
    query: Query
    spell: Callable[[Query], Query]
    page_size: int
    order_by: str
    order_dir: OrderDir

    def page(self, offset: int = 0, seen: frozenset[int] = frozenset()) -> Call[Page[T]]:
        """Return the call for the rows from an offset on.

        :param seen: fingerprints of the pages above, to detect one that comes again.
        """

        def parse(response: Response) -> Page[T]:
            rows = cast("list[T]", rows_of(response, self.key))
            if not rows:
                return Page(rows, None)
            mark = hash(repr((rows[0], rows[-1], len(rows))))
            if mark in seen:
                raise MalformedAnswerError(
                    f"the same page again at offset {offset}: the server does not obey it", status=response.status
                )
            if len(seen) >= MOST_PAGES:
                raise MalformedAnswerError(f"the list has no end within {MOST_PAGES:,} pages", status=response.status)
            more = len(rows) >= granted(response, self.page_size)
            return Page(rows, self.page(offset + len(rows), seen | {mark}) if more else None)

        place: dict[str, Scalar | None] = {
            "limit": self.page_size,
            "offset": offset or None,
            "order_by": self.order_by,
            "order_dir": self.order_dir,
        }
        return Call("GET", self.path, parse, query=self.spell({**self.query, **place}))


class MeiroEndpoints(RemoteRunHook):
    """What the groups of endpoints share."""

    def _paged(
        self,
        path: str,
        key: str,
        page_size: int,
        order_by: str,
        order_dir: OrderDir,
        offset: int = 0,
        **query: Scalar | Sequence[Scalar] | None,
    ) -> Call[Page[Any]]:
        """Return the call for the first page of a list; each list sends limit, order_by and order_dir.

        :raises InvalidInputError: for a page size or an order that no server could mean.
        """
        page_size, offset = id_number(page_size, "page_size"), id_number(offset, "offset")
        if page_size < 1:
            raise InvalidInputError(f"page_size must be at least 1, not {page_size}")
        if order_dir not in ("ASC", "DESC"):
            raise InvalidInputError(f"order_dir must be 'ASC' or 'DESC', not {order_dir!r:.100}")
        plain_text(order_by, "order_by")
        pages: PagedList[Any] = PagedList(path, key, query, self._query, page_size, order_by, order_dir)
        return pages.page(offset)

    def _query(self, given: Query) -> Query:
        return SpelledQuery(given, lambda: self.values)


def rows_of(response: Response, key: str) -> list[dict[str, Any]]:
    """Return the rows of a collection.

    :raises MalformedAnswerError: if the answer has none.
    """
    rows = json_object(response).get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MalformedAnswerError(f"no list {key!r} of objects in the answer", status=response.status)
    return rows


def granted(response: Response, asked: int) -> int:
    """Return how many rows a full page has, by what the server echoes in ``selection_settings``."""
    settings = json_object(response).get("selection_settings")
    echoed = settings.get("limit") if isinstance(settings, dict) else None
    return echoed if isinstance(echoed, int) and not isinstance(echoed, bool) and 0 < echoed <= asked else asked


def one(key: str) -> Callable[[Response], Any]:
    """Return a parser for an answer that wraps one object under a key."""

    def parse(response: Response) -> Any:
        value = json_object(response).get(key)
        if not isinstance(value, dict):
            raise MalformedAnswerError(f"no object {key!r} in the answer", status=response.status)
        return value

    return parse


def acknowledged(response: Response) -> Acknowledgement:
    """Return the answer of a deletion or a cancel: ``{"message": "OK"}``, in either case of letters (a).

    :raises BadRequestError: if the vendor says something else, whatever the HTTP status.
    :raises MalformedAnswerError: if the answer is not the vendor's own: then nothing is known by it.
    """
    message = json_object(response).get("message")
    if not isinstance(message, str):
        raise MalformedAnswerError("no acknowledgement in the answer", status=response.status)
    if message.strip().casefold() != "ok":
        raise BadRequestError(f"not acknowledged: {message[:300]!r}", status=response.status)
    return {"message": message}


# What a user gives

_MOST_DIGITS = 19
_LONGEST_SHOWN = 100
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def id_number(value: Any, what: str) -> int:
    """Return a whole number of at most 19 digits, also when it comes as text from a template.

    :raises InvalidInputError: if it is none: in a path it could name another resource.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(10**_MOST_DIGITS) < value < 10**_MOST_DIGITS:
            raise InvalidInputError(f"{what} must be a whole number of at most {_MOST_DIGITS} digits, not a longer one")
    elif isinstance(value, str):
        text = value.strip()
        if len(text) > _MOST_DIGITS and text.isdigit():
            raise InvalidInputError(
                f"{what} must be a whole number of at most {_MOST_DIGITS} digits, not one of {len(text):,}"
            )
        if len(value) > _LONGEST_SHOWN:
            raise InvalidInputError(f"{what} must be a whole number, not a text of {len(value):,} characters")
    elif value is not None and not isinstance(value, bool | float):
        raise InvalidInputError(f"{what} must be a whole number, not {type(value).__name__}")
    return integer_id(value, what)


def path_of(*parts: tuple[object, str] | str) -> str:
    """Return a path; each pair is an id with its name, checked to be a whole number.

    ``/workspaces/trash`` and ``/workspaces/last_jobs`` would otherwise be workspaces of these names.

    :raises InvalidInputError: if an id is no whole number.
    """
    return "/".join(part if isinstance(part, str) else str(id_number(*part)) for part in parts)


def ids_of(values: Sequence[int | str], what: str) -> list[int]:
    """Return ids for a list parameter, each checked.

    :raises InvalidInputError: if one is no whole number, or if they do not come as a list.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Sequence | Set):
        raise InvalidInputError(f"{what} must be a list of whole numbers, not {values!r:.100}")
    return [id_number(value, what) for value in values]


def filter_ids(values: Sequence[int] | None, what: str) -> list[int] | None:
    """Return the ids that a list is filtered by, ``None`` for no filter.

    :raises InvalidInputError: as :func:`ids_of`, and for an empty list: on the wire it would mean no filter at all.
    """
    if values is None:
        return None
    found = ids_of(values, what)
    if not found:
        raise InvalidInputError(f"{what} must hold at least one id, not be an empty list; leave it out to list all")
    return found


def plain_text(value: Any, what: str) -> str:
    """Return a text that can be sent.

    :raises InvalidInputError: if it is none, or holds what no server can take.
    """
    if not isinstance(value, str):
        raise InvalidInputError(f"{what} must be text, not {type(value).__name__}")
    for position, character in enumerate(value):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            kind = "a NUL character" if character == "\0" else "half a surrogate pair"
            raise InvalidInputError(f"{what} must be text that can be sent; it holds {kind} at position {position}")
    return value


def name_text(value: Any, what: str) -> str:
    """Return a name. A whole number stands for its digits: native rendering makes numbers of such names.

    :raises InvalidInputError: if it is empty, no text, or cannot be sent.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(id_number(abs(value), what) * (-1 if value < 0 else 1))
    if not plain_text(value, what).strip():
        raise InvalidInputError(f"{what} must not be empty")
    return cast("str", value)


def plain_json(value: Any, what: str) -> Any:
    """Return a JSON value that can be sent.

    :raises InvalidInputError: if it is none.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{what} must be plain JSON: {str(error)[:200]}") from None
    if _ESCAPED_NUL.search(text):
        raise InvalidInputError(f"{what} must be text that can be sent; it holds a NUL character")
    return value


def flag(wanted: bool) -> int | None:
    """Return a 0/1 parameter that is left out when it is off."""
    return 1 if wanted else None
