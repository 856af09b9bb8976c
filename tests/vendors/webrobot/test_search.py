"""One look for the run of a WebRobot start call that got no answer, over HTTP."""
# ruff: noqa: F401, F811 - fixtures are imported, and asked for by their names

from __future__ import annotations

import json

import pytest

from airflow_provider_etlapis.exceptions import VendorUnavailableError
from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.runs.evidence import Evidence
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox
from tests.vendors.webrobot.stage import NOON, SPEC, TASK_SPEC, clock, hook, sandbox


def intent(hook: WebRobotHook, spec: dict[str, object]) -> Intent:
    return Intent("marker", "inputs", 0, 0, NOON, watermark=json.loads(json.dumps(hook.before_start(spec))))


@pytest.mark.parametrize(
    ("spec", "sighting"), [(SPEC, Evidence.UNSURE), (TASK_SPEC, Evidence.FOUND)], ids=["execution", "task"]
)
def test_a_start_whose_answer_was_lost_is_found_where_it_can_be_shown_to_be_ours(
    hook: WebRobotHook, sandbox: WebRobotSandbox, spec: dict[str, object], sighting: Evidence
) -> None:
    sandbox.seed_run(Life(duration=5), age=60)
    before = intent(hook, spec)
    sandbox.plan(Life(duration=99))
    sandbox.inject(Fault("start", "drop_after"))
    sandbox.inject(Fault("start_task", "drop_after"))
    with pytest.raises(VendorUnavailableError):
        hook.start_run(spec, "marker")

    search = hook.find_started(spec, before)

    assert search.sighting is sighting
    assert hook.read_run(search.candidates[0].ref).vendor_status == "RUNNING"


@pytest.mark.parametrize("spec", [SPEC, TASK_SPEC], ids=["execution", "task"])
@pytest.mark.parametrize("idle", [None, "CREATED", "PENDING"])
@pytest.mark.parametrize("ran_before", [True, False])
def test_a_start_that_never_arrived_is_surely_absent(
    hook: WebRobotHook, sandbox: WebRobotSandbox, spec: dict[str, object], ran_before: bool, idle: str | None
) -> None:
    sandbox.idle_status = idle
    if ran_before:
        sandbox.seed_run(Life(duration=5), age=60)

    assert hook.find_started(spec, intent(hook, spec)).sighting is Evidence.ABSENT


@pytest.mark.parametrize("spec", [SPEC, TASK_SPEC], ids=["execution", "task"])
def test_one_look_for_a_lost_start_makes_few_requests_and_no_pause(
    hook: WebRobotHook, sandbox: WebRobotSandbox, spec: dict[str, object]
) -> None:
    known = intent(hook, spec)
    before = sandbox.ledger.count()

    hook.find_started(spec, known)

    assert sandbox.ledger.count() - before <= 2


def test_a_lost_start_that_no_task_names_cannot_be_told(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    sandbox.task_references = False
    before = intent(hook, SPEC)
    sandbox.plan(Life(duration=99))
    hook.start_run(SPEC, "marker")

    search = hook.find_started(SPEC, before)

    assert (search.sighting, search.candidates) == (Evidence.UNSURE, ())
    assert "something of the job is running" in search.looked_for


def test_an_execution_that_is_not_visible_yet_is_a_candidate(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    before = intent(hook, SPEC)
    sandbox.hidden_for = 60
    started = hook.start_run(SPEC, "marker")

    search = hook.find_started(SPEC, before)

    assert (search.sighting, [each.ref for each in search.candidates]) == (Evidence.UNSURE, [started.ref])


def test_a_start_whose_marks_could_not_be_read_has_surely_started_nothing(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    sandbox.inject(Fault("task", "status", status=500))

    with pytest.raises(VendorUnavailableError) as failure:
        hook.start_run(TASK_SPEC, "marker")

    assert not failure.value.may_have_acted
    assert sandbox.ledger.count("start_task") == 0
