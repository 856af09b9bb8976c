"""When a Celery Director run has ended, when that was, and what came of asking to cancel it."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import VendorUnavailableError
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.hooks.celery_director.answers import in_order, run_of, waiting_for_all_tasks
from airflow_provider_etlapis.hooks.celery_director.times import DatabaseZone, surely_before
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox, Definition
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from tests.vendors.celery_director.kit import ENDED, LONG, MARKER, ZONES, found, given_hook, given_server, intent, spec

__all__ = ["given_hook", "given_server"]

STAMP = "2026-11-22T05:59:14"
NUMBERS = itertools.count()


def task(status: str, *previous: str, is_hook: bool = False, task_id: str | None = None, **more: Any) -> Any:
    name = task_id or f"task-{next(NUMBERS)}"
    times = {"created": STAMP, "updated": STAMP}
    return {"id": name, "key": name, "status": status, "previous": [*previous], "is_hook": is_hook, **times, **more}


def run(status: str, *tasks: Any, waits: bool = True) -> RemoteRun:
    ref = RunRef("celery_director", {"workflow_id": "x"})
    row: Any = {"id": "x", "fullname": "lab.X", "status": status, "created": STAMP, "updated": STAMP, "tasks": [*tasks]}
    return run_of(row, "http://d", DatabaseZone(), waiting_for_all_tasks(ref) if waits else ref)


# A run whose tasks go on


@pytest.mark.parametrize(
    ("status", "tasks", "state"),
    [
        pytest.param("error", [task("error"), task("progress")], RunState.RUNNING, id="a member of the group at work"),
        pytest.param("error", [task("error"), task("pending")], RunState.RUNNING, id="a member that is in the queue"),
        pytest.param("error", [task("error", task_id="a"), task("pending", "a")], RunState.FAILED, id="never to run"),
        pytest.param(
            "error",
            [task("error", task_id="b"), task("success", task_id="c"), task("pending", "b", "c")],
            RunState.FAILED,
            id="what comes behind a failed group",
        ),
        pytest.param("error", [task("pending"), task("pending")], RunState.FAILED, id="never reached the broker"),
        pytest.param(
            "error", [task("error"), task("pending", is_hook=True)], RunState.FAILED, id="success hook after a failure"
        ),
        pytest.param(
            "error", [task("error"), task("progress", is_hook=True)], RunState.RUNNING, id="failure hook at work"
        ),
        pytest.param("success", [task("success"), task("pending", is_hook=True)], RunState.RUNNING, id="hook to come"),
        pytest.param("success", [task("success"), task("progress", is_hook=True)], RunState.RUNNING, id="hook at work"),
        pytest.param("success", [task("success"), task("success", is_hook=True)], RunState.SUCCEEDED, id="hook ended"),
        pytest.param("error", [task("success"), task("error", is_hook=True)], RunState.FAILED, id="hook failed"),
        pytest.param("canceled", [task("canceled"), task("progress")], RunState.CANCELLED, id="canceled"),
        pytest.param("success", [], RunState.SUCCEEDED, id="tasks not shown"),
    ],
)
def test_a_run_that_waits_for_all_tasks_goes_on_until_none_is_at_work_or_to_come(
    status: str, tasks: Any, state: RunState
) -> None:
    waited = run(status, *tasks)

    assert waited.state is state
    assert (waited.ended is None) is (state is RunState.RUNNING)
    assert run(status, *tasks, waits=False).state.is_terminal, "by default the server's status counts"


def test_the_status_names_the_tasks_that_are_waited_for() -> None:
    waited = run("error", task("error"), *(task("progress", task_id=f"t{number}") for number in range(9)))

    assert waited.vendor_status == "error, still to end: t0, t1, t2, t3, t4"


def test_the_list_alone_does_not_end_a_run_that_waits_for_all_tasks(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    life = Life(duration=100, outcome="error", failing_step="A")
    failed = [server.seed_run(life, flow="lab.PAIR", age=age) for age in (110, 500)]
    refs = [waiting_for_all_tasks(hook.ref(each.id)) for each in failed]

    read = hook.read_runs(refs)

    assert [read[ref.run_id].state for ref in refs] == [RunState.RUNNING, RunState.FAILED]


def test_a_lost_start_that_waits_for_all_tasks_is_followed_while_they_go_on(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    life = Life(duration=100, outcome="error", failing_step="A")
    server.seed_run(life, flow="lab.PAIR", age=110, request={"comment": MARKER, "payload": {}})

    waiting = hook.find_started(spec("PAIR", wait_for_all_tasks=True), intent())
    by_default = hook.find_started(spec("PAIR"), intent())

    assert waiting.candidates[0].state is RunState.RUNNING
    assert by_default.candidates[0].state is RunState.FAILED


def test_three_thousand_tasks_in_a_chain_are_ordered_at_once() -> None:
    chain = [task("success", *([f"c{number - 1}"] if number else []), task_id=f"c{number}") for number in range(3000)]
    begun = time.monotonic()

    ordered = in_order(chain[::-1])

    assert [each["id"] for each in ordered] == [each["id"] for each in chain]
    assert time.monotonic() - begun < 0.5


def test_the_error_of_many_failed_tasks_is_bounded() -> None:
    result = {"exception": "x" * 10**6, "traceback": f"Traceback\n{'y' * 10**6}\nValueError: {'x' * 10**6}"}

    failed = run("error", *(task("error", result=result) for _ in range(500)))

    assert failed.error is not None
    assert len(failed.error) < 100_000
    assert failed.error.endswith("and 490 more tasks")


# Times


@ZONES
@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mysql"])
def test_a_run_that_was_started_here_has_right_times_in_both_colours(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, database: Any, offset: float
) -> None:
    server.database, server.utc_offset = database, offset
    server.plan(ENDED)
    before = datetime.now(UTC).timestamp()
    started = hook.start_run(spec(), MARKER)
    server.clock.advance(60)

    with CeleryDirectorHook() as another:  # of the triggerer, or of the worker that takes the task up again
        ended = another.read_run(RunRef.from_json(started.ref.to_json()))

    assert started.started is not None
    assert ended.started == started.started
    assert abs(started.started.timestamp() - before) < 5
    assert ended.duration is not None
    assert 0 <= ended.duration <= 2


@ZONES
def test_a_watcher_of_a_definition_learns_the_servers_zone_from_a_run_that_is_new(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, offset: float
) -> None:
    server.database, server.utc_offset = "mysql", offset
    what = {"project": "lab", "name": "ETL"}
    server.seed_run(ENDED, age=4000)
    hook.list_shared(time.time() - 300)
    new = server.seed_run(Life(duration=0))

    shared = hook.list_shared(time.time() - 300)
    runs = {each.ref.run_id: each for each in hook.runs_of(what, time.time() - 300, shared)}

    ended = runs[new.id].ended
    assert ended is not None
    assert abs(ended.timestamp() - time.time()) < 5


@pytest.mark.parametrize(
    ("created", "hours"),
    [("2026-11-22T05:59:14", 12), ("2026-11-22T05:59:14Z", 0), ("2026-11-22T14:59:14.123+09:00", 0)],
)
def test_a_time_without_offset_may_be_of_any_zone(created: str, hours: float) -> None:
    at = datetime(2026, 11, 22, 5, 59, 14, tzinfo=UTC).timestamp() + hours * 3600

    assert not surely_before(created, at + 30, 0.0)
    assert surely_before(created, at + 90, 0.0)
    assert not surely_before("no time", at, 0.0)


def test_a_row_that_fits_no_zone_or_several_teaches_nothing() -> None:
    known = DatabaseZone(-5 * 3600)
    at = datetime(2026, 11, 22, 6, 0, tzinfo=UTC).timestamp()

    assert known.learned("2026-11-22T06:07:30", at, at) == known
    assert known.learned("2026-11-22T06:00:00", at - 3600, at) == known
    assert known.learned("2026-11-22T06:00:00+00:00", at, at) == known
    assert known.learned("2026-11-22T07:00:00", at, at) == DatabaseZone(3600)


# Cancelling


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("cancel", status=200, body='{"success": false}'), id="json"),
        pytest.param(Fault("cancel", "html"), id="html"),
        pytest.param(Fault("cancel", status=500), id="own 500"),
        pytest.param(Fault("cancel", status=503), id="503"),
        pytest.param(Fault("cancel", "empty"), id="empty"),
    ],
)
def test_a_cancel_that_something_else_answers_is_not_asked(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, fault: Fault
) -> None:
    going = server.seed_run(LONG)
    server.inject(fault)

    report = hook.cancel_run(hook.ref(going.id))

    assert not report.asked
    assert "was not canceled and may go on; it is progress" in report.note


@pytest.mark.parametrize("kind", ["html", "drop_after", "half_body", "unknown_status"])
def test_a_cancel_whose_answer_is_spoiled_is_settled_by_reading_the_run(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, kind: Any
) -> None:
    going = server.seed_run(LONG)
    server.inject(Fault("cancel", kind, applied=True))

    assert hook.cancel_run(hook.ref(going.id)).asked
    assert server.ledger.cancels == [going.id]


@pytest.mark.parametrize("fault", [Fault("cancel", "drop_before"), Fault("cancel", "html", status=504)])
def test_a_cancel_that_may_still_be_carried_out_is_left_open(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, fault: Fault
) -> None:
    going = server.seed_run(LONG)
    server.inject(fault)

    with pytest.raises(VendorUnavailableError) as lost:
        hook.cancel_run(hook.ref(going.id))

    assert lost.value.may_have_acted


def test_a_cancel_that_is_answered_with_another_run_is_not_asked(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    going = server.seed_run(LONG)
    other = '{"id": "y", "fullname": "lab.X", "status": "canceled", "created": "", "updated": ""}'
    server.inject(Fault("cancel", status=201, body=other))

    assert not hook.cancel_run(hook.ref(going.id)).asked


def test_a_run_whose_tasks_go_on_is_cancelled_where_all_tasks_are_waited_for(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    failed = server.seed_run(Life(duration=100, outcome="error", failing_step="A"), flow="lab.PAIR", age=110)

    assert not hook.cancel_run(hook.ref(failed.id)).asked
    assert hook.cancel_run(waiting_for_all_tasks(hook.ref(failed.id))).asked


def test_a_finished_definition_of_groups_needs_no_option(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    server.define(Definition("lab.ONE", ["A"]))
    ref = waiting_for_all_tasks(hook.ref(server.seed_run(ENDED, flow="lab.ONE", age=9).id))

    assert hook.read_run(ref).state is RunState.SUCCEEDED
    assert found(hook.find_started(spec("ONE"), intent())) == []
