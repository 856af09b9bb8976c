"""Plays many scenarios and counts what the judge finds."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.contract.row import Row
from tests.contract.rows import ROWS
from tests.faults.judge import Problem, judge
from tests.faults.scenario import Scenario, draw
from tests.faults.world import TryNeverEndsError, World

VENDORS: dict[str, Row] = {row.vendor: row for row in ROWS}


@dataclass(frozen=True)
class Played:
    """A scenario and what was wrong with it."""

    scenario: Scenario
    problems: tuple[Problem, ...]
    kinds: tuple[str, ...]

    def report(self) -> str:
        """Return the scenario with all that makes it again."""
        lines = [f"{problem.finding}: {problem.text}" for problem in self.problems]
        return "\n".join([*lines, f"  {self.scenario}", f"  again: {self.scenario.command}"])


@dataclass
class Result:
    """The counts of a campaign."""

    seed: str
    scenarios: int = 0
    tries: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    failed: list[Played] = field(default_factory=list)
    seconds: float = 0.0

    def take(self, played: Played) -> None:
        """Count one scenario in."""
        self.scenarios += 1
        self.tries += len(played.kinds)
        self.kinds.update(played.kinds)
        self.findings.update(problem.finding for problem in played.problems)
        if played.problems:
            self.failed.append(played)

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return self.scenarios > 0 and not self.failed

    def line(self) -> str:
        """Return the counts as one line."""
        found = self.findings
        return (
            f"scenarios {self.scenarios}, tries {self.tries}, duplicates {found['duplicate']}, "
            f"orphans {found['orphan']}, wrong end states {found['wrong end']}, "
            f"wrong adoptions {found['wrong adoption']}, leaks {found['leak']}, "
            f"{self.seconds:.0f} s, seed {self.seed}"
        )


def play(seed: str, vendor: str, number: int) -> Played:
    """Play and judge one scenario."""
    scenario = draw(seed, vendor, number)
    world = World(scenario, VENDORS[vendor])
    try:
        world.play()
        problems = tuple(judge(world))
    except (TryNeverEndsError, RuntimeError, AssertionError) as error:
        number_of_try = len(world.tries)
        problems = (Problem("wrong end", f"try {number_of_try}: {type(error).__name__}: {error}"),)
    return Played(scenario, problems, tuple(now.act.kind for now in world.tries))


def campaign(
    seed: str,
    numbers: Iterable[int],
    vendors: Iterable[str] = tuple(VENDORS),
    *,
    processes: int = 1,
    told: Callable[[Result], None] = lambda result: None,
) -> Result:
    """Play scenarios of these numbers, each number with each vendor.

    :param told: called after each scenario.
    """
    began = time.monotonic()
    result = Result(seed)
    jobs = [(seed, vendor, number) for number in numbers for vendor in vendors]
    for played in _played(jobs, processes):
        result.take(played)
        result.seconds = time.monotonic() - began
        told(result)
    return result


def _played(jobs: list[tuple[str, str, int]], processes: int) -> Iterator[Played]:
    if processes == 1:
        yield from (play(*job) for job in jobs)
        return
    # Fresh interpreters: a fork would take threads' locks along.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_play, jobs, chunksize=8)


def _play(job: tuple[str, str, int]) -> Played:
    return play(*job)
