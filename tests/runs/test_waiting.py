"""When a wait goes on and when it ends: a table, and properties that hold for any sequence of looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Step, Trouble, TroubleKind
from airflow_provider_etlapis.runs.waiting import Outcome, Verdict, Wait, WaitPolicy

REF = RunRef("vendor", {"id": "7"})


def run(state: RunState = RunState.RUNNING, word: str | None = None, *steps: Step) -> RemoteRun:
    return RemoteRun(REF, state, word or state.value, steps=steps)


def step(name: str, state: RunState) -> Step:
    return Step(name, state, state.value)


def trouble(kind: TroubleKind = TroubleKind.PASSING) -> Trouble:
    return Trouble(kind, f"a {kind} trouble")


def looks(wait: Wait, *told: tuple[float, Any]) -> Outcome:
    outcome = Outcome(Verdict.GO_ON)
    for now, what in told:
        outcome = wait.on_run(what, now) if isinstance(what, RemoteRun) else wait.on_trouble(what, now)
    return outcome


PASSING, MISSING, CREDENTIAL, WRONG, DEFECT = (
    trouble(TroubleKind(kind)) for kind in ("passing", "missing", "credential", "wrong", "defect")
)
ALIVE = run()


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        pytest.param([(0, ALIVE)], "go_on", id="alive"),
        pytest.param([(0, run(RunState.QUEUED))], "go_on", id="queued"),
        pytest.param([(0, run(RunState.UNKNOWN, "hibernating"))], "go_on", id="unknown_word"),
        pytest.param([(0, run(RunState.SUCCEEDED))], "done", id="succeeded"),
        pytest.param([(0, run(RunState.WARNING))], "done", id="warning"),
        pytest.param([(0, run(RunState.FAILED))], "done", id="failed"),
        pytest.param([(0, run(RunState.CANCELLED))], "done", id="cancelled"),
        pytest.param([(0, PASSING)], "go_on", id="one_blip_before_the_first_sight"),
        pytest.param([(0, PASSING), (99, PASSING)], "go_on", id="blips_within_patience"),
        pytest.param([(0, PASSING), (100, PASSING)], "gave_up", id="patience_over"),
        pytest.param([(0, PASSING), (99, ALIVE), (150, PASSING)], "go_on", id="an_answer_renews_patience"),
        pytest.param([(0, MISSING)], "go_on", id="not_there_yet"),
        pytest.param([(0, MISSING), (9, MISSING)], "go_on", id="missing_within_grace"),
        pytest.param([(0, MISSING), (10, MISSING)], "gone", id="grace_over"),
        pytest.param([(0, ALIVE), (5, MISSING), (15, MISSING)], "gone", id="gone_after_it_was_seen"),
        pytest.param([(0, MISSING), (9, PASSING), (18, MISSING)], "go_on", id="silence_is_no_word_that_it_is_gone"),
        pytest.param(
            [(0, MISSING), (9, PASSING), (18, MISSING), (27, PASSING), (100, MISSING)],
            "gave_up",
            id="trouble_of_changing_kinds_ends_too",
        ),
        pytest.param([(0, CREDENTIAL)], "refused", id="credential_that_never_worked"),
        pytest.param([(0, ALIVE), (5, CREDENTIAL)], "go_on", id="credential_that_worked_may_be_mended"),
        pytest.param([(0, ALIVE), (5, CREDENTIAL), (105, CREDENTIAL)], "gave_up", id="credential_not_mended"),
        pytest.param([(0, ALIVE), (5, WRONG)], "refused", id="request_refused"),
        pytest.param([(0, ALIVE), (5, DEFECT)], "gave_up", id="defect_of_ours"),
        pytest.param([(0, ALIVE), (1000, ALIVE)], "deadline", id="deadline_while_alive"),
        pytest.param([(950, PASSING), (1000, PASSING)], "deadline", id="deadline_in_a_short_outage"),
        pytest.param([(1001, run(RunState.SUCCEEDED))], "done", id="an_end_beats_the_deadline"),
    ],
)
def test_verdicts(told: list[tuple[float, Any]], verdict: str) -> None:
    wait = Wait(REF, WaitPolicy(deadline=1000, patience=100, grace=10))

    assert looks(wait, *told).verdict == verdict


def test_a_word_that_nobody_knows_is_warned_of_once_each() -> None:
    wait = Wait(REF, WaitPolicy())
    words = ["hibernating", "hibernating", "dreaming", "hibernating"]

    warnings = [wait.on_run(run(RunState.UNKNOWN, word), 0).warnings for word in words]

    assert [len(each) for each in warnings] == [1, 0, 1, 0]
    assert "'hibernating'" in warnings[0][0]


def test_a_line_is_told_when_something_changes_and_only_then() -> None:
    wait = Wait(REF, WaitPolicy())
    steps = [step("A", RunState.RUNNING), step("B", RunState.QUEUED), step("B", RunState.QUEUED)]
    done = [step("A", RunState.SUCCEEDED), step("B", RunState.QUEUED), step("B", RunState.RUNNING)]
    told = [
        wait.on_run(seen, 0).news
        for seen in (run(), run(), run(RunState.RUNNING, None, *steps), run(RunState.RUNNING, None, *done))
    ]

    assert told == [
        ("Run 7 is running",),
        (),
        ("Step A is running (0 of 3 steps ended)",),
        ("Step A is succeeded (1 of 3 steps ended)", "Step B is running (1 of 3 steps ended)"),
    ]


def test_an_outage_is_told_at_its_begin_and_its_end() -> None:
    wait = Wait(REF, WaitPolicy())
    wait.on_run(ALIVE, 0)

    assert len(wait.on_trouble(PASSING, 10).warnings) == 1
    assert wait.on_trouble(PASSING, 20).warnings == ()
    assert wait.on_run(ALIVE, 40).news == ("Polling works again after 30 s",)
    assert len(wait.on_trouble(PASSING, 50).warnings) == 1


def test_messages_say_what_became_of_the_run() -> None:
    gave_up = looks(Wait(REF, WaitPolicy(patience=60)), (0, PASSING), (60, PASSING))
    gone = looks(Wait(REF, WaitPolicy(grace=60)), (0, MISSING), (60, MISSING))
    late = looks(Wait(REF, WaitPolicy(deadline=5)), (6, run(RunState.RUNNING, "progress")))

    assert "for 60 s (poll_failure_budget=60 s)" in gave_up.message
    assert "Run 7 was left alone; a retry of this task attaches to it again" in gave_up.message
    assert "for 60 s that it does not know run 7" in gone.message
    assert "did not finish in time (deadline 1970-01-01T00:00:05Z); last status: progress" in late.message


def test_seconds_left() -> None:
    assert Wait(REF, WaitPolicy(deadline=10)).seconds_left(4) == 6
    assert Wait(REF, WaitPolicy()).seconds_left(4) is None


class AnyWait(RuleBasedStateMachine):
    """Any sequence of looks: what the wait says must follow from what it was told."""

    @initialize()
    def begin(self) -> None:
        self.policy = WaitPolicy(deadline=10_000, patience=900, grace=60)
        self.wait = Wait(REF, self.policy)
        self.now = 0.0
        self.outcome = Outcome(Verdict.GO_ON)
        self.last: RemoteRun | Trouble | None = None
        self.trouble_since: float | None = None
        self.words: list[str] = []

    @precondition(lambda self: self.outcome.verdict is not Verdict.GO_ON)
    @rule()
    def begin_anew(self) -> None:
        self.begin()

    @precondition(lambda self: self.outcome.verdict is Verdict.GO_ON)
    @rule(
        state=st.sampled_from(RunState),
        word=st.sampled_from(["a", "b", "success", "SUCCESS"]),
        later=st.floats(0, 2000),
    )
    def see(self, state: RunState, word: str, later: float) -> None:
        self.now += later
        self.last = replace(run(state), vendor_status=word)
        self.trouble_since = None
        self.outcome = self.wait.on_run(self.last, self.now)
        self.words += [word for line in self.outcome.warnings if "not known here" in line]

    @precondition(lambda self: self.outcome.verdict is Verdict.GO_ON)
    @rule(kind=st.sampled_from(TroubleKind), later=st.floats(0, 500))
    def fail(self, kind: TroubleKind, later: float) -> None:
        self.now += later
        self.last = trouble(kind)
        self.trouble_since = self.now if self.trouble_since is None else self.trouble_since
        self.outcome = self.wait.on_trouble(self.last, self.now)
        if self.now - self.trouble_since >= self.policy.patience:
            assert self.outcome.verdict is not Verdict.GO_ON, "no outage outlasts the budget"

    @precondition(lambda self: self.outcome.verdict is Verdict.GO_ON)
    @rule(later=st.floats(0, 3000))
    def pass_time(self, later: float) -> None:
        self.now += later
        self.outcome = self.wait.on_clock(self.now)

    @invariant()
    def only_a_terminal_state_is_an_end(self) -> None:
        seen = isinstance(self.last, RemoteRun) and self.last.state.is_terminal
        if self.outcome.verdict is Verdict.DONE:
            assert seen
        elif seen:
            raise AssertionError("an end was not noticed")

    @invariant()
    def giving_up_takes_the_budget_or_a_defect(self) -> None:
        if self.outcome.verdict is Verdict.GAVE_UP:
            assert isinstance(self.last, Trouble)
            assert self.trouble_since is not None
            spent = self.now - self.trouble_since >= self.policy.patience
            assert spent or self.last.kind is TroubleKind.DEFECT

    @invariant()
    def the_deadline_holds(self) -> None:
        if self.now >= 10_000:
            assert self.outcome.verdict is not Verdict.GO_ON

    @invariant()
    def a_word_is_warned_of_once(self) -> None:
        assert len(self.words) == len(set(self.words))

    @invariant()
    def an_end_says_why(self) -> None:
        if self.outcome.verdict not in (Verdict.GO_ON, Verdict.DONE):
            assert self.outcome.message


TestAnyWait = AnyWait.TestCase
