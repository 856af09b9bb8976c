"""What one look at DataWORQ's lists proves about a start: what is noted before it, which jobs are in question after."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.hooks.dataworq.jobs import JobStatus
from airflow_provider_etlapis.hooks.dataworq.search import Before, Lists
from airflow_provider_etlapis.hooks.dataworq.search import search as search_of
from airflow_provider_etlapis.runs.evidence import Evidence, Search
from airflow_provider_etlapis.runs.resume import LostStart, settle_lost_start
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.dataworq.work import DEMO_FLOWS, Flow
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from tests.vendors.dataworq.support import FLOW, SPEC, another_users_job, connect, in_colour, intent

LONG = Life(duration=3600)
OVER = Life(duration=0.0)
OTHER = DEMO_FLOWS[1].name
NORTH = {**SPEC, "parameters": [{"name": "REGION", "type": "string", "value": "A"}]}


@pytest.fixture
def sandbox() -> Iterator[DataworqSandbox]:
    with DataworqSandbox() as running:
        yield running


@pytest.fixture
def hook(sandbox: DataworqSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataworqHook]:
    with connect(monkeypatch, sandbox) as made:
        yield made


def ids(search: Search) -> set[str]:
    return {run.ref.run_id for run in search.candidates}


def row(job_id: str, flow: str, *, status: str = "RUNNING", started: float | None = 0.0) -> JobStatus:
    """Return a row of a list."""
    return {
        "id": job_id,
        "executionStatus": status,
        "flowName": flow,
        "runProfileName": "default",
        "startTime": None if started is None else round(started * 1000),
    }


def look(lists: Lists, before: Before | None, *, at: float | None = None, ahead: float | None = None) -> Search:
    """Return what lists prove, without a server."""
    called = intent(time.time() if at is None else at, before and before.to_json())
    return search_of(SPEC, called, lists, ahead)


def test_no_job_can_be_shown_to_be_ours():
    proof = DataworqHook.start_proof

    assert not proof.can_show
    assert (proof.marker, proof.starter) == ("", "hidden")
    assert "100 rows" in proof.source


# Before the start


def test_before_a_start_both_lists_are_noted(sandbox: DataworqSandbox, hook: DataworqHook):
    alive, over = sandbox.seed_run(LONG), sandbox.seed_run(Life(duration=1), age=60)
    sandbox.seed_run(LONG, flow=OTHER)
    sandbox.seed_run(LONG, request={"runProfileName": "nightly"})

    assert hook.before_start(SPEC) == {
        "ids": sorted((alive.id, over.id)),
        "active": 3,
        "all_jobs": 4,
        "is_named": True,
    }
    assert [dict(record.query).get("filter") for record in sandbox.ledger.requests] == ["active", None]


def test_without_the_flows_name_nothing_is_read_before_a_start(sandbox: DataworqSandbox, hook: DataworqHook):
    assert hook.before_start({**SPEC, "flow_name": None}) is None
    assert sandbox.ledger.requests == []


def test_the_note_of_an_older_release_is_still_read(sandbox: DataworqSandbox, hook: DataworqHook):
    known = sandbox.seed_run(LONG).id
    unknown = sandbox.seed_run(LONG).id

    search = hook.find_started(SPEC, intent(time.time(), [known]))

    assert search.sighting is Evidence.UNSURE
    assert unknown in search.looked_for, "that release did not note whether its list was full"
    assert known not in search.looked_for
    assert Before.from_json(Before(frozenset("ab"), 1, 2, True).to_json()) == Before(frozenset("ab"), 1, 2, True)


# One look


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("life", [LONG, Life(queued=60), OVER], ids=["going on", "queued", "ended"])
async def test_a_job_that_began_after_the_note_is_a_candidate_and_no_more(
    sandbox: DataworqSandbox, hook: DataworqHook, colour: str, life: Life
):
    known = sandbox.seed_run(LONG, age=30)
    noted = hook.before_start(SPEC)
    ours = sandbox.seed_run(life)

    search = await in_colour(colour, hook, "find_started", SPEC, intent(time.time(), noted))

    assert search.sighting is Evidence.UNSURE
    assert ids(search) == {ours.id}
    assert known.id not in search.looked_for


def test_one_look_is_one_read_of_each_list(sandbox: DataworqSandbox, hook: DataworqHook):
    hook.find_started(SPEC, intent(time.time()))

    assert [dict(record.query).get("filter") for record in sandbox.ledger.requests] == ["active", None]


def test_of_several_jobs_none_is_taken_and_all_are_named(sandbox: DataworqSandbox, hook: DataworqHook):
    noted = hook.before_start(SPEC)
    jobs = {sandbox.seed_run(LONG).id for _ in range(2)}

    decision = settle_lost_start(hook.find_started(SPEC, intent(time.time(), noted)), "fail", "It was lost.")

    assert decision.action is LostStart.REFUSE
    assert all(job in decision.reason for job in jobs)


def test_of_several_jobs_that_all_ended_badly_none_is_waited_for(sandbox: DataworqSandbox, hook: DataworqHook):
    noted = hook.before_start(SPEC)
    for _ in range(2):
        sandbox.seed_run(Life(duration=0.0, outcome="error"))

    search = hook.find_started(SPEC, intent(time.time(), noted))

    assert settle_lost_start(search, "fail", "It was lost.").action is LostStart.START


def test_a_job_of_another_flow_or_profile_is_not_in_question(sandbox: DataworqSandbox, hook: DataworqHook):
    noted = hook.before_start(SPEC)
    sandbox.seed_run(LONG, flow=OTHER)
    sandbox.seed_run(LONG, request={"runProfileName": "nightly"})

    assert hook.find_started(SPEC, intent(time.time(), noted)).sighting is Evidence.ABSENT


@pytest.mark.parametrize("typed", [FLOW.name.lower(), f" {FLOW.name}.flx "])
def test_the_flows_name_may_be_typed_as_that_of_its_file(sandbox: DataworqSandbox, hook: DataworqHook, typed: str):
    noted = hook.before_start({**SPEC, "flow_name": typed})
    ours = sandbox.seed_run(LONG)
    sandbox.seed_run(LONG, flow=OTHER)

    assert ids(hook.find_started({**SPEC, "flow_name": typed}, intent(time.time(), noted))) == {ours.id}


def test_two_flows_whose_joined_names_are_equal_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    flows = (Flow("1", "Sales", profiles=("load_all",)), Flow("2", "Sales_load", profiles=("all",)))
    spec = {**SPEC, "flow_id": "1", "flow_name": "Sales", "run_profile_name": "load_all"}
    with DataworqSandbox(flows=flows) as sandbox, connect(monkeypatch, sandbox) as hook:
        noted = hook.before_start(spec)
        sandbox.seed_run(LONG, flow="Sales_load", request={"runProfileName": "all"})

        assert hook.find_started(spec, intent(time.time(), noted)).sighting is Evidence.ABSENT


@pytest.mark.parametrize(
    "names",
    [{}, {"flowName": None, "runProfileName": None, "jobName": None}, {"flowName": FLOW.name}],
    ids=["missing", "null", "half"],
)
def test_a_row_without_names_is_in_question(sandbox: DataworqSandbox, hook: DataworqHook, names: dict[str, Any]):
    row = json.dumps([{"id": "job-1", "executionStatus": "RUNNING", **names}])
    sandbox.seed_run(LONG, flow=FLOW.name, age=60)
    noted = hook.before_start(SPEC)
    sandbox.inject(Fault("list", "status", status=200, body=row, times=2))

    search = hook.find_started(SPEC, intent(time.time(), noted))

    assert (search.sighting, ids(search)) == (Evidence.UNSURE, {"job-1"})


def test_a_job_whose_log_shows_our_flows_id_is_in_question_whatever_its_name(
    sandbox: DataworqSandbox, hook: DataworqHook
):
    spec = {**SPEC, "flow_name": OTHER}  # a name that is there, of another flow
    sandbox.seed_run(LONG, flow=OTHER, age=60)
    noted = hook.before_start(spec)
    ours = sandbox.seed_run(OVER)

    assert ids(hook.find_started(spec, intent(time.time(), noted))) == {ours.id}


# Whether the lists are complete


def test_an_odd_empty_list_proves_no_absence(sandbox: DataworqSandbox, hook: DataworqHook):
    sandbox.seed_run(Life(duration=1), age=60)
    noted = hook.before_start(SPEC)
    sandbox.inject(Fault("list", "status", status=200, body="[]", times=2))

    search = hook.find_started(SPEC, intent(time.time(), noted))

    assert search.sighting is Evidence.UNSURE
    assert "1 jobs before the start and lists 0 now" in search.looked_for


def test_lists_that_contradict_each_other_prove_no_absence():
    before = Before(frozenset({"old"}), 0, 1, is_named=True)
    lists = Lists([row("new", OTHER)], [row("old", FLOW.name, status="COMPLETED")])

    search = look(lists, before)

    assert search.sighting is Evidence.UNSURE
    assert "leaves out active ones" in search.looked_for


def test_a_flow_name_that_was_seen_before_the_start_rules_other_flows_out():
    before = Before(frozenset({"old"}), 0, 1, is_named=True)

    assert look(Lists([], [row("new", OTHER)]), before).sighting is Evidence.ABSENT


def test_where_the_lists_cannot_be_searched_a_look_is_the_last_one(sandbox: DataworqSandbox, hook: DataworqHook):
    search = hook.find_started({**SPEC, "flow_name": None}, intent(time.time()))

    assert (search.sighting, search.is_final) == (Evidence.UNSURE, True)
    assert not hook.find_started(SPEC, intent(time.time())).is_final
    assert "flow_name" in search.looked_for


@pytest.mark.parametrize(("others", "sighting"), [(99, Evidence.ABSENT), (100, Evidence.UNSURE)])
def test_a_list_is_complete_up_to_ninety_nine_rows(
    sandbox: DataworqSandbox, hook: DataworqHook, others: int, sighting: Evidence
):
    for number in range(others):
        sandbox.seed_run(Life(duration=1.0), flow=OTHER, age=10.0 * (number + 1))
    noted = hook.before_start(SPEC)

    assert hook.find_started(SPEC, intent(time.time(), noted)).sighting is sighting


def test_beside_a_full_history_a_job_that_goes_on_is_known_to_be_new(sandbox: DataworqSandbox, hook: DataworqHook):
    for _ in range(100):
        sandbox.seed_run(Life(duration=1.0), flow=OTHER, age=60)
    noted = hook.before_start(SPEC)
    going_on, over = sandbox.seed_run(LONG), sandbox.seed_run(OVER)

    search = hook.find_started(SPEC, intent(time.time(), noted))

    assert ids(search) == {going_on.id}, "the list of active jobs was not full"
    assert over.id in search.looked_for, "it may have been left out of the full list before"


def test_beside_a_full_list_of_active_jobs_no_order_is_known(sandbox: DataworqSandbox, hook: DataworqHook):
    for _ in range(100):
        sandbox.seed_run(LONG, flow=OTHER, age=60)
    noted = hook.before_start(SPEC)
    ours = sandbox.seed_run(LONG)

    search = hook.find_started(SPEC, intent(time.time(), noted))

    assert (search.sighting, ids(search)) == (Evidence.UNSURE, set())
    assert ours.id in search.looked_for


# Clocks


@pytest.mark.parametrize("off", [-7200.0, 7200.0])
def test_a_server_whose_clock_is_wrong_hides_no_job(monkeypatch: pytest.MonkeyPatch, off: float):
    with (
        DataworqSandbox(clock=Clock(start=time.time() + off)) as sandbox,
        connect(monkeypatch, sandbox) as hook,
    ):
        noted = hook.before_start(SPEC)
        at = time.time()
        ours = sandbox.seed_run(LONG)

        search = hook.find_started(SPEC, intent(at, noted))

    assert (search.sighting, ids(search)) == (Evidence.UNSURE, {ours.id}), "the order is known without a clock"


@pytest.mark.parametrize(
    ("started", "ahead", "sighting"),
    [
        (-400.0, None, Evidence.ABSENT),
        (-400.0, 0.0, Evidence.ABSENT),
        (-400.0, 3600.0, Evidence.ABSENT),
        (-400.0, -3600.0, Evidence.UNSURE),
        (-100.0, 3600.0, Evidence.UNSURE),
        (None, None, Evidence.UNSURE),
    ],
)
def test_without_a_note_a_job_is_ruled_out_only_if_it_is_older_by_either_clock(
    started: float | None, ahead: float | None, sighting: Evidence
):
    at = time.time()
    job = row("job-1", FLOW.name, started=None if started is None else at + started)

    assert look(Lists([], [job]), None, at=at, ahead=ahead).sighting is sighting


@pytest.mark.parametrize(
    ("age", "sighting"), [(0.0, Evidence.UNSURE), (250.0, Evidence.UNSURE), (400.0, Evidence.ABSENT)]
)
def test_without_a_note_only_a_job_that_is_older_than_clocks_may_differ_is_ruled_out(
    sandbox: DataworqSandbox, hook: DataworqHook, age: float, sighting: Evidence
):
    sandbox.seed_run(LONG, age=age)

    search = hook.find_started(SPEC, replace(intent(time.time()), is_reconstructed=True))

    assert search.sighting is sighting


def test_a_reconstructed_intents_note_shows_no_order(sandbox: DataworqSandbox, hook: DataworqHook):
    noted = hook.before_start(SPEC)
    sandbox.seed_run(LONG)

    search = hook.find_started(SPEC, replace(intent(time.time(), noted), is_reconstructed=True))

    assert search.sighting is Evidence.UNSURE


# Inputs


@pytest.mark.parametrize(
    ("value", "sighting"),
    [("B", Evidence.ABSENT), ("A", Evidence.UNSURE), ("AB", Evidence.UNSURE), ("****", Evidence.UNSURE)],
    ids=["another", "the same", "perhaps cut off", "masked"],
)
def test_an_ended_job_is_ruled_out_by_another_text_in_its_log_only(
    sandbox: DataworqSandbox, hook: DataworqHook, value: str, sighting: Evidence
):
    noted = hook.before_start(NORTH)
    another_users_job(sandbox, OVER, value)

    assert hook.find_started(NORTH, intent(time.time(), noted)).sighting is sighting


# The page


def test_every_row_of_the_pages_table_of_proof_names_tests_that_exist():
    root = Path(__file__).parents[3]
    page = (root / "docs" / "vendors" / "dataworq.md").read_text()
    section = page.partition("## What proves that a run is yours")[2].partition("\n## ")[0]
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]

    assert len(rows) > 8
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert all(f"def {name}(" in sources for name in named), row
