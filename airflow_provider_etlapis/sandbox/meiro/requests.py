"""What the Meiro sandbox's rooms read requests with: operations that may refuse, and checks that do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_etlapis.sandbox.messages import Call, Reply, route
from airflow_provider_etlapis.sandbox.server import VendorSandbox

Handler = Callable[[Any, Call], Reply]


class RefusedError(Exception):
    """A request that is answered with an error.

    :param status: HTTP status
    :param text: the message; default: what is generally said at this status
    """

    def __init__(self, status: int, text: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def operation(name: str, method: str, template: str, *, needs_login: bool = True) -> Callable[[Handler], Handler]:
    """Mark a method as the handler of one operation; it may raise ``RefusedError``."""

    def mark(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def answered(self: VendorSandbox, call: Call) -> Reply:
            try:
                return handler(self, call)
            except RefusedError as refused:
                return self.error(refused.status, refused.text)

        return route(name, method, template, needs_login=needs_login)(answered)

    return mark


def check_fields(
    body: Any,
    required: Mapping[str, type | tuple[type, ...]],
    optional: Mapping[str, type | tuple[type, ...]],
) -> None:
    """Refuse what is no object, lacks a field, has an unknown one or one of a wrong type."""
    if not isinstance(body, dict):
        raise RefusedError(400, "The body must be an object")
    if missing := set(required) - set(body):
        raise RefusedError(400, f"Missing: {', '.join(sorted(missing))}")
    kinds = {**required, **optional}
    for name, value in body.items():
        if name not in kinds:
            raise RefusedError(400, f"Unknown field: {name}")
        if isinstance(value, bool) or not isinstance(value, kinds[name]):
            raise RefusedError(400, f"{name} has a wrong type")


def whole(text: str, name: str | None = None) -> int:
    """Return a whole number; in a path (no ``name``) anything else is a 404."""
    if not (text.isascii() and text.isdigit()):
        raise RefusedError(400, f"{name} must be a number") if name else RefusedError(404)
    return int(text)
