"""The benchmark cannot fail silently, and the figures that are shown are those that were measured."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import imports, pages, stack
from benchmarks.heat import Ending, Heat
from benchmarks.measure import Meter, TimedSelector, new_loop
from benchmarks.report import is_complete
from benchmarks.serving import over_limit
from benchmarks.watching import QUICK, WHOLE

ROOT = Path(__file__).parent.parent.parent
FIGURES = ROOT / "docs" / "benchmarks"


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_the_pages_show_what_was_measured(page: Path) -> None:
    text = page.read_text()

    assert pages.filled(text) == text, "run: uv run --group bench python -m benchmarks report"


def test_the_page_of_the_benchmark_has_all_figures() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()

    assert {name for name in pages.BLOCKS if pages.marks(name)[0] in text} == set(pages.BLOCKS) - {"summary"}


def test_what_is_stored_is_whole_and_was_measured_in_one_run() -> None:
    found = json.loads((FIGURES / "watching.json").read_text())

    assert is_complete(found)
    assert {heat["contestant"] for heat in found["heats"]} == set(WHOLE.contestants)
    assert (FIGURES / "watching.png").stat().st_size > 10_000


def test_what_is_stored_of_the_real_airflow_is_of_five_hundred_tasks_of_each() -> None:
    found = json.loads((FIGURES / "stack.json").read_text())

    assert found["tasks"] == 500
    assert [heat["contestant"] for heat in found["contestants"]] == list(stack.SENSORS)


def test_an_import_of_the_operators_stays_within_its_bound() -> None:
    found = json.loads((FIGURES / "imports.json").read_text())

    assert set(found["ours"]) == set(imports.our_modules()) | {"all together"}
    for name, figures in found["ours"].items():
        assert figures["milliseconds"] <= 60, name
        assert figures["heavy"] == [], name


def test_operators_and_sensors_bring_no_http_library_along() -> None:
    modules = [module for modules in imports.our_modules().values() for module in modules]
    code = imports._CODE.format(modules=modules, heavy=imports.HEAVY)

    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)

    _, _, heavy = json.loads(next(line[1:] for line in ran.stdout.splitlines() if line.startswith("@")))
    assert heavy == []


def test_a_contestant_that_misses_ends_or_is_not_measured_shows() -> None:
    good: dict[str, Any] = {"ours": True, "ends_seen": 3, "runs": 3}

    assert is_complete({"heats": [good]})
    assert not is_complete({"heats": [good, {**good, "ends_seen": 2}]})
    assert not is_complete({"heats": [good, {**good, "error": "it did not start"}]})
    assert is_complete({"heats": [good, {**good, "ours": False, "ends_seen": 0}]}), "a rival's loss is a result"


def test_all_contestants_meet_the_same_ends() -> None:
    first, second = (Heat(name, 100, 60.0, 10.0).ends() for name in ("dbt_cloud", "meiro"))

    assert first == second
    assert 0 <= min(first) < 5 < 55 < max(first) <= 60
    assert Heat("meiro", 3, 40.0, 10.0, Ending.NONE).ends() == [40.0] * 3
    few = Heat("meiro", 1000, 40.0, 10.0, Ending.FEW).ends()
    assert 80 < sum(end < 40.0 for end in few) < 190, "40 of 300 seconds"
    assert max(few) == 40.0


def test_requests_over_a_limit_are_counted_as_a_server_would_refuse_them() -> None:
    assert over_limit([0.1 * number for number in range(600)], 600, 60.0) == 0
    assert over_limit([0.0] * 700, 600, 60.0) == 100
    assert over_limit([0.0] * 600 + [59.9, 60.1], 600, 60.0) == 1


def test_a_held_up_event_loop_is_noticed_and_idle_time_is_not() -> None:
    selector = TimedSelector()
    loop = new_loop(selector)

    async def hold_up() -> None:
        await asyncio.sleep(1.0)
        time.sleep(0.08)  # noqa: ASYNC251 the very fault that is measured
        await asyncio.sleep(1.0)

    try:
        meter = Meter(selector)
        meter.start()
        loop.run_until_complete(hold_up())
        figures = meter.read()
    finally:
        loop.close()

    assert 0.08 <= figures["worst_stall_seconds"] < 1.0
    assert figures["cpu_seconds"] < 1.0


def test_the_whole_plan_has_every_contestant_at_a_thousand_and_rivals_and_ours_take_turns() -> None:
    heats = [heat for group in WHOLE.rounds() for heat in group]
    plain = [heat for heat in heats if heat.runs == 1000 and heat.ending is Ending.ALL and heat.rate_limit is None]

    assert {heat.contestant for heat in plain} == set(WHOLE.contestants) - {"dataworq"}
    assert [heat.contestant for heat in plain][:4] == ["dbt_cloud", "celery_director", "airbyte", "meiro"]
    assert {heat.runs for group in QUICK.rounds() for heat in group} == {1, 100}
