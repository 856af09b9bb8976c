"""A real Celery Director for the tests: without a Python that can run it they fail, they are never skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.demo.stack import LocalAirflow


@pytest.fixture(scope="session")
def director(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealDirector]:
    """A Director whose cancel works, without authentication."""
    with RealDirector(tmp_path_factory.mktemp("director"), fix_cancel=True, concurrency=24) as running:
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
