"""Meiro's operators and sensors beyond what every vendor's do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import InvalidInputError, RemoteRunFailedError, SensedRunFailedError
from airflow_provider_etlapis.operators.meiro import MeiroRunWorkspaceOperator
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.meiro.work import Workspace
from airflow_provider_etlapis.sensors.meiro import MeiroWorkspaceJobSensor, MeiroWorkspaceSensor
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


def test_an_empty_id_beside_a_name_counts_as_not_given(meiro: MeiroSandbox, deferrable: bool) -> None:
    manifest = running(workspace_id="", workspace_name="demo ETL", deferrable=deferrable).run()

    assert manifest["ids"]["workspace_id"] == "100"


def test_an_empty_name_beside_an_id_counts_as_not_given(meiro: MeiroSandbox) -> None:
    assert running(workspace_id="100", workspace_name=" ").run()["ids"]["workspace_id"] == "100"


def test_a_name_made_of_digits_may_come_as_a_number(meiro: MeiroSandbox) -> None:
    """Native rendering makes numbers of such names."""
    meiro.define(Workspace(900, "2026", life=Life(0.1)))

    assert running(workspace_name=2026).run()["ids"]["workspace_id"] == "900"


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
        {"workspace_id": "9" * 5000},
        {"workspace_id": 10**5000},
        {"workspace_name": 10**5000},
        {"workspace_name": "a\0b"},
        {"workspace_name": "half \ud83d"},
    ],
    ids=range(12),
)
def test_wrong_inputs_are_refused_before_anything_is_sent(meiro: MeiroSandbox, inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=r"workspace_(id|name)") as refused:
        running(**inputs).run()

    assert len(str(refused.value)) < 300
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


@pytest.mark.parametrize("wrong", ["", "trash", "9" * 5000, 10**5000, "\ud800", "1\0"], ids=range(6))
def test_a_sensor_refuses_wrong_ids_in_words(meiro: MeiroSandbox, wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match="workspace_id must be a whole number"):
        sensing(workspace_id=wrong, since=datetime.now(UTC)).run()
    with pytest.raises(InvalidInputError, match="job_id must be a whole number"):
        Rehearsal(lambda: MeiroWorkspaceJobSensor(task_id="sense", workspace_id=100, job_id=wrong)).run()

    assert meiro.ledger.requests == []


def test_a_sensor_wants_a_moment(meiro: MeiroSandbox) -> None:
    with pytest.raises(InvalidInputError, match="since must be a moment"):
        sensing(workspace_id=100, since="yesterday-ish").run()
    with pytest.raises(ValueError, match="until must be"):
        MeiroWorkspaceSensor(task_id="x", workspace_id=100, until="whenever")  # type: ignore[arg-type]  # on purpose


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
