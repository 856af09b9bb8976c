"""Meiro: which job is that of a lost start: one that began after the call and that our user has started, no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.runs.evidence import Evidence
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.meiro.work import USER
from airflow_provider_etlapis.wire.call import Response
from tests.support.airflow_context import TaskLog, task_log  # noqa: F401 a fixture
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
SPEC = {"workspace_id": 100}
STRANGER = 999
LONG = Life(3600.0)


def by(meiro: MeiroSandbox, user_id: int | None, life: Life = LONG, age: float = 0.0) -> str:
    return meiro.seed_run(life, flow="100", age=age, request={"user_id": user_id}).id


def intent(watermark: Any, *, is_reconstructed: bool = False) -> Intent:
    return Intent("m", "f", 0, 0, NOON, watermark, is_reconstructed=is_reconstructed)


def search(hook: MeiroHook, watermark: Any, *, is_reconstructed: bool = False) -> tuple[Evidence, list[str]]:
    found = hook.find_started(SPEC, intent(watermark, is_reconstructed=is_reconstructed))
    return found.sighting, [run.ref.run_id for run in found.candidates]


# -- one look: what is proof --------------------------------------------------------------------------------------


def test_the_one_newer_job_of_the_caller_is_the_lost_start(meiro: MeiroSandbox, hook: MeiroHook, carry: Carry) -> None:
    by(meiro, USER)
    mark = hook.before_start(SPEC)
    ours = by(meiro, USER)
    by(meiro, STRANGER)

    found = carry(hook.find_started, SPEC, intent(mark))

    assert mark == {"newest_job_id": 5001}
    assert (found.sighting, [run.ref.run_id for run in found.candidates]) == (Evidence.FOUND, [ours])


def test_no_newer_job_at_all_means_that_nothing_was_started_so_far(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    by(meiro, USER)
    mark = hook.before_start(SPEC)

    assert search(hook, mark) == (Evidence.ABSENT, [])


def test_one_look_makes_one_request_and_waits_for_nothing(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    mark = hook.before_start(SPEC)
    before = meiro.ledger.count("jobs")

    search(hook, mark)

    assert meiro.ledger.count("jobs") - before == 1


def test_a_newer_job_of_another_user_is_surely_not_ours_once_a_job_of_ours_has_shown_who_we_are(
    meiro: MeiroSandbox, hook: MeiroHook
) -> None:
    hook.start_run(SPEC, "marker")
    mark = hook.before_start(SPEC)
    by(meiro, STRANGER)

    assert mark == {"newest_job_id": 5001, "user_id": USER}
    assert search(hook, mark) == (Evidence.ABSENT, [])


def test_a_retry_in_another_process_knows_who_we_are_by_the_watermark(
    meiro: MeiroSandbox, hook: MeiroHook, connect: Connect
) -> None:
    hook.start_run(SPEC, "marker")
    mark = hook.before_start(SPEC)
    by(meiro, STRANGER)

    assert search(connect(), mark) == (Evidence.ABSENT, [])


def test_a_newer_job_of_another_user_may_be_ours_while_only_the_connection_says_who_we_are(
    meiro: MeiroSandbox, hook: MeiroHook
) -> None:
    mark = hook.before_start(SPEC)
    somebodys = by(meiro, STRANGER)

    assert search(hook, mark) == (Evidence.UNSURE, [somebodys])


def test_with_a_wrong_user_id_our_own_job_is_never_taken_for_absent(meiro: MeiroSandbox, connect: Connect) -> None:
    hook = connect({"user_id": 12345})
    mark = hook.before_start(SPEC)
    ours = by(meiro, USER)

    found = hook.find_started(SPEC, intent(mark))

    assert (found.sighting, [run.ref.run_id for run in found.candidates]) == (Evidence.UNSURE, [ours])
    assert "user 12345 (user_id of the connection" in found.looked_for


def test_a_wrong_user_id_is_corrected_by_a_job_that_we_have_started_and_said_once(
    meiro: MeiroSandbox,
    connect: Connect,
    task_log: TaskLog,  # noqa: F811 the fixture
) -> None:
    hook = connect({"user_id": 12345})
    hook.start_run(SPEC, "marker")
    hook.start_run(SPEC, "marker")
    mark = hook.before_start(SPEC)
    ours = by(meiro, USER)

    assert search(hook, mark) == (Evidence.FOUND, [ours])
    assert len([text for text in task_log.warnings() if "Set user_id to 200" in text]) == 1


def test_two_newer_jobs_of_the_caller_are_both_candidates_only(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    first, second = by(meiro, USER), by(meiro, USER)

    assert search(hook, {"newest_job_id": 0}) == (Evidence.UNSURE, [second, first])


def test_of_two_newer_jobs_the_one_that_lives_is_named_and_not_taken(
    meiro: MeiroSandbox, hook: MeiroHook, clock: Clock
) -> None:
    lives = by(meiro, USER)
    by(meiro, USER, Life(1.0, outcome="error"))
    clock.advance(5.0)

    assert search(hook, {"newest_job_id": 0}) == (Evidence.UNSURE, [lives])


def test_bad_ends_that_may_be_ours_do_not_keep_a_retry_from_starting(
    meiro: MeiroSandbox, hook: MeiroHook, clock: Clock
) -> None:
    by(meiro, STRANGER, Life(1.0, outcome="error"))
    by(meiro, STRANGER, Life(1.0, outcome="canceled"))
    clock.advance(5.0)

    assert search(hook, {"newest_job_id": 0}) == (Evidence.ABSENT, [])


def test_without_a_user_id_newer_jobs_are_candidates_only(meiro: MeiroSandbox, connect: Connect) -> None:
    somebodys = by(meiro, STRANGER)

    assert search(connect({"user_id": ""}), {"newest_job_id": 0}) == (Evidence.UNSURE, [somebodys])


def test_a_job_that_names_no_user_is_a_candidate_only(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    nobodys = by(meiro, None)

    assert search(hook, {"newest_job_id": 0}) == (Evidence.UNSURE, [nobodys])


def test_without_a_state_store_nothing_is_ever_shown_to_be_ours(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    """Airflow 3.0 to 3.2: all that is known is when the DAG run began."""
    by(meiro, USER, age=3600.0)
    after = by(meiro, USER, age=-60.0)

    assert search(hook, None, is_reconstructed=True) == (Evidence.UNSURE, [after])
    assert search(hook, {"newest_job_id": 0}, is_reconstructed=True) == (Evidence.UNSURE, [after])


def test_without_a_state_store_jobs_from_before_the_dag_run_are_not_ours(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    by(meiro, USER, age=3600.0)

    assert search(hook, None, is_reconstructed=True) == (Evidence.ABSENT, [])


def test_a_watermark_of_an_older_release_is_read(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    by(meiro, USER)
    ours = by(meiro, USER)

    assert search(hook, {"newest_job_id": 5001}) == (Evidence.FOUND, [ours])


# -- one look: when a list is complete ----------------------------------------------------------------------------


def served(rows: list[dict[str, Any]]) -> Response:
    return Response(200, {}, json.dumps({"workspace_jobs": rows, "selection_settings": {"limit": 100}}).encode())


def row(number: int) -> dict[str, Any]:
    return {"id": number, "workspace_id": 100, "status": "running", "user_id": USER, "created": "2026-11-22 12:00:00"}


def test_a_list_that_does_not_come_newest_first_is_no_watermark(hook: MeiroHook) -> None:
    program = hook.before_start.plan(SPEC)
    call = next(program)

    with pytest.raises(StopIteration) as end:
        program.send(call.parse(served([row(1), row(2)])))  # type: ignore[union-attr]  # a call, not a pause

    assert end.value.value == {"newest_job_id": None}


def test_a_list_that_does_not_come_newest_first_is_read_to_its_end(hook: MeiroHook) -> None:
    program = hook.find_started.plan(SPEC, intent({"newest_job_id": 150}))
    call: Any = next(program)
    call = program.send(call.parse(served([row(number) for number in range(1, 101)])))  # oldest first

    with pytest.raises(StopIteration) as end:
        program.send(call.parse(served([row(number) for number in range(101, 152)])))

    found = end.value.value
    assert (found.sighting, found.candidates[0].ref.run_id) == (Evidence.FOUND, "100/151")


def test_more_new_jobs_than_are_read_make_it_unsure(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    hook.start_run(SPEC, "marker")
    mark = hook.before_start(SPEC)
    for _ in range(1001):
        by(meiro, STRANGER)

    found = hook.find_started(SPEC, intent(mark))

    assert found.sighting is Evidence.UNSURE
    assert "only 1,000 jobs of the workspace were read" in found.looked_for


def test_a_row_without_its_id_is_not_passed_over(hook: MeiroHook) -> None:
    program = hook.find_started.plan(SPEC, intent({"newest_job_id": 1}))
    call: Any = next(program)

    with pytest.raises(EtlApiError, match="a job without its id"):
        program.send(call.parse(served([{**row(2), "id": None}, row(1)])))


# -- the server's clock -------------------------------------------------------------------------------------------


def test_a_time_zone_that_cannot_be_right_is_said_at_a_start(
    etlapis_sandbox: Any,
    task_log: TaskLog,  # noqa: F811 the fixture
) -> None:
    meiro = etlapis_sandbox.meiro(conn_id="meiro_default", utc_offset=-5.0)

    hook = MeiroHook()
    hook.start_run(SPEC, "marker")
    hook.start_run(SPEC, "marker")

    (said,) = [text for text in task_log.warnings() if "Set timezone" in text]
    assert "-5.0 hours from the present by the time zone UTC" in said
    assert len(meiro.ledger.starts) == 2
