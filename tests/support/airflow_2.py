"""A real Airflow 2.11 for the tests, from the environment that the matrix makes for it.

`ETLAPIS_OLDER_AIRFLOW=3.1.8` puts another release in its place, to see the same promises kept there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from airflow_provider_etlapis.demo.stack import LocalAirflow
from tests.matrix.environment import environment
from tests.matrix.rows import Row
from tests.support.stack import PARALLELISM, SETTINGS, AddDag, adding_dags_to, patient

ROW = Row(os.environ.get("ETLAPIS_OLDER_AIRFLOW", "2.11.2"), "3.11")


@pytest.fixture(scope="session")
def airflow_2_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """A running Airflow 2.11 with no DAG but those that tests add."""
    home = tmp_path_factory.mktemp("airflow2")
    dags = home / "dags"
    dags.mkdir()
    with LocalAirflow(
        home, dags, {**SETTINGS, **patient(home)}, parallelism=PARALLELISM, python=environment(ROW)
    ) as airflow:
        yield airflow


@pytest.fixture(scope="session")
def add_dag_2(airflow_2_stack: LocalAirflow) -> Iterator[AddDag]:
    """Add a DAG file to the running Airflow 2.11."""
    with adding_dags_to(airflow_2_stack) as add:
        yield add
