"""How a remote run stands to the task that has it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_etlapis.runs.claims import GRACE, Claim, ClaimingTask, RunStanding, standing
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState

REF = RunRef("etlworks", {"flow_id": "1", "audit_id": "2"}, since=5.0, watermark={"newest": 7})
NOW = 10_000.0
ALIVE = RemoteRun(REF, RunState.RUNNING, "running")
AT_WORK = ["running", "deferred", "restarting"]
BETWEEN_TRIES = ["queued", "scheduled", "up_for_retry", "up_for_reschedule"]
COMING_BACK = [*AT_WORK, *BETWEEN_TRIES]
GONE = ["failed", "success", "skipped", "upstream_failed", "removed", None]


def task(state: str | None = "running", **claimed: Any) -> ClaimingTask:
    claim = Claim(REF, conn_id="etl", max_tries=1, **claimed)
    return ClaimingTask("daily", "manual__1", "load", -1, 1, 1, state, claim, changed_at=NOW - GRACE)


def test_a_claim_survives_xcom_and_one_of_an_earlier_release_is_read() -> None:
    claim = Claim(REF, "etl", started_by_us=False, max_tries=2, waits=False, cancel_on_kill=False, deadline=9.5)
    assert Claim.from_json(claim.to_json()) == claim
    assert Claim.from_json({**REF.to_json(), "owned": True, "of_a_later_release": 1}) == Claim(REF)
    with pytest.raises(KeyError):
        Claim.from_json({"anything": "else"})


@pytest.mark.parametrize("state", COMING_BACK)
def test_a_run_whose_task_comes_back_is_waited_for(state: str) -> None:
    assert standing(task(state), ALIVE, NOW) is RunStanding.WAITED_FOR


@pytest.mark.parametrize("state", GONE)
def test_a_run_whose_task_is_over_is_an_orphan_after_a_grace_for_its_own_cancel(state: str | None) -> None:
    assert standing(task(state), ALIVE, NOW) is RunStanding.ORPHAN
    assert standing(task(state), ALIVE, NOW - 1) is RunStanding.ENDING


@pytest.mark.parametrize("state", [*BETWEEN_TRIES, *GONE])
def test_a_clear_makes_the_run_before_it_an_orphan(state: str | None) -> None:
    assert standing(replace(task(state), max_tries=3), ALIVE, NOW) is RunStanding.ORPHAN


@pytest.mark.parametrize("state", AT_WORK)
def test_a_run_whose_task_is_at_work_is_left_to_it_whatever_its_tries(state: str) -> None:
    assert standing(replace(task(state), max_tries=3), ALIVE, NOW) is RunStanding.WAITED_FOR


@pytest.mark.parametrize("state", GONE)
@pytest.mark.parametrize("policy", [{"waits": False}, {"cancel_on_kill": False}])
def test_a_run_that_a_parameter_leaves_alone_is_no_orphan(state: str | None, policy: dict[str, bool]) -> None:
    assert standing(task(state, **policy), ALIVE, NOW) is RunStanding.LEFT


def test_a_deadline_leaves_the_run_if_asked_to_and_an_outage_before_it_does_not() -> None:
    left = task("failed", cancel_on_timeout=False, deadline=NOW)
    assert standing(left, ALIVE, NOW) is RunStanding.LEFT
    assert standing(left, ALIVE, NOW - 0.1 + 0.0) is RunStanding.ENDING
    assert standing(replace(left, changed_at=None), ALIVE, NOW - 1) is RunStanding.ORPHAN
    assert standing(replace(left, max_tries=2), ALIVE, NOW) is RunStanding.ORPHAN
    assert standing(task("failed", cancel_on_timeout=True, deadline=NOW), ALIVE, NOW) is RunStanding.ORPHAN


@pytest.mark.parametrize("state", GONE)
def test_a_run_that_the_task_only_attached_to_is_never_its_orphan(state: str | None) -> None:
    assert standing(task(state, started_by_us=False), ALIVE, NOW) is RunStanding.NOT_OURS


@pytest.mark.parametrize("state", [*COMING_BACK, *GONE])
@pytest.mark.parametrize("ended", [state for state in RunState if state.is_terminal])
def test_a_run_that_has_ended_has_ended(state: str | None, ended: RunState) -> None:
    assert standing(task(state), replace(ALIVE, state=ended), NOW) is RunStanding.ENDED


def test_what_no_task_has_is_not_ours() -> None:
    assert standing(None, ALIVE, NOW) is RunStanding.NOT_OURS


def test_a_run_that_the_vendor_does_not_know_matters_while_a_task_waits_for_it() -> None:
    assert standing(task(), None, NOW, is_missing=True) is RunStanding.UNKNOWN_TO_VENDOR
    assert standing(task("failed"), None, NOW, is_missing=True) is RunStanding.ENDED
    assert standing(task("failed"), None, NOW) is RunStanding.UNREAD
    assert standing(task("deferred"), None, NOW) is RunStanding.WAITED_FOR


def test_a_run_need_not_be_asked_for_once_its_task_saw_the_end() -> None:
    assert task("failed", ended_as="error").saw_the_end
    assert replace(task("success"), has_result=True).saw_the_end
    assert not replace(task("success"), has_result=True, max_tries=2).saw_the_end
    assert not replace(task("success", waits=False), has_result=True).saw_the_end
    assert not task("failed").saw_the_end
