"""Runs the core suite on every row and prints one line each; the exit code is 1 if a row that counts has failed."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from airflow_provider_etlapis.demo.cache import cache_dir
from airflow_provider_etlapis.demo.stack import clean_environment
from tests.matrix.environment import CHECKOUT, EnvironmentFailedError, environment
from tests.matrix.rows import ROWS, Row, chosen

NOT_CORE = frozenset({"benchmarks", "browser", "demo", "faults", "matrix", "stack", "support"})
"""Folders whose tests need a running stack, a real Director or a browser, take long, or hold no tests."""
WITHOUT_AIRFLOW = frozenset({"runs", "sandbox", "vendors", "wire"})
"""Folders of the core suite that come out alike on every Airflow, and not on every Python or library."""
ALIKE = frozenset(
    {
        "contract/test_beside.py",
        "contract/test_claims.py",
        "contract/test_look_back.py",
        "contract/test_mutants.py",
        "contract/test_patience.py",
        "contract/test_proof.py",
        "contract/test_sent_once.py",
    }
)
"""Files that judge answers of vendors and proxies: they come out alike on every Airflow too, and are many."""
LONGEST = 1500.0


@dataclass(frozen=True)
class Result:
    """What came of one row."""

    passed: int
    failed: tuple[str, ...]
    skipped: int
    fault: str = ""
    """Why there is no result: the environment, or a suite that did not run to its end."""

    @property
    def is_good(self) -> bool:
        """Whether the package holds on this row."""
        return self.passed > 0 and not self.failed and not self.fault


def main() -> int:
    """Run the rows one after the other."""
    options = _parser().parse_args()
    rows = chosen(options.only, options.python, lowest=options.lowest)
    if options.list or not rows:
        print("\n".join(f"{row.name}{'  (informational)' if row.informational else ''}" for row in rows or ROWS))
        return 0 if rows else 2
    good = True
    for row in rows:
        began = time.monotonic()
        try:
            python = environment(row, renew=options.renew)
        except EnvironmentFailedError as error:
            result = Result(0, (), 0, fault=str(error))
        else:
            made, began = time.monotonic() - began, time.monotonic()
            if made > 1:
                print(f"{row.name}: environment made in {made:.0f} s", flush=True)
            result = _suite(row, python, options.tests, options.workers)
        _tell(row, result, time.monotonic() - began)
        good = good and (result.is_good or row.informational)
    return 0 if good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--only", metavar="AIRFLOW", help="one Airflow, such as 2.11.2")
    parser.add_argument("--python", metavar="VERSION", help="one Python, such as 3.12")
    parser.add_argument("--lowest", action="store_true", help="only the row with the lowest releases declared")
    parser.add_argument("--workers", default="3", help="test processes at a time (default: 3)")
    parser.add_argument("--renew", action="store_true", help="make the environments anew")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("tests", nargs="*", help="tests to run instead of the core suite")
    return parser


def _suite(row: Row, python: Path, tests: list[str], workers: str) -> Result:
    if not tests:
        left_out = ["contract/test_mutants.py"] if row.whole else sorted(ALIKE)
        tests = [str(each.relative_to(CHECKOUT)) for each in _core(row)]
        tests += [f"--ignore=tests/{name}" for name in left_out]
    with tempfile.TemporaryDirectory(prefix="etlapis-matrix-") as folder:
        report = Path(folder) / "report.xml"
        argv = [str(python), "-m", "pytest", "-q", "-o", f"cache_dir={folder}/cache", f"--junitxml={report}", *tests]
        beside_others = ["-n", workers, "--dist", "loadgroup"]
        alone = ["-n", "1", "--dist", "loadgroup", "--last-failed", "--last-failed-no-failures", "none"]
        env = clean_environment(Path(folder) / "airflow")
        with _log_of(row).open("w") as log:
            try:
                _run([*argv, *beside_others], env, log)
                first = _read(report)
                if not first.failed:
                    return first
                # What fails beside others on a busy machine is told, and has one more chance alone.
                print(f"{row.name}: {len(first.failed)} failed, once more and alone: {', '.join(first.failed[:5])}")
                _run([*argv, *alone], env, log)
            except subprocess.TimeoutExpired:
                return Result(0, (), 0, fault=f"not done within {LONGEST:.0f} s")
        return replace(first, passed=first.passed + _read(report).passed, failed=_read(report).failed)


def _run(argv: list[str], env: dict[str, str], log: IO[str]) -> None:
    subprocess.run(
        argv, cwd=CHECKOUT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, timeout=LONGEST
    )


def _core(row: Row) -> list[Path]:
    """Return the folders of the row's suite, and the test files beside them."""
    below = sorted((CHECKOUT / "tests").iterdir())
    left_out = NOT_CORE if row.whole else NOT_CORE | WITHOUT_AIRFLOW
    folders = [each for each in below if each.is_dir() and each.name not in left_out and any(each.rglob("test_*.py"))]
    return [*folders, *(each for each in below if each.match("test_*.py"))]


def _read(report: Path) -> Result:
    if not report.exists():
        return Result(0, (), 0, fault="the suite did not start")
    cases = list(ElementTree.parse(report).iter("testcase"))
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    names = tuple(f"{case.get('classname')}::{case.get('name')}" for case in bad)
    return Result(len(cases) - len(bad) - skipped, names, skipped)


def _tell(row: Row, result: Result, seconds: float) -> None:
    verdict = "ok" if result.is_good else ("FAILED (informational)" if row.informational else "FAILED")
    counts = f"{result.passed} passed, {len(result.failed)} failed, {result.skipped} skipped"
    print(f"{row.name:<28} {counts:<42} {seconds:5.0f} s  {verdict}", flush=True)
    for name in result.failed[:20]:
        print(f"    {name}")
    if result.fault:
        print(f"    {result.fault}")
    if not result.is_good:
        print(f"    all of it: {_log_of(row)}", flush=True)


def _log_of(row: Row) -> Path:
    return cache_dir() / "matrix" / f"{row.name}.log"


if __name__ == "__main__":
    sys.exit(main())
