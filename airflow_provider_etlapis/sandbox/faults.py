"""Faults that a test injects into a sandbox: what goes wrong, with which requests, and how often."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Literal, get_args

from airflow_provider_etlapis.sandbox.messages import Reply

FaultKind = Literal[
    "status", "drop_before", "drop_after", "delay", "half_body", "html", "empty", "unknown_status", "apply_late"
]

PROXY_PAGE = (
    "<!DOCTYPE html><html><head><title>Sign in</title></head>"
    "<body><h1>Corporate proxy</h1><p>Please sign in to reach the internet.</p></body></html>"
)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    :param operation: the vendor operation it hits, e.g. ``"start"``, ``"get"``, ``"list"``, ``"cancel"``;
        ``"*"`` is any request
    :param kind: ``status`` answers ``status``; ``drop_before`` closes the connection, the request is not applied;
        ``drop_after`` applies it and closes with no answer; ``delay`` only takes ``seconds`` longer; ``half_body``
        applies it, declares the whole answer and sends half; ``html`` a proxy's page with ``status``
        (default 200); ``empty`` no body at all with ``status`` (default 200); ``unknown_status`` a true answer in
        which every run has the status ``word``; ``apply_late`` closes the connection with no answer, or answers with
        a proxy's page if a ``status`` is given, and lets the request take effect ``seconds`` later
    :param times: how many requests it hits; ``None``: all of them
    :param skip: how many matching requests pass unharmed first
    :param seconds: real seconds that pass before the request is looked at, with any kind but ``apply_late``
    :param status: HTTP status of ``status``, ``html`` and ``empty``
    :param headers: more headers of such an answer
    :param body: text of a ``status`` answer; ``None``: the vendor's own error body
    :param retry_after: seconds for a ``Retry-After`` header
    :param retry_after_form: that header as ``"seconds"`` or as an HTTP ``"date"``
    :param applied: ``True``: ``status``, ``html`` and ``empty`` hide that the request did take effect
    :param word: the status word of ``unknown_status``
    """

    operation: str = "*"
    kind: FaultKind = "status"
    times: int | None = 1
    skip: int = 0
    seconds: float = 0.0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    retry_after: float | None = None
    retry_after_form: Literal["seconds", "date"] = "seconds"
    applied: bool = False
    word: str = "hibernating"

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"kind must be one of {get_args(FaultKind)}, got {self.kind!r}")
        if self.kind == "status" and self.status is None:
            raise ValueError("a fault of kind 'status' needs a status")
        if self.kind in ("delay", "apply_late") and self.seconds <= 0:
            raise ValueError(f"a fault of kind {self.kind!r} needs seconds")

    @property
    def reaches_the_vendor(self) -> bool:
        """Whether the request takes effect although the answer is spoiled."""
        return self.applied or self.kind in ("drop_after", "delay", "half_body", "unknown_status")

    def answer_headers(self) -> dict[str, str]:
        """Return the headers of its answer; a date is of this machine's clock, as the client will read it."""
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = (
                formatdate(time.time() + self.retry_after, usegmt=True)
                if self.retry_after_form == "date"
                else f"{self.retry_after:g}"
            )
        return headers


class ArmedFault:
    """An injected fault: how often it has hit, and the way to take it back.

    :param when_hit: called each time it strikes, before the request is looked at; it may change the sandbox
    """

    def __init__(self, fault: Fault, when_hit: Callable[[], object] = lambda: None) -> None:
        self.fault = fault
        self.hits = 0
        self._when_hit = when_hit
        self._passed = 0
        self._removed = False

    def remove(self) -> None:
        """Let it hit no more."""
        self._removed = True

    def hit(self, operation: str) -> bool:
        """Tell whether it strikes this request, and count it."""
        fault = self.fault
        spent = fault.times is not None and self.hits >= fault.times
        if self._removed or spent or fault.operation not in ("*", operation):
            return False
        if self._passed < fault.skip:
            self._passed += 1
            return False
        self.hits += 1
        self._when_hit()
        return True


def spoil(fault: Fault, true_reply: Reply | None, vendor_error: Callable[[int], Reply]) -> Reply:
    """Return what the client gets to see.

    :param true_reply: the vendor's own answer, if the fault lets the request reach the vendor
    :param vendor_error: makes the vendor's error answer of a status
    """
    if fault.kind in ("drop_before", "drop_after") or (fault.kind == "apply_late" and fault.status is None):
        return Reply.nothing()
    if fault.kind in ("html", "apply_late"):
        spoiled = Reply.html(fault.status or 200, PROXY_PAGE)
    elif fault.kind == "empty":
        spoiled = Reply(fault.status or 200)
    elif fault.kind == "status" and fault.status is not None:
        text = fault.body
        spoiled = (
            vendor_error(fault.status)
            if text is None
            else Reply(fault.status, text.encode(), "text/plain; charset=utf-8")
        )
    elif true_reply is None:
        raise RuntimeError(f"a fault of kind {fault.kind} spoils a true answer, and there is none")
    else:
        return replace(true_reply, delivery="half") if fault.kind == "half_body" else true_reply
    return replace(spoiled, headers={**spoiled.headers, **fault.answer_headers()})
