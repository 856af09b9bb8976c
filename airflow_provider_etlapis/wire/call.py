"""One request to a vendor as a value, together with the parser of its answer.

An endpoint is a method that returns a :class:`Call`; which client sends it, and when again, is not its business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar, cast
from urllib.parse import quote, urlencode

from airflow_provider_etlapis.wire import json_text
from airflow_provider_etlapis.wire.errors import AnswerTooLargeError, MalformedAnswerError, WireError

T = TypeVar("T")
U = TypeVar("U")
Scalar = str | int | float | bool
REPEATABLE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""No control characters, and nothing that http.client cannot encode."""

Query = Mapping[str, Scalar | Sequence[Scalar] | None]


class _Nothing:
    """The type of :data:`NO_BODY`: told apart from JSON null."""

    def __repr__(self) -> str:
        return "NO_BODY"


NO_BODY = _Nothing()

_NO_CHARSETS = frozenset({"punycode", "idna", "utf-7", "unicode-escape", "raw-unicode-escape", "undefined"})
"""Codecs that no server means, and that take a time that grows with the square of the text, or read escapes."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whole, in the vocabulary shared by both clients. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    by_vendor: bool = False
    """Whether an error body has the vendor's own shape: anything else may come from a proxy or a sign-on page."""

    _parsed: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)
    """The value of the body, or the error in its place, once it was asked for."""

    @property
    def text(self) -> str:
        """The body as text, by the charset that the server named, UTF-8 otherwise."""
        content_type = self.headers.get("content-type", "")
        charset = content_type.partition("charset=")[2].partition(";")[0].strip().strip("\"'") or "utf-8"
        if charset.lower().replace("_", "-") in _NO_CHARSETS:
            charset = "utf-8"
        try:
            return self.body.decode(charset, "replace")
        except (LookupError, ValueError):  # no such charset, or one that is none for bodies
            return self.body.decode("utf-8", "replace")

    @property
    def is_large_json(self) -> bool:
        """Whether parsing the body is more than a moment's work."""
        return len(self.body) > json_text.SMALL and self.body[:64].lstrip()[:1] in {b"[", b"{", b'"'}

    def json(self) -> Any:
        """Return the body parsed as JSON; the same value each time. NaN and Infinity are ``None``.

        :raises MalformedAnswerError: on an empty body, an HTML page, or JSON that ends too early.
        :raises AnswerTooLargeError: if it holds too many values.
        """
        if not self._parsed:
            try:
                self._parsed.append(self._parse())
            except WireError as error:
                self._parsed.append(error)
        (value,) = self._parsed
        if isinstance(value, WireError):
            raise type(value)(str(value), status=self.status)
        return value

    def _parse(self) -> Any:
        beginning = self.body[:4096].lstrip() or self.body.lstrip()[:1]
        if not beginning:
            raise MalformedAnswerError("expected JSON, got an empty response body", status=self.status)
        if beginning.startswith(b"<"):
            raise MalformedAnswerError("expected JSON, got an HTML page (a proxy or a login page?)", status=self.status)
        try:
            return json_text.parse(self.body)
        except json_text.TooManyValuesError as error:
            raise AnswerTooLargeError(f"JSON with {error}", status=self.status) from None
        except RecursionError:
            raise MalformedAnswerError("JSON that is nested too deep", status=self.status) from None
        except ValueError:
            raise MalformedAnswerError("JSON that is cut off or damaged", status=self.status) from None


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire. The URL is absolute and encoded; secrets live in the headers only."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    read_timeout: float | None = None
    repeatable: bool = True
    """Whether sending it twice is as good as once."""
    total_timeout: float | None = None
    """Seconds for the whole exchange, where the caller has fewer than the connection allows."""

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        """Return the same request with these headers set."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request to the vendor's API and the parser of its answer.

    :param method: HTTP method.
    :param path: path below the connection's base URL, every variable part encoded by :func:`segment`.
    :param parse: makes the result of a good answer; raises ``MalformedAnswerError`` on a wrong shape.
    :param query: query parameters; ``None`` values are left out, sequences are repeated, booleans are
        ``true`` and ``false``.
    :param json: body, encoded as JSON with its content type; :data:`NO_BODY` sends none.
    :param headers: further headers.
    :param repeatable: whether sending it twice is as good as once. ``None``: by the method, so GET, HEAD, OPTIONS, PUT
        and DELETE are and POST and PATCH are not. A POST or PATCH that may be repeated gives the reason as text;
        ``False`` says that even a PUT or DELETE may not be.
    :param starts_run: whether it starts a run; such a call is never repeatable.
    :param passing: further statuses that this vendor uses for passing faults, such as 500.
    :param accepted: statuses beyond 2xx that go to the parser instead of becoming an error, if the body has the
        vendor's own shape.
    :param read_timeout: seconds to wait for the answer, where the connection's value is too short.
    """

    method: str
    path: str
    parse: Callable[[Response], T]
    query: Query = field(default_factory=dict)
    json: Any = NO_BODY
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: str | Literal[False] | None = None
    passing: frozenset[int] = frozenset()
    accepted: frozenset[int] = frozenset()
    read_timeout: float | None = None
    starts_run: bool = False

    def __post_init__(self) -> None:
        if self.starts_run and self.is_repeatable:
            raise ValueError(f"{self.describe()} starts a run, so it must not be repeatable")

    @property
    def is_repeatable(self) -> bool:
        """Whether the wire may send it again after a failure that leaves open whether it took effect."""
        return self.method in REPEATABLE_METHODS if self.repeatable is None else bool(self.repeatable)

    def request(self, base_url: str, headers: Mapping[str, str]) -> Request:
        """Return the request for a base URL, without credentials."""
        url = f"{base_url.rstrip('/')}/{self.path.lstrip('/')}"
        query = [
            (name, _spelled(item))
            for name, value in self.query.items()
            if value is not None
            for item in (value if isinstance(value, Sequence) and not isinstance(value, str) else (value,))
        ]
        if query:
            url = f"{url}?{urlencode(query, quote_via=quote)}"
        body = None
        named = {"Accept": "application/json", **headers}
        if self.json is not NO_BODY:
            body = json.dumps(self.json, allow_nan=False).encode()
            named["Content-Type"] = "application/json"
        return Request(self.method, url, {**named, **self.headers}, body, self.read_timeout, self.is_repeatable)

    def map(self, change: Callable[[T], U]) -> Call[U]:
        """Return the same request with its result changed."""
        return replace(cast("Call[U]", self), parse=lambda response: change(self.parse(response)))

    def describe(self) -> str:
        """Name the request for messages: method and path, nothing that could be secret."""
        return f"{self.method} /{self.path.lstrip('/')}"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing, and the call for the next one, if there is a next one."""

    items: Sequence[T]
    following: Call[Page[T]] | None = None


def segment(value: object) -> str:
    """Return a value encoded as exactly one path segment.

    :raises ValueError: if it is empty or a relative step, which would name another resource.
    """
    text = str(value)
    if not text.strip() or text in {".", ".."}:
        raise ValueError(f"an id or a name is needed for the path of the request, not {text!r}")
    return quote(text, safe="")


def json_object(response: Response) -> dict[str, Any]:
    """Parse an answer that must be a JSON object."""
    value = response.json()
    if not isinstance(value, dict):
        raise MalformedAnswerError(f"JSON {type(value).__name__} where an object was due", status=response.status)
    return value


def json_array(response: Response) -> list[dict[str, Any]]:
    """Parse an answer that must be a JSON array of objects."""
    value = response.json()
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedAnswerError("JSON that is no array of objects", status=response.status)
    return value


def _spelled(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
