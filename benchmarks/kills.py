"""Many deferred runs in a real Airflow whose DAG run is marked failed in one call: how long until all are cancelled.

The vendor is a sandbox with its real limit of requests; what it was asked from the mark on is counted there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.celery_director.work import Definition
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.meiro.work import Workspace
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox
from airflow_provider_etlapis.sandbox.webrobot.work import Job, Task

LIMIT = 1000
"""Requests a minute that the vendor allows."""
LONGEST = 1500.0
CONN_ID = "kills"

_DAG = """
from datetime import datetime
from airflow.sdk import DAG
from airflow_provider_etlapis.operators.{module} import {operator}

with DAG("kills", start_date=datetime(2026, 1, 1), schedule=None, max_active_tasks=10_000):
    {operator}.partial(
        task_id="run", deferrable=True, poll_interval=20, {arguments}, {vendor}_conn_id={conn_id!r},
        max_active_tis_per_dag=10_000,
    ).expand({expanded}=[{value} for n in range({runs})])
"""


@dataclass(frozen=True)
class Vendor:
    """One vendor's part: its sandbox with room for so many runs, and the operator that starts one."""

    sandbox: Callable[[int], VendorSandbox]
    module: str
    operator: str
    arguments: str
    expanded: str
    value: str


def _webrobot(runs: int) -> VendorSandbox:
    jobs = [Job("98", str(n), f"job {n}", tasks=(Task(str(100_000 + n), "crawl"),)) for n in range(runs)]
    return WebRobotSandbox(jobs=jobs, rate_limit=LIMIT, default_life=Life(duration=86_400))


def _meiro(runs: int) -> VendorSandbox:
    sandbox = MeiroSandbox(rate_limit=LIMIT, default_life=Life(duration=86_400))
    for n in range(runs):
        sandbox.define(Workspace(10_000 + n, f"workspace {n}"))
    return sandbox


def _director(runs: int) -> VendorSandbox:
    sandbox = CeleryDirectorSandbox(rate_limit=LIMIT)
    sandbox.define(Definition("demo.LONG", ("WORK",), life=Life(duration=86_400)))
    return sandbox


VENDORS: Mapping[str, Vendor] = {
    "webrobot": Vendor(_webrobot, "webrobot", "WebRobotExecuteJobOperator", "project_id='98'", "job_id", "str(n)"),
    "meiro": Vendor(_meiro, "meiro", "MeiroRunWorkspaceOperator", "on_lost_start='fail'", "workspace_id", "10_000 + n"),
    "celery_director": Vendor(
        _director,
        "celery_director",
        "CeleryDirectorRunWorkflowOperator",
        "project='demo', name='LONG'",
        "payload",
        "{'n': n}",
    ),
}


def run(name: str, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Play one vendor, and return what was counted.

    :param runs: deferred tasks.
    :param say: gets a line on how it goes.
    """
    vendor = VENDORS[name]
    with TemporaryDirectory() as folder, vendor.sandbox(runs) as sandbox:
        (dags := Path(folder) / "dags").mkdir()
        source = _DAG.format(
            **{key: getattr(vendor, key) for key in ("module", "operator", "arguments", "expanded", "value")},
            vendor=name,
            conn_id=CONN_ID,
            runs=runs,
        )
        (dags / "kills.py").write_text(source)
        connections = {CONN_ID: sandbox.connection()}
        settings = {"AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": "64", "AIRFLOW__CORE__MAX_MAP_LENGTH": "2000"}
        with LocalAirflow(Path(folder) / "home", dags, settings, connections=connections) as airflow:
            return {"vendor": name, "runs": runs, **_play(airflow, sandbox, runs, say)}


def _play(airflow: LocalAirflow, sandbox: VendorSandbox, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    began = time.monotonic()
    run_id = airflow.api.trigger("kills")
    airflow.wait_for(lambda: _deferred(airflow) == runs, LONGEST, f"{runs} deferred tasks", 1.0)
    say(f"{runs} tasks deferred after {time.monotonic() - began:.0f} s")
    time.sleep(30.0)
    ledger = sandbox.ledger
    requests, connections, logins = ledger.count(), ledger.connections, ledger.logins
    marked = time.monotonic()
    airflow.api.set_run_state("kills", run_id, "failed")
    say(f"the DAG run is marked failed after {time.monotonic() - marked:.1f} s")
    airflow.wait_for(lambda: not ledger.live_runs(), LONGEST, "no live run", 0.5)
    took = time.monotonic() - marked
    after = [record for record in ledger.requests if record.monotonic >= marked]
    return {
        "cancelled": len({run.id for run in ledger.runs if run.cancelled_at is not None}),
        "seconds": round(took, 1),
        "requests": ledger.count() - requests,
        "connections": ledger.connections - connections,
        "logins": ledger.logins - logins,
        "refused_429": sum(record.status == 429 for record in after),
    }


def _deferred(airflow: LocalAirflow) -> int:
    rows = airflow.query("SELECT count(*) AS number FROM task_instance WHERE state = 'deferred'")
    return int(rows[0]["number"])
