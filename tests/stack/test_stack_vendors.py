"""All five vendors in one real Airflow: the example DAGs come out as they intend, and no secret is left anywhere."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from airflow_provider_etlapis.demo.client import FINISHED
from airflow_provider_etlapis.demo.command import example_dags
from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.demo.verdict import TAG, expectations
from airflow_provider_etlapis.sandbox import VENDORS
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.etlworks import EtlworksSandbox
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox

PASSWORD = "a-directors-password"


@pytest.fixture
def sandboxes() -> Iterator[dict[str, VendorSandbox]]:
    """Every vendor's sandbox, each with a credential to keep."""
    made = [
        CeleryDirectorSandbox(auth=("airflow", PASSWORD)),
        EtlworksSandbox(credential="login"),  # so that tokens are issued, and not only an API key used
        DataworqSandbox(),
        MeiroSandbox(),
        WebRobotSandbox(),
    ]
    with ExitStack() as stack:
        yield {sandbox.vendor: stack.enter_context(sandbox) for sandbox in made}


def _connections(sandboxes: dict[str, VendorSandbox]) -> dict[str, dict[str, object]]:
    return {f"{vendor}_default": sandbox.connection() for vendor, sandbox in sandboxes.items()}


def _secrets(sandboxes: dict[str, VendorSandbox], connections: dict[str, dict[str, object]]) -> set[str]:
    found = {PASSWORD}
    for connection in connections.values():
        found.add(str(connection["password"]))
        extra = connection["extra"]
        assert isinstance(extra, dict)
        found |= {str(value) for name, value in extra.items() if "key" in name}
    etlworks, meiro = sandboxes["etlworks"], sandboxes["meiro"]
    assert isinstance(etlworks, EtlworksSandbox)
    assert isinstance(meiro, MeiroSandbox)
    for issued in (etlworks.gate.issued, meiro.tokens.issued):
        assert issued, "no login was made: the test would look for nothing"
        found |= set(issued)
    return found


def _database_text(database: Path) -> Iterator[tuple[str, str]]:
    """Every row of every table as text; the connections themselves are the one place for secrets."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if table != "connection":
                for row in connection.execute(f"SELECT * FROM {table}"):
                    yield table, repr(row)


def test_the_example_dags_come_out_as_intended_and_leave_no_secret_behind(
    airflow_stack: LocalAirflow, sandboxes: dict[str, VendorSandbox]
) -> None:
    assert set(sandboxes) == set(VENDORS)
    api = airflow_stack.api
    connections = _connections(sandboxes)
    for conn_id, connection in connections.items():
        api.add_connection(conn_id, connection)
    copies = shutil.copytree(
        example_dags(), airflow_stack.plan.dags[0] / "examples", ignore=shutil.ignore_patterns("__pycache__")
    )
    expected = {path.stem for path in copies.glob("*.py") if TAG in path.read_text()}
    try:
        airflow_stack.wait_for(lambda: {row["dag_id"] for row in api.dags(TAG)} >= expected, 60, "the example DAGs")
        runs = {dag_id: api.trigger(dag_id) for dag_id in sorted(expected)}
        passing: set[str] = set()  # rows that are gone when a wait has ended: its trigger, and the event it sent

        def all_ended() -> bool:
            passing.update(repr(row) for row in airflow_stack.query("SELECT * FROM trigger"))
            passing.update(
                str(row["next_kwargs"])
                for row in airflow_stack.query("SELECT next_kwargs FROM task_instance WHERE next_kwargs IS NOT NULL")
            )
            return all(api.dag_run(*run)["state"] in FINISHED for run in runs.items())

        airflow_stack.wait_for(all_ended, 240, "the end of all DAG runs")
        for dag_id, run_id in runs.items():
            tags = next(row["tags"] for row in api.dags(TAG) if row["dag_id"] == dag_id)
            intended = expectations(tag["name"] for tag in tags)
            for row in api.task_instances(dag_id, run_id):
                wanted = intended.get(row["task_id"], "success")
                log = api.log_text(dag_id, run_id, row["task_id"], row["try_number"] or 1, row["map_index"])
                assert row["state"] == wanted, f"{dag_id}.{row['task_id']}\n{log}"
    finally:
        shutil.rmtree(copies)

    secrets = _secrets(sandboxes, connections)
    logs = [path for path in airflow_stack.home.rglob("*.log*") if path.is_file()]
    assert any("etlapis_etlworks" in str(path) for path in logs)
    for path in logs:
        text = path.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], path
    assert any("RemoteRunTrigger" in row for row in passing)
    assert any('"done"' in row for row in passing)
    assert not [row for row in passing if any(secret in row for secret in secrets)]
    tables = set()
    for table, row in _database_text(airflow_stack.plan.database):
        tables.add(table)
        assert not [secret for secret in secrets if secret in row], table
    assert {"xcom", "task_instance"} <= tables
