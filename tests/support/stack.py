"""One real Airflow for all tests of a session: starting it takes most of half a minute."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_etlapis.demo.stack import LocalAirflow

# Shorter than Airflow's own, so that what follows a killed process is seen in a test's time; long enough for a busy
# machine with two cores.
SETTINGS = {
    "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "20",
}

# The tasks of the exit rows that wait on a worker are all there at once.
PARALLELISM = 24

AddDag = Callable[[str, str], Path]


def patient(home: Path) -> dict[str, str]:
    """Settings with which a process waits for its turn to write to the database, however slow the machine is."""
    url = f"sqlite:///{home.resolve()}/airflow.db?timeout=15"
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "ETLAPIS_AIRFLOW_DATABASE": url}


@pytest.fixture(scope="session")
def airflow_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """A running Airflow with no DAG but those that tests add; give every DAG an id of its own."""
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "dags"
    dags.mkdir()
    with LocalAirflow(home, dags, {**SETTINGS, **patient(home)}, parallelism=PARALLELISM) as airflow:
        yield airflow


@pytest.fixture
def add_dag(airflow_stack: LocalAirflow) -> Iterator[AddDag]:
    """Add a DAG file to the running Airflow: `add_dag(dag_id, source)`; returns when Airflow knows the DAG."""
    with adding_dags_to(airflow_stack) as add:
        yield add


@contextmanager
def adding_dags_to(airflow: LocalAirflow) -> Iterator[AddDag]:
    """Give what adds DAG files to a running Airflow; they are taken away again at the end."""
    added: list[Path] = []

    def add(dag_id: str, source: str) -> Path:
        file = airflow.plan.dags[0] / f"{dag_id}.py"
        file.write_text(textwrap.dedent(source))
        added.append(file)

        def known() -> bool:
            # Not those of other files: one that a test has just taken away may be missed by Airflow for a while.
            for fault in airflow.api.import_errors():
                assert not fault["filename"].endswith(file.name), fault["stack_trace"]
            return airflow.api.request("GET", f"dags/{dag_id}").ok

        airflow.wait_for(known, 60, f"DAG {dag_id} read from {file}")
        return file

    yield add
    for file in added:
        file.unlink()
