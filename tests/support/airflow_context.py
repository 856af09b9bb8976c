"""What a task finds around it in Airflow, without Airflow's services: its instance, its state store, its log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

try:
    from structlog.testing import capture_logs
except ImportError:  # Airflow 2 has Python's own loggers only

    def capture_logs() -> AbstractContextManager[list[Any]]:  # type: ignore[misc]
        return nullcontext([])


class FakeStateStore:
    """The task state store of Airflow 3.3: plain JSON by key, the same for all tries of a task instance."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.texts[key]) if key in self.texts else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.texts[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.texts.pop(key, None)


class BrokenStateStore(FakeStateStore):
    """A store whose server is away."""

    def get(self, key: str, default: Any = None) -> Any:
        raise ConnectionError("no state store today")

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        raise ConnectionError("no state store today")

    def delete(self, key: str) -> None:
        raise ConnectionError("no state store today")


class FakeTaskInstance:
    """One task instance through its tries. XComs hold JSON only, and a new try begins without any."""

    def __init__(self, task_id: str = "task", *, retries: int = 0, map_index: int = -1) -> None:
        self.dag_id = "dag"
        self.run_id = "manual__2026-11-22"
        self.task_id = task_id
        self.map_index = map_index
        self.try_number = 1
        self.max_tries = retries
        self.dag_run_began = datetime.now(UTC)
        self.xcoms: dict[str, Any] = {}
        self.on_push: Callable[[str], None] = lambda key: None

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))
        self.on_push(key)

    def xcom_pull(self, task_ids: Any = None, key: str = "return_value", map_indexes: Any = None) -> Any:
        return self.xcoms.get(key)

    def begin_retry(self) -> None:
        """Go on to the next try by itself, as after a failure."""
        self.try_number += 1
        self.xcoms.clear()

    def begin_cleared(self, retries: int) -> None:
        """Go on to the next try as a person's clear does."""
        self.max_tries = self.try_number + retries
        self.begin_retry()


def context_of(ti: FakeTaskInstance, store: FakeStateStore | None = None, **more: Any) -> Any:
    """Return the context of a try; without a store it is that of Airflow 3.0 to 3.2."""
    context: dict[str, Any] = {
        "ti": ti,
        "dag_run": SimpleNamespace(start_date=ti.dag_run_began),
        **more,
    }
    if store is not None:
        context["task_state_store"] = store
    return context


class TaskLog:
    """Everything that was logged, through Airflow's loggers or Python's own: the level and the text of each line."""

    def __init__(self, structured: list[Mapping[str, Any]], plain: pytest.LogCaptureFixture) -> None:
        self._structured = structured
        self._plain = plain

    @property
    def lines(self) -> list[tuple[str, str]]:
        plain = [(record.levelname.lower(), record.getMessage()) for record in self._plain.records]
        return [(line["log_level"], str(line["event"])) for line in self._structured] + plain

    @property
    def text(self) -> str:
        return "\n".join(text for _, text in self.lines) + self._plain.text

    def warnings(self) -> list[str]:
        return [text for level, text in self.lines if level == "warning"]


@pytest.fixture
def task_log(caplog: pytest.LogCaptureFixture) -> Iterator[TaskLog]:
    """What tasks, triggers and watchers log during a test."""
    caplog.set_level(logging.DEBUG, "airflow_provider_etlapis")
    caplog.set_level(logging.DEBUG, "airflow.task")
    with capture_logs() as structured:
        yield TaskLog(structured, caplog)
