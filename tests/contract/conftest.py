"""Every vendor in both modes: the suite asks for fixtures and never for a vendor's name.

A test marked ``@pytest.mark.claims("cancel")`` runs for the vendors that claim that, one marked
``@pytest.mark.claims_not("cancel")`` for the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_etlapis.exceptions import StartLostError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.runs.model import RunRef
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from tests.contract.claims import claim
from tests.contract.row import Row
from tests.contract.rows import ROWS
from tests.support.airflow_context import task_log
from tests.support.rehearsal import Rehearsal

__all__ = ["task_log"]  # a fixture, made elsewhere

GATEWAY_SECRET = "gw-7f3e-not-for-logs"

SHORT = Life(duration=0.12)
BAD = Life(duration=0.06, outcome="error", error_text="disk quota exceeded on node 7")
LONG = Life(duration=3600.0)
"""Goes on until the test lets the sandbox's clock run over it."""

FAST = 0.02
"""Seconds between two looks."""


ELSEWHERE = "elsewhere"
"""Id of another connection."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "claims(name): runs for the vendors that claim this")
    config.addinivalue_line("markers", "claims_not(name): runs for the vendors that do not")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "row" not in metafunc.fixturenames:
        return
    chosen = [row for row in ROWS if _fits(row, metafunc.definition)]
    metafunc.parametrize("row", chosen, ids=[row.name for row in chosen], indirect=True)


def _fits(row: Row, test: pytest.Item) -> bool:
    made = all(claim(mark.args[0]).is_made(row) for mark in test.iter_markers("claims"))
    return made and not any(claim(mark.args[0]).is_made(row) for mark in test.iter_markers("claims_not"))


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """One vendor."""
    found: Row = request.param
    return found


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    """Who waits: the worker, or the triggerer."""
    return bool(request.param)


@pytest.fixture
def sandbox(row: Row, monkeypatch: pytest.MonkeyPatch) -> Iterator[VendorSandbox]:
    """The vendor on localhost, known to Airflow under the default connection of its hook."""
    with row.sandbox() as running:
        connect(monkeypatch, row, running)
        yield running


@pytest.fixture
def elsewhere(row: Row, monkeypatch: pytest.MonkeyPatch) -> Iterator[VendorSandbox]:
    """The vendor once more, under another connection id."""
    with row.sandbox() as running:
        connect(monkeypatch, row, running, conn_id=ELSEWHERE)
        yield running


def connect(
    monkeypatch: pytest.MonkeyPatch, row: Row, sandbox: VendorSandbox, conn_id: str = "", **extra: Any
) -> dict[str, Any]:
    """Make the sandbox a connection, by default the vendor's own. The wire repeats nothing unless a test asks."""
    connection = sandbox.connection()
    quick = {
        "retries": 0,
        "requests_per_minute": 60_000,
        "secret_headers": json.dumps({"X-Gateway-Key": GATEWAY_SECRET}),
    }
    connection["extra"] = {**connection.get("extra", {}), **quick, **extra}
    monkeypatch.setenv(f"AIRFLOW_CONN_{(conn_id or row.hook.default_conn_name).upper()}", json.dumps(connection))
    return connection


@dataclass
class Stage:
    """One vendor, and tasks that run against it."""

    row: Row
    sandbox: VendorSandbox
    deferrable: bool

    @property
    def conn_id_field(self) -> str:
        """The parameter that takes the connection's id."""
        return self.operator()().conn_id_field

    @contextmanager
    def hook(self) -> Iterator[RemoteRunHook]:
        """The vendor's hook on its default connection."""
        with self.row.hook(self.row.hook.default_conn_name) as opened:
            yield opened

    def is_of(self, manifest: Mapping[str, Any], run_id: str) -> bool:
        """Say whether a manifest is that of a sandbox's run: sandboxes name runs by less of the id than we do."""
        return str(manifest["run_id"]).split("/")[-1] == run_id.split("/")[-1]

    def task(self, task_id: str = "run", *, keeps_state: bool = True, **arguments: Any) -> Rehearsal:
        """Return a task instance of the vendor's operator."""
        return Rehearsal(self.operator(task_id, **arguments), keeps_state=keeps_state)

    def operator(self, task_id: str = "run", **arguments: Any) -> Callable[[], RemoteRunOperator]:
        """Return what makes the vendor's operator."""
        wanted = {
            "task_id": task_id,
            "deferrable": self.deferrable,
            "poll_interval": FAST,
            "retries": 3,
            **self.row.inputs[0],
            **arguments,
        }
        return lambda: self.row.operator(**wanted)

    def sensor(self, ref: RunRef, **arguments: Any) -> Rehearsal:
        """Return a task instance of the vendor's sensor."""
        wanted = {
            "task_id": "sense",
            "deferrable": self.deferrable,
            "poke_interval": FAST,
            "timeout": 20.0,
            **arguments,
        }
        return Rehearsal(lambda: self.row.sensor(ref, **wanted))

    def somebody_elses_run(self, life: Life) -> RunRef:
        """Start a run that no task waits for."""
        self.sandbox.plan(life)
        manifest = self.task("elsewhere", wait_for_completion=False).run()
        return self.row.ref_of(manifest)

    def ops_of(self, ask: Callable[[RemoteRunHook], object]) -> list[str]:
        """Return which operations of the vendor something asks for, on a hook that has logged in."""
        with self.hook() as hook:
            hook.check()
            before = len(self.sandbox.ledger.requests)
            ask(hook)
            return [record.operation for record in self.sandbox.ledger.requests[before:]]

    def acts(self) -> set[str]:
        """Return the vendor's operations that change something there; a login does not."""
        routes = type(self.sandbox)._routes
        return {route.operation for route in routes if route.method != "GET" and route.needs_login}

    def settle(self, task: Rehearsal, **moments: Any) -> Mapping[str, Any] | None:
        """Run a task whose start call has taken effect, or will, and got no usable answer.

        Never is there a second run. Where the first can be shown to be the task's own, it is followed; else the
        error names it, and a person decides, without a retry.

        :param moments: as for ``Rehearsal.run``.
        :returns: the manifest, ``None`` where a person has to decide.
        """
        if self.row.can_show:
            manifest: Mapping[str, Any] = task.run(**moments)
            self.comes_to_one_run()
            assert manifest["state"] == "succeeded"
            assert self.is_of(manifest, self.sandbox.ledger.starts[0])
            return manifest
        with pytest.raises(StartLostError) as failure:
            task.run(**moments)
        self.comes_to_one_run()
        assert isinstance(failure.value, AirflowFailException), "a retry would not know more"
        if self.row.hook.capabilities.finds_lost_starts:
            assert self.sandbox.ledger.starts[0].split("/")[-1] in str(failure.value), "the error names the candidate"
        return None

    def comes_to_one_run(self, after: float = 0.0) -> None:
        """Wait for a start that takes effect late; then there is one run.

        :param after: moment of the monotonic clock by which it surely has.
        """
        end = time.monotonic() + 5
        while time.monotonic() < after or (not self.sandbox.ledger.starts and time.monotonic() < end):
            time.sleep(0.02)
        assert len(self.sandbox.ledger.starts) == 1

    def strike(self, fault: Fault) -> Callable[[], None]:
        """Return what injects a fault when a task makes its run known: from then on, only looks are asked."""

        def inject() -> None:
            self.sandbox.inject(fault)

        return inject

    def end_all(self) -> None:
        """Let every run come to its scripted end."""
        self.sandbox.clock.advance(2 * LONG.duration)

    def asked_since(self, moment: float) -> list[Any]:
        """Return the requests since a moment of the monotonic clock."""
        return [record for record in self.sandbox.ledger.requests if record.monotonic >= moment]


@pytest.fixture
def stage(row: Row, sandbox: VendorSandbox, deferrable: bool) -> Stage:
    """One vendor in one mode."""
    return Stage(row, sandbox, deferrable)


@pytest.fixture
def deferred_stage(row: Row, sandbox: VendorSandbox) -> Stage:
    """One vendor, deferrable."""
    return Stage(row, sandbox, True)


@pytest.fixture(autouse=True)
def _no_test_takes_long() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < 60, "a contract test is to take seconds, not minutes, on a busy machine too"
