"""The stage of the exit rows: their tasks, of two vendors, in one Airflow, with each vendor's book beside them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

from airflow_provider_etlapis.demo.client import FINISHED
from airflow_provider_etlapis.demo.stack import LocalAirflow
from tests.stack.sides import Code, Ledger, Side
from tests.support.stack import adding_dags_to

SHORT = 6
# Not shorter: Airflow fails a task that is resumed before it has digested that its first half has ended.
QUICK = 8.0
RETRIED = {"retries": 20, "retry_delay": 2}

HEAD = """
from datetime import datetime, timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator
from airflow_provider_etlapis.operators.meiro import MeiroRunWorkspaceOperator
"""


CRASHING = """
class Crashing{operator}({operator}):
    # The first try's trigger is made with an argument that no trigger can work with.
    @classmethod
    def hook_path(cls):
        return None

    def pre_execute(self, context):
        self.deferrable = context["ti"].try_number == 1
"""


@dataclass(frozen=True)
class Place:
    """One task instance of a row, and the vendor whose run it waits for."""

    airflow: LocalAirflow
    side: Side
    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    def __str__(self) -> str:
        return f"{self.dag_id}.{self.task_id}[{self.map_index}]"

    @property
    def is_deferrable(self) -> bool:
        return self.dag_id.endswith("deferred")

    def instance(self) -> dict[str, Any]:
        return self.airflow.api.task_instance(self.dag_id, self.run_id, self.task_id, self.map_index)

    def wait_for_state(self, *states: str, try_number: int = 1, timeout: float = 90.0) -> dict[str, Any]:
        """Wait until the task is in one of these states, in this try or a later one."""
        seen: list[dict[str, Any]] = []

        def reached() -> bool:
            seen.append(self.instance())
            return seen[-1]["state"] in states and seen[-1]["try_number"] >= try_number

        self.airflow.wait_for(reached, timeout, f"{self} in {' or '.join(states)}")
        return seen[-1]

    def xcom(self, key: str = "return_value") -> Any:
        return self.airflow.api.xcom(self.dag_id, self.run_id, self.task_id, key, self.map_index)

    def log(self, try_number: int = 1) -> str:
        return self.airflow.api.log_text(self.dag_id, self.run_id, self.task_id, try_number, self.map_index)

    def wait_for_log(self, words: str, times: int = 1, try_number: int = 1, timeout: float = 60.0) -> None:
        self.airflow.wait_for(
            lambda: self.log(try_number).count(words) >= times, timeout, f"{words!r} in the log of {self}"
        )

    def followed(self, *, but: str | None = None) -> str:
        """Wait until the task waits for a remote run, and return the id of that run.

        :param but: a run that it has followed before.
        """

        def told() -> bool:
            return self.xcom("run_id") not in (None, but)

        self.wait_for_state("deferred" if self.is_deferrable else "running")
        self.airflow.wait_for(told, 60, f"a run of {self}")
        return str(self.xcom("run_id"))

    def watched(self) -> str:
        """Wait until whoever is to wait for the run does so: Airflow tells nobody of a kill before that."""
        remote = self.followed()
        self.wait_for_look(remote)
        return remote

    def looks(self, remote: str) -> int:
        """Return how many waits for the run have begun: each tells how it finds the run."""
        told = self.log(self.instance()["try_number"])
        return told.count(f"Run {remote} is ") - told.count(f"Run {remote} is still waited for")

    def wait_for_look(self, remote: str, number: int = 1, timeout: float = 60.0) -> None:
        self.airflow.wait_for(lambda: self.looks(remote) >= number, timeout, f"wait {number} of {self} for {remote}")

    def triggerer(self) -> int | None:
        """Return the job id of the triggerer that has the task's trigger."""
        rows = self.airflow.query(
            "SELECT triggerer_id FROM trigger JOIN task_instance ON trigger.id = trigger_id"
            " WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ?",
            *(self.dag_id, self.run_id, self.task_id, self.map_index),
        )
        return rows[0]["triggerer_id"] if rows else None

    def mark(self, state: str) -> None:
        self.airflow.api.set_state(self.dag_id, self.run_id, self.task_id, state, self.map_index)

    def clear(self) -> None:
        """Clear the task as a person does in the UI.

        The REST API of Airflow 2 leaves a task that runs as it is (it sets the state of rows that its session has
        already let go of); its UI and its command line share the code that clears one.
        """
        if self.airflow.version.startswith("2.") and not self.is_deferrable:
            self.airflow.airflow("tasks", "clear", "--yes", "--task-regex", f"^{self.task_id}$", self.dag_id)
        else:
            self.airflow.api.clear(self.dag_id, self.run_id, [self.task_id])

    def signal_worker(self, signum: int) -> None:
        """Signal the worker that runs the task, as a machine does that is shut down."""
        pid = self.airflow.task_processes(self.dag_id, self.run_id, self.task_id).supervisor
        assert pid is not None
        os.kill(pid, signum)

    def kill(self) -> None:
        self.airflow.kill_task(self.dag_id, self.run_id, self.task_id)

    def wait_for_cancelled(self, remote: str) -> None:
        self.airflow.wait_for(lambda: self.side.is_cancelled(remote), 60, f"the run of {self} cancelled")

    def ledger(self) -> Ledger:
        return self.side.ledger(self.dag_id, self.task_id, self.map_index)


class Stage:
    """The tasks of all rows: those that wait deferred, and those that wait on a worker.

    Each of the two has a DAG of its own, and one more for the row in which a whole DAG run is marked. Starting them
    at once lets the rows share their waiting.
    """

    def __init__(self, airflow: LocalAirflow, sides: Sequence[Side]) -> None:
        self.airflow = airflow
        self.sides = sides
        self.prefix = f"exits_{airflow.version.replace('.', '_')}"
        self.runs: dict[str, str] = {}
        # Airflow 2 needs retries where a task is cleared. On a worker it waits for the delay of one before it runs the
        # task anew; and a new try fails at once if the row of the old one's trigger is deleted just then.
        self._cleared = RETRIED if airflow.version.startswith("2.") else {}

    def source(self) -> str:
        """Return the file with all DAGs."""
        dags = {
            "deferred": [*self._rows("deferred"), *self._deferred_rows()],
            "failed_while_deferred": self._tasks("failed_while_deferred", "waits", deferrable=True),
            "running": [*self._rows("running"), *self._running_rows()],
            "orphaned_while_deferred": self._orphan_rows(),
            "failed_while_running": self._tasks("failed_while_running", "waits", deferrable=False),
        }
        lines = [HEAD, *(CRASHING.format(operator=side.operator) for side in self.sides)]
        for name, tasks in dags.items():
            # Deferred tasks do not count: so they begin a few at a time.
            at_once = 8 if name == "deferred" else 200
            options = f"start_date=datetime(2026, 1, 1), schedule=None, max_active_tasks={at_once}"
            lines += [f"with DAG({self.dag_id(name)!r}, {options}):", *(f"    {task}" for task in tasks), ""]
        return "\n".join(lines)

    def _rows(self, name: str) -> Iterator[str]:
        deferrable = name == "deferred"
        in_time: dict[str, dict[str, object]] = {
            "timeout": {"timeout": SHORT},
            "execution_timeout": {"execution_timeout": Code(f"timedelta(seconds={2 * SHORT})")},
            "left_alone": {"timeout": SHORT, "cancel_on_timeout": False},
        }
        for row in ("marked_failed", "marked_success"):
            yield from self._tasks(name, row, deferrable=deferrable)
        yield from self._tasks(name, "cleared", later=QUICK, deferrable=deferrable, **self._cleared)
        yield from self._tasks(name, "given_up", by_line=True, deferrable=deferrable, poll_failure_budget=2, **RETRIED)
        for row, limit in in_time.items():
            yield from self._tasks(name, row, deferrable=deferrable, **limit)

    def _deferred_rows(self) -> Iterator[str]:
        yield from self._tasks("deferred", "mapped_marked", mapped=2, deferrable=True)
        yield from self._tasks("deferred", "mapped_cleared", mapped=2, later=QUICK, deferrable=True, **self._cleared)
        yield from self._tasks("deferred", "ended", seconds=QUICK, deferrable=True, **self._cleared)
        yield from self._tasks("deferred", "outlives", seconds=180.0, deferrable=True)
        for side in self.sides:
            operator = f"Crashing{side.operator}"
            yield side.task(self.dag_id("deferred"), self.task_id("crashed", side), 20.0, operator=operator, **RETRIED)

    def _running_rows(self) -> Iterator[str]:
        yield from self._tasks("running", "stopped", later=QUICK, deferrable=False, **RETRIED)
        yield from self._tasks("running", "killed", seconds=120.0, deferrable=False, **RETRIED)
        yield from self._tasks("running", "unwatched", deferrable=True, timeout=3)

    def _orphan_rows(self) -> Iterator[str]:
        for row in ("marked", "cleared", "spared", "swept_by_dag"):
            yield from self._tasks("orphaned_while_deferred", row, deferrable=True)
        yield from self._tasks("orphaned_while_deferred", "left_alone", deferrable=True, cancel_on_kill=False)
        yield from self._tasks(
            "orphaned_while_deferred", "given_up", by_line=True, deferrable=True, poll_failure_budget=2
        )

    def _tasks(self, name: str, row: str, **arguments: Any) -> list[str]:
        return [side.task(self.dag_id(name), self.task_id(row, side), **arguments) for side in self.sides]

    def dag_id(self, name: str) -> str:
        return f"{self.prefix}_{name}"

    def task_id(self, row: str, side: Side) -> str:
        return f"{row}_{side.name}"

    def start(self, *names: str) -> None:
        """Start DAG runs, unless they were started before, and wait until each of their tasks has begun.

        On SQLite, marking a task while others begin may hold up all of Airflow for seconds.
        """
        new = [name for name in names if name not in self.runs]
        for name in new:
            self.runs[name] = self.airflow.api.trigger(self.dag_id(name))

        def begun() -> bool:
            rows = [row for name in new for row in self.airflow.api.task_instances(self.dag_id(name), self.runs[name])]
            return all(row["start_date"] for row in rows)

        self.airflow.wait_for(begun, 90, "the beginning of all tasks", interval=1.0)

    def places(self, name: str, row: str, map_index: int = -1) -> list[Place]:
        """Return the row's task of each vendor."""
        here = (self.dag_id(name), self.runs[name])
        return [Place(self.airflow, side, *here, self.task_id(row, side), map_index) for side in self.sides]

    def cut_lines(self, name: str) -> None:
        """Put the vendors out of reach for the tasks of one row, once they wait."""
        for place in self.places(name, "given_up"):
            place.watched()
        for side in self.sides:
            side.line.cut()

    def kill_triggerers(self) -> None:
        """End all triggerers as an orchestrator does that has lost patience."""
        for child in list(self.airflow.triggerers):
            self.airflow.kill_triggerer(signal.SIGKILL, child)

    def end(self) -> None:
        """End what still waits, and see that nothing is left on the vendors' sides."""
        if not self.airflow.triggerers:
            self.airflow.start_triggerer()
        for name, run_id in self.runs.items():
            if self.airflow.api.dag_run(self.dag_id(name), run_id)["state"] not in FINISHED:
                self.airflow.api.set_run_state(self.dag_id(name), run_id, "failed")

        # Out of reach, left alone on purpose, or marked between the event that time is up and its being acted upon.
        rows = ("given_up", "left_alone", "timeout", "execution_timeout")
        for name, row, side in product(self.runs, rows, self.sides):
            side.line.mend()
            for run in side.started(self.dag_id(name), self.task_id(row, side)):
                if side.is_alive(run):
                    side.cancel(run)

        def left() -> list[str]:
            return [
                run
                for side in self.sides
                for name in self.runs
                for run in side.started(self.dag_id(name))
                if side.is_alive(run)
            ]

        self.airflow.wait_for(lambda: not left(), 60, "no run left")


@contextmanager
def staged(airflow: LocalAirflow, sides: Sequence[Side]) -> Iterator[Stage]:
    """Make the DAGs known to the Airflow; take them away at the end, with whatever they have left."""
    stage = Stage(airflow, sides)
    with ExitStack() as stack:
        for side in sides:
            stack.enter_context(side.line)
            for conn_id, fields in side.connections.items():
                airflow.api.add_connection(conn_id, fields)
        stack.enter_context(adding_dags_to(airflow))(stage.dag_id("deferred"), stage.source())
        stack.callback(stage.end)
        yield stage
