"""A wait that an older release has deferred is taken up by this one, from the very rows that Airflow's database holds.

Each file in ``rows`` is what one release wrote for the same run; a release that writes something new adds a file.
"""

from __future__ import annotations

import asyncio
import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.lives import Life
from tests.support.airflow_context import FakeStateStore, FakeTaskInstance, context_of
from tests.support.releases import through_database

ROWS = {file.stem: json.loads(file.read_text()) for file in sorted((Path(__file__).parent / "rows").glob("*.json"))}
RUN = "0d1c6d1e-3a3f-4f5e-9a54-6a7b5f1f2c11"

MEMORY_OF_THE_FIRST = {
    "marker": "airflow dag.run 3d1f0a",
    "fingerprint": "0123456789abcdef",
    "max_tries": 2,
    "at": 1795330000.0,
    "ref": {"vendor": "celery_director", "ids": {"workflow_id": RUN}, "since": 1795330000.0},
    "url": None,
    "deadline": None,
}

RECORD_OF_NOVEMBER = {
    **MEMORY_OF_THE_FIRST,
    "retries": 2,
    "watermark": None,
    "finished": False,
    "cancelled": False,
    "owned": True,
}


async def _event(classpath: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    module, _, name = classpath.rpartition(".")
    trigger = getattr(import_module(module), name)(**through_database(kwargs))
    trigger.poll_interval = 0.01
    async with asyncio.timeout(10):
        event = await anext(trigger.run())
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=5)
    payload: dict[str, Any] = through_database(event.payload)
    return payload


def _operator(**more: Any) -> CeleryDirectorRunWorkflowOperator:
    return CeleryDirectorRunWorkflowOperator(task_id="run", project="demo", name="ETL", retries=2, **more)


@pytest.fixture
def sandbox() -> Any:
    with CeleryDirectorSandbox() as running:
        connection = json.dumps(running.connection())
        with mock.patch.dict(os.environ, {"AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT": connection}):
            yield running


def test_the_rows_of_more_than_one_release_are_kept() -> None:
    arguments = {name: set(row["kwargs"]) for name, row in ROWS.items()}

    assert len(arguments) >= 3
    assert "not_before" in arguments["trigger_november"]
    assert "seen_well" not in arguments["trigger_november"], "this release writes more"
    assert "with_log" not in arguments["trigger_first"], "an older row lacks what came later"


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_wait_that_another_release_deferred_goes_on_and_ends_well(
    sandbox: CeleryDirectorSandbox, row: dict[str, Any]
) -> None:
    sandbox.seed_run(Life(duration=0.05), run_id=RUN)

    event = asyncio.run(_event(row["classpath"], row["kwargs"]))
    ti = FakeTaskInstance("run", retries=2)
    manifest = _operator().resume_execution(row["next_method"], {"event": event}, context_of(ti, FakeStateStore()))

    assert (manifest["run_id"], manifest["state"]) == (RUN, "succeeded")
    assert sandbox.ledger.starts == []
    assert sandbox.ledger.cancels == []


def test_an_argument_of_a_newer_release_is_kept_for_it(sandbox: CeleryDirectorSandbox) -> None:
    row = ROWS["trigger_0.1.0"]
    module, _, name = row["classpath"].rpartition(".")

    trigger = getattr(import_module(module), name)(**row["kwargs"], of_the_future={"n": 1})

    assert trigger.serialize()[1]["of_the_future"] == {"n": 1}


def test_an_event_of_the_first_release_is_understood(sandbox: CeleryDirectorSandbox) -> None:
    sandbox.seed_run(Life(duration=0.0), run_id=RUN)
    event = {
        "status": "done",
        "message": "",
        "ref": MEMORY_OF_THE_FIRST["ref"],
        "owned": True,
        "deadline": None,
    }

    context = context_of(FakeTaskInstance("run", retries=2), FakeStateStore())
    manifest = _operator().resume_execution("execute_complete", {"event": event}, context)

    assert manifest["state"] == "succeeded"


@pytest.mark.parametrize("record", [MEMORY_OF_THE_FIRST, RECORD_OF_NOVEMBER], ids=["first", "november"])
def test_what_a_try_of_an_earlier_release_has_noted_is_followed_by_a_retry(
    sandbox: CeleryDirectorSandbox, record: dict[str, Any]
) -> None:
    sandbox.seed_run(Life(duration=0.05), run_id=RUN)
    store = FakeStateStore()
    store.set("remote_run", record)
    ti = FakeTaskInstance("run", retries=2)
    ti.begin_retry()

    manifest = _operator(poll_interval=0.02).execute(context_of(ti, store))

    assert manifest["run_id"] == RUN
    assert sandbox.ledger.starts == []
