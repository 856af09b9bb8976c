"""Which ends of runs are news: decided without a vendor, a clock or Airflow."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow_provider_etlapis.runs.ended import (
    LONGEST_BACKOFF,
    LONGEST_RUN,
    LONGEST_SPREAD,
    OVERLAP,
    SPACING,
    Mark,
    Pace,
    Spread,
    newly_ended,
)
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, Trouble, TroubleKind

NOW = 1795348800.0


def run(
    run_id: str, *, ended: float | None = None, started: float | None = None, state: RunState = RunState.SUCCEEDED
) -> RemoteRun:
    def moment(at: float | None) -> datetime | None:
        return None if at is None else datetime.fromtimestamp(at, UTC)

    return RemoteRun(RunRef("vendor", {"id": run_id}), state, state.value, started=moment(started), ended=moment(ended))


def going(run_id: str, started: float) -> RemoteRun:
    return run(run_id, started=started, state=RunState.RUNNING)


def through_store(mark: Mark) -> Mark:
    return Mark.from_json(json.loads(json.dumps(mark.to_json())))


def told(mark: Mark | None, *runs: RemoteRun, at: float = NOW, **more: Any) -> tuple[Mark, list[str]]:
    news = newly_ended(mark, runs, at, **more)
    return through_store(news.mark), [each.ref.run_id for each in news.runs]


def test_what_had_ended_before_the_first_look_is_not_told() -> None:
    mark, first = told(None, run("a", ended=NOW - 5))
    assert first == []
    assert told(mark, run("a", ended=NOW - 5), at=NOW + 1)[1] == []


def test_an_end_is_told_once_and_the_earliest_first() -> None:
    mark, _ = told(None)
    runs = [run("late", ended=NOW + 9), run("early", ended=NOW + 3)]
    mark, first = told(mark, *runs, at=NOW + 10)
    assert first == ["early", "late"]
    assert told(mark, *runs, at=NOW + 20)[1] == []


def test_two_ends_of_the_same_second_are_two() -> None:
    mark, _ = told(None)
    mark, first = told(mark, run("a", ended=NOW), at=NOW + 1)
    _, second = told(mark, run("a", ended=NOW), run("b", ended=NOW), at=NOW + 2)
    assert (first, second) == (["a"], ["b"])


def test_an_end_that_is_shown_late_or_by_a_clock_behind_ours_is_told() -> None:
    mark, _ = told(None, at=NOW)
    mark, _ = told(mark, at=NOW + 60)
    assert told(mark, run("a", ended=NOW - OVERLAP + 70), at=NOW + 120)[1] == ["a"]


def test_an_old_end_that_was_not_seen_going_is_not_told() -> None:
    mark, _ = told(None)
    assert told(mark, run("old", ended=NOW - OVERLAP - 1), at=NOW + 1)[1] == []


def test_the_end_of_a_run_that_was_seen_going_is_told_however_old() -> None:
    mark, _ = told(None, going("a", NOW - 7200))
    mark, _ = told(mark, going("a", NOW - 7200), at=NOW + 3 * OVERLAP)
    assert told(mark, run("a", ended=NOW + 1), at=NOW + 9 * OVERLAP)[1] == ["a"]


def test_a_run_that_never_ends_is_not_followed_for_ever() -> None:
    mark, _ = told(None, going("stuck", NOW))
    assert "stuck" in mark.going
    mark, _ = told(mark, going("stuck", NOW), at=NOW + LONGEST_RUN + 1)
    assert not mark.going


def test_a_run_that_is_gone_is_not_followed() -> None:
    mark, _ = told(None, going("a", NOW))
    assert not told(mark, gone={"a"}, at=NOW + 1)[0].going


def test_without_end_times_each_run_is_told_once_for_as_long_as_it_is_shown() -> None:
    mark, _ = told(None, run("a"))
    mark, first = told(mark, run("a"), run("b"), at=NOW + 60)
    for minutes in range(2, 60):
        mark, again = told(mark, run("a"), run("b"), at=NOW + 60 * minutes)
        assert again == []
    assert first == ["b"]


def test_what_ended_while_nobody_looked_is_told_after_a_restart() -> None:
    mark, _ = told(None)
    assert told(mark, run("a", ended=NOW + 7200), at=NOW + 86_400)[1] == ["a"]


def test_a_bad_end_is_not_told_and_not_a_success_later() -> None:
    mark, _ = told(None)
    wanted = {"wanted": lambda run: run.state.is_good}
    mark, first = told(mark, run("a", ended=NOW + 1, state=RunState.CANCELLED), at=NOW + 2, **wanted)
    _, second = told(mark, run("a", ended=NOW + 3), at=NOW + 4, **wanted)
    assert (first, second) == ([], [])


def test_what_is_left_for_later_is_told_later_even_from_before_the_overlap() -> None:
    mark, _ = told(None, going("slow", NOW))
    runs = [run("slow", ended=NOW + 1), *(run(f"r{number}", ended=NOW + 2 + number) for number in range(3))]
    seen: list[str] = []
    for look in range(4):
        mark, now = told(mark, *runs, at=NOW + 86_400 + look, share=lambda count: min(1, count))
        assert len(now) == 1
        seen += now
    assert seen == ["slow", "r0", "r1", "r2"]


def test_the_memory_of_told_ends_does_not_grow() -> None:
    mark, _ = told(None)
    for second in range(0, 3600, 10):
        mark, _ = told(mark, run(f"r{second}", ended=NOW + second), at=NOW + second)
    assert len(mark.told) <= OVERLAP / 10 + 1


def test_any_order_of_looks_and_restarts_tells_each_end_once() -> None:
    draw = random.Random(7)
    for _ in range(50):
        spread, seen = Spread(), []
        ends = sorted(NOW + draw.uniform(1, 1000) for _ in range(30))
        mark, _ = told(None)
        at = NOW
        while at < NOW + 1200:
            at += draw.choice([1, 5, 30, 200])
            shown = [
                run(f"{number}", ended=float(int(end))) if end <= at else going(f"{number}", end - 20)
                for number, end in enumerate(ends)
                if end - 20 <= at
            ]
            draw.shuffle(shown)
            mark, now = told(mark, *shown, at=at, share=partial(spread.share, now=at))
            seen += now
        for _ in range(40):
            at += SPACING
            shown = [run(f"{number}", ended=float(int(end))) for number, end in enumerate(ends)]
            mark, now = told(mark, *shown, at=at, share=partial(spread.share, now=at))
            seen += now
        assert sorted(seen, key=int) == [str(number) for number in range(30)]


def test_a_position_is_written_when_something_has_changed() -> None:
    mark, _ = told(None)
    assert mark.is_news_to(None)
    quiet, _ = told(mark, at=NOW + 10)
    assert not quiet.is_news_to(mark)
    assert told(mark, run("a", ended=NOW + 1), at=NOW + 10)[0].is_news_to(mark)
    assert told(mark, going("a", NOW + 1), at=NOW + 10)[0].is_news_to(mark)
    assert told(mark, at=NOW + 2 * OVERLAP)[0].is_news_to(mark)


def test_few_events_are_spaced_and_many_are_done_in_time_the_last_alone() -> None:
    spread = Spread()
    assert [spread.share(3, 0.0), spread.share(2, 1.0), spread.share(2, SPACING)] == [1, 0, 1]
    spread, left, at = Spread(), 1000, 0.0
    shares = []
    while left:
        shares.append(spread.share(left, at))
        left -= shares[-1]
        at += SPACING
    assert shares[-1] == 1
    assert shares[0] == 1000 * SPACING / LONGEST_SPREAD


def test_trouble_is_told_once_asked_less_and_less_often_and_its_end_told_once() -> None:
    pace = Pace("flow 1", 10.0, draw=lambda: 1.0)
    trouble = Trouble(TroubleKind.PASSING, "503")
    lines = [pace.on_trouble(trouble, float(now)) for now in range(9)]
    assert "503" in str(lines[0])
    assert lines[1:] == [None] * 8
    assert pace.due == 8 + LONGEST_BACKOFF
    assert "again" in str(pace.on_answer(100.0))
    assert pace.on_answer(110.0) is None
    assert pace.due == 110.0 + 10.5


def test_a_short_interval_does_not_hurry_a_vendor_in_trouble() -> None:
    pace = Pace("flow 1", 0.01, draw=lambda: 0.0)
    for now in range(4):
        pace.on_trouble(Trouble(TroubleKind.DEFECT, "no"), float(now))
    assert pace.due == 3 + 4.0
