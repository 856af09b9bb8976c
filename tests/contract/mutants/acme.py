"""Acme, the sixth vendor: its hook, operator and sensor, written from the public extension point alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from airflow_provider_etlapis.connection_forms import CELERY_DIRECTOR
from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.base import CancelReport, RemoteRunHook
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.values import moment, named
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.runs.evidence import Candidate, Search, StartProof, weigh
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, RunRef, RunState, Step
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.runs.watching import LogLines
from airflow_provider_etlapis.sensors.base import RemoteRunSensor
from airflow_provider_etlapis.wire.auth import Auth, HeaderAuth
from airflow_provider_etlapis.wire.call import Call, Response, json_object, segment
from airflow_provider_etlapis.wire.errors import MalformedAnswerError

ACME = replace(CELERY_DIRECTOR, conn_type="acme", hook_name="Acme", hook_class=f"{__name__}.AcmeHook")
STATES = {
    "WAITING": RunState.QUEUED,
    "WORKING": RunState.RUNNING,
    "DONE": RunState.SUCCEEDED,
    "DONE_WITH_REMARKS": RunState.WARNING,
    "BROKEN": RunState.FAILED,
    "HALTED": RunState.CANCELLED,
}
_LONGEST_LIST = 100


class LeastAcmeHook(RemoteRunHook):
    """The least that a vendor's hook must have: runs are started and read. The connection: host, API key as password.

    With Acme's whole API: :class:`AcmeHook`.
    """

    conn_name_attr = "acme_conn_id"
    default_conn_name = "acme_default"
    conn_type = "acme"
    hook_name = "Acme"
    form = ACME
    capabilities = Capabilities(cancel=False, bulk=False, cancel_note="Stop the run in Acme itself")
    states: ClassVar[Mapping[str, RunState]] = STATES

    def __init__(self, acme_conn_id: str = default_conn_name) -> None:
        super().__init__(acme_conn_id)

    def address(self, values: ConnectionValues) -> str:
        return values.base_url()

    def auth(self, values: ConnectionValues) -> Auth:
        if not values.password.strip():
            raise values.fault("the password must be Acme's API key")
        return HeaderAuth({"Authorization": f"Key {values.password.strip()}"})

    @staticmethod
    def ref(run_id: str) -> RunRef:
        return RunRef("acme", {"run_id": str(run_id)})

    # Endpoints

    @endpoint
    def get_account(self) -> Call[dict[str, Any]]:
        return Call("GET", "v2/account", json_object)

    @endpoint
    def post_run(self, job: str, job_input: Mapping[str, Any], label: str) -> Call[dict[str, Any]]:
        body = {"job": job, "input": dict(job_input), "label": label}
        return Call("POST", "v2/runs", _row, json=body, starts_run=True)

    @endpoint
    def get_run(self, run_id: str) -> Call[dict[str, Any]]:
        return Call("GET", f"v2/runs/{segment(run_id)}", _row)

    # The run interface

    @endpoint
    def check(self) -> Program[str]:
        return f"Acme answered {(yield from self.get_account.plan())['user']}"

    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        return self.run_of((yield from self.post_run.plan(spec["job"], spec["job_input"], marker)))

    @endpoint
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        return self.run_of((yield from self.get_run.plan(ref.run_id)), ref)

    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        yield from ()
        return CancelReport(False, f"run {ref.run_id} goes on. {self.capabilities.cancel_note}")

    def run_of(self, row: Mapping[str, Any], ref: RunRef | None = None) -> RemoteRun:
        """Return a row of the vendor as a run."""
        started = moment(row["begun"])
        return RemoteRun(
            ref or replace(self.ref(row["id"]), since=started.timestamp() if started else None),
            self.state_of(row["status"]),
            row["status"],
            row["job"],
            started=started,
            ended=moment(row["ended"]),
            error=row["error"],
        )

    def state_of(self, status: str) -> RunState:
        """Return what a status word means; one that is not known goes on."""
        return self.states.get(status, RunState.UNKNOWN)


class AcmeHook(LeastAcmeHook):
    """Acme's whole API: lists, logs, stages, labels, and a call that halts a run."""

    capabilities = Capabilities(cancel=True, bulk=True, steps=True, logs=True, finds_lost_starts=True)
    start_proof = StartProof("the label of a run", "shown", "hidden", "", "the list of a job's runs, up to 100 of them")

    @endpoint
    def list_runs(self, job: str | None = None, limit: int = _LONGEST_LIST) -> Call[dict[str, Any]]:
        return Call("GET", "v2/runs", _rows, query={"job": job, "limit": limit})

    @endpoint
    def halt_run(self, run_id: str) -> Call[None]:
        return Call("POST", f"v2/runs/{segment(run_id)}/halt", _halting)

    @endpoint
    def get_log(self, run_id: str, start: int) -> Call[dict[str, Any]]:
        return Call("GET", f"v2/runs/{segment(run_id)}/log", json_object, query={"from": start})

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        wanted = {ref.run_id: ref for ref in refs}
        rows = (yield from self.list_runs.plan())["runs"]
        return {row["id"]: self.run_of(row, wanted[row["id"]]) for row in rows if row["id"] in wanted}

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        job = None if of is None else named(of, ("job",))["job"]
        return [self.run_of(row) for row in (yield from self.list_runs.plan(job, limit))["runs"]]

    @endpoint
    def runs_of(self, what: Mapping[str, Any], since: float, shared: Any = None) -> Program[list[RemoteRun]]:
        return [self.run_of(row) for row in (yield from self.list_runs.plan(named(what, ("job",))["job"]))["runs"]]

    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        run = yield from self.read_run.plan(ref)
        if run.state.is_terminal:
            return CancelReport(False, f"run {ref.run_id} had ended already: {run.vendor_status}")
        yield from self.halt_run.plan(ref.run_id)
        return CancelReport(True, f"asked to halt run {ref.run_id}")

    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        answer = yield from self.get_log.plan(ref.run_id, cursor or 0)
        return LogLines(tuple(answer["lines"]), answer["next"])

    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        return (yield from self.read_log.plan(ref)).lines[-lines:]

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        answer = yield from self.list_runs.plan(spec["job"])
        candidates = [Candidate(self.run_of(row), has_marker=row["label"] == intent.marker) for row in answer["runs"]]
        complete = answer["total"] <= len(answer["runs"])
        return weigh(candidates, f"runs of {spec['job']} labelled {intent.marker!r}", is_complete=complete)

    def run_of(self, row: Mapping[str, Any], ref: RunRef | None = None) -> RemoteRun:
        stages = row.get("stages", ())
        steps = [
            Step(each["name"], self.state_of(each["status"]), each["status"], moment(each["begun"])) for each in stages
        ]
        return replace(super().run_of(row, ref), steps=tuple(steps))


class AcmeRunJobOperator(RemoteRunOperator):
    """Starts a run of an Acme job and waits for it."""

    template_fields: Sequence[str] = ("job", "job_input", "acme_conn_id")
    conn_id_field = "acme_conn_id"

    def __init__(
        self, *, job: str, job_input: Mapping[str, Any] | None = None, acme_conn_id: str = "acme_default", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.job_input = job_input
        self.acme_conn_id = acme_conn_id

    @classmethod
    def hook_class(cls) -> type[RemoteRunHook]:
        return AcmeHook

    def spec(self) -> dict[str, Any]:
        if not isinstance(self.job, str) or not self.job.strip():
            raise InvalidInputError(f"job must be the name of a job, not {self.job!r}")
        return {"job": self.job, "job_input": dict(self.job_input or {})}


class AcmeRunSensor(RemoteRunSensor):
    """Waits for an Acme run."""

    template_fields: Sequence[str] = ("run_id", "acme_conn_id")
    conn_id_field = "acme_conn_id"

    def __init__(self, *, run_id: str, acme_conn_id: str = "acme_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.acme_conn_id = acme_conn_id

    @classmethod
    def hook_class(cls) -> type[RemoteRunHook]:
        return AcmeHook

    def ref(self) -> RunRef:
        return self.hook_class().ref(self.run_id)  # type: ignore[attr-defined, no-any-return]  # each vendor's own


def _row(response: Response) -> dict[str, Any]:
    row = json_object(response)
    if not {"id", "job", "status", "begun", "ended", "error"} <= row.keys():
        raise MalformedAnswerError("a run without its facts", status=response.status)
    return row


def _rows(response: Response) -> dict[str, Any]:
    answer = json_object(response)
    if not isinstance(answer.get("runs"), list) or not isinstance(answer.get("total"), int):
        raise MalformedAnswerError("a list without runs", status=response.status)
    return answer


def _halting(response: Response) -> None:
    if json_object(response).get("halting") is not True:
        raise MalformedAnswerError("a halt that was not granted", status=response.status)
