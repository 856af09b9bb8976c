"""A task's outlets are told which run it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator
from airflow_provider_etlapis.operators.ending import note_in_outlets
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.pytest_plugin import SandboxFactory
from tests.support.airflow_context import FakeStateStore, FakeTaskInstance, context_of

ORDERS = Asset("test://orders")


class Events:
    """The events of a task's outlets, made when they are asked for, as Airflow does."""

    def __init__(self) -> None:
        self.made: dict[str, SimpleNamespace] = {}

    def __getitem__(self, asset: Any) -> SimpleNamespace:
        return self.made.setdefault(asset.uri, SimpleNamespace(extra={}))


@pytest.mark.parametrize("waits", [True, False])
def test_an_operator_tells_its_assets_which_run_it_was(waits: bool, etlapis_sandbox: SandboxFactory) -> None:
    director: Any = etlapis_sandbox.celery_director(conn_id="celery_director_default", default_life=Life(0.1))
    director.plan(Life(0.1))
    task = CeleryDirectorRunWorkflowOperator(
        task_id="etl", project="demo", name="ETL", poll_interval=0.1, wait_for_completion=waits, outlets=[ORDERS]
    )
    events = Events()
    context = context_of(FakeTaskInstance("etl"), FakeStateStore(), outlet_events=events)

    manifest = task.execute(context)

    told = events[ORDERS].extra
    assert told == {name: manifest[name] for name in ("run_id", "url", "duration", "vendor_status")}
    assert told["vendor_status"] == ("success" if waits else "pending")


def test_what_the_author_has_put_there_stays_and_aliases_are_left_alone() -> None:
    alias = AssetAlias("any")
    events = Events()
    events[ORDERS].extra = {"rows": 3, "url": "https://mine.example"}
    run = RemoteRun(RunRef("vendor", {"id": "7"}), RunState.SUCCEEDED, "DONE", url="https://vendor.example/7")

    note_in_outlets({"outlet_events": events}, [alias, ORDERS], run)  # type: ignore[typeddict-item]

    assert events[ORDERS].extra == {
        "run_id": "7",
        "duration": None,
        "vendor_status": "DONE",
        "rows": 3,
        "url": "https://mine.example",
    }
    assert list(events.made) == [ORDERS.uri]


def test_an_airflow_without_events_of_outlets_is_no_fault() -> None:
    note_in_outlets({}, [ORDERS], RemoteRun(RunRef("vendor", {"id": "7"}), RunState.SUCCEEDED, "DONE"))  # type: ignore[typeddict-item]
