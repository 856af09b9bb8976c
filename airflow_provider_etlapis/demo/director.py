"""A real Celery Director on localhost: web server and worker, no Redis, workflows that succeed, fail and take long."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from airflow_provider_etlapis.demo.director_env import director_environment
from airflow_provider_etlapis.demo.processes import (
    LOCALHOST,
    ChildProcess,
    ChildProcesses,
    Service,
    free_port,
    wait_until,
    without_proxy,
)

HOME = Path(__file__).parent / "director_home"
START_TIMEOUT = 60.0
GRACE = 2.0  # nothing of it is kept, so nothing needs a slow and clean end
REQUEST_TIMEOUT = 40.0  # above the 30 s after which Director's web server gives up itself

Row = dict[str, Any]


class RealDirector(Service):
    """A Celery Director of its own, its state in `workdir`; as a context manager it is started and stopped.

    Definitions, all of project `demo` and all taking `payload["seconds"]` as the length of each step: `ETL` (EXTRACT,
    then TRANSFORM_ORDERS and TRANSFORM_CUSTOMERS at once, then LOAD), `FAILS` (its second step raises), `SLOW` (one
    step, 60 s by default), `QUICK` (one step, no time at all).

    Args:
        workdir: folder for database, message queue and logs; made if missing.
        version: release of celery-director on the package index.
        fix_cancel: make cancel stop the work, which release 0.10.0 as published fails to do.
        auth: user and password to demand; none by default.
        concurrency: tasks that the worker runs at once.
    """

    def __init__(
        self,
        workdir: Path,
        version: str = "0.10.0",
        *,
        fix_cancel: bool = False,
        auth: tuple[str, str] | None = None,
        concurrency: int = 4,
    ) -> None:
        self.workdir = workdir.resolve()
        self.version = version
        self.auth = auth
        self.port = free_port()
        self.processes = ChildProcesses(self.workdir / "logs", grace=GRACE)
        self._fix_cancel = fix_cancel
        self._concurrency = concurrency
        self._venv: Path | None = None
        self._web: ChildProcess | None = None
        self._worker: ChildProcess | None = None

    @property
    def base_url(self) -> str:
        """Address of the web server; the API is below `/api`."""
        return f"http://{LOCALHOST}:{self.port}"

    @property
    def access_log(self) -> list[str]:
        """Requests that the web server has answered, one line each (`"GET /api/ping HTTP/1.1" 200`)."""
        log = self.workdir / "access.log"
        return log.read_text().splitlines() if log.exists() else []

    def connection(self) -> dict[str, str]:
        """Airflow's connection to this server, in its JSON form."""
        login, password = self.auth or ("", "")
        return {"conn_type": "celery_director", "host": self.base_url, "login": login, "password": password}

    def install(self) -> Path:
        """Make the environment of this version, or find it in the cache, and return it; `start` does this too."""
        if self._venv is None:
            self._venv = director_environment(self.version, self.processes)
        return self._venv

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start web server and worker and wait until both are ready."""
        self.install()
        self._make_home()
        self._run("db-upgrade", "db", "upgrade")
        if self.auth:
            user, password = self.auth
            self._run("user", "user", "create", user, "--password", password)
        self._web = self._start("webserver", "webserver", "-b", f"{LOCALHOST}:{self.port}", "-w", "2")
        self.start_worker(timeout)
        wait_until(self._answers, timeout, f"Celery Director answering at {self.base_url}")

    def stop(self) -> None:
        """End every process of this Director; may be called twice."""
        self.processes.stop_all()

    def start_worker(self, timeout: float = START_TIMEOUT) -> None:
        """Start a worker and wait until it takes tasks."""
        worker = self._worker = self._start(
            "worker", "celery", "worker", "--loglevel=INFO", "--concurrency", str(self._concurrency)
        )

        def ready() -> bool:
            self.processes.check()
            return " ready." in worker.log.read_text(errors="replace")

        wait_until(ready, timeout, f"Celery worker ready (log {worker.log})")

    def kill_worker(self) -> None:
        """SIGKILL the worker with its pool: its running tasks stay in `progress` for ever."""
        if self._worker:
            self._worker.session.signal(signal.SIGKILL)
            self.processes.stop(self._worker)
            self._worker = None

    def runs(self) -> list[Row]:
        """All runs, newest first."""
        rows: list[Row] = self.call("GET", "workflows", params={"per_page": 10_000})
        return rows

    def run(self, run_id: str) -> Row:
        """One run with its tasks."""
        row: Row = self.call("GET", f"workflows/{run_id}")
        return row

    def start_run(self, name: str, payload: Mapping[str, object] | None = None, project: str = "demo") -> str:
        """Start a run by hand and return its id."""
        body = {"project": project, "name": name, "payload": dict(payload or {})}
        return str(self.call("POST", "workflows", json=body)["id"])

    def cancel(self, run_id: str) -> Row:
        """Cancel a run by hand."""
        row: Row = self.call("POST", f"workflows/{run_id}/cancel")
        return row

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """Send a request to the API (`path` below `/api/`) and return the JSON of its answer."""
        with requests.Session() as session:
            session.trust_env = False  # no proxy and no .netrc of the user between us and localhost
            answer = session.request(
                method, f"{self.base_url}/api/{path}", auth=self.auth, timeout=REQUEST_TIMEOUT, **kwargs
            )
        answer.raise_for_status()
        return answer.json()

    def _answers(self) -> bool:
        self.processes.check()
        try:
            return bool(self.call("GET", "ping")["message"] == "pong")
        except requests.ConnectionError:  # not listening yet
            return False

    def _make_home(self) -> None:
        home = self.workdir / "home"
        shutil.copytree(HOME, home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        if not self._fix_cancel:
            (home / "tasks" / "cancel_fix.py").unlink()
        (home / ".env").touch()  # otherwise one of a parent folder is read
        for name in ("queue", "drafts", "control", "processed"):
            (self.workdir / "broker" / name).mkdir(parents=True, exist_ok=True)

    def _environment(self) -> dict[str, str]:
        foreign = ("DIRECTOR_", "CELERY_", "FLASK_", "GUNICORN_", "PYTHON", "VIRTUAL_ENV")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {
            **without_proxy(inherited),
            # Director finds gunicorn and celery by name.
            "PATH": os.pathsep.join([str(self._bin()), inherited.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
            "DIRECTOR_HOME": str(self.workdir / "home"),
            "DIRECTOR_DATABASE_URI": f"sqlite:///{self.workdir / 'director.db'}",
            "DIRECTOR_BROKER_URI": "filesystem://localhost",
            "DIRECTOR_RESULT_BACKEND_URI": f"db+sqlite:///{self.workdir / 'results.db'}",
            "DIRECTOR_API_URL": f"{self.base_url}/api",
            "DIRECTOR_AUTH_ENABLED": str(self.auth is not None).lower(),
            "ETLAPIS_BROKER_FOLDER": str(self.workdir / "broker"),
            "GUNICORN_CMD_ARGS": f"--access-logfile {self.workdir / 'access.log'}",
        }

    def _bin(self) -> Path:
        return self.install() / "bin"

    def _start(self, name: str, *arguments: str) -> ChildProcess:
        return self.processes.start(name, self._argv(arguments), env=self._environment(), cwd=self.workdir)

    def _run(self, name: str, *arguments: str) -> None:
        self.processes.run(name, self._argv(arguments), env=self._environment(), cwd=self.workdir)

    def _argv(self, arguments: Sequence[str]) -> list[str]:
        return [str(self._bin() / "director"), *arguments]
