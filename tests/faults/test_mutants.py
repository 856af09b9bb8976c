"""The campaign finds what it is there to find: three bugs are put in, and each must be reported."""

from __future__ import annotations

import itertools

import pytest

from airflow_provider_etlapis.operators import start
from airflow_provider_etlapis.operators.task_state import TaskStateRepository
from airflow_provider_etlapis.runs.resume import AttemptPlan, AttemptRecord, Intent, plan
from airflow_provider_etlapis.triggers import run as trigger_module
from tests.faults.campaign import Result, play
from tests.faults.scenario import draw

SEED = "mutants"
VENDORS = ("celery_director", "meiro")
GUARD = frozenset({"reassign", "reassign_late"})
INTENT = frozenset({"die_before_note"})
CLEAR = frozenset({"person_clear", "clear_race"})


def _campaign(kinds: frozenset[str]) -> Result:
    """Play the first scenarios of each vendor in which one of these happens."""
    result = Result(SEED)
    for vendor in VENDORS:
        hits = (n for n in itertools.count() if kinds & {act.kind for act in draw(SEED, vendor, n).acts})
        for number in itertools.islice(hits, 12):
            result.take(play(SEED, vendor, number))
    return result


@pytest.mark.parametrize("kinds", [GUARD, INTENT, CLEAR], ids=["guard", "intent", "clear"])
def test_without_a_mutant_the_same_campaign_finds_nothing(kinds: frozenset[str]) -> None:
    result = _campaign(kinds)

    assert result.scenarios == 24
    assert result.is_good, "\n".join(played.report() for played in result.failed)


def test_a_kill_without_its_guard_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(trigger_module, "is_followed_by_another", never)

    told = "\n".join(played.report() for played in _campaign(GUARD).failed)

    assert "was cancelled, which nobody asked for" in told


def test_an_intent_that_is_not_written_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    save = TaskStateRepository.save

    def only_known_runs(memory: TaskStateRepository, left: AttemptRecord) -> None:
        if left.ref is not None:
            save(memory, left)

    monkeypatch.setattr(TaskStateRepository, "save", only_known_runs)

    assert _campaign(INTENT).findings["duplicate"] > 0


def test_a_clear_that_is_taken_for_a_retry_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_the_rule(record: AttemptRecord | None, intent: Intent, **known: bool) -> AttemptPlan:
        if record is not None:
            return AttemptPlan.SEARCH if record.ref is None else AttemptPlan.CHECK_RUN
        return plan(record, intent, **known)

    monkeypatch.setattr(start, "plan", without_the_rule)

    told = "\n".join(played.report() for played in _campaign(CLEAR).failed)

    assert "a clear was answered with run" in told
