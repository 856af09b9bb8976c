"""How WebRobot's runs are stopped, and what a refused stop is."""
# ruff: noqa: F401, F811 - fixtures are imported, and asked for by their names

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import RemoteRunTimeoutError, VendorUnavailableError
from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.operators.webrobot import WebRobotExecuteJobOperator
from airflow_provider_etlapis.runs.model import RunRef, RunState
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox, execution_of
from tests.support.rehearsal import Rehearsal
from tests.vendors.webrobot.stage import PAIR, SPEC, TASK_SPEC, clock, connect, hook, sandbox


def cancelled_by(sandbox: WebRobotSandbox) -> list[str]:
    """Return the operations that stopped, or tried to stop, something."""
    names = {"cancel", "cancel_execution", "stop_job"}
    return [record.operation for record in sandbox.ledger.requests if record.operation in names]


def test_an_execution_is_stopped_by_its_task_as_documented(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    seeded = sandbox.seed_run(Life(duration=99))

    report = hook.cancel_run(hook.execution_ref("98", "210", execution_of(seeded)))

    assert report.asked
    assert "task 1" in report.note
    assert cancelled_by(sandbox) == ["cancel"]
    assert sandbox.ledger.cancels == [seeded.id]


def test_without_a_reference_the_only_running_task_is_stopped(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    sandbox.task_references = False
    seeded = sandbox.seed_run(Life(duration=99))

    assert hook.cancel_run(hook.execution_ref("98", "210", execution_of(seeded))).asked
    assert cancelled_by(sandbox) == ["cancel"]


def test_where_the_task_cannot_be_told_the_execution_is_deleted_and_that_is_said(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    sandbox.task_references = False
    sandbox.define(PAIR)
    seeded = sandbox.seed_run(Life(duration=99), flow="98/300")

    report = hook.cancel_run(hook.execution_ref("98", "300", execution_of(seeded)))

    assert report.asked
    assert "not in the vendor's reference" in report.note
    assert cancelled_by(sandbox) == ["cancel_execution"]


def test_a_task_that_says_it_does_not_run_leaves_the_execution_to_be_deleted(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    seeded = sandbox.seed_run(Life(duration=99))
    sandbox.inject(Fault("cancel", "status", status=409))

    assert hook.cancel_run(hook.execution_ref("98", "210", execution_of(seeded))).asked
    assert cancelled_by(sandbox) == ["cancel", "cancel_execution"]


def test_a_server_without_the_later_calls_leaves_the_run_and_that_is_said(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    sandbox.task_references, sandbox.later_calls = False, False
    sandbox.define(PAIR)
    seeded = sandbox.seed_run(Life(duration=99), flow="98/300")

    report = hook.cancel_run(hook.execution_ref("98", "300", execution_of(seeded)))

    assert not report.asked
    assert "may go on" in report.note


def test_a_stop_that_fails_on_the_servers_side_is_no_reason_for_another_call(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    seeded = sandbox.seed_run(Life(duration=99))
    sandbox.inject(Fault("cancel", "status", status=500))

    with pytest.raises(VendorUnavailableError):
        hook.cancel_run(hook.execution_ref("98", "210", execution_of(seeded)))
    assert cancelled_by(sandbox) == ["cancel"]


def test_a_run_that_has_ended_is_not_stopped(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    seeded = sandbox.seed_run(Life(duration=1), age=5)

    for ref in (
        hook.execution_ref("98", "210", execution_of(seeded)),
        hook.task_ref("98", "210", "1"),
        hook.job_ref("98", "210"),
    ):
        assert not hook.cancel_run(ref).asked
    assert cancelled_by(sandbox) == []


def test_tasks_and_jobs_are_stopped_as_such(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    sandbox.seed_run(Life(duration=99))
    sandbox.seed_run(Life(duration=99), flow="98/220")

    assert hook.cancel_run(hook.task_ref("98", "210", "1")).asked
    assert hook.cancel_run(hook.job_ref("98", "220")).asked
    assert cancelled_by(sandbox) == ["cancel", "stop_job"]


def test_a_task_that_ended_between_look_and_stop_is_reported_as_not_running(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    sandbox.seed_run(Life(duration=99))
    sandbox.inject(Fault("cancel", "status", status=409))

    report = hook.cancel_run(hook.task_ref("98", "210", "1"))

    assert (report.asked, report.note) == (False, "task 1 of job 210 of project 98 is not running")


# -- a stop that is refused, or answered by something else --------------------------------------------------------


def a_run(sandbox: WebRobotSandbox, kind: str) -> RunRef:
    """Return the reference of a run that goes on."""
    if kind == "execution without a task":
        sandbox.task_references = False
        sandbox.define(PAIR)
        return WebRobotHook.execution_ref("98", "300", execution_of(sandbox.seed_run(Life(duration=99), flow="98/300")))
    seeded = sandbox.seed_run(Life(duration=99))
    if kind == "task":
        return WebRobotHook.task_ref("98", "210", "1")
    return WebRobotHook.job_ref("98", "210") if kind == "job" else WebRobotHook.execution_ref(*seeded.id.split("/"))


KINDS = ["execution", "execution without a task", "task", "job"]
STOPS = ("cancel", "cancel_execution", "stop_job")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "refusal",
    [
        '{"success": false, "message": "the cluster is locked"}',
        '{"error": "the cluster is locked", "code": 423}',
        '{"success": "false", "error": "the cluster is locked"}',
    ],
)
def test_a_stop_that_is_refused_with_a_good_status_is_not_asked_for_and_the_words_are_shown(
    hook: WebRobotHook, sandbox: WebRobotSandbox, kind: str, refusal: str
) -> None:
    ref = a_run(sandbox, kind)
    for operation in STOPS:
        sandbox.inject(Fault(operation, "status", status=200, body=refusal))

    report = hook.cancel_run(ref)

    assert not report.asked
    assert "the cluster is locked" in report.note
    assert "may go on" in report.note
    assert sandbox.ledger.cancels == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fault",
    [{"kind": "html"}, {"kind": "status", "status": 200, "body": "OK"}, {"kind": "html", "status": 404}],
    ids=["sign-on page", "text", "404 page"],
)
def test_a_stop_that_something_else_has_answered_is_not_asked_for_and_no_other_call_is_tried(
    hook: WebRobotHook, sandbox: WebRobotSandbox, kind: str, fault: dict[str, Any]
) -> None:
    ref = a_run(sandbox, kind)
    for operation in STOPS:
        sandbox.inject(Fault(operation, **fault))

    report = hook.cancel_run(ref)

    assert not report.asked
    assert "got no usable answer, it may go on" in report.note
    assert len(cancelled_by(sandbox)) == 1


def test_a_task_that_refuses_to_stop_leaves_the_execution_to_be_deleted(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    ref = a_run(sandbox, "execution")
    sandbox.inject(Fault("cancel", "status", status=200, body='{"success": false}'))

    assert hook.cancel_run(ref).asked
    assert cancelled_by(sandbox) == ["cancel", "cancel_execution"]


def test_the_words_of_a_refused_stop_hold_no_key_and_are_bounded(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    ref = a_run(sandbox, "task")
    words = f"no stop for {sandbox.api_key} " + "because of this and that " * 2000
    sandbox.inject(Fault("cancel", "status", status=200, body=f'{{"success": false, "message": "{words}"}}'))

    note = hook.cancel_run(ref).note

    assert "no stop for" in note
    assert sandbox.api_key not in note
    assert len(note) < 1000


def test_a_stop_is_sent_once_as_it_names_no_run(sandbox: WebRobotSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one could stop what somebody else has started meanwhile."""
    connect(monkeypatch, sandbox, extra={"retries": 3})
    ref = a_run(sandbox, "task")
    sandbox.inject(Fault("cancel", "drop_after", times=None))

    with WebRobotHook() as hook, pytest.raises(VendorUnavailableError):
        hook.cancel_run(ref)

    assert cancelled_by(sandbox) == ["cancel"]


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize(
    "refusal", [{"kind": "status", "status": 200, "body": '{"success": false}'}, {"kind": "html"}], ids=["json", "html"]
)
def test_a_run_whose_stop_was_refused_at_the_deadline_may_end_well_and_is_taken_by_the_retry(
    monkeypatch: pytest.MonkeyPatch, deferrable: bool, refusal: dict[str, Any]
) -> None:
    with WebRobotSandbox() as sandbox:
        connect(monkeypatch, sandbox)
        sandbox.plan(Life(duration=3600))
        for operation in STOPS:
            sandbox.inject(Fault(operation, **refusal))
        task = Rehearsal(
            lambda: WebRobotExecuteJobOperator(
                task_id="run",
                project_id="98",
                job_id="210",
                deferrable=deferrable,
                poll_interval=0.1,
                timeout=0.4,
                retries=1,
            )
        )
        with pytest.raises(RemoteRunTimeoutError, match="may go on"):
            task.run()
        sandbox.clock.advance(3600)

        manifest = task.retry().run()

        assert manifest["run_id"] == sandbox.ledger.starts[0]
        assert len(sandbox.ledger.starts) == 1


# -- a run that stops slowly --------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["FAILED", "CANCELLED"])
@pytest.mark.parametrize("spec", [SPEC, TASK_SPEC], ids=["execution", "task"])
def test_a_run_that_takes_its_time_to_stop_is_found_in_the_way_until_its_end(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock, spec: dict[str, Any], word: str
) -> None:
    """So a task that starts the next one can wait for it by the reference that was stopped."""
    sandbox.stopping_for, sandbox.stopped_status = 30.0, word
    sandbox.plan(Life(duration=3600))
    run = hook.start_run(spec, "marker")

    assert hook.cancel_run(run.ref).asked
    assert hook.read_run(run.ref).state is RunState.RUNNING
    in_the_way = hook.find_running(spec)
    assert in_the_way is not None
    assert in_the_way.ref.run_id == run.ref.run_id

    clock.advance(31)
    ended = hook.read_run(run.ref)
    assert (ended.vendor_status, ended.state.is_terminal, ended.state.is_good) == (word, True, False)
    assert hook.find_running(spec) is None
