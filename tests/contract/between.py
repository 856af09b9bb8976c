"""What something between us and a vendor answers: a proxy, a load balancer, a sign-on page."""

from __future__ import annotations

from typing import Any, Literal

from airflow_provider_etlapis.sandbox.faults import Fault

STATUSES = (301, 302, 307, 400, 403, 404, 405, 408, 409, 413, 421, 423, 425, 499, 460, 500, 502, 503, 504)
"""Statuses that something in between is known to make up."""

Form = Literal["text", "html", "empty", "own"]
FORMS: tuple[Form, ...] = ("text", "html", "empty")


def odd(status: int, form: Form, operation: str = "*", **more: Any) -> Fault:
    """Return one odd answer.

    :param form: ``"text"``, ``"html"`` and ``"empty"`` are not the vendor's; ``"own"`` is the vendor's own error.
    :param more: of the fault.
    """
    headers = {"Location": "https://sign-on.example.com/login"} if 300 <= status < 400 else {}
    if form == "text":
        return Fault(operation, "status", status=status, body=f"default backend - {status}", headers=headers, **more)
    if form == "own":
        return Fault(operation, "status", status=status, headers=headers, **more)
    return Fault(operation, form, status=status, headers=headers, **more)


def in_turn(first: int = 0) -> list[tuple[int, Form]]:
    """Return each status with one form of answer, the forms in turn."""
    return [(status, FORMS[(first + number) % len(FORMS)]) for number, status in enumerate(STATUSES)]
