"""The suite itself: a sixth vendor passes it, and each way in which that vendor can be wrong is caught."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.mutants.table import LEAST, MUTANTS, ROW, Mutant

pytestmark = pytest.mark.xdist_group("mutants")  # played once, whoever runs these tests

HERE = Path(__file__).parent
SUITE = sorted(str(path) for path in HERE.glob("test_*.py") if path.name != Path(__file__).name)
_VARIANTS = "|".join(each.row.variant for each in (*MUTANTS, Mutant(LEAST, "")))

Outcomes = dict[str, str]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcomes]:
    """How tests ended for the sixth vendor and for its mutants, each played by a pytest of its own."""
    folder = tmp_path_factory.mktemp("outcomes")
    program = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "tests.contract.mutants.plugin"]
    under_way = {}
    for what, workers in (("vendor", "2"), ("mutants", "0")):
        arguments = ["-n", workers, "--play", what, "--outcomes", str(folder / what), *SUITE]
        log = (folder / f"{what}.log").open("w")
        under_way[what] = subprocess.Popen([*program, *arguments], cwd=HERE.parent.parent, stdout=log, stderr=log)
    found = {}
    for what, process in under_way.items():
        process.wait(timeout=300)
        assert (folder / what).exists(), (folder / f"{what}.log").read_text()[-3000:]
        found[what] = json.loads((folder / what).read_text())
    return found


def ends_of(outcomes: Outcomes, row: str, test: str) -> list[str]:
    """Return how the cases of a test ended for a row."""
    case = re.compile(rf"::{re.escape(test)}\[(\w+-)?{re.escape(row)}(-(?!{_VARIANTS}).*)?\]")
    return [outcome for node, outcome in outcomes.items() if case.search(node)]


def test_the_sixth_vendor_passes_the_suite(played: dict[str, Outcomes]) -> None:
    least = [node for node in played["vendor"] if LEAST.name in node]
    assert len(least) > 50
    assert len(played["vendor"]) - len(least) > 150
    assert {node for node, outcome in played["vendor"].items() if outcome != "passed"} == set()


def test_the_sixth_vendor_passes_each_test_that_catches_a_mutant(played: dict[str, Outcomes]) -> None:
    for each in MUTANTS:
        assert set(ends_of(played["mutants"], ROW.name, each.caught_by)) == {"passed"}, each.caught_by


@pytest.mark.parametrize("mutant", MUTANTS, ids=[each.row.variant for each in MUTANTS])
def test_a_mutant_is_caught(played: dict[str, Outcomes], mutant: Mutant) -> None:
    assert "failed" in ends_of(played["mutants"], mutant.row.name, mutant.caught_by)
