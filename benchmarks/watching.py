"""The whole comparison: which heats are run, in which order, and what is kept of them."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.certificate import write_certificate
from benchmarks.contestants import CONTESTANTS, OURS, RIVALS
from benchmarks.environment import rival_versions, rivals_python
from benchmarks.heat import Ending, Heat, HeatError, run_heat

INTERVAL = 10.0
_SIDE_BY_SIDE = 100  # heats of so few runs leave the machine idle: several are run at a time
_AT_A_TIME = 5
_LIMIT = 600
_WINDOW = 38.0  # seconds in which few runs or none end: everybody has asked four times, nobody a fifth


@dataclass(frozen=True)
class Plan:
    """What one run of the benchmark measures.

    :param sizes: numbers of runs, each with the seconds over which their ends are spread.
    :param contestants: keys, all by default.
    :param largest_for: who is measured at more than 1,000 runs: the others have shown by then what they cost.
    :param few_end: who is measured once more with how many runs of which few end in the window.
    :param none_ends: the same, of which none ends in it.
    :param limited: who is measured once more at 1,000 runs with the limit enforced.
    """

    sizes: Mapping[int, float]
    contestants: Sequence[str] = tuple(CONTESTANTS)
    largest_for: Sequence[str] = ()
    few_end: Sequence[tuple[str, int]] = ()
    none_ends: Sequence[tuple[str, int]] = ()
    limited: Sequence[str] = ()

    def rounds(self) -> Iterator[list[Heat]]:
        """Yield the heats in groups that are run at the same time, rivals and ours in turn."""
        for size, window in self.sizes.items():
            heats = [
                Heat(name, size, window, INTERVAL)
                for name in _in_turn(self.contestants)
                if size in (CONTESTANTS[name].sizes or (size,)) and (size <= 1000 or name in self.largest_for)
            ]
            yield from _in_groups(heats)
        if 1000 not in self.sizes:
            return
        for ending, who in ((Ending.FEW, self.few_end), (Ending.NONE, self.none_ends)):
            for size in sorted({size for _, size in who}):
                heats = [
                    Heat(name, size, _WINDOW, INTERVAL, ending)
                    for name, its_size in who
                    if its_size == size and name in self.contestants
                ]
                yield from _in_groups(heats)
        for name in self.limited:
            if name in self.contestants:
                yield [Heat(name, 1000, self.sizes[1000], INTERVAL, rate_limit=_LIMIT)]


_WITH_A_LIST = (
    *(("dbt_cloud", 1000), ("celery_director", 1000), ("meiro", 1000), ("webrobot", 1000)),
    *(("dbt_cloud", 100), ("dataworq", 100)),
)
WHOLE = Plan(
    {1: 30.0, 100: 40.0, 1000: 40.0, 5000: 40.0},
    largest_for=("dbt_cloud", "celery_director", "meiro", "webrobot"),
    few_end=_WITH_A_LIST,
    none_ends=(*_WITH_A_LIST, ("etlworks_admin", 1000)),
    limited=("dbt_cloud",),
)
QUICK = Plan({1: 20.0, 100: 20.0})


def _in_groups(heats: Sequence[Heat]) -> Iterator[list[Heat]]:
    """Yield what is run at the same time: heats of few runs by fives, heats of many runs alone."""
    step = _AT_A_TIME if heats and heats[0].runs <= _SIDE_BY_SIDE else 1
    yield from (list(heats[first : first + step]) for first in range(0, len(heats), step))


def run(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Run all heats and return everything that is kept.

    :param say: told of each heat as it ends.
    """
    python = rivals_python()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        certificate = write_certificate(Path(folder))
        for heats in plan.rounds():
            for result in _side_by_side(heats, python, certificate):
                results.append(result)
                say(told(result))
    return {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {
            "apache-airflow": version("apache-airflow"),
            "aiohttp": version("aiohttp"),
            **rival_versions(python),
        },
        "interval_seconds": INTERVAL,
        "heats": results,
    }


def _side_by_side(heats: Sequence[Heat], python: Path, certificate: Path) -> list[dict[str, Any]]:
    """Run heats at the same time, the measuring of each beginning when all have started up."""
    barrier = threading.Barrier(len(heats))

    def one(heat: Heat) -> dict[str, Any]:
        try:
            return run_heat(heat, python, certificate, lambda: barrier.wait(300))
        except (HeatError, threading.BrokenBarrierError) as error:
            barrier.abort()
            about = CONTESTANTS[heat.contestant]
            return {
                **{"contestant": heat.contestant, "label": about.label, "ours": about.is_ours, "runs": heat.runs},
                **{"ending": heat.ending, "rate_limit": heat.rate_limit},
                **{"error": f"{type(error).__name__}: {error}"[-1000:]},
            }

    with ThreadPoolExecutor(len(heats)) as pool:
        return list(pool.map(one, heats))


def told(result: Mapping[str, Any]) -> str:
    """Return one line about a heat, for whoever watches."""
    about = f"{result['label']}, {result['runs']} runs"
    if result.get("rate_limit"):
        about += f", {result['rate_limit']} requests a minute enforced"
    if result["ending"] != Ending.ALL:
        about += f", of which {result['ending']} end in the window"
    if "error" in result:
        return f"{about}: NOT MEASURED: {result['error']}"
    lost = result["runs"] - result["ends_seen"]
    line = (
        f"{about}: {result['requests']} requests, {result['tls_handshakes']} TLS handshakes, "
        f"{result['cpu_seconds']:.2f} CPU s, {result['memory_above_idle_bytes'] / 1e6:.1f} MB, "
        f"stall {result['worst_stall_seconds'] * 1000:.0f} ms, lag p95 {result['lag_seconds']['p95']} s"
    )
    return f"{line}; {lost} ENDS NOT SEEN: {result['failures']}" if lost else line


def save(found: Mapping[str, Any], path: Path) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


def _in_turn(names: Sequence[str]) -> list[str]:
    """Return rivals and ours by turns, so that neither meets a warmer machine."""
    rivals, ours = [name for name in names if name in RIVALS], [name for name in names if name in OURS]
    turns = []
    for index in range(max(len(rivals), len(ours))):
        turns += rivals[index : index + 1] + ours[index : index + 1]
    return turns
