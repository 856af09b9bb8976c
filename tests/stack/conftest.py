"""What the stack tests share: the stage of the exit rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from tests.stack.exits import Stage, staged
from tests.stack.sides import DirectorSide, MeiroSide


@pytest.fixture(scope="module")
def stage(airflow: LocalAirflow, director: RealDirector) -> Iterator[Stage]:
    """The tasks of the exit rows, in the Airflow of the test's module."""
    with MeiroSandbox() as meiro, staged(airflow, [DirectorSide(director), MeiroSide(meiro)]) as made:
        yield made
