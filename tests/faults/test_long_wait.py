"""Eight hours of the vendor's time in which everything happens that may happen to a deferred wait in a night.

The clock of the vendor, the trigger and the task is the sandbox's; each request moves it on by half a minute, so that
the test does not depend on how fast the machine is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.operators.meiro import MeiroRunWorkspaceOperator
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from tests.support.airflow_context import FakeStateStore, FakeTaskInstance, context_of
from tests.support.releases import through_database, without_handover

HOUR, MINUTE = 3600.0, 60.0
A_REQUEST = 30.0
OUTAGES = (2 * HOUR, 6 * HOUR)
RESTART = 3 * HOUR
NEW_PASSWORD = 5 * HOUR
NOTICED = NEW_PASSWORD + 5 * MINUTE


class Night:
    """What happens to the vendor, by its clock."""

    def __init__(self, sandbox: MeiroSandbox) -> None:
        self.sandbox = sandbox
        self.began = sandbox.clock.now()
        self.told = 0
        self.asked_in_outages = 0
        self._due: list[tuple[float, Callable[[], None]]] = [
            (NEW_PASSWORD, self._change_password),
            (NOTICED, self.write_connection),
        ]
        for start in OUTAGES:
            armed: list[Any] = []
            self._due += [
                (start, lambda armed=armed: armed.append(sandbox.inject(Fault("*", "status", status=503, times=None)))),
                (start + 10 * MINUTE, lambda armed=armed: armed[0].remove()),
            ]
        self._due.sort(key=lambda entry: entry[0])

    @property
    def hours(self) -> float:
        return (self.sandbox.clock.now() - self.began) / HOUR

    def request_comes(self, record: Any) -> None:
        self.sandbox.clock.advance(A_REQUEST)
        self.told += 1
        while self._due and self.hours * HOUR >= self._due[0][0]:
            self._due.pop(0)[1]()
        self.asked_in_outages += any(0 <= self.hours * HOUR - start < 10 * MINUTE for start in OUTAGES)

    def write_connection(self) -> None:
        """Somebody writes the vendor's present password into Airflow's connection."""
        connection = self.sandbox.connection()
        connection["extra"] |= {"retries": 0, "requests_per_minute": 600_000}
        os.environ["AIRFLOW_CONN_MEIRO_DEFAULT"] = json.dumps(connection)

    def _change_password(self) -> None:
        self.sandbox.password = "changed in the night"
        self.sandbox.tokens.revoke_all()


async def _wait(arguments: dict[str, Any], until: Callable[[], bool] = lambda: False) -> dict[str, Any] | None:
    """Be a triggerer: wait for the event, or end as in a restart, which tells nobody."""
    from airflow_provider_etlapis.triggers.run import RemoteRunTrigger

    trigger = RemoteRunTrigger(**without_handover(arguments))
    waiting = asyncio.ensure_future(anext(trigger.run()))
    while not waiting.done() and not until():
        await asyncio.wait({waiting}, timeout=0.01)
    if not waiting.done():
        waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        event = await waiting
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=5)
    if waiting.cancelled():
        return None
    payload: dict[str, Any] = through_database(event.payload)
    return payload


def test_a_night_of_eight_hours_ends_well_with_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with MeiroSandbox(token_life=HOUR) as sandbox:
        sandbox.clock.speed = 0.0
        sandbox.plan(Life(duration=8 * HOUR))
        night = Night(sandbox)
        monkeypatch.setenv("AIRFLOW_CONN_MEIRO_DEFAULT", "")  # put back at the end of the test
        night.write_connection()
        note_request = sandbox.ledger.note_request

        def noted(record: Any) -> None:
            note_request(record)
            night.request_comes(record)

        ti, store = FakeTaskInstance("run", retries=2), FakeStateStore()
        operator = MeiroRunWorkspaceOperator(
            task_id="run", workspace_id=100, deferrable=True, poll_interval=0.002, timeout=12 * HOUR
        )
        with mock.patch.object(sandbox.ledger, "note_request", noted), mock.patch("time.time", sandbox.clock.now):
            with pytest.raises(TaskDeferred) as deferral:
                operator.execute(context_of(ti, store))
            row = deferral.value.trigger.serialize()[1]

            assert asyncio.run(_wait(row, until=lambda: night.hours * HOUR >= RESTART)) is None
            restarted_at = night.hours
            event = asyncio.run(_wait(row))
            assert event is not None
            manifest = operator.resume_execution("execute_complete", {"event": event}, context_of(ti, store))

        assert manifest["state"] == "succeeded"
        assert manifest["duration"] == pytest.approx(8 * HOUR)
        assert 3.0 <= restarted_at < 4.9
        assert night.hours >= 8.0
        assert len(sandbox.ledger.starts) == 1
        assert sandbox.ledger.cancels == []
        assert night.asked_in_outages >= 4
        assert sandbox.ledger.logins + sandbox.ledger.count("login") >= 6, "a token lives an hour here"
        assert any(record.status in (401, 403) for record in sandbox.ledger.requests), "the old password was refused"
        assert MeiroHook.conn_type in json.dumps(event)
