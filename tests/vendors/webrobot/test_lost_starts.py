"""WebRobot's start calls without an answer, beside other people's runs: over HTTP, on a worker and deferred."""
# ruff: noqa: F401 - fixtures are imported, and asked for by their names

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import EtlApiError, StartLostError
from airflow_provider_etlapis.operators.webrobot import WebRobotExecuteJobOperator, WebRobotStartTaskOperator
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.ledger import RequestRecord
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.runs import Run
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox, execution_of
from airflow_provider_etlapis.sandbox.webrobot.work import Job, Task
from tests.support.airflow_context import TaskLog, context_of, task_log
from tests.support.rehearsal import Rehearsal
from tests.vendors.webrobot.stage import connect

JOB = {"project_id": "98", "job_id": "210"}
TASK = {**JOB, "webrobot_task_id": "1"}
LONG, SHORT, BAD = Life(duration=3600), Life(duration=0.2), Life(duration=0.0, outcome="error")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebRobotSandbox]:
    """On a clock that runs: these tests wait."""
    with WebRobotSandbox() as running:
        connect(monkeypatch, running)
        yield running


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def execute_job(deferrable: bool, *, keeps_state: bool = True, **arguments: Any) -> Rehearsal:
    """Return a task that executes the job with arguments of its own."""
    wanted = {**JOB, "arguments": ["--region", "A"], "deferrable": deferrable, "poll_interval": 0.1, "retries": 3}
    return Rehearsal(
        lambda: WebRobotExecuteJobOperator(task_id="run", **{**wanted, **arguments}), keeps_state=keeps_state
    )


def start_task(deferrable: bool, *, keeps_state: bool = True, **arguments: Any) -> Rehearsal:
    """Return a task that starts the job's task by itself."""
    wanted = {**TASK, "deferrable": deferrable, "poll_interval": 0.1, "retries": 3}
    return Rehearsal(
        lambda: WebRobotStartTaskOperator(task_id="run", **{**wanted, **arguments}), keeps_state=keeps_state
    )


def at_the_first(sandbox: WebRobotSandbox, operation: str, do: Callable[[], Any], *, after: str | None = None) -> None:
    """Do something on the server in the moment in which a request arrives, before it takes effect.

    :param after: only once a request of this operation has been there.
    """
    note, done, seen = sandbox.ledger.note_request, [], []

    def noted(record: RequestRecord) -> None:
        note(record)
        if record.operation == operation and not done and (after is None or seen):
            done.append(do())
        if record.operation == after:
            seen.append(record)

    sandbox.ledger.note_request = noted  # type: ignore[method-assign]  # a look over the server's shoulder


def others(sandbox: WebRobotSandbox) -> list[Run]:
    return [run for run in sandbox.ledger.runs if run.seeded]


# -- a job: an execution is never shown to be ours ----------------------------------------------------------------


@pytest.mark.parametrize("life", [LONG, SHORT, BAD], ids=["going", "good", "bad"])
def test_somebody_elses_execution_at_the_moment_of_a_start_that_never_arrived_is_not_taken(
    sandbox: WebRobotSandbox, deferrable: bool, life: Life
) -> None:
    sandbox.seed_run(Life(duration=1), age=600)
    sandbox.inject(Fault("start", "drop_before"))
    at_the_first(sandbox, "start", lambda: sandbox.seed_run(life, request={"arguments": ["--region", "B"]}))

    with pytest.raises(StartLostError) as lost:
        execute_job(deferrable).run()

    assert execution_of(others(sandbox)[-1]) in str(lost.value), "it is named, for a person to look at"
    assert sandbox.ledger.starts == []
    assert sandbox.ledger.cancels == []


def test_somebody_elses_execution_right_after_ours_hides_ours_and_is_not_taken(
    sandbox: WebRobotSandbox, deferrable: bool
) -> None:
    sandbox.plan(Life(duration=0.0))
    sandbox.inject(Fault("start", "drop_after"))
    at_the_first(sandbox, "tasks", lambda: sandbox.seed_run(LONG), after="start")

    with pytest.raises(StartLostError) as lost:
        execute_job(deferrable).run()

    assert execution_of(others(sandbox)[-1]) in str(lost.value)
    assert len(sandbox.ledger.starts) == 1
    assert sandbox.ledger.cancels == []


def test_an_execution_that_may_be_ours_is_named_and_adopted_only_where_the_user_says_so(
    sandbox: WebRobotSandbox, deferrable: bool
) -> None:
    sandbox.plan(SHORT, SHORT)
    sandbox.inject(Fault("start", "drop_after"))
    with pytest.raises(StartLostError) as lost:
        execute_job(deferrable).run()
    (ours,) = sandbox.ledger.starts
    assert ours in str(lost.value)

    sandbox.clock.advance(1)
    sandbox.inject(Fault("start", "drop_after"))
    manifest = execute_job(deferrable, on_lost_start="adopt").run()

    assert manifest["run_id"] == sandbox.ledger.starts[-1]
    assert len(sandbox.ledger.starts) == 2


def test_adopt_takes_no_execution_of_before_the_call(sandbox: WebRobotSandbox, deferrable: bool) -> None:
    """A good one of somebody else is there, ended, and nothing has come of our call."""
    sandbox.task_references = False
    sandbox.seed_run(Life(duration=1), age=5)
    sandbox.inject(Fault("start", "drop_before"))

    with pytest.raises(StartLostError):
        execute_job(deferrable, on_lost_start="adopt").run()

    assert sandbox.ledger.starts == []


@pytest.mark.parametrize("idle", [None, "PENDING"])
@pytest.mark.parametrize("ran_before", [True, False])
def test_an_execution_that_surely_never_started_is_started_again(
    sandbox: WebRobotSandbox, deferrable: bool, ran_before: bool, idle: str | None
) -> None:
    sandbox.idle_status = idle
    if ran_before:
        sandbox.seed_run(Life(duration=1), age=600)
    sandbox.plan(SHORT)
    sandbox.inject(Fault("start", "drop_before"))

    assert execute_job(deferrable).run()["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1


@pytest.mark.parametrize("status", [408, 413, 421, 460, 499, 500, 502, 504])
def test_a_start_that_took_effect_behind_a_proxys_error_is_not_forgotten(
    sandbox: WebRobotSandbox, deferrable: bool, status: int
) -> None:
    sandbox.plan(SHORT)
    sandbox.inject(Fault("start", "html", status=status, applied=True))

    with pytest.raises(StartLostError) as lost:
        execute_job(deferrable).run()

    assert sandbox.ledger.starts[0] in str(lost.value)
    assert len(sandbox.ledger.starts) == 1


# -- a task by itself: a run of it that began after the call did what was asked -----------------------------------


@pytest.mark.parametrize("status", [408, 499, 502])
def test_a_start_of_a_task_behind_a_proxys_error_is_found(
    sandbox: WebRobotSandbox, deferrable: bool, status: int
) -> None:
    sandbox.seed_run(Life(duration=1), age=60)
    sandbox.plan(SHORT)
    sandbox.inject(Fault("start_task", "html", status=status, applied=True))

    assert start_task(deferrable).run()["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1


def test_a_run_of_the_task_that_somebody_else_started_since_the_call_did_what_was_asked(
    sandbox: WebRobotSandbox, deferrable: bool
) -> None:
    sandbox.seed_run(Life(duration=1), age=60)
    sandbox.inject(Fault("start_task", "drop_before"))
    at_the_first(sandbox, "start_task", lambda: sandbox.seed_run(SHORT, flow="98/210/1"))

    assert start_task(deferrable).run()["state"] == "succeeded"
    assert sandbox.ledger.starts == []


def test_an_execution_of_the_whole_job_since_the_call_may_have_had_inputs_and_is_not_taken(
    sandbox: WebRobotSandbox, deferrable: bool
) -> None:
    sandbox.define(Job("98", "300", "pair", (Task("31", "left"), Task("32", "right"))))
    sandbox.seed_run(Life(duration=1), flow="98/300", age=60)
    sandbox.inject(Fault("start_task", "drop_before"))
    at_the_first(sandbox, "start_task", lambda: sandbox.seed_run(SHORT, flow="98/300"))

    with pytest.raises(StartLostError):
        start_task(deferrable, job_id="300", webrobot_task_id="31").run()

    assert sandbox.ledger.starts == []


@pytest.mark.parametrize("ahead", [0.0, 60.0, 120.0], ids=["the same second", "one minute apart", "two minutes apart"])
@pytest.mark.parametrize("metrics", [True, False])
def test_a_lost_start_of_a_task_is_never_made_twice_by_comparing_clocks(
    sandbox: WebRobotSandbox, deferrable: bool, ahead: float, metrics: bool
) -> None:
    """The start in the metrics, and the row's last change before it, lie in one second, or a clock's error apart."""
    sandbox.task_references, sandbox.has_metrics = False, metrics
    sandbox.whole_seconds, sandbox.rows_ahead = True, ahead
    sandbox.seed_run(Life(duration=0.1), age=0.2)
    sandbox.plan(Life(duration=0.0))
    sandbox.inject(Fault("start_task", "drop_after"))

    with pytest.raises(StartLostError):
        start_task(deferrable).run()

    assert len(sandbox.ledger.starts) == 1


@pytest.mark.parametrize("ahead", [-120.0, 120.0], ids=["behind", "ahead"])
@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_a_servers_clock_that_is_two_minutes_off_is_known_by_its_date(
    monkeypatch: pytest.MonkeyPatch, deferrable: bool, ahead: float, kind: Any
) -> None:
    with WebRobotSandbox(clock=Clock(start=time.time() + ahead), dates_by_clock=True) as sandbox:
        connect(monkeypatch, sandbox)
        sandbox.task_references = False
        sandbox.seed_run(Life(duration=1), age=30)
        sandbox.plan(Life(duration=1.0))
        sandbox.inject(Fault("start_task", kind))

        assert start_task(deferrable).run()["state"] == "succeeded"
        assert len(sandbox.ledger.starts) == 1


# -- a call that takes effect late --------------------------------------------------------------------------------


@pytest.fixture
def impatient(sandbox: WebRobotSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on answers soon, and let a call be under way for some seconds more."""
    connect(monkeypatch, sandbox, extra={"read_timeout": 0.5})
    monkeypatch.setattr(evidence, "ACTS_AFTER_TIMEOUT", 4.0)


def test_an_execute_call_that_takes_effect_two_seconds_after_we_gave_up_is_not_made_twice(
    sandbox: WebRobotSandbox, deferrable: bool, impatient: None
) -> None:
    sandbox.seed_run(Life(duration=1), age=600)
    sandbox.plan(LONG)
    sandbox.inject(Fault("start", "delay", seconds=2.5))

    with pytest.raises(StartLostError) as lost:
        execute_job(deferrable).run()

    assert sandbox.ledger.starts[0] in str(lost.value)
    assert len(sandbox.ledger.starts) == sandbox.ledger.count("start") == 1


def test_a_task_start_that_takes_effect_two_seconds_after_we_gave_up_is_found(
    sandbox: WebRobotSandbox, deferrable: bool, impatient: None
) -> None:
    sandbox.seed_run(Life(duration=1), age=600)
    sandbox.plan(SHORT)
    sandbox.inject(Fault("start_task", "delay", seconds=2.5))

    assert start_task(deferrable).run()["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == sandbox.ledger.count("start_task") == 1


# -- no task state store (Airflow 3.0 to 3.2) ---------------------------------------------------------------------


@pytest.mark.parametrize("life", [LONG, SHORT, BAD], ids=["going", "good", "bad"])
@pytest.mark.parametrize("make", [execute_job, start_task])
def test_without_a_store_a_run_of_somebody_else_since_the_dag_run_began_is_not_taken(
    sandbox: WebRobotSandbox, deferrable: bool, make: Callable[..., Rehearsal], life: Life
) -> None:
    """The first try never started anything."""
    sandbox.seed_run(Life(duration=1), age=600)
    task = make(deferrable, keeps_state=False)
    dag_run = SimpleNamespace(start_date=datetime.now(UTC) - timedelta(seconds=60))
    task._context = lambda: context_of(task.ti, task.store, dag_run=dag_run)  # type: ignore[method-assign]
    broken = sandbox.inject(Fault("*", "status", status=500, times=None))
    with pytest.raises(EtlApiError):
        task.run()
    broken.remove()
    sandbox.seed_run(life, age=30)

    with pytest.raises(StartLostError):
        task.retry().run()

    assert sandbox.ledger.starts == []
    assert sandbox.ledger.cancels == []


@pytest.mark.parametrize("make", [execute_job, start_task])
def test_without_a_store_a_retry_starts_where_nothing_has_run_since_the_dag_run_began(
    sandbox: WebRobotSandbox, deferrable: bool, make: Callable[..., Rehearsal]
) -> None:
    sandbox.seed_run(Life(duration=1), age=600)
    sandbox.plan(SHORT)
    task = make(deferrable, keeps_state=False)

    assert task.retry().run()["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1


# -- one odd answer at a retry's look-back ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        Fault("*", "status", status=404, body="default backend - 404"),
        Fault("*", "html", status=404),
        Fault("*", "status", status=404, body='{"message": "no Route matched with those values"}'),
    ],
    ids=["text", "html", "json"],
)
@pytest.mark.parametrize("make", [execute_job, start_task])
def test_one_404_that_is_not_the_vendors_at_a_retrys_look_back_ends_no_task_and_starts_nothing(
    sandbox: WebRobotSandbox, deferrable: bool, make: Callable[..., Rehearsal], odd: Fault
) -> None:
    sandbox.plan(LONG)
    task = make(deferrable)
    task.lose_process()
    sandbox.inject(odd)

    manifest = task.retry().run(when_known=lambda: sandbox.clock.advance(7200))

    assert manifest["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1


# -- what is in the way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["wait", "attach"])
@pytest.mark.parametrize(
    ("make", "operation"), [(execute_job, "start"), (start_task, "start_task")], ids=["job", "task"]
)
def test_a_job_or_task_that_never_ran_is_not_waited_for_although_it_is_pending(
    sandbox: WebRobotSandbox, deferrable: bool, make: Callable[..., Rehearsal], operation: str, policy: str
) -> None:
    sandbox.idle_status = "PENDING"
    sandbox.plan(SHORT)
    sandbox.inject(Fault(operation, "status", status=409))
    task = make(deferrable, on_already_running=policy)

    assert task.run()["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1
    assert len(task.deferrals) <= 1, "there was no run in its way to wait for"


@pytest.mark.parametrize("references", [True, False])
def test_a_task_that_is_queued_again_is_waited_for(
    sandbox: WebRobotSandbox, deferrable: bool, references: bool
) -> None:
    sandbox.task_references = references
    sandbox.seed_run(Life(duration=1), flow="98/210/1", age=60)
    sandbox.seed_run(Life(duration=0.2, queued=0.4), flow="98/210/1")
    sandbox.plan(SHORT)

    assert start_task(deferrable, on_already_running="wait").run()["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1
