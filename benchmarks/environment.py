"""The rivals' environment: the newest releases of their providers beside the Airflow that is installed here."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

from airflow_provider_etlapis.demo.cache import cache_dir, locked

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = (
    "apache-airflow-providers-dbt-cloud",
    "apache-airflow-providers-airbyte",
    "apache-airflow-providers-databricks",
    "apache-airflow-providers-http",
)


def rivals_python() -> Path:
    """Return the interpreter of the rivals' environment, made on first use and kept."""
    airflow = version("apache-airflow")
    home = cache_dir() / f"rivals-{airflow}"
    python = home / "bin" / "python"
    with locked(home.name):
        if (home / "complete").exists():
            return python
        uv = shutil.which("uv")
        if uv is None:
            raise SystemExit("The benchmark needs uv on the PATH, to install the rivals' providers")
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([uv, "venv", "--quiet", "--python", "3.11", str(home)], check=True)
        subprocess.run(
            [
                *(uv, "pip", "install", "--quiet", "--python", str(python), "--exclude-newer", _pinned_in_time()),
                *(f"apache-airflow=={airflow}", *PACKAGES),
            ],
            check=True,
        )
        (home / "complete").touch()
    return python


def rival_versions(python: Path) -> dict[str, str]:
    """Return what is installed in the rivals' environment, by package."""
    code = (
        "import json; from importlib.metadata import version; "
        f"print(json.dumps({{package: version(package) for package in {PACKAGES!r}}}))"
    )
    told = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(told.stdout)
    return found


def _pinned_in_time() -> str:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    moment: str = settings["tool"]["uv"]["exclude-newer"]
    return moment
