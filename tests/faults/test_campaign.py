"""A small campaign for each vendor in every test run; the whole one is ``python -m tests.faults``."""

from __future__ import annotations

import pytest

from tests.faults.campaign import VENDORS, campaign, play
from tests.faults.scenario import draw

SEED = "2026"
SCENARIOS = 40


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("vendor", VENDORS)
def test_every_promise_is_kept_whatever_goes_wrong(vendor: str, part: int) -> None:
    result = campaign(SEED, range(part, SCENARIOS, 4), [vendor])

    assert result.scenarios == SCENARIOS // 4
    assert result.is_good, "\n".join(played.report() for played in result.failed)


def test_a_seed_makes_the_same_scenario_again() -> None:
    assert [draw("7", "meiro", number) for number in range(50)] == [draw("7", "meiro", number) for number in range(50)]
    assert len({str(draw("7", "meiro", number)) for number in range(50)}) > 45


def test_a_report_names_the_command_that_plays_the_scenario_again() -> None:
    played = play("7", "meiro", 3)

    assert "python -m tests.faults --seed 7 --vendor meiro --only 3" in played.report()
