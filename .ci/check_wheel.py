"""Checks what a wheel holds, and that it works alone: in a fresh environment Airflow finds the provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NEEDED = (
    "airflow_provider_etlapis/py.typed",
    "airflow_provider_etlapis/get_provider_info.py",
    "airflow_provider_etlapis/demo/director_home/workflows.yml",
    "airflow_provider_etlapis/example_dags/etlapis_celery_director.py",
)
UNWANTED = ("tests/", "benchmarks/", "docs/", "__pycache__", ".pyc")


def check_contents(wheel: Path) -> None:
    """Fail unless the wheel holds what users need, and nothing of ours alone."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    missing = [name for name in NEEDED if name not in names]
    unwanted = [name for name in names if any(mark in name for mark in UNWANTED)]
    if missing or unwanted:
        sys.exit(f"{wheel.name}: missing {missing}, unwanted {unwanted}")
    if not any(name.endswith("licenses/LICENSE") for name in names):
        sys.exit(f"{wheel.name}: no licence")


def check_installed(wheel: Path) -> None:
    """Fail unless Airflow, in an environment with nothing but the wheel, lists the provider and its connections."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        python = home / "env" / "bin" / "python"
        subprocess.run(["uv", "venv", "--quiet", str(home / "env")], check=True)
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(python), str(wheel)], check=True)
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "VIRTUAL_ENV", "UV_"))
        }
        env |= {"AIRFLOW_HOME": str(home / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        airflow = python.with_name("airflow")
        # A database, because some commands of some releases look into it.
        subprocess.run([airflow, "db", "migrate"], check=True, env=env, stdout=subprocess.DEVNULL)
        listed = _airflow(airflow, env, "providers", "list", "-o", "json")
        ours = [row for row in listed if row["package_name"] == "airflow-provider-etlapis"]
        if not ours:
            sys.exit("airflow providers list does not name airflow-provider-etlapis")
        wanted = subprocess.run(
            [
                python,
                "-c",
                "from airflow_provider_etlapis.connection_forms import FORMS; print(*(f.conn_type for f in FORMS))",
            ],
            check=True,
            env=env,
            capture_output=True,
            text=True,
        ).stdout.split()
        found = {row["connection_type"] for row in _airflow(airflow, env, "providers", "hooks", "-o", "json")}
        if missing := set(wanted) - found:
            sys.exit(f"airflow providers hooks lacks {sorted(missing)}")
        print(f"{wheel.name}: Airflow lists version {ours[0]['version']} with the connection types {sorted(wanted)}")


def _airflow(airflow: Path, env: dict[str, str], *arguments: str) -> list[dict[str, str]]:
    out = subprocess.run([airflow, *arguments], check=True, env=env, capture_output=True, text=True).stdout
    rows: list[dict[str, str]] = json.loads(out[out.index("[") :])
    return rows


if __name__ == "__main__":
    check_contents(Path(sys.argv[1]))
    check_installed(Path(sys.argv[1]))
