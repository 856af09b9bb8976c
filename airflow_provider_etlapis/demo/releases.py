"""Everything about a local Airflow that differs between its versions: commands, settings, paths of the REST API."""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from airflow_provider_etlapis.demo.errors import DemoError
from airflow_provider_etlapis.demo.processes import LOCALHOST, free_port


@dataclass(frozen=True)
class StackPlan:
    """What the settings of one local Airflow are made from."""

    home: Path
    dags: Sequence[Path]
    port: int
    parallelism: int

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.home / "airflow.db"

    @property
    def logs(self) -> Path:
        """The folder of the task logs."""
        return self.home / "logs"

    @property
    def base_url(self) -> str:
        """Address of the UI and of the REST API."""
        return f"http://{LOCALHOST}:{self.port}"


class AirflowRelease(ABC):
    """One generation of Airflow, as the stack needs to know it."""

    api_root: str
    health_path = "monitor/health"
    migrate: Sequence[str] = ("db", "migrate")
    components: Mapping[str, Sequence[str]]
    health_components: frozenset[str]
    triggerer = "triggerer"

    @abstractmethod
    def settings(self, plan: StackPlan) -> dict[str, str]:
        """Return the environment variables that configure every component."""

    @abstractmethod
    def log_in(self, base_url: str, session: requests.Session) -> None:
        """Give the session what authenticates it."""

    @abstractmethod
    def trigger_body(self, run_id: str | None, conf: Mapping[str, object]) -> dict[str, object]:
        """Return the body that starts a DAG run now."""

    def state_body(self, state: str) -> dict[str, object]:
        """Return the body that marks a task instance as a person does."""
        return {"new_state": state}

    @abstractmethod
    def log_rows(self, answer: requests.Response) -> list[dict[str, Any]]:
        """Return the lines of a task's log."""

    @abstractmethod
    def supervisor_title(self, instance: Mapping[str, Any]) -> str:
        """Return how the process title of the worker begins that supervises a running task instance."""

    @abstractmethod
    def task_title(self, instance: Mapping[str, Any]) -> str:
        """Return how the process title of the process begins that runs the operator's code."""


class Airflow3(AirflowRelease):
    """Airflow 3.x; run with 3.3.2."""

    api_root = "/api/v2"
    components: Mapping[str, Sequence[str]] = {
        # The slowest to come up starts first.
        "api-server": ("api-server", "--workers", "1"),
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "dag-processor": ("dag-processor",),
        "triggerer": ("triggerer", "--skip-serve-logs"),
    }
    health_components = frozenset({"metadatabase", "scheduler", "triggerer", "dag_processor"})

    def settings(self, plan: StackPlan) -> dict[str, str]:
        """Return the settings: everything on localhost, everyone an admin, short intervals for a quick start."""
        bundles = [
            {
                "name": f"dags-{number}",
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(folder)},
            }
            for number, folder in enumerate(plan.dags, start=1)
        ]
        options: dict[tuple[str, str], object] = {
            ("core", "executor"): "LocalExecutor",
            ("core", "parallelism"): plan.parallelism,
            ("core", "load_examples"): False,
            ("core", "dags_folder"): plan.dags[0],
            ("core", "auth_manager"): (
                "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
            ),
            ("core", "simple_auth_manager_all_admins"): True,
            ("core", "execution_api_server_url"): f"{plan.base_url}/execution/",
            ("core", "test_connection"): "Enabled",
            ("core", "fernet_key"): urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            ("database", "sql_alchemy_conn"): f"sqlite:///{plan.database}",
            ("logging", "base_log_folder"): plan.logs,
            # Logs are read from the shared folder; nothing may listen on the ports that the API server asks in vain,
            # least of all the log server of another Airflow on this machine.
            ("logging", "worker_log_server_port"): free_port(),
            ("logging", "trigger_log_server_port"): free_port(),
            ("api", "host"): LOCALHOST,
            ("api", "port"): plan.port,
            ("api", "base_url"): plan.base_url,
            ("api", "secret_key"): secrets.token_hex(16),
            ("api_auth", "jwt_secret"): secrets.token_hex(32),
            ("dag_processor", "dag_bundle_config_list"): json.dumps(bundles),
            ("dag_processor", "refresh_interval"): 2,
            ("dag_processor", "bundle_refresh_check_interval"): 1,
            ("dag_processor", "min_file_process_interval"): 15,
            ("dag_processor", "parsing_processes"): 1,
            ("usage_data_collection", "enabled"): False,
        }
        return {f"AIRFLOW__{section}__{name}".upper(): str(value) for (section, name), value in options.items()}

    def log_in(self, base_url: str, session: requests.Session) -> None:
        """Fetch a token; the simple auth manager gives one to anybody here."""
        answer = session.get(f"{base_url}/auth/token", timeout=30)
        answer.raise_for_status()
        session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def trigger_body(self, run_id: str | None, conf: Mapping[str, object]) -> dict[str, object]:
        """Return the body; `logical_date` has to be there, though it may be null."""
        body: dict[str, object] = {"logical_date": None, "conf": dict(conf)}
        return body if run_id is None else {**body, "dag_run_id": run_id}

    def log_rows(self, answer: requests.Response) -> list[dict[str, Any]]:
        """Return the structured lines; those that are plain text, as events."""
        return [line if isinstance(line, dict) else {"event": line} for line in answer.json()["content"]]

    def supervisor_title(self, instance: Mapping[str, Any]) -> str:
        """Return the title that the LocalExecutor's worker gives itself for the time of a task."""
        return f"airflow worker -- LocalExecutor: {instance['id']}"

    def task_title(self, instance: Mapping[str, Any]) -> str:
        """Return the title that the task runner gives itself."""
        return f"airflow worker -- {instance['id']}"


class Airflow2(AirflowRelease):
    """Airflow 2.11: a web server with the REST API's first version, DAGs read by the scheduler."""

    api_root = "/api/v1"
    health_path = "health"
    components: Mapping[str, Sequence[str]] = {
        "webserver": ("webserver", "--workers", "1"),
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "triggerer": ("triggerer", "--skip-serve-logs"),
    }
    health_components = frozenset({"metadatabase", "scheduler", "triggerer"})

    def settings(self, plan: StackPlan) -> dict[str, str]:
        """Return the settings: as for Airflow 3, in the words of Airflow 2."""
        if len(plan.dags) != 1:
            raise DemoError("Airflow 2 reads DAGs from one folder")
        options: dict[tuple[str, str], object] = {
            ("core", "executor"): "LocalExecutor",
            ("core", "parallelism"): plan.parallelism,
            ("core", "load_examples"): False,
            ("core", "dags_folder"): plan.dags[0],
            ("core", "test_connection"): "Enabled",
            ("core", "fernet_key"): urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            ("database", "sql_alchemy_conn"): f"sqlite:///{plan.database}",
            ("logging", "base_log_folder"): plan.logs,
            ("logging", "worker_log_server_port"): free_port(),
            ("logging", "trigger_log_server_port"): free_port(),
            ("api", "auth_backends"): "airflow.api.auth.backend.default",
            ("webserver", "config_file"): Path(__file__).with_name("airflow2_webserver_config.py"),
            ("webserver", "web_server_host"): LOCALHOST,
            ("webserver", "web_server_port"): plan.port,
            ("webserver", "base_url"): plan.base_url,
            ("webserver", "secret_key"): secrets.token_hex(16),
            ("webserver", "worker_refresh_interval"): 0,
            ("scheduler", "dag_dir_list_interval"): 2,
            ("scheduler", "min_file_process_interval"): 15,
            ("scheduler", "parsing_processes"): 1,
            ("usage_data_collection", "enabled"): False,
        }
        env = {f"AIRFLOW__{section}__{name}".upper(): str(value) for (section, name), value in options.items()}
        # Airflow 2 takes SQLite for a database of one process; with its log written ahead, a few share it.
        return {**env, "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1"}

    def log_in(self, base_url: str, session: requests.Session) -> None:
        """Do nothing: everyone is an admin."""

    def trigger_body(self, run_id: str | None, conf: Mapping[str, object]) -> dict[str, object]:
        """Return the body; the logical date is the moment of the call."""
        return {"conf": dict(conf)} if run_id is None else {"conf": dict(conf), "dag_run_id": run_id}

    def state_body(self, state: str) -> dict[str, object]:
        """Return the body; without a word about it, Airflow 2 only says what it would do."""
        return {"new_state": state, "dry_run": False}

    def log_rows(self, answer: requests.Response) -> list[dict[str, Any]]:
        """Return the lines of the text."""
        return [{"event": line} for line in answer.text.splitlines()]

    def supervisor_title(self, instance: Mapping[str, Any]) -> str:
        """Return the title of the fork in which the LocalExecutor's worker runs `airflow tasks run`."""
        words = ["airflow", "tasks", "run", instance["dag_id"], instance["task_id"], instance["dag_run_id"]]
        return f"airflow task supervisor: {words}".removesuffix("]") + ","

    def task_title(self, instance: Mapping[str, Any]) -> str:
        """Return the title that the task runner gives itself."""
        return f"airflow task runner: {instance['dag_id']} {instance['task_id']} {instance['dag_run_id']}"


def release_of(version: str) -> AirflowRelease:
    """Choose by version number."""
    major, minor = (int(part) for part in version.split(".")[:2])
    if major == 3:
        return Airflow3()
    if (major, minor) == (2, 11):
        return Airflow2()
    raise DemoError(f"no local stack for Airflow {version}: 2.11 or 3 is needed")
