"""Many WebRobot runs by few requests, and their logs."""
# ruff: noqa: F401, F811 - fixtures are imported, and asked for by their names

from __future__ import annotations

import pytest

from airflow_provider_etlapis.exceptions import CredentialsRejectedError, NotFoundError, VendorUnavailableError
from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.hooks.webrobot.lists import CHECKED_EVERY, JobLists
from airflow_provider_etlapis.runs.model import RunRef, RunState
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox, execution_of
from airflow_provider_etlapis.sandbox.webrobot.work import Job, Task
from tests.vendors.webrobot.stage import SPEC, TASK_SPEC, clock, hook, sandbox

# -- logs ---------------------------------------------------------------------------------------------------------


def test_new_lines_of_the_drivers_log_are_told_once(hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock) -> None:
    sandbox.plan(Life(duration=90))
    run = hook.start_run(SPEC, "marker")

    told, cursor = [], None
    for _ in range(4):
        chunk = hook.read_log(run.ref, cursor)
        told.append([line.split(" driver ")[1] for line in chunk.lines])
        cursor = chunk.cursor
        clock.advance(31)

    assert told == [
        ["read: running"],
        ["read: success", "transform: running"],
        ["transform: success", "write: running"],
        ["write: success"],
    ]
    assert all(("podType", "driver") in r.query for r in sandbox.ledger.requests if r.operation == "logs")


def test_the_log_of_a_task_by_itself_is_not_that_of_the_run_before(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock
) -> None:
    sandbox.seed_run(Life(duration=5), age=60)
    sandbox.task_lag = 10
    sandbox.plan(Life(duration=99))
    run = hook.start_run(TASK_SPEC, "marker")
    assert hook.read_log(run.ref, None).lines == ()

    clock.advance(11)
    assert len(hook.read_log(run.ref, None).lines) == 1


def test_the_end_of_a_log_is_that_of_executors_and_driver(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    seeded = sandbox.seed_run(Life(duration=1, outcome="error"), age=5)
    ref = hook.execution_ref("98", "210", execution_of(seeded))

    tail = hook.read_log_tail(ref, 2)
    assert [line.split()[0] for line in tail] == ["[executor]", "[executor]", "[driver]", "[driver]"]
    assert tail[-1].endswith("scripted failure")
    assert hook.read_log_tail(hook.task_ref("98", "210", "1"), 2) == tail
    assert hook.read_log_tail(hook.job_ref("98", "210"), 2) == ()

    sandbox.inject(Fault("logs", "status", status=404))
    assert [line.split()[0] for line in hook.read_log_tail(ref, 2)] == ["[driver]", "[driver]"]


# -- many runs ----------------------------------------------------------------------------------------------------


def many(sandbox: WebRobotSandbox, project: str, count: int) -> list[RunRef]:
    """Start an execution of each of so many jobs."""
    refs = []
    for number in range(1, count + 1):
        sandbox.define(Job(project, str(number), f"job {number}", (Task(str(number), "only"),)))
        run = sandbox.seed_run(Life(duration=10 * number), flow=f"{project}/{number}")
        refs.append(WebRobotHook.execution_ref(project, str(number), execution_of(run)))
    return refs


def test_one_list_a_project_tells_which_jobs_still_go(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock
) -> None:
    refs = [*many(sandbox, "500", 20), *many(sandbox, "501", 5)]
    clock.advance(55)

    found = hook.read_runs(refs)

    assert sandbox.ledger.count() == 2
    going = {ref.run_id for ref in refs if int(ref.ids["job_id"]) > 5}
    assert set(found) == going, "a job that was not seen going may show the end of another run"
    assert {run.state for run in found.values()} == {RunState.RUNNING}


def test_a_list_tells_an_end_of_what_the_look_before_saw_going(
    hook: WebRobotHook, sandbox: WebRobotSandbox, clock: Clock
) -> None:
    refs = many(sandbox, "500", 20)
    clock.advance(55)
    before = hook.read_runs(refs)
    clock.advance(100)

    after = hook.read_runs(refs)

    assert sandbox.ledger.count() == 2
    assert set(after) == set(before)
    ended = {run_id for run_id, run in after.items() if run.state is RunState.SUCCEEDED}
    assert ended == {ref.run_id for ref in refs if 5 < int(ref.ids["job_id"]) <= 15}


def test_a_job_that_begins_anew_runs_for_somebody_else() -> None:
    ref = WebRobotHook.execution_ref("1", "2", "e")
    others = [WebRobotHook.execution_ref("1", str(number), "e") for number in range(3, 9)]
    lists = JobLists()
    told = []
    for status in ("PENDING", "RUNNING", "PENDING"):
        lists.begin()
        told.append(ref.run_id in lists.judge([ref, *others], [{"id": "2", "executionStatus": status}]))

    assert told == [True, True, False]


def test_jobs_that_were_touched_while_they_ran_are_checked_one_at_a_time() -> None:
    refs = [WebRobotHook.execution_ref("1", str(number), "e") for number in range(4)]
    lists = JobLists()
    left_out = []
    for updated in ("09:00", "09:01", "09:01", "09:01", "09:01", "09:01"):
        jobs = [{"id": str(number), "executionStatus": "RUNNING", "updatedAt": updated} for number in range(4)]
        lists.begin()
        left_out.append({ref.run_id for ref in refs} - set(lists.judge(refs, jobs)))

    assert [len(each) for each in left_out] == [0, 1, 1, 1, 1, 0]
    assert set.union(*left_out) == {ref.run_id for ref in refs}


@pytest.mark.parametrize("status", ["CANCELLED", "STOPPED", "UNKNOWN", "", None])
def test_a_word_that_is_not_documented_as_an_end_is_left_to_a_read_of_the_run(status: str | None) -> None:
    refs = [WebRobotHook.execution_ref("1", str(number), "e") for number in (2, 3)]
    lists = JobLists()
    lists.begin()
    assert lists.judge(refs, [{"id": "2", "executionStatus": "RUNNING"}])
    lists.begin()

    assert lists.judge(refs, [{"id": "2", "executionStatus": status}]) == {}


def test_a_run_alone_in_its_project_and_a_task_by_itself_are_read_singly(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    (alone,) = many(sandbox, "502", 1)

    assert hook.read_runs([alone, hook.task_ref("502", "1", "1"), hook.job_ref("502", "1")]) == {}
    assert sandbox.ledger.requests == []


def test_every_run_is_read_singly_now_and_then(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    """Else one that ended while its job runs again for somebody else would never be seen to have ended."""
    refs = many(sandbox, "503", 7)

    left_out = set()
    for _ in range(CHECKED_EVERY * len(refs)):
        left_out |= {ref.run_id for ref in refs} - set(hook.read_runs(refs))

    assert left_out == {ref.run_id for ref in refs}


def test_a_project_that_is_gone_leaves_its_runs_to_single_reads(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    refs = many(sandbox, "504", 3)
    gone = [RunRef("webrobot", {**ref.ids, "project_id": "9"}) for ref in refs]

    found = hook.read_runs([*refs, *gone])

    assert set(found) <= {ref.run_id for ref in refs}
    with pytest.raises(NotFoundError):
        hook.read_run(gone[0])


def test_a_thousand_runs_cost_one_request_a_look(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    refs = many(sandbox, "505", 1000)

    found = hook.read_runs(refs)

    assert sandbox.ledger.count() == 1
    assert len(found) == 1000


@pytest.mark.parametrize(
    "refused",
    [
        Fault("list", "status", status=404, body="default backend - 404", times=2),
        Fault("list", "html", status=404, times=2),
        Fault("list", "html", status=403, times=2),
        Fault("list", "status", status=404, times=2),
        Fault("list", "status", status=400, times=2),
    ],
    ids=["text 404", "html 404", "html 403", "own 404", "own 400"],
)
def test_lists_that_are_refused_twice_are_asked_again_and_leave_their_runs_to_reads_of_their_own(
    hook: WebRobotHook, sandbox: WebRobotSandbox, refused: Fault
) -> None:
    refs = many(sandbox, "506", 7)
    sandbox.inject(refused)

    found = [len(hook.read_runs(refs)) for _ in range(4)]

    assert found == [0, 0, 7, 7]
    assert hook.reads_in_bulk


def test_one_projects_refused_list_does_not_take_the_runs_of_another_along(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    refs = [*many(sandbox, "507", 3), *many(sandbox, "508", 3)]
    sandbox.inject(Fault("list", "html", status=404))

    assert {run.ref.ids["project_id"] for run in hook.read_runs(refs).values()} == {"508"}


def test_a_server_that_fails_or_a_key_that_is_refused_is_said_once_for_all(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    """Reads of their own would fail alike."""
    refs = many(sandbox, "509", 3)
    sandbox.inject(Fault("list", "html", status=502))
    with pytest.raises(VendorUnavailableError):
        hook.read_runs(refs)
    sandbox.inject(Fault("list", "status", status=401))
    with pytest.raises(CredentialsRejectedError):
        hook.read_runs(refs)

    assert len(hook.read_runs(refs)) == 3
