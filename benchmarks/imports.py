"""What importing the operators adds to the parsing of a DAG, above what ``airflow.sdk`` takes by itself."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from airflow_provider_etlapis.get_provider_info import get_provider_info
from benchmarks.environment import REPOSITORY, rival_versions, rivals_python

REPEATS = 9
HEAVY = ("requests", "aiohttp", "pendulum", "airflow_provider_etlapis.sandbox", "airflow_provider_etlapis.wire.sync")
_RIVALS = {
    "dbt Cloud": ["airflow.providers.dbt.cloud.operators.dbt", "airflow.providers.dbt.cloud.sensors.dbt"],
    "Airbyte": ["airflow.providers.airbyte.operators.airbyte", "airflow.providers.airbyte.sensors.airbyte"],
    "Databricks": ["airflow.providers.databricks.operators.databricks"],
    "HTTP": ["airflow.providers.http.operators.http", "airflow.providers.http.sensors.http"],
}
# `DAG` and `BaseOperator` are what any DAG file loads; they are lazy attributes of airflow.sdk.
_CODE = """
import sys, time, importlib
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator
before = set(sys.modules)
began = time.perf_counter()
for name in {modules!r}:
    importlib.import_module(name)
took = time.perf_counter() - began
added = set(sys.modules) - before
import json
print("@" + json.dumps([took, len(added), sorted(name for name in {heavy!r} if name in added)]))
"""


def our_modules() -> dict[str, list[str]]:
    """Return the operator and sensor modules of each vendor."""
    info = get_provider_info()
    found: dict[str, list[str]] = {}
    for kind in ("operators", "sensors"):
        for entry in info.get(kind, []):
            found.setdefault(entry["integration-name"], []).extend(entry["python-modules"])
    return found


def measure(python: Path, modules: list[str]) -> dict[str, Any]:
    """Return the median of the import times in fresh processes, with warm bytecode, and what heavy came along."""
    code = _CODE.format(modules=modules, heavy=HEAVY)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "PYTHONPATH": str(REPOSITORY),
    }
    samples: list[tuple[float, int, list[str]]] = []
    for _ in range(REPEATS + 1):
        ran = subprocess.run(
            [str(python), "-c", code], check=True, capture_output=True, text=True, env=environment, cwd=REPOSITORY
        )
        samples.append(json.loads(next(line[1:] for line in ran.stdout.splitlines() if line.startswith("@"))))
    samples = samples[1:]  # the first one may have written bytecode
    return {
        "milliseconds": round(statistics.median(took for took, _, _ in samples) * 1000, 1),
        "modules": samples[0][1],
        "heavy": samples[0][2],
    }


def main(path: Path) -> int:
    """Measure all, print and store."""
    python = rivals_python()
    found: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {"apache-airflow": version("apache-airflow"), **rival_versions(python)},
        "repeats": REPEATS,
        "ours": {},
        "rivals": {},
    }
    ours = our_modules()
    ours["all together"] = [module for modules in ours.values() for module in modules]
    for name, modules in ours.items():
        found["ours"][name] = measure(Path(sys.executable), modules)
        print(f"{name}: {found['ours'][name]}", flush=True)
    for name, modules in _RIVALS.items():
        found["rivals"][name] = measure(python, modules)
        print(f"{name}: {found['rivals'][name]}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    return 0
