"""The vendors' sides of the exit rows: a real Director and a sandbox of Meiro, each with its own book of starts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.meiro.work import Workspace
from tests.support.relay import Relay

LONG = 600.0


class Ledger(NamedTuple):
    """What a vendor counts of one task: runs that it has started, and cancels that it was asked for."""

    starts: int
    cancels: int


class Code(str):
    """A text that stands in a DAG file as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Side(ABC):
    """One vendor. Its connection has a twin by way of a line that can be cut."""

    name: ClassVar[str]
    operator: ClassVar[str]

    def __init__(self, fields: dict[str, Any]) -> None:
        self.line = Relay(fields["host"])
        self.conn_id = f"exits_{self.name}"
        self.connections = {
            self.conn_id: fields,
            f"{self.conn_id}_by_line": {**fields, "host": self.line.base_url},
        }

    def task(
        self,
        dag_id: str,
        task_id: str,
        seconds: float = LONG,
        *,
        later: float | None = None,
        mapped: int = 0,
        by_line: bool = False,
        operator: str = "",
        **arguments: object,
    ) -> str:
        """Return the expression of a task.

        :param seconds: length of its run.
        :param later: length of the runs that later tries start; default: as long.
        :param mapped: number of task instances, 0 for a task that is not mapped.
        :param by_line: go by the line that can be cut.
        :param operator: class to use instead of the vendor's.
        """
        conn_id = f"{self.conn_id}_by_line" if by_line else self.conn_id
        fields = {"task_id": task_id, f"{self.name}_conn_id": conn_id, "poll_interval": 1.0, **arguments}
        lengths = (seconds, seconds if later is None else later)
        name, given = self._what(dag_id, task_id, lengths, mapped)
        fields = {**fields, **self._fixed()}
        if not mapped:
            return f"{operator or self.operator}({_written({**fields, name: given[0]})})"
        return f"{operator or self.operator}.partial({_written(fields)}).expand({name}={given!r})"

    def _fixed(self) -> dict[str, object]:
        return {}

    @abstractmethod
    def _what(self, dag_id: str, task_id: str, seconds: tuple[float, float], mapped: int) -> tuple[str, list[object]]:
        """Return the argument that says how long a run takes, and its value for each task instance."""

    @abstractmethod
    def state(self, run_id: str) -> str:
        """Return the vendor's word for the state of a run."""

    @abstractmethod
    def cancel(self, run_id: str) -> None:
        """Cancel a run by hand."""

    @abstractmethod
    def started(self, dag_id: str, task_id: str = "", map_index: int = -1) -> list[str]:
        """Return the ids of the runs that a task, or a whole DAG, has started."""

    @abstractmethod
    def ledger(self, dag_id: str, task_id: str, map_index: int = -1) -> Ledger:
        """Return what the vendor counts of one task instance."""

    @abstractmethod
    def is_alive(self, run_id: str) -> bool:
        """Whether the vendor works on a run, or will."""

    @abstractmethod
    def is_cancelled(self, run_id: str) -> bool:
        """Whether a run was cancelled."""


class DirectorSide(Side):
    """A real Celery Director; it has no count of cancels, but a log of the requests it has answered."""

    name = "celery_director"
    operator = "CeleryDirectorRunWorkflowOperator"

    def __init__(self, director: RealDirector) -> None:
        super().__init__(director.connection())
        self.director = director

    def _fixed(self) -> dict[str, object]:
        return {"project": "demo", "name": "SLOW"}

    def _what(self, dag_id: str, task_id: str, seconds: tuple[float, float], mapped: int) -> tuple[str, list[object]]:
        first, later = seconds
        length = first if first == later else f"{{{{ {first} if ti.try_number == 1 else {later} }}}}"
        return "payload", [{"seconds": length}] * (mapped or 1)

    def state(self, run_id: str) -> str:
        return str(self.director.run(run_id)["status"])

    def cancel(self, run_id: str) -> None:
        self.director.cancel(run_id)

    def started(self, dag_id: str, task_id: str = "", map_index: int = -1) -> list[str]:
        mark = f"airflow {dag_id}."
        if task_id:
            mark += f"{task_id}[{map_index}] " if map_index >= 0 else f"{task_id} "
        return [str(row["id"]) for row in self.director.runs() if mark in str(row.get("comment"))]

    def ledger(self, dag_id: str, task_id: str, map_index: int = -1) -> Ledger:
        runs = self.started(dag_id, task_id, map_index)
        log = "\n".join(self.director.access_log)
        return Ledger(len(runs), sum(log.count(f"POST /api/workflows/{run}/cancel ") for run in runs))

    def is_alive(self, run_id: str) -> bool:
        return self.state(run_id) in ("pending", "progress")

    def is_cancelled(self, run_id: str) -> bool:
        return self.state(run_id) == "canceled"


class MeiroSide(Side):
    """A sandbox of Meiro Integrations with a workspace for each task instance."""

    name = "meiro"
    operator = "MeiroRunWorkspaceOperator"

    def __init__(self, sandbox: MeiroSandbox) -> None:
        super().__init__(sandbox.connection())
        self.sandbox = sandbox
        self._workspaces: dict[tuple[str, str, int], int] = {}

    def _what(self, dag_id: str, task_id: str, seconds: tuple[float, float], mapped: int) -> tuple[str, list[object]]:
        made: list[object] = []
        for index in range(mapped) if mapped else (-1,):
            number = 1000 + len(self._workspaces)
            self._workspaces[dag_id, task_id, index] = number
            first, later = (Life(duration=length) for length in seconds)
            self.sandbox.define(Workspace(number, f"{dag_id}.{task_id}", life=later))
            self.sandbox.plan(first, flow=str(number))
            made.append(number)
        return "workspace_id", made

    def state(self, run_id: str) -> str:
        return self.sandbox.runs[run_id].current(self.sandbox.clock.now()).phase

    def cancel(self, run_id: str) -> None:
        self.sandbox.cancel_run(self.sandbox.runs[run_id])

    def started(self, dag_id: str, task_id: str = "", map_index: int = -1) -> list[str]:
        flows = {
            str(number)
            for (dag, task, index), number in self._workspaces.items()
            if dag == dag_id and (not task_id or (task, index) == (task_id, map_index))
        }
        return [run for run in self.sandbox.ledger.starts if run.partition("/")[0] in flows]

    def ledger(self, dag_id: str, task_id: str, map_index: int = -1) -> Ledger:
        runs = self.started(dag_id, task_id, map_index)
        return Ledger(len(runs), sum(run in runs for run in self.sandbox.ledger.cancels))

    def is_alive(self, run_id: str) -> bool:
        return self.state(run_id) in ("queued", "running")

    def is_cancelled(self, run_id: str) -> bool:
        return self.state(run_id) == "canceled"


def _written(fields: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())
