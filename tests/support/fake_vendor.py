"""A vendor that exists in this process only: a hook, an operator and a sensor whose answers a test sets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from airflow_provider_etlapis.connection_forms import CELERY_DIRECTOR
from airflow_provider_etlapis.exceptions import AlreadyRunningError, NotFoundError
from airflow_provider_etlapis.hooks.base import CancelReport, RemoteRunHook
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.runs.evidence import Evidence as Sighting
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, RunRef, RunState, Step
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.runs.watching import LogLines
from airflow_provider_etlapis.sensors.base import RemoteRunSensor
from airflow_provider_etlapis.wire.auth import Auth, NoAuth

VENDOR = "fake"
CONN_ID = "fake_default"

Look = RunState | BaseException


@dataclass
class FakeVendor:
    """What the vendor answers, and what it was asked."""

    looks: dict[str, list[Look]] = field(default_factory=dict)
    """What the next looks at a run find, by run id; the last one stays."""
    lives: list[list[Look]] = field(default_factory=list)
    """The looks of the runs to be started, in order; after that, runs succeed at once."""
    busy_with: str | None = None
    """A run because of which starts are refused, for as long as it is alive."""
    start_faults: list[BaseException] = field(default_factory=list)
    search: Search = field(default_factory=lambda: Search(Sighting.UNSURE, "the newest runs"))
    log_lines: list[str] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)
    looked: list[tuple[float, str]] = field(default_factory=list)
    bulk: bool = False

    def alive(self, run_id: str) -> bool:
        looks = self.looks.get(run_id, [])
        return bool(looks) and isinstance(looks[0], RunState) and not looks[0].is_terminal

    def run(self, run_id: str, look: RunState) -> RemoteRun:
        return RemoteRun(
            RunRef(VENDOR, {"id": run_id}),
            look,
            look.value.upper(),
            name="nightly load",
            url=f"https://vendor.example/runs/{run_id}",
            started=datetime(2026, 11, 22, 2, tzinfo=UTC),
            ended=datetime(2026, 11, 22, 3, tzinfo=UTC) if look.is_terminal else None,
            error="out of disk" if look is RunState.FAILED else None,
            steps=(Step("LOAD", look, look.value.upper()),),
        )

    def see(self, run_id: str) -> RemoteRun:
        self.looked.append((time.monotonic(), run_id))
        looks = self.looks.get(run_id)
        if not looks:
            raise NotFoundError(f"no run {run_id}")
        look = looks.pop(0) if len(looks) > 1 else looks[0]
        if isinstance(look, BaseException):
            raise look
        return self.run(run_id, look)


class FakeHook(RemoteRunHook):
    """The hook of the vendor of the running test."""

    conn_name_attr = "fake_conn_id"
    default_conn_name = CONN_ID
    conn_type = VENDOR
    form = CELERY_DIRECTOR
    capabilities = Capabilities(cancel=True, bulk=False, steps=True, logs=True, finds_lost_starts=True)
    vendor: ClassVar[FakeVendor]

    def __init__(self, fake_conn_id: str = CONN_ID) -> None:
        super().__init__(fake_conn_id)

    def address(self, values: ConnectionValues) -> str:
        return values.base_url()

    def auth(self, values: ConnectionValues) -> Auth:
        return NoAuth()

    @property
    def reads_in_bulk(self) -> bool:
        return self.vendor.bulk

    @endpoint
    def check(self) -> Program[str]:
        yield from ()
        return "fine"

    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        yield from ()
        vendor = self.vendor
        if vendor.busy_with and vendor.alive(vendor.busy_with):
            raise AlreadyRunningError(f"run {vendor.busy_with} is in the way")
        fault = vendor.start_faults.pop(0) if vendor.start_faults else None
        if fault is not None:
            raise fault
        run_id = f"run-{len(vendor.starts) + 1}"
        vendor.starts.append(run_id)
        vendor.looks[run_id] = vendor.lives.pop(0) if vendor.lives else [RunState.SUCCEEDED]
        return vendor.run(run_id, RunState.QUEUED)

    @endpoint
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        yield from ()
        return self.vendor.see(ref.run_id)

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        yield from ()
        return {ref.run_id: self.vendor.see(ref.run_id) for ref in refs}

    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        yield from ()
        self.vendor.cancels.append(ref.run_id)
        return CancelReport(True, f"asked to cancel {ref.run_id}")

    @endpoint
    def find_running(self, spec: Mapping[str, Any]) -> Program[RemoteRun | None]:
        yield from ()
        vendor = self.vendor
        return (
            vendor.run(vendor.busy_with, RunState.RUNNING)
            if vendor.busy_with and vendor.alive(vendor.busy_with)
            else None
        )

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        yield from ()
        return self.vendor.search

    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        yield from ()
        lines = self.vendor.log_lines
        return LogLines(tuple(lines[cursor or 0 :]), len(lines))

    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        yield from ()
        return tuple(self.vendor.log_lines[-lines:])


class FakeOperator(RemoteRunOperator):
    """Starts a run of the vendor of the running test."""

    conn_id_field = "fake_conn_id"
    template_fields = ("what",)

    def __init__(self, *, what: Any = "load", fake_conn_id: str = CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.what = what
        self.fake_conn_id = fake_conn_id

    @classmethod
    def hook_class(cls) -> type[FakeHook]:
        return FakeHook

    def spec(self) -> dict[str, Any]:
        return {"what": self.what}


class FakeSensor(RemoteRunSensor):
    """Waits for a run of the vendor of the running test."""

    conn_id_field = "fake_conn_id"

    def __init__(self, *, run_id: str, fake_conn_id: str = CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.fake_conn_id = fake_conn_id

    @classmethod
    def hook_class(cls) -> type[FakeHook]:
        return FakeHook

    def ref(self) -> RunRef:
        return RunRef(VENDOR, {"id": self.run_id})


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVendor]:
    """The vendor of this test, with its connection."""
    monkeypatch.setenv(
        f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({"conn_type": VENDOR, "host": "http://127.0.0.1:9"})
    )
    FakeHook.vendor = FakeVendor()
    yield FakeHook.vendor
    del FakeHook.vendor


def operator(**arguments: Any) -> Callable[[], FakeOperator]:
    """Return what makes an operator, with quick looks."""
    return lambda: FakeOperator(**{"task_id": "run", "poll_interval": 0.02, "retries": 2, **arguments})


def sensor(run_id: str, **arguments: Any) -> Callable[[], FakeSensor]:
    """Return what makes a sensor, with quick looks."""
    return lambda: FakeSensor(
        **{"task_id": "sense", "run_id": run_id, "poke_interval": 0.02, "timeout": 5, **arguments}
    )
