"""A Celery Director sandbox, a hook on it, and what a task of it would ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox, Definition
from airflow_provider_etlapis.sandbox.lives import Life

DEFINITIONS = (
    Definition("lab.ETL", ["EXTRACT", "TRANSFORM", "LOAD"], results={"EXTRACT": {"n": 1}}),
    Definition("lab.PAIR", ["EXTRACT", {"PAIR": {"type": "group", "tasks": ["A", "B"]}}, "LOAD"]),
    Definition("lab.HOOKED", ["EXTRACT", "LOAD"], hooks={"success": "CHEER"}),
    Definition("lab.BYTES", ["RAW"], unreadable_result=True),
    Definition("lab.LOST", ["EXTRACT", "NOWHERE"], unknown_task=True),
)
LONG = Life(duration=3600)
SHORT = Life(duration=0.05)
ENDED = Life(duration=1)
ZONES = pytest.mark.parametrize("offset", [-12, -5, 0, 5.75, 14])
MARKER = "airflow lab.task 0123"

Connect = Callable[..., CeleryDirectorHook]


@pytest.fixture(name="server")
def given_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CeleryDirectorSandbox]:
    """The vendor on localhost, as the connection ``celery_director_default``."""
    with CeleryDirectorSandbox(definitions=DEFINITIONS) as running:
        running.default_flow = "lab.ETL"  # type: ignore[misc]
        quick = running.connection(extra={"retries": 0, "requests_per_minute": 60_000})
        monkeypatch.setenv("AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT", json.dumps(quick))
        yield running


@pytest.fixture(name="hook")
def given_hook(server: CeleryDirectorSandbox) -> Iterator[CeleryDirectorHook]:
    """A hook on the sandbox."""
    with CeleryDirectorHook() as made:
        yield made


def spec(name: str = "ETL", **more: Any) -> dict[str, Any]:
    """Return what the operator makes of its inputs."""
    return {"project": "lab", "name": name, "payload": {}, "comment": None, **more}


def intent(ago: float = 0.0, *, marker: str = MARKER, **more: Any) -> Intent:
    """Return the intent of a start call that was made some seconds ago."""
    return Intent(marker, "f", 0, 0, datetime.now(UTC).timestamp() - ago, **more)


def found(search: Search) -> list[str]:
    """Return the runs that a search names, likeliest first."""
    return [run.ref.run_id for run in search.candidates]
