"""What a try does about the run of an earlier one, as one table; and what is kept between tries."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_etlapis.runs.evidence import Evidence as Sighting
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.resume import (
    AttemptPlan,
    AttemptRecord,
    Intent,
    LostStart,
    OnLostStart,
    Resume,
    fingerprint,
    marker,
    plan,
    resume,
    settle_lost_start,
)

REF = RunRef("vendor", {"id": "7"})
NOW = Intent("m", "same", max_tries=2, retries=2, at=100.0)
MEANT = AttemptRecord(NOW)
KNOWN = AttemptRecord(NOW, REF)
TAKEN = replace(KNOWN, finished=True)


@pytest.mark.parametrize(
    ("memory", "intent", "earlier_tries", "keeps_memory", "expected"),
    [
        pytest.param(None, NOW, False, True, AttemptPlan.START, id="first_try"),
        pytest.param(None, NOW, False, False, AttemptPlan.START, id="first_try_without_a_store"),
        pytest.param(KNOWN, NOW, True, True, AttemptPlan.CHECK_RUN, id="retry_with_a_known_run"),
        pytest.param(
            KNOWN, replace(NOW, fingerprint="other"), True, True, AttemptPlan.CHECK_RUN, id="retry_with_other_inputs"
        ),
        pytest.param(MEANT, NOW, True, True, AttemptPlan.SEARCH, id="retry_with_an_intent_and_no_run"),
        pytest.param(None, NOW, True, True, AttemptPlan.START, id="retry_and_the_store_says_that_nothing_was_begun"),
        pytest.param(None, NOW, True, False, AttemptPlan.SEARCH, id="retry_without_a_store_looks_at_the_vendor"),
        pytest.param(KNOWN, replace(NOW, max_tries=3), False, True, AttemptPlan.START, id="clear_while_running"),
        pytest.param(MEANT, replace(NOW, max_tries=3), False, True, AttemptPlan.START, id="clear_with_an_intent"),
        pytest.param(TAKEN, replace(NOW, max_tries=3), False, True, AttemptPlan.START, id="clear_after_success"),
        pytest.param(
            TAKEN, replace(NOW, retries=1), False, True, AttemptPlan.START, id="clear_after_success_with_lower_retries"
        ),
        pytest.param(KNOWN, replace(NOW, retries=1), True, True, AttemptPlan.CHECK_RUN, id="retry_with_lower_retries"),
        pytest.param(TAKEN, NOW, True, True, AttemptPlan.CHECK_RUN, id="retry_after_the_result_was_taken"),
    ],
)
def test_what_a_try_has_to_look_at(
    memory: AttemptRecord | None, intent: Intent, earlier_tries: bool, keeps_memory: bool, expected: AttemptPlan
) -> None:
    record = memory
    found = plan(record, intent, earlier_tries=earlier_tries, keeps_state=keeps_memory, has_marker=False)
    assert found is expected


def test_a_retry_that_finds_nothing_written_looks_for_its_marker_where_runs_carry_one() -> None:
    """The first try may have failed to write: a store that is away for a moment must not make a second run."""
    assert plan(None, NOW, earlier_tries=True, keeps_state=True, has_marker=True) is AttemptPlan.SEARCH_MARKER
    assert plan(None, NOW, earlier_tries=False, keeps_state=True, has_marker=True) is AttemptPlan.START


def run(state: RunState, number: int = 7) -> RemoteRun:
    return RemoteRun(RunRef("vendor", {"id": str(number)}), state, state.value.upper())


@pytest.mark.parametrize(
    ("state", "cancelled", "expected"),
    [
        (RunState.QUEUED, False, Resume.ATTACH),
        (RunState.RUNNING, False, Resume.ATTACH),
        (RunState.UNKNOWN, False, Resume.ATTACH),
        (RunState.SUCCEEDED, False, Resume.TAKE_RESULT),
        (RunState.WARNING, False, Resume.TAKE_RESULT),
        (RunState.FAILED, False, Resume.START),
        (RunState.CANCELLED, False, Resume.START),
        (RunState.RUNNING, True, Resume.WAIT_THEN_START),
        (RunState.SUCCEEDED, True, Resume.START),
        (RunState.CANCELLED, True, Resume.START),
        (None, False, Resume.START),
    ],
)
@pytest.mark.parametrize("changed", [False, True])
def test_what_is_done_about_a_known_run(
    state: RunState | None, cancelled: bool, expected: Resume, changed: bool
) -> None:
    seen = run(state) if state else None

    decision = resume(REF, seen, inputs_changed=changed, cancelled=cancelled)

    assert decision.action is expected
    assert "un 7" in decision.reason
    keeps_it = expected in (Resume.ATTACH, Resume.TAKE_RESULT)
    assert ("clear the task to start a run with the present ones" in decision.reason) == (changed and keeps_it)


GOOD, ALIVE, BAD = run(RunState.SUCCEEDED), run(RunState.RUNNING), run(RunState.FAILED)


@pytest.mark.parametrize(
    ("sighting", "candidates", "fail", "adopt", "restart"),
    [
        pytest.param("found", (ALIVE,), "attach", "attach", "attach", id="found_alive"),
        pytest.param("found", (GOOD,), "attach", "attach", "attach", id="found_ended_well"),
        pytest.param("found", (BAD,), "start", "start", "start", id="found_ended_badly"),
        pytest.param("absent", (), "start", "start", "start", id="absent"),
        pytest.param("unsure", (), "refuse", "refuse", "start", id="cannot_tell"),
        pytest.param("unsure", (ALIVE,), "refuse", "attach", "start", id="candidates"),
        pytest.param("found", (), "refuse", "refuse", "start", id="found_nothing_is_no_finding"),
    ],
)
@pytest.mark.parametrize("policy", ["fail", "adopt", "restart"])
def test_what_is_done_about_a_start_without_an_answer(
    sighting: str,
    candidates: tuple[RemoteRun, ...],
    fail: str,
    adopt: str,
    restart: str,
    policy: OnLostStart,
) -> None:
    expected = {"fail": fail, "adopt": adopt, "restart": restart}[policy]

    decision = settle_lost_start(Search(Sighting(sighting), "runs of X since noon", candidates), policy, "It was lost.")

    assert decision.action is LostStart(expected)
    assert (decision.run is not None) == (expected == "attach")
    assert "runs of X since noon" in decision.reason
    if expected == "refuse":
        assert "Check on the vendor's side" in decision.reason


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
REFS = st.builds(
    RunRef,
    vendor=st.text(min_size=1),
    ids=st.dictionaries(st.text(min_size=1), st.text(min_size=1), min_size=1, max_size=3),
    since=st.none() | st.floats(0, 4e9),
    newest=st.sampled_from([None, "ended", "ended_well"]),
    watermark=PLAIN,
)
INTENTS = st.builds(
    Intent,
    marker=st.text(),
    fingerprint=st.text(),
    max_tries=st.integers(0, 100),
    retries=st.integers(0, 100),
    at=st.floats(0, 4e9),
    watermark=PLAIN,
)
MEMORIES = st.builds(
    AttemptRecord,
    intent=INTENTS,
    ref=st.none() | REFS,
    url=st.none() | st.text(),
    deadline=st.none() | st.floats(0, 4e9),
    finished=st.booleans(),
    owned=st.booleans(),
    cancelled=st.booleans(),
)


@given(REFS)
def test_a_reference_survives_its_json(ref: RunRef) -> None:
    assert RunRef.from_json(json.loads(json.dumps(ref.to_json()))) == ref


@given(MEMORIES)
def test_a_memory_survives_its_json(memory: AttemptRecord) -> None:
    assert AttemptRecord.from_json(json.loads(json.dumps(memory.to_json()))) == memory


@given(MEMORIES)
def test_the_json_of_a_newer_release_is_read(memory: AttemptRecord) -> None:
    newer = {**memory.to_json(), "invented_later": {"x": 1}}
    if memory.ref:
        newer["ref"] = {**memory.ref.to_json(), "also_new": [1]}

    assert AttemptRecord.from_json(newer) == memory


def test_the_json_of_an_older_release_is_read() -> None:
    oldest = {"marker": "m", "fingerprint": "f", "max_tries": 1, "at": 5.0}
    with_run = {**oldest, "ref": {"vendor": "v", "ids": {"id": 7}}}

    assert AttemptRecord.from_json(oldest) == AttemptRecord(Intent("m", "f", 1, 0, 5.0))
    assert AttemptRecord.from_json(with_run).ref == RunRef("v", {"id": "7"})
    assert AttemptRecord.from_json(with_run).owned is True


TASKS = st.fixed_dictionaries(
    {
        "dag_id": st.text(min_size=1, max_size=250),
        "run_id": st.text(min_size=1, max_size=250),
        "task_id": st.text(min_size=1, max_size=250),
        "map_index": st.integers(-1, 1024),
        "max_tries": st.integers(0, 50),
    }
)


@given(TASKS, TASKS)
def test_a_marker_is_short_and_tells_tasks_apart(one: dict[str, object], other: dict[str, object]) -> None:
    first, second = marker(**one), marker(**other)  # type: ignore[arg-type]

    assert len(first) <= 120
    assert (first == second) == (one == other)


@given(PLAIN, PLAIN)
def test_a_fingerprint_tells_inputs_apart_and_shows_none(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (fingerprint(one) == fingerprint(other)) == same
    assert len(fingerprint(one)) == 16


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
