"""What becomes of a run is a pure function of its script and the time."""

from __future__ import annotations

import math

import pytest

from airflow_provider_etlapis.sandbox.lives import Life, latest, story, timeline

CHAIN = ("EXTRACT", "TRANSFORM", "LOAD")


def phases(life: Life, now: float, **options: object) -> tuple[str, list[str]]:
    line = timeline(life, 0.0, **options)  # type: ignore[arg-type]  # passed on as given
    return latest(line.run, now).phase, [latest(step.changes, now).phase for step in line.steps]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (0, ("queued", ["waiting", "waiting", "waiting"])),
        (2, ("running", ["running", "waiting", "waiting"])),
        (5, ("running", ["success", "running", "waiting"])),
        (8, ("running", ["success", "success", "running"])),
        (11, ("success", ["success", "success", "success"])),
    ],
)
def test_a_good_run_goes_through_its_steps_in_order(now, expected):
    assert phases(Life(duration=9, queued=2, steps=CHAIN), now) == expected


def test_the_run_ends_after_its_last_step_by_the_closing_time():
    life = Life(duration=10, steps=("A",), closing=1)

    assert phases(life, 9.5) == ("running", ["success"])
    assert phases(life, 10) == ("success", ["success"])


def test_steps_after_a_failed_one_wait_for_ever():
    life = Life(duration=4, outcome="error", steps=CHAIN, failing_step="TRANSFORM")

    assert phases(life, 3.9) == ("running", ["success", "running", "waiting"])
    assert phases(life, 1e9) == ("error", ["success", "error", "waiting"])


def test_without_a_name_the_last_step_fails():
    assert phases(Life(duration=3, outcome="error", steps=CHAIN), 3)[1] == ["success", "success", "error"]


def test_companions_of_a_failed_step_work_on_while_the_run_says_error():
    life = Life(duration=4, outcome="error", steps=("A", ("B", "C")), failing_step="B")

    assert phases(life, 4) == ("error", ["success", "error", "running"])
    assert phases(life, 5) == ("error", ["success", "error", "success"])


def test_one_of_two_steps_with_one_name_fails():
    assert phases(Life(1, "error", steps=(("A", "A"),), failing_step="A"), 9)[1] == ["error", "success"]


def test_canceled_by_somebody_else_ends_every_open_step():
    life = Life(duration=4, outcome="canceled", steps=("A", ("B", "C"), "D"), failing_step="B")

    assert phases(life, 4) == ("canceled", ["success", "canceled", "canceled", "canceled"])


def test_a_warning_lets_the_later_steps_run():
    life = Life(duration=3, outcome="warning", steps=CHAIN, failing_step="EXTRACT")

    assert phases(life, 3) == ("warning", ["warning", "success", "success"])


def test_a_run_can_end_before_any_step_was_touched():
    assert phases(Life(0, "error", steps=CHAIN, runs_steps=False), 1) == ("error", ["waiting"] * 3)


@pytest.mark.parametrize(
    ("life", "phase"),
    [(Life(duration=math.inf, steps=CHAIN), "running"), (Life(queued=math.inf, steps=CHAIN), "queued")],
)
def test_a_run_may_never_end(life, phase):
    assert phases(life, 1e12)[0] == phase


def test_the_vendor_may_change_its_mind_afterwards():
    life = Life(duration=1, afterwards=((2, "error"),))

    assert phases(life, 2.9)[0] == "success"
    assert phases(life, 3)[0] == "error"


def test_a_cancel_that_works_stops_everything_where_it_is():
    life = Life(duration=9, steps=CHAIN)

    assert phases(life, 100, cancelled_at=4.0) == ("canceled", ["success", "canceled", "canceled"])


def test_a_cancel_of_an_ended_run_rewrites_its_word_and_no_step():
    assert phases(Life(duration=3, steps=CHAIN), 9, cancelled_at=5.0) == ("canceled", ["success"] * 3)


def test_after_a_cancel_that_stops_nothing_the_work_overwrites_the_word():
    life = Life(duration=9, steps=CHAIN)
    canceled = {"cancelled_at": 4.0, "cancel_stops_work": False}

    assert phases(life, 5, **canceled) == ("canceled", ["success", "canceled", "canceled"])
    assert phases(life, 7, **canceled) == ("canceled", ["success", "success", "running"])
    assert phases(life, 9, **canceled) == ("success", ["success"] * 3)


def test_a_story_tells_what_happened_so_far():
    line = timeline(Life(duration=2, steps=("A", "B")), 0.0)

    assert story(line, 1.5) == [(0.0, "A: running"), (1.0, "A: success"), (1.0, "B: running")]


@pytest.mark.parametrize(
    "script",
    [
        {"outcome": "melted"},
        {"duration": -1},
        {"queued": math.nan},
        {"closing": math.inf},
        {"afterwards": ((1, "melted"),)},
        {"steps": ("A",), "failing_step": "B"},
    ],
)
def test_a_script_that_makes_no_sense_is_refused(script):
    with pytest.raises(ValueError, match=r"must be|not among"):
        Life(**script)
