"""The Python environment of Celery Director: its own, since its pins and its Python do not go with Airflow's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from airflow_provider_etlapis.demo.cache import cache_dir, locked
from airflow_provider_etlapis.demo.errors import NoPythonForDirectorError
from airflow_provider_etlapis.demo.processes import ChildProcesses

VERSIONS = ((3, 11), (3, 10), (3, 9))
NAMES = tuple(f"python{major}.{minor}" for major, minor in VERSIONS)
# gunicorn 20 wants pkg_resources, gone from setuptools 81. The others are what Director leaves unpinned, held to the
# major versions it was run with.
COMMON = ("setuptools<81", "click<9", "environs<15", "jsonschema<5", "tornado<7", "Jinja2<4", "itsdangerous<3")
BY_VERSION = {"0.9.0": ("marshmallow<4",)}
MARKER = "complete.json"
ASK_VERSION = "import sys; print(*sys.version_info[:2])"


def requirements(version: str) -> list[str]:
    """List what is installed for a version of Director."""
    return [f"celery-director=={version}", *COMMON, *BY_VERSION.get(version, ("marshmallow<5",))]


def director_environment(version: str, processes: ChildProcesses) -> Path:
    """Return the folder of an environment with Director installed, making it on first use.

    It is kept in the cache folder. Scripts of an environment name its path, so it is made in place, under a lock and
    with a marker written last: a second process waits, and a half-made one is made again.

    Raises:
        NoPythonForDirectorError: there is no Python 3.9, 3.10 or 3.11 to make it with.
        CommandFailedError: the installation failed; the message holds the end of its log.
    """
    uv = find_uv()
    python, found = find_python(uv)
    name = f"director-{version}-py{found[0]}.{found[1]}"
    folder, wanted = cache_dir() / name, requirements(version)
    with locked(name):
        if not _is_complete(folder, wanted):
            shutil.rmtree(folder, ignore_errors=True)
            _install(folder, python, wanted, uv, processes)
            (folder / MARKER).write_text(json.dumps(wanted))
    return folder


def find_uv() -> str | None:
    """Path of a uv that works, if there is one."""
    for candidate in (os.environ.get("UV"), shutil.which("uv")):
        if candidate and _output(candidate, "--version"):
            return candidate
    return None


def find_python(uv: str | None) -> tuple[str, tuple[int, int]]:
    """Find an interpreter that Director runs on and that can make an environment, and its version.

    Names on PATH are tried, not trusted: a version manager leaves commands there that only print an error.
    """
    for candidate in _candidates(uv):
        words = (_output(candidate, "-c", ASK_VERSION) or "").split()
        version = tuple(int(word) for word in words if word.isdigit())
        # Debian splits ensurepip off; without it (and without uv) no environment gets a pip.
        able = uv is not None or _output(candidate, "-c", "import ensurepip, venv; print('able')")
        if version in VERSIONS and able:
            return candidate, (version[0], version[1])
    raise NoPythonForDirectorError(
        "Celery Director runs on Python 3.9, 3.10 or 3.11, and none was found: neither "
        f"{sys.executable} (this is {sys.version_info[0]}.{sys.version_info[1]}) nor a working python3.11, python3.10 "
        "or python3.9 on PATH. Install one, for example with `uv python install 3.11`, and run this again; or use the "
        "sandbox (`etlapis demo --director sandbox`), which needs none."
    )


def _candidates(uv: str | None) -> Iterator[str]:
    yield sys.executable
    for name in NAMES:
        for folder in os.get_exec_path():
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK):
                yield path
    if uv is not None:
        found = _output(uv, "python", "find", "--no-project", ">=3.9,<3.12")
        if found:
            yield found


def _output(*argv: str) -> str | None:
    """Return the output of a small command, None if it cannot be run or fails."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments to an interpreter or uv, and no shell
            argv, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL, cwd=os.sep
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _is_complete(folder: Path, wanted: list[str]) -> bool:
    marker = folder / MARKER
    if not marker.exists() or json.loads(marker.read_text()) != wanted:
        return False
    return _output(str(folder / "bin" / "python"), "-c", ASK_VERSION) is not None  # its base may be gone


def _install(folder: Path, python: str, wanted: list[str], uv: str | None, processes: ChildProcesses) -> None:
    inside = str(folder / "bin" / "python")
    env = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    if uv is not None:
        make = [uv, "venv", "--no-project", "--python", python, str(folder)]
        install = [uv, "pip", "install", "--python", inside, *wanted]
    else:
        make = [python, "-m", "venv", str(folder)]
        install = [inside, "-m", "pip", "install", "--disable-pip-version-check", *wanted]
    # Away from any project: its settings are for its own environment.
    processes.run("director-venv", make, env=env, cwd=folder.parent)
    processes.run("director-install", install, env=env, cwd=folder.parent, timeout=600)
