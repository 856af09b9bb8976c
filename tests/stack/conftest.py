"""What the stack tests share: a question to the vendor's side about the runs of one task."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_etlapis.demo.director import RealDirector

RunsOf = Callable[[str], list[dict[str, object]]]


@pytest.fixture
def runs_of(director: RealDirector) -> RunsOf:
    """Return the runs on the real Director that a DAG has started, newest first."""

    def runs(dag_id: str) -> list[dict[str, object]]:
        return [row for row in director.runs() if f"airflow {dag_id}." in str(row.get("comment"))]

    return runs
