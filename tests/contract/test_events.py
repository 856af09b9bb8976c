"""Events for asset watchers: each end of a target's runs, or a refusal at the moment the trigger is made."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import airflow
import pytest

from airflow_provider_etlapis.exceptions import InvalidInputError, NotOfferedError
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from airflow_provider_etlapis.triggers.finished import RunFinishedTrigger
from tests.contract.claims import overrides
from tests.contract.conftest import ELSEWHERE, SHORT, Stage
from tests.contract.row import Row
from tests.support import rehearsal
from tests.support.releases import through_database

asset_watchers = pytest.mark.skipif(airflow.__version__.startswith("2."), reason="Airflow 3 brings asset watchers")
WITHOUT_EVENTS = "tests.support.fake_vendor.FakeHook"


def trigger_of(row: Row, conn_id: str = "") -> RunFinishedTrigger:
    """Return a trigger for the runs of what the row's operator starts."""
    return RunFinishedTrigger(
        hook=row.hook_path,
        conn_id=conn_id or row.hook.default_conn_name,
        what=dict(row.target or {}),
        poll_interval=0.05,
    )


async def first_event(trigger: RunFinishedTrigger, sandbox: VendorSandbox, stage: Stage) -> tuple[Any, dict[str, Any]]:
    """Watch, let a task run once the trigger has polled twice, and return what both came to."""
    _, arguments = trigger.serialize()
    watcher = type(trigger)(**through_database(arguments))
    events = watcher.run()
    event = asyncio.ensure_future(anext(events))
    try:
        async with asyncio.timeout(rehearsal.LONGEST_TRY):
            while len(sandbox.ledger.requests) < 4:  # noqa: ASYNC110 it is polled in another thread
                await asyncio.sleep(0.02)
            returned = await asyncio.to_thread(stage.task(**{stage.conn_id_field: trigger.conn_id}).run)
            return returned, (await event).payload
    finally:
        event.cancel()
        await asyncio.wait([event])
        await events.aclose()  # type: ignore[attr-defined]  # it is a generator


@asset_watchers
@pytest.mark.claims("events")
def test_the_end_of_a_run_is_an_event_that_names_it(row: Row, sandbox: VendorSandbox) -> None:
    sandbox.plan(SHORT)

    returned, event = asyncio.run(first_event(trigger_of(row), sandbox, Stage(row, sandbox, False)))

    assert (event["run_id"], event["state"]) == (returned["run_id"], "succeeded")


@asset_watchers
@pytest.mark.claims("events")
def test_events_are_those_of_the_connection_that_is_named(
    row: Row, sandbox: VendorSandbox, elsewhere: VendorSandbox
) -> None:
    elsewhere.plan(SHORT)
    stage = Stage(row, sandbox, False)

    returned, event = asyncio.run(first_event(trigger_of(row, ELSEWHERE), elsewhere, stage))

    assert event["run_id"] == returned["run_id"]
    assert sandbox.ledger.requests == []


@pytest.mark.claims_not("events")
def test_a_vendor_without_events_refuses_the_trigger_when_it_is_made(row: Row) -> None:
    with pytest.raises(NotOfferedError, match=row.hook.form.hook_name):
        trigger_of(row)


@pytest.mark.claims("events")
def test_a_vendor_with_events_takes_the_trigger(row: Row) -> None:
    """What the package knows without an import is true."""
    assert overrides(row.hook, "runs_of")
    assert trigger_of(row).hook == row.hook_path


# Whichever vendor


def test_a_hook_without_runs_of_refuses_the_trigger_when_it_is_made() -> None:
    with pytest.raises(NotOfferedError, match=r"Celery Director.*sensor"):  # the form that this hook has borrowed
        RunFinishedTrigger(hook=WITHOUT_EVENTS, conn_id="any", what={"what": "load"})


@pytest.mark.parametrize(
    "path", ["", "no_dots", "no.such.module.Hook", "tests.support.fake_vendor.NoHook", "json.loads"]
)
def test_a_path_that_is_no_hook_is_refused_when_the_trigger_is_made(path: str) -> None:
    with pytest.raises(InvalidInputError, match="hook must be the dotted path of a vendor's hook class"):
        RunFinishedTrigger(hook=path, conn_id="any", what={})


def test_making_a_trigger_of_this_package_imports_no_hook() -> None:
    """DAG files are read often, and a hook takes the HTTP libraries along."""
    program = (
        "import sys\n"
        "from airflow_provider_etlapis.triggers import finished\n"
        "finished.etlworks_flow_finished(flow_id=1)\n"
        "finished.celery_director_workflow_finished(project='a', name='b')\n"
        "finished.meiro_workspace_finished(workspace_id=1)\n"
        "finished.webrobot_job_finished(project_id=1, job_id=2)\n"
        "finished.dataworq_job_finished(flow_name='a')\n"
        "print([name for name in sys.modules if name.startswith('airflow_provider_etlapis.hooks')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
