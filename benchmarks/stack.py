"""Many deferred tasks of one DAG in a real Airflow: ours and dbt Cloud's sensor, one after the other.

The scheduler, the LocalExecutor, the triggerer and the API server are Airflow's own, from the rivals' environment, on
SQLite. All tasks are deferred first; then nothing ends for a while; then all runs end at the same moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from airflow_provider_etlapis.demo.processes import ChildProcess
from airflow_provider_etlapis.demo.stack import LocalAirflow
from benchmarks.certificate import write_certificate
from benchmarks.contestants import CONN_ID
from benchmarks.environment import REPOSITORY, rival_versions, rivals_python
from benchmarks.serving import Server

INTERVAL = 10
GOING = 60.0
"""Seconds for which all tasks wait and no run ends."""
LONGEST = 1500.0
_A_DAY = 86400.0

_DAG = """
import json, pathlib
from datetime import datetime
from airflow.sdk import DAG
from {module} import {sensor}

with DAG("many", start_date=datetime(2026, 1, 1), schedule=None, max_active_tasks=10_000):
    {sensor}.partial(
        task_id="wait", deferrable=True, poke_interval={interval}, timeout=86400, max_active_tis_per_dag=10_000,
        {arguments}
    ).expand({expanded}=json.loads(pathlib.Path({runs!r}).read_text()))
"""

SENSORS: Mapping[str, Mapping[str, str]] = {
    "dbt_cloud": {
        "module": "airflow.providers.dbt.cloud.sensors.dbt",
        "sensor": "DbtCloudJobRunSensor",
        "arguments": f"dbt_cloud_conn_id={CONN_ID!r}, account_id=1,",
        "expanded": "run_id",
    },
    "celery_director": {
        "module": "airflow_provider_etlapis.sensors.celery_director",
        "sensor": "CeleryDirectorWorkflowSensor",
        "arguments": f"celery_director_conn_id={CONN_ID!r},",
        "expanded": "workflow_id",
    },
}
_LABELS = {"dbt_cloud": "dbt Cloud", "celery_director": "Celery Director"}


def run(runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure both, and return everything that is kept.

    :param runs: deferred tasks of each.
    :param say: told how it goes.
    """
    python = rivals_python()
    found = []
    for name in SENSORS:
        with tempfile.TemporaryDirectory() as folder:
            found.append(_measure(name, runs, python, Path(folder), say))
    return {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": {"cores": os.cpu_count()},
        "versions": rival_versions(python),
        "interval_seconds": INTERVAL,
        "tasks": runs,
        "seconds_going": GOING,
        "contestants": found,
    }


def _measure(name: str, runs: int, python: Path, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    certificate = write_certificate(folder)
    (dags := folder / "dags").mkdir()
    with _serving(name, certificate) as server:
        told = server.seed([_A_DAY] * runs, time.monotonic(), None)
        ids = [ref if isinstance(ref, int) else _id_of(ref) for ref in told]
        (refs := folder / "runs.json").write_text(json.dumps(ids))
        (dags / "many.py").write_text(_DAG.format(**SENSORS[name], interval=INTERVAL, runs=str(refs)))
        settings = {
            "SSL_CERT_FILE": str(certificate),
            "REQUESTS_CA_BUNDLE": str(certificate),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "",  # else each task of whoever was edited last compiles it again
            "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": "64",
        }
        connections = {CONN_ID: server.connection()}
        with LocalAirflow(folder / "home", dags, settings, connections=connections, python=python) as airflow:
            figures = _play(airflow, server, runs, lambda line: say(f"{_LABELS[name]}: {line}"))
    return {"contestant": name, "label": _LABELS[name], "ours": name == "celery_director", **figures}


def _play(airflow: LocalAirflow, server: Server, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    triggerer = airflow.component("triggerer")
    idle = _memory(triggerer)
    began = time.monotonic()
    airflow.api.trigger("many")
    _until(airflow, "deferred", runs)
    to_defer = time.monotonic() - began
    say(f"{runs} tasks deferred after {to_defer:.0f} s")
    before, cpu = server.count(), _cpu(triggerer)
    time.sleep(GOING)
    after, cpu_going, memory = server.count(), _cpu(triggerer) - cpu, _memory(triggerer)
    ended = time.monotonic()
    server.end_all()
    airflow.wait_for(lambda: _count(airflow, "deferred") == 0, LONGEST, "no task deferred any more", 1.0)
    to_tell = time.monotonic() - ended
    _until(airflow, "success", runs)
    to_end = time.monotonic() - ended
    whole = server.count()
    say(f"all ends told after {to_tell:.0f} s, all tasks done after {to_end:.0f} s")
    return {
        "seconds_to_defer": round(to_defer, 1),
        "requests_while_going": after["requests"] - before["requests"],
        "tls_handshakes_while_going": after["tls_handshakes"] - before["tls_handshakes"],
        "triggerer_cpu_seconds_while_going": round(cpu_going, 2),
        "triggerer_memory_above_idle_bytes": memory - idle,
        "seconds_to_tell_all_ends": round(to_tell, 1),
        "seconds_to_end": round(to_end, 1),
        "requests": whole["requests"],
        "tls_handshakes": whole["tls_handshakes"],
    }


@contextlib.contextmanager
def _serving(name: str, certificate: Path) -> Iterator[Server]:
    server = Server(name, certificate)
    try:
        yield server
    finally:
        server.close()


def _id_of(ref: Any) -> Any:
    return ref["ids"]["workflow_id"] if isinstance(ref, Mapping) else int(ref)


def _until(airflow: LocalAirflow, state: str, runs: int) -> None:
    def reached() -> bool:
        if _count(airflow, "failed") or _count(airflow, "up_for_retry"):
            raise SystemExit(f"a task failed before all were {state}; see {airflow.home}")
        return _count(airflow, state) == runs

    airflow.wait_for(reached, LONGEST, f"{runs} tasks {state}", 1.0)


def _count(airflow: LocalAirflow, state: str) -> int:
    rows = airflow.query("SELECT count(*) AS number FROM task_instance WHERE state = ?", state)
    return int(rows[0]["number"])


def _processes(child: ChildProcess) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in child.members()]


def _memory(child: ChildProcess) -> int:
    """Return what the processes use in all, pages that they share counted once."""
    return sum(process.memory_full_info().pss for process in _processes(child))


def _cpu(child: ChildProcess) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in _processes(child))
