"""Goes through the pages of a list so that it ends, whatever the server says about a next page."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Generic, TypeVar

from airflow_provider_etlapis.exceptions import VendorUnavailableError
from airflow_provider_etlapis.wire.call import Call, Page

T = TypeVar("T")

MOST_PAGES = 10_000
"""Pages of one list: with a hundred rows on each, a million."""
_MOST_EMPTY = 3


class Paging(Generic[T]):
    """The way through one list: in place of ``page.following``, ask :meth:`after`."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._pages = 0
        self._empty = 0

    def repeats(self, page: Page[T]) -> bool:
        """Say whether a page has come before, item by item; an empty one never has."""
        return bool(page.items) and _digest(page.items) in self._seen

    def after(self, page: Page[T]) -> Call[Page[T]] | None:
        """Return the call for the next page; ``None`` if there is none, or if this page has brought nothing new.

        :raises VendorUnavailableError: if the list has more than :data:`MOST_PAGES` pages.
        """
        if page.following is None or self.repeats(page):
            return None
        self._pages += 1
        self._empty = 0 if page.items else self._empty + 1
        if self._empty > _MOST_EMPTY:
            return None
        if self._pages >= MOST_PAGES:
            raise VendorUnavailableError(f"The list does not end: {MOST_PAGES:,} pages, each with other rows")
        if page.items:
            self._seen.add(_digest(page.items))
        return page.following


def _digest(items: Any) -> bytes:
    return blake2b(repr(items).encode("utf-8", "surrogatepass"), digest_size=16).digest()
