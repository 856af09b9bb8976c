"""A real Celery Director for the tests: without a Python that can run it they fail, they are never skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.demo.stack import LocalAirflow

TASKS = '''
import time

from director import task


@task(name="RAW")
def raw(*args, **kwargs):
    """Return what the server cannot show."""
    return b"bytes"


@task(name="FAST_FAILURE")
def fast_failure(*args, **kwargs):
    """Fail while the other members of a group go on."""
    raise ValueError("one member of the group")


@task(name="LATE_FAILURE")
def late_failure(*args, **kwargs):
    """Fail some time after the run was called a success."""
    time.sleep(1.5)
    raise ValueError("the hook raised")
'''
DEFINITIONS = """
lab.LOST:
  tasks: [EXTRACT, NOWHERE, LOAD]
lab.BYTES:
  tasks: [RAW]
lab.GROUP:
  tasks:
    - PING
    - PAIR:
        type: group
        tasks: [FAST_FAILURE, LONG_STEP]
    - LOAD
lab.HOOK:
  tasks: [PING]
  hooks:
    success: LATE_FAILURE
"""


class LabDirector(RealDirector):
    """A Director that also has definitions with the faults that its users' definitions have (project `lab`)."""

    def _make_home(self) -> None:
        super()._make_home()
        home = self.workdir / "home"
        (home / "tasks" / "lab.py").write_text(TASKS)
        with (home / "workflows.yml").open("a") as definitions:
            definitions.write(DEFINITIONS)


@pytest.fixture(scope="session")
def director(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealDirector]:
    """A Director whose cancel works, without authentication."""
    with LabDirector(tmp_path_factory.mktemp("director"), fix_cancel=True, concurrency=24) as running:
        yield running


@pytest.fixture(scope="session")
def director_as_published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealDirector]:
    """Release 0.10.0 as it is, whose cancel stops nothing, behind a password."""
    with RealDirector(tmp_path_factory.mktemp("director"), auth=("airflow", "pass:word")) as running:
        yield running


@pytest.fixture
def director_conn_id(airflow_stack: LocalAirflow, director: RealDirector) -> str:
    """Make the Director a connection of the running Airflow."""
    conn_id = "celery_director_default"
    airflow_stack.api.add_connection(conn_id, director.connection())
    return conn_id
