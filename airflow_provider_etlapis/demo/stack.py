"""A real Airflow on localhost: migrated SQLite, API server, scheduler, DAG processor and triggerer, each a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from airflow_provider_etlapis.demo.cache import cache_dir, locked
from airflow_provider_etlapis.demo.client import AirflowClient
from airflow_provider_etlapis.demo.errors import DemoError
from airflow_provider_etlapis.demo.processes import (
    ChildProcess,
    ChildProcesses,
    Service,
    free_port,
    wait_until,
    without_proxy,
)
from airflow_provider_etlapis.demo.releases import StackPlan, release_of

START_TIMEOUT = 180.0


@dataclass(frozen=True)
class TaskProcesses:
    """The processes behind a running task instance; None where there is none (any more)."""

    supervisor: int | None
    """The executor's worker: sends heartbeats, notices when the task process dies."""
    task: int | None
    """The process that runs the operator."""


class LocalAirflow(Service):
    """An Airflow of its own in `home`, whatever Airflow the user's environment points to.

    `launch()` starts the processes and returns, `wait_healthy()` waits for them, `start()` does both; as a context
    manager it is started and stopped.

    Args:
        home: folder that becomes AIRFLOW_HOME; made if missing.
        dags: folder with DAG files, or several.
        env: variables for all components, `AIRFLOW__…` settings included; they win over those made here.
        connections: connection id -> fields as in Airflow's JSON form (`conn_type`, `host`, …).
        parallelism: worker processes of the LocalExecutor.
        python: interpreter with Airflow installed.
        cached_database: start from a copy of a migrated database kept in the cache folder.
    """

    def __init__(
        self,
        home: Path,
        dags: Path | Sequence[Path],
        env: Mapping[str, str] | None = None,
        *,
        connections: Mapping[str, Mapping[str, object]] | None = None,
        parallelism: int = 8,
        python: str | Path = sys.executable,
        cached_database: bool = True,
    ) -> None:
        self.home = home.resolve()
        self.home.mkdir(parents=True, exist_ok=True)
        folders = [dags] if isinstance(dags, Path) else list(dags)
        self.plan = StackPlan(self.home, [folder.resolve() for folder in folders], free_port(), parallelism)
        self.processes = ChildProcesses(self.home / "components")
        self._python = str(python)
        self._cached_database = cached_database
        self.version = _version_of(self._python)
        self.release = release_of(self.version)
        self.env = {
            **clean_environment(self.home),
            **self.release.settings(self.plan),
            **{
                f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(fields) for conn_id, fields in (connections or {}).items()
            },
            **(env or {}),
        }
        self.api = AirflowClient(self.base_url, self.release)
        self.triggerers: list[ChildProcess] = []
        self._components: dict[str, ChildProcess] = {}

    @property
    def base_url(self) -> str:
        """Address of the UI and the REST API."""
        return self.plan.base_url

    @property
    def logs_dir(self) -> Path:
        """Folder of the task logs."""
        return self.plan.logs

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start everything and wait until all of it is healthy."""
        self.launch()
        self.wait_healthy(timeout)

    def launch(self) -> None:
        """Make the database and start the components, without waiting for them."""
        self.make_database()
        for name in self.release.components:
            if name == self.release.triggerer:
                self.triggerers.append(self._start_component(name))
            else:
                self._components[name] = self._start_component(name)

    def wait_healthy(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until every component reports itself healthy; `ChildDiedError` at once if one of them ends instead."""

        def healthy() -> bool:
            self.processes.check()
            try:
                health = self.api.health()
            except (requests.RequestException, ValueError):  # not listening yet, or not yet answering JSON
                return False
            return all(health.get(name) == "healthy" for name in self.release.health_components)

        wait_until(healthy, timeout, f"Airflow {self.version} healthy (logs in {self.processes.logs})")

    def stop(self) -> None:
        """End every process of this Airflow; may be called twice."""
        self.processes.stop_all()
        self.api.close()

    def wait_for(
        self, predicate: Callable[[], bool], timeout: float, what: str = "the condition", interval: float = 0.3
    ) -> None:
        """Poll until a condition holds; a component that dies meanwhile ends the wait at once."""

        def checked() -> bool:
            self.processes.check()
            return predicate()

        wait_until(checked, timeout, what, interval)

    def component(self, name: str) -> ChildProcess:
        """Process of a component: `api-server`, `scheduler`, `dag-processor` or `triggerer` (the newest).

        Airflow 2 has a `webserver`, and no DAG processor of its own.
        """
        return self.triggerers[-1] if name == self.release.triggerer else self._components[name]

    def pid(self, name: str) -> int:
        """Pid of a component."""
        return self.component(name).pid

    def start_triggerer(self, timeout: float = 60.0) -> ChildProcess:
        """Start a triggerer, beside those that run, and wait until it has signed on in the database."""
        newest = "SELECT coalesce(max(id), 0) AS id FROM job WHERE job_type = 'TriggererJob'"
        before = self.query(newest)[0]["id"]
        child = self._start_component(self.release.triggerer)
        self.triggerers.append(child)
        self.wait_for(lambda: self.query(newest)[0]["id"] > before, timeout, "a new triggerer at work")
        return child

    def kill_triggerer(
        self, signum: int = signal.SIGKILL, child: ChildProcess | None = None, timeout: float = 40.0
    ) -> None:
        """End a triggerer (the newest) as an orchestrator does: SIGKILL hits all its processes, SIGTERM the first."""
        child = child or self.triggerers[-1]
        if signum == signal.SIGKILL:
            child.session.signal(signal.SIGKILL)
        else:
            child.signal(signum)
        child.wait(timeout)
        self.triggerers.remove(child)
        self.processes.stop(child)

    def task_processes(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> TaskProcesses:
        """Find the worker processes of a task instance that runs now."""
        instance = self.api.task_instance(dag_id, run_id, task_id, map_index)
        scheduler = self.component("scheduler")
        return TaskProcesses(
            supervisor=scheduler.find(self.release.supervisor_title(instance)),
            task=scheduler.find(self.release.task_title(instance)),
        )

    def kill_task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> int:
        """SIGKILL the process that runs the operator, as the out-of-memory killer does; return its pid."""
        pid = self.task_processes(dag_id, run_id, task_id, map_index).task
        if pid is None:
            raise DemoError(f"{dag_id}.{task_id} has no process on the worker now")
        os.kill(pid, signal.SIGKILL)
        return pid

    def query(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Read from the metadata database (read-only), for what the REST API does not show."""
        with closing(sqlite3.connect(f"file:{self.plan.database}?mode=ro", uri=True, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, parameters)]

    def airflow(self, *arguments: str, timeout: float = 120.0) -> str:
        """Run an `airflow` command against this Airflow and return its standard output."""
        done = subprocess.run(  # noqa: S603 - our own interpreter and arguments, and no shell
            [*self._command(), *arguments],
            env=self.env,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise DemoError(f"airflow {' '.join(arguments)} returned {done.returncode}:\n{done.stderr[-3000:]}")
        return done.stdout

    def _command(self) -> list[str]:
        return [self._python, "-m", "airflow"]

    def _start_component(self, name: str) -> ChildProcess:
        argv = [*self._command(), *self.release.components[name]]
        return self.processes.start(name, argv, env=self.env, cwd=self.home)

    def make_database(self) -> None:
        """Make the migrated database that the components, or `dag.test()`, work on."""
        if not self._cached_database:
            self._migrate(self.env)
        else:
            shutil.copyfile(self._template(), self.plan.database)
        with closing(sqlite3.connect(self.plan.database)) as connection:
            # Readers and the writer do not block each other: several processes share this file.
            connection.execute("PRAGMA journal_mode=WAL")

    def _template(self) -> Path:
        """Return a migrated, empty database of this Airflow version, made once per machine."""
        name = f"airflow-{self.version}.sqlite3"
        template = cache_dir() / name
        with locked(name):
            if not template.exists():
                with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
                    new = Path(folder) / name
                    conn = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{new}"}
                    self._migrate({**self.env, "AIRFLOW_HOME": folder, **conn})
                    new.replace(template)
        return template

    def _migrate(self, env: Mapping[str, str]) -> None:
        self.processes.run("migrate", [*self._command(), *self.release.migrate], env=env, cwd=self.home)


def clean_environment(home: Path) -> dict[str, str]:
    """Copy this process's environment without anything that configures an Airflow, and with AIRFLOW_HOME set."""
    kept = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW_")}
    return {**without_proxy(kept), "AIRFLOW_HOME": str(home), "PYTHONUNBUFFERED": "1"}


def _version_of(python: str) -> str:
    """Ask an interpreter for its Airflow version without importing Airflow, which would read the user's settings."""
    code = "from importlib.metadata import version; print(version('apache-airflow'))"
    done = subprocess.run(  # noqa: S603 - an interpreter and a constant, and no shell
        [python, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise DemoError(f"no Airflow is installed for {python}:\n{done.stderr[-1000:]}")
    return done.stdout.strip()
