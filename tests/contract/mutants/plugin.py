"""Puts the sixth vendor and its mutants in the place of the suite's rows, and writes down how each test ended.

For a pytest of its own: ``pytest -p tests.contract.mutants.plugin --play mutants|vendor --outcomes FILE TESTS``.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.contract import rows
from tests.contract.mutants.table import LEAST, MUTANTS, ROW
from tests.contract.row import Row
from tests.support import rehearsal

MOST_CASES = 2
CLAIMS_MATTER = ("test_beside", "test_claims", "test_ends", "test_events", "test_kills", "test_tries")

rehearsal.LONGEST_TRY = 3.0  # a mutant may never end

_outcomes: dict[str, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, help="file for the outcome of each test")
    parser.addoption("--play", choices=["mutants", "vendor"], help="the mutants, or the whole suite for the vendor")


@pytest.hookimpl(tryfirst=True)  # before the suite's conftest reads the rows
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    plays_vendor = early_config.known_args_namespace.play == "vendor"
    rows.ROWS = (ROW, LEAST) if plays_vendor else (ROW, *(each.row for each in MUTANTS))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what is to be played, of tests with many cases a few."""
    plays_vendor = config.getoption("play") == "vendor"
    cases: Counter[tuple[object, ...]] = Counter()
    kept = []
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        name, row = getattr(item, "originalname", ""), params.get("row")
        if row is None or not (_tells(row, item) if plays_vendor else _must_catch(row, name, item.name)):
            continue
        cases[name, row.name, params.get("deferrable")] += 1
        if cases[name, row.name, params.get("deferrable")] <= MOST_CASES:
            kept.append(item)
    items[:] = kept


def _tells(row: Row, item: pytest.Item) -> bool:
    """Say whether a test may come out differently for a vendor that claims little."""
    return row.name == ROW.name or item.path.stem in CLAIMS_MATTER


def _must_catch(row: Row, test: str, case: str) -> bool:
    """Say whether a case is one that a mutant is caught by; the vendor itself has to pass those of all mutants."""
    of_row = [each for each in MUTANTS if row.name in (ROW.name, each.row.name)]
    return any(test == each.caught_by and each.case in case for each in of_row)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed or report.when == "call":
        seen = _outcomes.get(report.nodeid)
        _outcomes[report.nodeid] = "failed" if "failed" in (seen, report.outcome) else report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (path := session.config.getoption("outcomes")) is not None and not hasattr(session.config, "workerinput"):
        path.write_text(json.dumps(_outcomes))
