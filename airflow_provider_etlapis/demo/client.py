"""The REST API of a local Airflow in the words of a test: trigger, wait, look, clear, mark."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import requests

from airflow_provider_etlapis.demo.processes import wait_until
from airflow_provider_etlapis.demo.releases import AirflowRelease

PAGE = 100  # the API gives no more at once
TIMEOUT = 60.0
BUSY_PAUSES = (0.2, 0.5, 1.0, 2.0)  # seconds
FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})

Row = dict[str, Any]


class AirflowClient:
    """A logged-in client of one Airflow.

    Paths are relative to the API (`dags/x`); one that starts with a slash is relative to the server.
    """

    def __init__(self, base_url: str, release: AirflowRelease) -> None:
        self.base_url = base_url
        self._release = release
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or a .netrc of the user has no part in talking to localhost
        self._logged_in = False

    def close(self) -> None:
        """Close the connections to the server."""
        self._session.close()

    def request(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Send a request, logging in first (and once more if the token has expired); return any answer."""
        url = self.base_url + (path if path.startswith("/") else f"{self._release.api_root}/{path}")
        kwargs.setdefault("timeout", TIMEOUT)
        for fresh in (not self._logged_in, True):
            if fresh:
                self._session.headers.pop("Authorization", None)
                self._release.log_in(self.base_url, self._session)
                self._logged_in = True
            answer = self._session.request(method, url, **kwargs)
            if answer.status_code != 401 or fresh:
                break
        return answer

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """Send a request and return the JSON of its answer; `requests.HTTPError` with the body for a bad one.

        SQLite has one writer: what met another was rolled back as a whole, and is sent again.
        """
        answer = self.request(method, path, **kwargs)
        for pause in BUSY_PAUSES:
            if answer.status_code != 500 or "Database error" not in answer.text:
                break
            time.sleep(pause)
            answer = self.request(method, path, **kwargs)
        if not answer.ok:
            raise requests.HTTPError(
                f"{method} {answer.url}: {answer.status_code} {answer.text[:1000]}", response=answer
            )
        return answer.json() if answer.content else None

    def get(self, path: str, **params: Any) -> Any:
        """GET; keyword arguments are query parameters."""
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST a JSON body."""
        return self.call("POST", path, json=dict(body or {}))

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """PATCH with a JSON body."""
        return self.call("PATCH", path, json=dict(body))

    def delete(self, path: str) -> Any:
        """DELETE."""
        return self.call("DELETE", path)

    def pages(self, path: str, key: str, **params: Any) -> Iterator[Row]:
        """Yield the rows of a list, page by page."""
        offset = 0
        while True:
            page = self.get(path, limit=PAGE, offset=offset, **params)
            yield from page[key]
            offset += PAGE
            if offset >= page["total_entries"]:
                return

    def health(self) -> dict[str, str]:
        """Status of each component that reports one."""
        parts = self.request("GET", self._release.health_path, timeout=10).json()
        return {name: (part or {}).get("status") or "unknown" for name, part in parts.items()}

    def dags(self, tag: str | None = None) -> list[Row]:
        """DAGs that the processor has read, of one tag or all."""
        return list(self.pages("dags", "dags", **({"tags": tag} if tag else {})))

    def import_errors(self) -> list[Row]:
        """DAG files that could not be read."""
        return list(self.pages("importErrors", "import_errors"))

    def wait_for_dag(self, dag_id: str, timeout: float = 60.0) -> None:
        """Wait until the DAG processor has read a DAG; `NotReadyError` names the import errors if there are any."""

        def known() -> bool:
            return self.request("GET", f"dags/{quote(dag_id)}").ok

        wait_until(known, timeout, f"DAG {dag_id} read by the DAG processor")

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run the DAG."""
        self.patch(f"dags/{quote(dag_id)}", {"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Stop the scheduler from running the DAG."""
        self.patch(f"dags/{quote(dag_id)}", {"is_paused": True})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a DAG run (waiting for the DAG to be known, unpausing it) and return its id."""
        self.wait_for_dag(dag_id)
        self.unpause(dag_id)
        body = self._release.trigger_body(run_id, conf or {})
        return str(self.post(f"dags/{quote(dag_id)}/dagRuns", body)["dag_run_id"])

    def dag_run(self, dag_id: str, run_id: str) -> Row:
        """One DAG run."""
        row: Row = self.get(_run(dag_id, run_id))
        return row

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 120.0) -> str:
        """Wait for the end of a DAG run and return its state."""
        self.wait_for(
            lambda: self.dag_run(dag_id, run_id)["state"] in FINISHED,
            timeout,
            f"end of DAG run {dag_id} {run_id}",
        )
        return str(self.dag_run(dag_id, run_id)["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[Row]:
        """All task instances of a run, mapped ones included."""
        return list(self.pages(f"{_run(dag_id, run_id)}/taskInstances", "task_instances"))

    def task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Row:
        """One task instance, its newest try."""
        row: Row = self.get(_instance(dag_id, run_id, task_id, map_index))
        return row

    def wait_for_state(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        states: str | Collection[str],
        timeout: float = 60.0,
        map_index: int = -1,
    ) -> Row:
        """Wait until a task instance is in (one of) these states and return it."""
        wanted = {states} if isinstance(states, str) else set(states)
        seen: list[Row] = []

        def reached() -> bool:
            seen.append(self.task_instance(dag_id, run_id, task_id, map_index))
            return seen[-1]["state"] in wanted

        self.wait_for(reached, timeout, f"{dag_id}.{task_id}[{map_index}] in {sorted(wanted)}")
        return seen[-1]

    def wait_for(self, predicate: Callable[[], bool], timeout: float, what: str = "the condition") -> None:
        """Poll until a condition holds; `NotReadyError` naming it after `timeout` seconds."""
        wait_until(predicate, timeout, what, interval=0.3)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Value of an XCom; None when there is no such entry."""
        answer = self.request(
            "GET",
            f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}",
            params={"map_index": map_index, "stringify": "false"},
        )
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json()["value"]

    def log_entries(
        self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1
    ) -> list[Row]:
        """Structured lines of a task's log, of the worker and of the triggerer."""
        answer = self.request(
            "GET",
            f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{try_number}",
            params={"map_index": map_index, "full_content": True},
        )
        answer.raise_for_status()
        return self._release.log_rows(answer)

    def log_text(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return a task's log as text; an exception is shown as its class and message."""
        lines: list[str] = []
        for entry in self.log_entries(dag_id, run_id, task_id, try_number, map_index):
            lines.append(" ".join(str(entry[name]) for name in ("timestamp", "level", "event") if entry.get(name)))
            lines += [f"{fault['exc_type']}: {fault['exc_value']}" for fault in exceptions_in(entry)]
        return "\n".join(lines)

    def clear(self, dag_id: str, run_id: str, task_ids: Collection[str] | None = None, **options: Any) -> list[Row]:
        """Clear task instances as a person does in the UI (all of the run if `task_ids` is None)."""
        body: Row = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
        if task_ids is not None:
            body["task_ids"] = list(task_ids)
        answer = self.post(f"dags/{quote(dag_id)}/clearTaskInstances", {**body, **options})
        rows: list[Row] = answer["task_instances"]
        return rows

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str = "failed", map_index: int = -1) -> None:
        """Mark a task instance `failed`, `success` or `skipped` as a person does in the UI."""
        self.patch(_instance(dag_id, run_id, task_id, map_index), self._release.state_body(state))

    def add_connection(self, conn_id: str, fields: Mapping[str, Any]) -> None:
        """Create a connection, or replace the one of this id; `extra` may be given as a mapping."""
        body = {name: value for name, value in fields.items() if value not in ("", None)}
        if isinstance(body.get("extra"), Mapping):
            body["extra"] = json.dumps(body["extra"])
        if self.request("GET", f"connections/{quote(conn_id)}").ok:
            self.delete(f"connections/{quote(conn_id)}")
        self.post("connections", {"connection_id": conn_id, **body})

    def set_run_state(self, dag_id: str, run_id: str, state: str = "failed") -> None:
        """Mark a whole DAG run."""
        self.patch(_run(dag_id, run_id), {"state": state})


def exceptions_in(entry: Mapping[str, Any]) -> list[Row]:
    """Return the exceptions of a structured log line, outermost first."""
    details = entry.get("error_detail") or []
    return [fault for fault in details if isinstance(fault, dict) and "exc_type" in fault]


def _run(dag_id: str, run_id: str) -> str:
    return f"dags/{quote(dag_id)}/dagRuns/{quote(run_id)}"


def _instance(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}"
    return path if map_index < 0 else f"{path}/{map_index}"
