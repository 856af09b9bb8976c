"""Meiro's jobs as runs: states and times, many at once, the newest, the log, cancelling and lost starts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import EtlApiError, InvalidInputError, NotFoundError, RequestRefusedError
from airflow_provider_etlapis.hooks.base import CancelReport
from airflow_provider_etlapis.hooks.endpoints import Program
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.meiro.work import Workspace
from airflow_provider_etlapis.sandbox.runs import Run
from tests.vendors.meiro.stage import (  # noqa: F401 fixtures
    NOON,
    Carry,
    given_carry,
    given_clock,
    given_connect,
    given_hook,
    given_meiro,
)

Connect = Callable[..., MeiroHook]


def ref_of(run: Run) -> RunRef:
    workspace_id, job_id = run.id.split("/")
    return MeiroHook.ref(workspace_id, job_id)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOON + seconds, UTC)


# -- states and times ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("waiting", RunState.QUEUED),
        ("running", RunState.RUNNING),
        ("finished", RunState.SUCCEEDED),
        ("error", RunState.FAILED),
        ("canceled", RunState.CANCELLED),
        ("cancelled", RunState.UNKNOWN),
        ("FINISHED", RunState.UNKNOWN),
    ],
)
def test_each_status_has_its_state(hook: MeiroHook, status: str, state: RunState) -> None:
    run = hook.run_of({"id": 1, "workspace_id": 2, "status": status})

    assert (run.state, run.vendor_status, run.ref.run_id) == (state, status, "2/1")


def test_times_come_from_the_history_of_statuses(meiro: MeiroSandbox, hook: MeiroHook, carry: Carry) -> None:
    job = meiro.seed_run(Life(duration=20.0, queued=10.0), flow="100", age=60.0)

    run = carry(hook.read_run, ref_of(job))

    assert (run.started, run.ended, run.duration) == (at(-50), at(-30), 20.0)
    assert run.details["files_count"] == {"/in": 2, "/out": 3}


def test_timestamps_are_of_the_connections_time_zone(meiro: MeiroSandbox, connect: Connect) -> None:
    meiro.utc_offset = 1.0
    job = meiro.seed_run(Life(duration=20.0), flow="100", age=60.0)

    run = connect({"timezone": "Europe/Prague"}).read_run(ref_of(job))

    assert run.started == at(-60)


@pytest.mark.parametrize("stats", [{}, [], None, {"statuses_history": []}])
def test_a_job_without_times_is_read_all_the_same(hook: MeiroHook, stats: Any) -> None:
    run = hook.run_of({"id": 1, "workspace_id": 2, "status": "finished", "stats": stats})

    assert (run.state, run.started, run.ended) == (RunState.SUCCEEDED, None, None)


def test_what_may_hold_secrets_is_not_in_the_manifest(hook: MeiroHook) -> None:
    job: Any = {
        "id": 1,
        "workspace_id": 2,
        "status": "running",
        "variables": {"key": "s3cret"},
        "settings": {"p": "s3cret"},
    }

    assert "s3cret" not in str(hook.run_of(job).manifest())


def test_the_last_error_line_of_the_log_is_the_error(meiro: MeiroSandbox, hook: MeiroHook, carry: Carry) -> None:
    job = meiro.seed_run(Life(duration=5.0, outcome="error", error_text="no space left"), flow="100", age=60.0)

    assert carry(hook.read_run, ref_of(job)).error == "no space left"


# -- many at once -------------------------------------------------------------------------------------------------


def listed(meiro: MeiroSandbox) -> list[str]:
    return [record.path for record in meiro.ledger.requests if record.operation == "list"]


def many(meiro: MeiroSandbox, workspaces: int, jobs_each: int) -> list[RunRef]:
    for number in range(workspaces):
        meiro.define(Workspace(1000 + number, f"w{number}"))
    jobs = [meiro.seed_run(Life(60.0), flow=str(1000 + n)) for _ in range(jobs_each) for n in range(workspaces)]
    return [ref_of(job) for job in jobs]


def test_jobs_of_different_workspaces_are_read_by_their_last_jobs(
    meiro: MeiroSandbox, hook: MeiroHook, carry: Carry
) -> None:
    refs = many(meiro, 250, 1)

    found = carry(hook.read_runs, refs)

    assert set(found) == {ref.run_id for ref in refs}
    assert listed(meiro) == ["/workspaces/last_jobs"] * 2


def test_jobs_of_the_same_workspaces_are_read_from_the_projects_newest(
    meiro: MeiroSandbox, hook: MeiroHook, carry: Carry
) -> None:
    refs = many(meiro, 4, 30)

    found = carry(hook.read_runs, refs)

    assert set(found) == {ref.run_id for ref in refs}
    assert listed(meiro) == ["/workspace_jobs"] * 2


def test_a_job_whose_place_a_newer_one_has_taken_is_never_taken_for_it(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    older = ref_of(meiro.seed_run(Life(60.0), flow="100"))
    meiro.seed_run(Life(0.0), flow="100")

    assert hook.read_runs([older]) == {}


def test_the_walk_down_the_list_ends_below_the_oldest_wanted_job(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    many(meiro, 2, 200)
    wanted = [RunRef("meiro", {"workspace_id": "1001", "job_id": str(5390 + n)}) for n in range(1, 20, 2)]

    assert hook.read_runs(wanted) == {}
    assert listed(meiro) == ["/workspace_jobs"]


@pytest.mark.parametrize("never_ran", ["null", "no row", "no key"])
def test_a_workspace_that_never_ran_is_left_out_however_it_is_shown(
    meiro: MeiroSandbox, hook: MeiroHook, never_ran: Any
) -> None:
    meiro.never_ran = never_ran

    assert hook.read_runs([MeiroHook.ref(100, 5001)]) == {}


def test_jobs_of_workspaces_in_the_trash_are_found(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    refs = many(meiro, 5, 1)
    for number in range(5):
        meiro.workspaces[1000 + number].deleted = 1

    assert set(hook.read_runs(refs)) == {ref.run_id for ref in refs}


# -- whichever has ended since ------------------------------------------------------------------------------------


def test_the_newest_end_since_a_moment_is_taken_whoever_started_it(
    meiro: MeiroSandbox, hook: MeiroHook, carry: Carry
) -> None:
    meiro.seed_run(Life(10.0), flow="100", age=500.0)
    wanted = meiro.seed_run(Life(10.0), flow="100", age=50.0)
    meiro.seed_run(Life(600.0), flow="100", age=20.0)

    run = carry(hook.look, MeiroHook.newest_ref(100, at(-100)))

    assert (run.ref.run_id, run.state) == (wanted.id, RunState.SUCCEEDED)


def test_an_end_before_the_moment_does_not_count(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    meiro.seed_run(Life(10.0), flow="100", age=500.0)

    run = hook.look(MeiroHook.newest_ref(100, at(-100)))

    assert not run.state.is_terminal
    assert run.vendor_status == "without a job since 2026-11-22 11:58:20 UTC"


def test_a_bad_end_is_passed_over_by_who_waits_for_a_good_one(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    good = meiro.seed_run(Life(10.0), flow="100", age=80.0)
    meiro.seed_run(Life(10.0, outcome="error"), flow="100", age=50.0)

    assert hook.look(MeiroHook.newest_ref(100, at(-100))).state is RunState.FAILED
    assert hook.look(MeiroHook.newest_ref(100, at(-100), "ended_well")).ref.run_id == good.id
    assert not hook.look(MeiroHook.newest_ref(100, at(-60), "ended_well")).state.is_terminal


# -- the log ------------------------------------------------------------------------------------------------------


def test_log_lines_come_once_each_as_they_grow(
    meiro: MeiroSandbox, hook: MeiroHook, clock: Clock, carry: Carry
) -> None:
    meiro.max_limit = 3
    job = meiro.seed_run(Life(duration=20.0, steps=["only"]), flow="100")
    lines: list[str] = []
    cursor = None
    for _ in range(6):
        told = carry(hook.read_log, ref_of(job), cursor)
        lines += told.lines
        cursor = told.cursor
        clock.advance(5.0)

    rows = list(hook.list_job_logs(100, job.id.split("/")[1]))
    assert lines == [f"{row['created']} {row['level']} {row['text']}" for row in rows]
    assert len(lines) > 20


def test_the_tail_of_the_log_is_its_last_lines_in_order(meiro: MeiroSandbox, hook: MeiroHook, carry: Carry) -> None:
    meiro.max_limit = 4
    job = meiro.seed_run(Life(duration=30.0), flow="100", age=60.0)

    tail = carry(hook.read_log_tail, ref_of(job), 10)

    rows = list(hook.list_job_logs(100, job.id.split("/")[1]))
    assert [line.split(" ", 3)[3] for line in tail] == [row["text"] for row in rows[-10:]]


# -- cancelling ---------------------------------------------------------------------------------------------------


def test_a_job_that_has_ended_is_not_cancelled(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    job = meiro.seed_run(Life(1.0), flow="100", age=60.0)

    report = hook.cancel_run(ref_of(job))

    assert (report.asked, meiro.ledger.count("cancel")) == (False, 0)
    assert "had ended already: finished" in report.note


@pytest.mark.parametrize("status", [200, 400, 404, 409])
def test_a_cancel_that_comes_after_the_end_is_no_fault(
    meiro: MeiroSandbox, hook: MeiroHook, clock: Clock, status: Any
) -> None:
    meiro.cancel_ended = status
    job = meiro.seed_run(Life(10.0), flow="100")

    def ending_after_the_first_look() -> Program[CancelReport]:
        program = hook.cancel_run.plan(ref_of(job))
        looked = yield next(program)
        cancel = program.send(looked)
        clock.advance(20.0)
        try:
            answer = yield cancel
        except EtlApiError as error:
            looked = yield program.throw(error)
            answer = looked
        try:
            program.send(answer)
        except StopIteration as stop:
            report: CancelReport = stop.value
            return report
        raise AssertionError("one more request than expected")

    report = hook.run(ending_after_the_first_look())

    assert report.asked == (status == 200)
    assert meiro.ledger.cancels == []


def test_a_cancel_that_is_refused_while_the_job_goes_on_is_a_fault(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    job = meiro.seed_run(Life(10.0), flow="100")
    meiro.inject(Fault("cancel", status=409))

    with pytest.raises(RequestRefusedError):
        hook.cancel_run(ref_of(job))


# -- by name ------------------------------------------------------------------------------------------------------


def test_a_workspace_is_found_by_its_exact_name(meiro: MeiroSandbox, hook: MeiroHook, carry: Carry) -> None:
    meiro.define(Workspace(900, "demo ETL 2"))
    meiro.define(Workspace(901, "Demo ETL", disabled=1))

    assert carry(hook.find_workspace, "demo ETL")["id"] == 100
    assert carry(hook.find_workspace, "Demo ETL")["id"] == 901


def test_a_name_of_none_or_of_several_workspaces_is_refused(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    meiro.define(Workspace(900, "demo ETL"))

    with pytest.raises(InvalidInputError, match=r"\[100, 900\]"):
        hook.find_workspace("demo ETL")
    with pytest.raises(NotFoundError, match="no such thing"):
        hook.find_workspace("no such thing")


# -- starting -----------------------------------------------------------------------------------------------------


def test_a_run_knows_since_when_it_is(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    run: RemoteRun = hook.start_run({"workspace_name": "demo ETL"}, "marker")

    assert (run.ref.ids, run.ref.since) == ({"workspace_id": "100", "job_id": "5001"}, NOON)
