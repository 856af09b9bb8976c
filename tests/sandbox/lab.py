from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox, Definition
from airflow_provider_etlapis.sandbox.clock import Clock

NOON = 1795348800.0  # 2026-11-22T12:00:00Z

Ask = Callable[..., requests.Response]

LAB = (
    Definition("lab.ETL", ["EXTRACT", "TRANSFORM", "LOAD"], results={"EXTRACT": {"n": 1}}),
    Definition(
        "lab.PAIR", ["EXTRACT", {"PAIR": {"type": "group", "tasks": ["A", "B"]}}, "LOAD"], more={"queue": "fast"}
    ),
    Definition(
        "lab.TYPED",
        ["EXTRACT"],
        schema={
            "type": "object",
            "required": ["n"],
            "properties": {"n": {"type": "integer"}, "name": {"type": "string"}},
        },
    ),
    Definition("lab.HOOKED", ["EXTRACT", "LOAD"], hooks={"success": "CHEER", "failure": "ALARM"}),
    Definition("lab.LOST", ["EXTRACT", "NOWHERE"], unknown_task=True),
    Definition("lab.BYTES", ["RAW"], unreadable_result=True),
)


@pytest.fixture
def clock() -> Clock:
    """Stands still unless a test advances it."""
    return Clock(start=NOON, speed=0)


@pytest.fixture
def director(clock: Clock) -> Iterator[CeleryDirectorSandbox]:
    with CeleryDirectorSandbox(clock=clock, definitions=LAB) as sandbox:
        yield sandbox


@pytest.fixture
def ask(director: CeleryDirectorSandbox) -> Ask:
    def send(method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, f"{director.base_url}{path}", timeout=5, **options)

    return send


@pytest.fixture
def start(ask: Ask) -> Callable[..., dict[str, Any]]:
    def post(name: str = "ETL", **more: Any) -> dict[str, Any]:
        answer = ask("POST", "/api/workflows", json={"project": "lab", "name": name, "payload": {}, **more})
        assert answer.status_code == 201, answer.text
        row: dict[str, Any] = answer.json()
        return row

    return post
