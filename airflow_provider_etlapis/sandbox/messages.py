"""Requests, answers and routes as plain values, so that a vendor's module is plain functions and no HTTP library."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from typing import Any, Literal, TypeVar
from urllib.parse import unquote

HandlerT = TypeVar("HandlerT", bound=Callable[..., "Reply"])


@dataclass(frozen=True)
class Call:
    """A request as it arrived.

    :param method: HTTP method, upper case
    :param path: path as sent, percent-encoding kept
    :param query: decoded pairs in order
    :param headers: names in lower case
    :param body: whole body
    :param parameters: decoded variable parts of the path, set once a route is found
    :param status_word: if set, the vendor gives this word as the status of every run (an injected fault)
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    parameters: Mapping[str, str] = field(default_factory=dict)
    status_word: str | None = None

    def query_value(self, name: str) -> str | None:
        """Return the first value of a query parameter, or ``None``."""
        return next((value for key, value in self.query if key == name), None)

    def header(self, name: str) -> str | None:
        """Return a header's value, or ``None``."""
        return self.headers.get(name.lower())


@dataclass(frozen=True)
class Reply:
    """An answer to be sent.

    :param hold: real seconds to wait before it is sent; the request has taken effect by then
    :param delivery: ``"whole"``, ``"half"`` (all of it declared, half of the body sent, then closed) or ``"none"``
        (closed with no answer)
    """

    status: int
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: float = 0.0
    delivery: Literal["whole", "half", "none"] = "whole"

    @classmethod
    def json(cls, status: int, value: Any, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Answer with a JSON value, keys sorted."""
        return cls(status, json.dumps(value, sort_keys=True).encode(), headers=headers or {})

    @classmethod
    def html(cls, status: int, text: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Answer with a web page."""
        return cls(status, text.encode(), "text/html; charset=utf-8", headers or {})

    @classmethod
    def nothing(cls, *, hold: float = 0.0) -> Reply:
        """Close the connection with no answer, after ``hold`` real seconds."""
        return cls(0, hold=hold, delivery="none")

    def held(self, seconds: float) -> Reply:
        """Return this answer sent ``seconds`` later."""
        return replace(self, hold=self.hold + seconds)


def gateway_page(status: int) -> Reply:
    """Return what a reverse proxy in front of a vendor says at a status that the vendor never gives itself."""
    title = f"{status} {HTTPStatus(status).phrase}"
    page = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
    return Reply.html(status, page)


@dataclass(frozen=True)
class Route:
    """One operation of a vendor: ``template`` has its variable parts in braces, e.g. ``/jobs/{job_id}/logs``."""

    operation: str
    method: str
    template: str
    needs_login: bool
    handler: Callable[..., Reply]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The template as a pattern over an encoded path."""
        parts = re.split(r"\{(\w+)\}", self.template)
        return re.compile("".join(f"(?P<{part}>[^/]+)" if i % 2 else re.escape(part) for i, part in enumerate(parts)))

    def parameters(self, path: str) -> dict[str, str] | None:
        """Return the variable parts of ``path``, or ``None`` if it is not of this route."""
        found = self.pattern.fullmatch(path)
        return {key: unquote(value) for key, value in found.groupdict().items()} if found else None


def route(operation: str, method: str, template: str, *, needs_login: bool = True) -> Callable[[HandlerT], HandlerT]:
    """Mark a method of a sandbox class as the handler of one operation; it takes a ``Call``, returns a ``Reply``."""

    def mark(handler: HandlerT) -> HandlerT:
        handler.route = Route(operation, method, template, needs_login, handler)  # type: ignore[attr-defined]  # a mark on a function
        return handler

    return mark
