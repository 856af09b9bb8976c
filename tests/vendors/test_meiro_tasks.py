"""Meiro's operators and sensors beyond what every vendor's do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import (
    InvalidInputError,
    RemoteRunFailedError,
    RemoteRunTimeoutError,
    SensedRunFailedError,
    StartLostError,
)
from airflow_provider_etlapis.operators.meiro import (
    MeiroCancelWorkspaceJobOperator,
    MeiroCloneWorkspaceOperator,
    MeiroRunWorkspaceOperator,
)
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sensors.meiro import MeiroWorkspaceSensor
from tests.support.airflow_context import TaskLog, task_log  # noqa: F401 a fixture
from tests.support.rehearsal import Rehearsal


@pytest.fixture
def meiro(etlapis_sandbox: Any) -> Iterator[MeiroSandbox]:
    """The vendor on localhost, in real time."""
    return etlapis_sandbox.meiro(conn_id="meiro_default")  # type: ignore[no-any-return]  # the factory makes any vendor


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def running(**arguments: Any) -> Rehearsal:
    return Rehearsal(lambda: MeiroRunWorkspaceOperator(**{"task_id": "run", "poll_interval": 0.1, **arguments}))


def sensing(**arguments: Any) -> Rehearsal:
    return Rehearsal(
        lambda: MeiroWorkspaceSensor(**{"task_id": "sense", "poke_interval": 0.1, "timeout": 10.0, **arguments})
    )


def test_a_workspace_is_run_by_its_name(meiro: MeiroSandbox, deferrable: bool) -> None:
    meiro.plan(Life(0.2))

    manifest = running(workspace_name="demo ETL", deferrable=deferrable).run()

    assert manifest["ids"]["workspace_id"] == "100"
    assert meiro.ledger.count("workspaces") == 1


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"workspace_id": 1, "workspace_name": "x"},
        {"workspace_id": "trash"},
        {"workspace_name": " "},
        {"workspace_name": 7.5},
        {"workspace_name": True},
        {"workspace_id": "", "workspace_name": ""},
    ],
)
def test_wrong_inputs_are_refused_before_anything_is_sent(meiro: MeiroSandbox, inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        running(**inputs).run()

    assert meiro.ledger.requests == []


def test_log_lines_come_into_the_task_log_as_they_are_written(
    meiro: MeiroSandbox,
    deferrable: bool,
    task_log: TaskLog,  # noqa: F811 the fixture
) -> None:
    meiro.workspaces[100].log_every = 0.2
    meiro.plan(Life(1.0))

    running(workspace_id=100, log_remote=True, deferrable=deferrable).run()

    remote = [text for _, text in task_log.lines if text.startswith("[remote]")]
    assert len([line for line in remote if line.endswith("rows so far")]) == 5
    assert len(remote) == len(set(remote))
    assert len({record.query for record in meiro.ledger.requests if record.operation == "logs"}) > 2


def test_the_last_log_lines_of_a_failed_job_are_in_the_exception(meiro: MeiroSandbox, deferrable: bool) -> None:
    meiro.workspaces[100].log_every = 0.001
    meiro.plan(Life(0.3, "error", error_text="no space left"))

    with pytest.raises(RemoteRunFailedError) as failure:
        running(workspace_id=100, deferrable=deferrable).run()

    lines = str(failure.value).partition("Last lines of its log:\n")[2].splitlines()
    assert len(lines) == 50
    assert lines[-1].endswith("error no space left")


def test_a_sensor_waits_for_whichever_job_ends(meiro: MeiroSandbox, deferrable: bool) -> None:
    job = meiro.seed_run(Life(0.5), flow="100")

    manifest = sensing(workspace_id=100, since=datetime.now(UTC).isoformat(), deferrable=deferrable).run()

    assert manifest["run_id"] == job.id
    assert meiro.ledger.starts == []


def test_a_sensor_fails_on_a_bad_end_or_passes_it_over(meiro: MeiroSandbox, deferrable: bool) -> None:
    since = datetime.now(UTC)
    meiro.seed_run(Life(0.0, "error", error_text="no space left"), flow="100")
    with pytest.raises(SensedRunFailedError, match="no space left"):
        sensing(workspace_id=100, since=since, deferrable=deferrable).run()

    good = meiro.seed_run(Life(0.3), flow="100")
    manifest = sensing(workspace_id=100, since=since, until="ended_well", deferrable=deferrable).run()

    assert manifest["run_id"] == good.id


def test_a_sensor_wants_a_moment(meiro: MeiroSandbox) -> None:
    with pytest.raises(InvalidInputError, match="since must be a moment"):
        sensing(workspace_id=100, since="yesterday-ish").run()
    with pytest.raises(ValueError, match="until must be"):
        MeiroWorkspaceSensor(task_id="x", workspace_id=100, until="whenever")  # type: ignore[arg-type]  # on purpose


def cancelling(run_id: str, **arguments: Any) -> Rehearsal:
    workspace_id, job_id = run_id.split("/")
    return Rehearsal(
        lambda: MeiroCancelWorkspaceJobOperator(
            task_id="cancel", workspace_id=workspace_id, job_id=job_id, poll_interval=0.1, **arguments
        )
    )


def test_cancelling_waits_until_the_job_has_stopped(meiro: MeiroSandbox) -> None:
    meiro.cancel_seconds = 0.4
    job = meiro.seed_run(Life(60.0), flow="100")

    manifest = cancelling(job.id).run()

    assert manifest["vendor_status"] == "canceled"
    assert meiro.ledger.cancels == [job.id]


def test_cancelling_a_job_that_has_ended_returns_how_it_ended(meiro: MeiroSandbox) -> None:
    job = meiro.seed_run(Life(1.0), flow="100", age=60.0)

    assert cancelling(job.id).run()["vendor_status"] == "finished"
    assert meiro.ledger.cancels == []


def test_cancelling_need_not_wait_or_not_for_ever(meiro: MeiroSandbox) -> None:
    meiro.cancel_seconds = 60.0
    job = meiro.seed_run(Life(600.0), flow="100")

    assert cancelling(job.id, wait_for_completion=False).run()["vendor_status"] == "running"
    with pytest.raises(RemoteRunTimeoutError, match="was asked to stop"):
        cancelling(job.id, timeout=0.3).run()


def cloning(**arguments: Any) -> Rehearsal:
    return Rehearsal(lambda: MeiroCloneWorkspaceOperator(**{"task_id": "clone", "workspace_id": "100", **arguments}))


@pytest.mark.parametrize(("name", "given"), [(None, "clone_demo ETL"), ("orders of today", "orders of today")])
def test_a_copy_has_the_vendors_name_or_the_wanted_one(meiro: MeiroSandbox, name: str | None, given: str) -> None:
    copy = cloning(name=name).run()

    assert copy == {"workspace_id": 103, "name": given, "source_workspace_id": 100}
    assert meiro.workspaces[103].name == given


def test_a_copy_whose_answer_is_lost_is_not_made_again(meiro: MeiroSandbox) -> None:
    meiro.inject(Fault("clone", "drop_after"))

    with pytest.raises(StartLostError, match="Look whether there is a copy"):
        cloning().run()

    assert meiro.ledger.count("clone") == 1


def test_importing_operators_and_sensors_imports_no_http_library() -> None:
    code = (
        "import sys, airflow.providers.common.compat.sdk as s; s.BaseOperator, s.BaseSensorOperator\n"
        "before = set(sys.modules)\n"
        "import airflow_provider_etlapis.operators.meiro, airflow_provider_etlapis.sensors.meiro\n"
        "new = set(sys.modules) - before\n"
        "print([m for m in new if '.hooks.' in m and 'etlapis' in m or m in ('requests', 'aiohttp', 'pendulum')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert told.stdout.strip().splitlines()[-1] == "[]"
