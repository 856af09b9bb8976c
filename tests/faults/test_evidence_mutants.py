"""Each rule of evidence is there for a reason: without it, the campaign finds the fault that it prevents."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from airflow_provider_etlapis.hooks import errors
from airflow_provider_etlapis.hooks.etlworks import search
from airflow_provider_etlapis.hooks.meiro import starts
from airflow_provider_etlapis.operators.start import RunStarter
from airflow_provider_etlapis.operators.task_state import TaskStateRepository
from airflow_provider_etlapis.runs import evidence, waiting
from airflow_provider_etlapis.runs.evidence import CallEvidence, Candidate, FailedCall
from airflow_provider_etlapis.runs.model import Trouble
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.runs.waiting import Wait
from tests.faults.campaign import Result, play
from tests.faults.scenario import Scenario, draw

SEED = "evidence"
MOST = 40
"""Scenarios of the kind that a rule is about, of each vendor: the first that shows the fault ends the search."""


def _who_answered(patch: pytest.MonkeyPatch) -> None:
    """Take each answer for the vendor's own."""

    def by_status_alone(failed: FailedCall) -> CallEvidence:
        return evidence.judge_call(replace(failed, by_vendor=True))

    patch.setattr(errors, "judge_call", by_status_alone)


def _may_still_act(patch: pytest.MonkeyPatch) -> None:
    """Let a call that nobody answered count as over at once."""
    search = RunStarter._search

    def one_look(starter: RunStarter, spec: dict[str, object], intent: Intent) -> evidence.Search:
        return search(starter, spec, replace(intent, acts_until=0.0))

    patch.setattr(RunStarter, "_search", one_look)


def _one_candidate_is_no_proof(patch: pytest.MonkeyPatch) -> None:
    """Take a run that may be ours for ours."""
    is_ours = Candidate.is_ours.fget  # type: ignore[attr-defined]
    patch.setattr(Candidate, "is_ours", property(lambda candidate: is_ours(candidate) is not False))


def _clocks_differ(patch: pytest.MonkeyPatch) -> None:
    """Compare the vendor's times with our clock."""

    def by_our_clock(started: float | None, call_at: float, clock_ahead: float | None) -> bool:
        return started is not None and started < call_at

    for module in (starts, search):
        patch.setattr(module, "began_before", by_our_clock)


def _not_knowing_is_not_absence(patch: pytest.MonkeyPatch) -> None:
    """Take a store that cannot be read for an empty one."""
    patch.setattr(TaskStateRepository, "load", TaskStateRepository.peek)


def _one_odd_answer_ends_nothing(patch: pytest.MonkeyPatch) -> None:
    """Let a single answer refuse a wait, also one from a proxy and after good answers."""

    def at_once(wait: Wait, trouble: Trouble, lasted: float) -> bool:
        return trouble.kind in waiting._REFUSALS

    patch.setattr(Wait, "_is_refused", at_once)


def _struck_start(scenario: Scenario) -> bool:
    return any(struck.moment == "start" and struck.fault.applied for act in scenario.acts for struck in act.struck)


def _late_start(scenario: Scenario) -> bool:
    return any(struck.fault.kind == "apply_late" for act in scenario.acts for struck in act.struck)


def _rival_at_a_lost_start(scenario: Scenario) -> bool:
    return scenario.on_lost_start == "fail" and any(
        act.rival is not None and any(struck.moment == "start" for struck in act.struck) for act in scenario.acts
    )


def _lost_start_by_another_clock(scenario: Scenario) -> bool:
    return scenario.clock_ahead < 0 and (_struck_start(scenario) or not scenario.keeps_state)


def _store_away(scenario: Scenario) -> bool:
    return scenario.durable and any(act.store in ("away", "unreadable") for act in scenario.acts[1:])


def _odd_answer_to_a_look(scenario: Scenario) -> bool:
    return not scenario.wire_retries and any(
        struck.moment in ("look", "take_up") and struck.fault.status in (400, 403, 404, 405, 409)
        for act in scenario.acts
        for struck in act.struck
        if act.kind == "plain"
    )


@dataclass(frozen=True)
class Mutant:
    """A rule taken out.

    :param wants: scenarios in which the rule matters.
    :param findings: what the campaign must report of at least one of them.
    """

    take_out: Callable[[pytest.MonkeyPatch], None]
    wants: Callable[[Scenario], bool]
    vendors: tuple[str, ...]
    findings: frozenset[str]


TWICE = frozenset({"duplicate", "orphan"})
MUTANTS = {
    "who answered": Mutant(_who_answered, _struck_start, ("celery_director", "meiro"), TWICE),
    "may still act": Mutant(_may_still_act, _late_start, ("celery_director", "meiro"), TWICE),
    "one candidate is no proof": Mutant(
        _one_candidate_is_no_proof, _rival_at_a_lost_start, ("dataworq", "etlworks"), frozenset({"wrong adoption"})
    ),
    "clocks differ": Mutant(_clocks_differ, _lost_start_by_another_clock, ("meiro", "etlworks"), TWICE),
    "not knowing is not absence": Mutant(_not_knowing_is_not_absence, _store_away, ("meiro", "webrobot"), TWICE),
    "one odd answer ends nothing": Mutant(
        _one_odd_answer_ends_nothing, _odd_answer_to_a_look, ("celery_director", "meiro"), frozenset({"wrong end"})
    ),
}


def _play(mutant: Mutant) -> Result:
    result = Result(SEED)
    for vendor in mutant.vendors:
        hits = (n for n in itertools.count() if mutant.wants(draw(SEED, vendor, n)))
        for number in itertools.islice(hits, MOST):
            result.take(play(SEED, vendor, number))
            if mutant.findings & set(result.findings):
                return result
    return result


@pytest.mark.parametrize("rule", MUTANTS)
def test_without_this_rule_of_evidence_the_campaign_finds_the_fault(rule: str) -> None:
    mutant = MUTANTS[rule]
    with pytest.MonkeyPatch.context() as patch:
        mutant.take_out(patch)

        result = _play(mutant)

    assert mutant.findings & set(result.findings), f"{result.scenarios} scenarios: {dict(result.findings)}"
    found_at = result.failed[-1].scenario
    assert not play(SEED, found_at.vendor, found_at.number).problems, "with the rule, it is as it should be"
