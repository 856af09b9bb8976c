"""The environment of one row: its own, made with uv, kept in the user's cache, the package in it from this checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_etlapis.demo.cache import cache_dir, locked
from airflow_provider_etlapis.demo.director_env import find_uv
from tests.matrix.rows import RELEASED, UNTIL, Row

CHECKOUT = Path(__file__).parents[2]
NOT_NEEDED = ("mypy", "ruff", "twine", "types-")
"""Tools of the development environment that no test uses."""
MARKER = "complete.json"


class EnvironmentFailedError(RuntimeError):
    """The environment of a row cannot be made; the message holds what the installer said."""


def environment(row: Row, *, renew: bool = False) -> Path:
    """Return the Python of the row's environment, making it on first use and when what it is made from has changed.

    Args:
        row: which Airflow and Python.
        renew: make it anew all the same.
    """
    folder, wanted = cache_dir() / "matrix" / row.name, _wanted(row)
    python, marker = folder / "bin" / "python", folder / MARKER
    with locked(f"matrix-{row.name}"):
        if renew or not marker.exists() or json.loads(marker.read_text()) != wanted or not _works(str(python)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(exist_ok=True)
            _make(folder, row, wanted)
            marker.write_text(json.dumps(wanted))
    return python


def _wanted(row: Row) -> dict[str, Any]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    # The lower bounds of the tools are there for their features, and hold for every row.
    tools = [each for each in project["dependency-groups"]["dev"] if not each.startswith(NOT_NEEDED)]
    ours = "apache-airflow-providers-common-compat"  # needed by us, newer than an old Airflow
    return {
        "checkout": str(CHECKOUT),
        # Airflow itself is what the row is about; the bound of ours is read from the checkout.
        "install": [f"apache-airflow=={row.airflow}", *project["project"]["dependencies"]],
        "metadata": [project["project"]["entry-points"], project["project"]["scripts"]],
        "tools": tools,
        "options": [
            *("--exclude-newer", RELEASED.get(row.airflow, UNTIL)),
            *("--exclude-newer-package", f"{ours}={UNTIL}"),
            *("--resolution", "lowest-direct" if row.lowest else "highest"),
        ],
    }


def _make(folder: Path, row: Row, wanted: dict[str, Any]) -> None:
    uv = find_uv()
    if uv is None:
        raise EnvironmentFailedError("uv is needed to make the environments of the matrix")
    base = find_python(uv, row.python)
    install = [uv, "pip", "install", "--python", str(folder / "bin" / "python")]
    _run(uv, "venv", "--no-project", "--python", base, str(folder))
    _run(*install, *wanted["options"], *wanted["install"])
    # What is installed by now satisfies the package, so that its own requirements are checked and change nothing.
    _run(*install, "--exclude-newer", UNTIL, "--editable", str(CHECKOUT), *wanted["tools"])


def find_python(uv: str, version: str) -> str:
    """Find an interpreter of this version.

    Names on PATH are tried, not trusted: a version manager leaves commands there that only print an error.
    """
    for candidate in _candidates(uv, version):
        if _works(candidate):
            return candidate
    raise EnvironmentFailedError(f"no Python {version} was found; `uv python install {version}` gets one")


def _candidates(uv: str, version: str) -> Iterator[str]:
    for folder in os.get_exec_path():
        path = Path(folder) / f"python{version}"
        if os.access(path, os.X_OK):
            yield str(path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from (str(found / "bin" / "python") for found in sorted(pyenv.glob(f"{version}.*"), reverse=True))
    done = subprocess.run([uv, "python", "find", "--no-project", version], capture_output=True, text=True, cwd=os.sep)
    yield done.stdout.strip()


def _works(python: str) -> bool:
    try:
        done = subprocess.run([python, "-c", "import sys"], capture_output=True, timeout=60, cwd=os.sep)
    except OSError:
        return False
    return done.returncode == 0


def _run(*argv: str) -> None:
    env = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    # Away from the project, whose settings are for its own environment.
    done = subprocess.run(argv, capture_output=True, text=True, env=env, cwd=os.sep)
    if done.returncode != 0:
        raise EnvironmentFailedError(f"{' '.join(argv)} returned {done.returncode}:\n{done.stderr[-3000:]}")
