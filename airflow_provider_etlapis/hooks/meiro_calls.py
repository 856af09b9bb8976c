"""How Meiro Integrations' endpoints are called: paging that obeys what the server echoes, ids, flags and lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.meiro_shapes import Acknowledgement, OrderDir
from airflow_provider_etlapis.hooks.values import integer_id
from airflow_provider_etlapis.wire.call import Call, Page, Query, Response, Scalar, json_object
from airflow_provider_etlapis.wire.errors import MalformedAnswerError

T = TypeVar("T")

PAGE_SIZE = 100
"""Rows asked for at once: the largest number that a server grants is not stated (c), it echoes what it gave."""


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

    def page(self, offset: int = 0, before: list[T] | None = None) -> Call[Page[T]]:
        """Return the call for the rows from an offset on; ``before`` is the page above, to notice a repetition."""

        def parse(response: Response) -> Page[T]:
            rows = cast("list[T]", rows_of(response, self.key))
            if rows and rows == before:
                raise MalformedAnswerError(
                    f"the same page again at offset {offset}: the server does not obey it", status=response.status
                )
            more = len(rows) >= granted(response, self.page_size)
            return Page(rows, self.page(offset + len(rows), rows) if rows and more else None)

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
        if page_size < 1 or offset < 0:
            raise InvalidInputError(f"page_size must be at least 1 and offset at least 0, not {page_size} and {offset}")
        if order_dir not in {"ASC", "DESC"}:
            raise InvalidInputError(f"order_dir must be 'ASC' or 'DESC', not {order_dir!r}")
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
    """Return the answer of a deletion: judged by its HTTP status, the words differ between endpoints."""
    return cast("Acknowledgement", json_object(response))


def path_of(*parts: tuple[object, str] | str) -> str:
    """Return a path; each pair is an id with its name, checked to be a whole number.

    ``/workspaces/trash`` and ``/workspaces/last_jobs`` would otherwise be workspaces of these names.

    :raises InvalidInputError: if an id is no whole number.
    """
    return "/".join(part if isinstance(part, str) else str(integer_id(*part)) for part in parts)


def ids_of(values: Sequence[int | str], what: str) -> list[int]:
    """Return ids for a list parameter, each checked.

    :raises InvalidInputError: if one is no whole number, or if they come as one text.
    """
    if isinstance(values, str):
        raise InvalidInputError(f"{what} must be a list of whole numbers, not the text {values!r}")
    return [integer_id(value, what) for value in values]


def flag(wanted: bool) -> int | None:
    """Return a 0/1 parameter that is left out when it is off."""
    return 1 if wanted else None
