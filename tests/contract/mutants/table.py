"""The sixth vendor's row, and its mutants: each is wrong in one way, with the test that must catch it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import new_class
from typing import Any, ClassVar

from airflow_provider_etlapis.hooks.base import CancelReport, RemoteRunHook
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.runs.evidence import Evidence, Search
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.runs.watching import LogLines
from airflow_provider_etlapis.wire.call import Call, Response, json_object
from tests.contract.mutants.acme import STATES, AcmeHook, AcmeRunJobOperator, AcmeRunSensor, LeastAcmeHook
from tests.contract.mutants.acme_sandbox import KEY, AcmeSandbox
from tests.contract.row import Row


def _operator(made: type[RemoteRunOperator], hook: type[RemoteRunHook], **arguments: Any) -> RemoteRunOperator:
    return _on(made, hook)(**{"job": "orders", **arguments})


def _sensor(hook: type[RemoteRunHook], ref: RunRef, **arguments: Any) -> Any:
    return _on(AcmeRunSensor, hook)(run_id=ref.run_id, **arguments)


def _on(task: type[Any], hook: type[RemoteRunHook]) -> type[Any]:
    """Return a task class whose hook is another one than that of the vendor."""
    if task.hook_class() is hook:
        return task
    own = {"hook_class": classmethod(lambda cls: hook), "__module__": task.__module__}
    return new_class(task.__name__, (task,), exec_body=lambda namespace: namespace.update(own))


def row_of(hook: type[RemoteRunHook], operator: type[RemoteRunOperator] = AcmeRunJobOperator, variant: str = "") -> Row:
    """Return the row of the vendor, or of a mutant."""
    return Row(
        sandbox=AcmeSandbox,
        hook=hook,
        operator=partial(_operator, operator, hook),
        sensor=partial(_sensor, hook),
        good="DONE",
        bad="BROKEN",
        cancelled="HALTED",
        inputs=({"job_input": {"day": 1}}, {"job_input": {"day": 2}}),
        target={"job": "orders"},
        warning="DONE_WITH_REMARKS",
        variant=variant,
    )


ROW = row_of(AcmeHook)
LEAST = replace(row_of(LeastAcmeHook, variant="least"), target=None)
"""The same vendor with the least that a hook must have: what it does not claim is tested by it."""


@dataclass(frozen=True)
class Mutant:
    """A vendor that is wrong in one way.

    :param row: what the suite plays.
    :param caught_by: name of the test that must fail.
    :param case: in the ids of its cases that are played, where not all are.
    """

    row: Row
    caught_by: str
    case: str = ""


MUTANTS: list[Mutant] = []


def mutant(caught_by: str, case: str = "") -> Callable[[type[Any]], type[Any]]:
    """Add a mutant: a hook class, or an operator class with the vendor's own hook."""

    def add(made: type[Any]) -> type[Any]:
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in made.__name__)[1:]
        is_hook = issubclass(made, RemoteRunHook)
        row = row_of(made if is_hook else AcmeHook, AcmeRunJobOperator if is_hook else made, name)
        MUTANTS.append(Mutant(row, caught_by, case))
        return made

    return add


# What is sent


@mutant("test_a_start_is_not_sent_again_without_a_look_at_what_the_first_has_done", "-503_and_applied")
class RepeatableStart(AcmeHook):
    @endpoint
    def post_run(self, job: str, job_input: Mapping[str, Any], label: str) -> Call[dict[str, Any]]:
        body = {"job": job, "input": dict(job_input), "label": label}
        return Call("POST", "v2/runs", json_object, json=body, repeatable="it is harmless")


@mutant("test_a_cancel_is_not_sent_again_without_a_read_of_its_run", "-503_and_applied")
class RepeatableKill(AcmeHook):
    @endpoint
    def halt_run(self, run_id: str) -> Call[None]:
        return Call("POST", f"v2/runs/{run_id}/halt", lambda response: None, repeatable="it is harmless")


@mutant("test_a_task_that_a_person_ends_cancels_its_run")
class CancelThatAsksNothing(AcmeHook):
    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        yield from ()
        return CancelReport(True, f"asked to halt run {ref.run_id}")


@mutant("test_a_cancel_that_was_refused_does_not_spoil_a_good_end", "no_success")
class CancelThatBelievesAnyAnswer(AcmeHook):
    @endpoint
    def halt_run(self, run_id: str) -> Call[None]:
        return Call("POST", f"v2/runs/{run_id}/halt", lambda response: None)


@mutant("test_a_run_that_has_ended_already_is_not_cancelled_after_the_fact")
class CancelThatDoesNotLook(AcmeHook):
    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        yield from self.halt_run.plan(ref.run_id)
        return CancelReport(True, f"asked to halt run {ref.run_id}")


# What a status means


@mutant("test_a_run_that_ended_in_a_warning_is_no_failure_and_the_log_says_so")
class WarningIsAFailure(AcmeHook):
    states: ClassVar = {**STATES, "DONE_WITH_REMARKS": RunState.FAILED}


@mutant("test_a_status_word_that_nobody_knows_goes_on_and_warns_once")
class UnknownWordIsASuccess(AcmeHook):
    def state_of(self, status: str) -> RunState:
        return STATES.get(status, RunState.SUCCEEDED)


@mutant("test_a_run_that_somebody_cancelled_is_never_a_success")
class CancelledIsASuccess(AcmeHook):
    states: ClassVar = {**STATES, "HALTED": RunState.SUCCEEDED}


@mutant("test_a_run_that_succeeds_returns_its_manifest")
class LookThatNeverSaysEnded(AcmeHook):
    states: ClassVar = {**STATES, "DONE": RunState.RUNNING}


# What is claimed, with nothing behind it


@mutant("test_the_bulk_list_shows_runs_that_go_on_in_fewer_requests_than_runs")
class ListThatShowsNothing(AcmeHook):
    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        yield from self.list_runs.plan()
        return {}


@mutant("test_many_waits_cost_fewer_requests_than_waits")
class BulkThatReadsOneByOne(AcmeHook):
    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        found = {}
        for ref in refs:
            found[ref.run_id] = yield from self.read_run.plan(ref)
        return found


@mutant("test_the_log_of_a_run_is_copied_as_it_comes")
class LogsWithoutReadLog(AcmeHook):
    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        yield from ()
        return LogLines((), cursor)


@mutant("test_the_last_lines_of_the_log_are_in_the_error_of_a_run_that_ended_badly")
class LogsWithoutATail(AcmeHook):
    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        yield from ()
        return ()


@mutant("test_the_steps_of_a_run_are_in_the_manifest")
class StepsWithoutSteps(AcmeHook):
    def run_of(self, row: Mapping[str, Any], ref: RunRef | None = None) -> RemoteRun:
        return replace(super().run_of(row, ref), steps=())


@mutant("test_the_newest_runs_are_listed")
class NoRecentRuns(AcmeHook):
    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        yield from ()
        return []


@mutant("test_the_end_of_a_run_is_an_event_that_names_it")
class EventsThatNeverCome(AcmeHook):
    @endpoint
    def runs_of(self, what: Mapping[str, Any], since: float, shared: Any = None) -> Program[list[RemoteRun]]:
        yield from ()
        return []


# What a run has


@mutant("test_a_run_has_the_time_of_its_start")
class RunWithoutAStartTime(AcmeHook):
    def run_of(self, row: Mapping[str, Any], ref: RunRef | None = None) -> RemoteRun:
        return super().run_of({**row, "begun": None}, ref)


@mutant("test_a_run_that_ends_badly_fails_the_task_with_status_error_text_and_link")
class NoErrorText(AcmeHook):
    capabilities = replace(AcmeHook.capabilities, logs=False)

    def run_of(self, row: Mapping[str, Any], ref: RunRef | None = None) -> RemoteRun:
        return replace(super().run_of(row, ref), error=None)


# Connections and templates


@mutant("test_a_task_asks_the_connection_that_it_names")
class ConnectionIdIgnored(AcmeRunJobOperator):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{**arguments, "acme_conn_id": "acme_default"})


@mutant("test_each_template_field_is_rendered")
class NoTemplateFields(AcmeRunJobOperator):
    template_fields = ()


@mutant("test_each_input_and_the_connection_id_may_be_a_template")
class InputThatIsNoTemplate(AcmeRunJobOperator):
    template_fields = ("job", "acme_conn_id")


@mutant("test_a_server_that_echoes_secrets_does_not_make_them_seen", "-400")
class KeyInTheLog(AcmeHook):
    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        self.log.info("Starting %s with the key %s", spec["job"], KEY)
        return (yield from super().start_run.plan(spec, marker))


# What proves whose a run is


@mutant("test_a_start_that_took_effect_and_was_answered_by_a_proxy_is_not_made_twice", "-404-html")
class ProxyIsBelieved(AcmeHook):
    @staticmethod
    def is_own_error(response: Response) -> bool:
        return True


@mutant("test_a_start_whose_answer_is_lost_is_found_or_refused_and_never_made_twice", "-dropped")
class NeverFound(AcmeHook):
    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        yield from ()
        return Search(Evidence.ABSENT, "nothing")


@mutant("test_a_task_does_not_take_the_run_of_a_task_beside_it_for_its_own", "never_arrived")
class OneCandidateIsProof(AcmeHook):
    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        runs = yield from self.recent_runs.plan(1)
        return Search(Evidence.FOUND if runs else Evidence.ABSENT, "the newest run", tuple(runs))
