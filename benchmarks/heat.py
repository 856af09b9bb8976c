"""One heat: one contestant, one number of runs, one server; each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.contestants import CONN_ID, CONTESTANTS
from benchmarks.environment import REPOSITORY

_SETTLED = 5.0  # seconds after the start: by then all triggers are loaded and have asked once, if they do at once
_LONGEST_RUN = 300.0
_LEAD = 1.0  # seconds between telling a contestant its runs and their start


class Ending(StrEnum):
    """How many of the runs end while the window is open; what is left then ends with it, all at once."""

    ALL = "all"
    """At random moments in the window."""
    FEW = "few"
    """At random moments within five minutes, of which the window is the beginning."""
    NONE = "none"
    """None, as while a vendor stands still."""


@dataclass(frozen=True)
class Heat:
    """What is measured.

    :param contestant: key of the contestant.
    :param runs: how many runs are waited for.
    :param window: seconds at whose end the last runs end.
    :param ending: how many end in it.
    :param interval: seconds between two polls.
    :param rate_limit: requests a minute that the server enforces; ``None`` only counts.
    :param seed: of the ends.
    """

    contestant: str
    runs: int
    window: float
    interval: float
    ending: Ending = Ending.ALL
    rate_limit: int | None = None
    seed: int = 1

    def ends(self) -> list[float]:
        """Return the moments of the ends, in seconds after the start; alike for all contestants."""
        if self.ending is Ending.NONE:
            return [self.window] * self.runs
        drawn = random.Random(f"{self.seed}/{self.runs}")
        longest = self.window if self.ending is Ending.ALL else _LONGEST_RUN
        return [min(self.window, drawn.uniform(0.0, longest)) for _ in range(self.runs)]

    def measured_once_more(self) -> list[float]:
        """Return from when to when requests and processor time are counted by themselves, in seconds after the start.

        With few ends, that is all of the window, the loading of the triggers included; with none, what comes after it.
        """
        if self.ending is Ending.ALL:
            return []
        return [0.0 if self.ending is Ending.FEW else _SETTLED, self.window]


class HeatError(Exception):
    """A heat that gave no figures."""


class Talk:
    """A process that answers lines of JSON."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._name = command[-2]
        self._stderr = log.open("wb")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            cwd=REPOSITORY,
            text=True,
        )

    def say(self, value: Any) -> None:
        """Send one line."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        """Return the next line.

        :raises HeatError: if the process ended instead.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            tail = self._log.read_text(errors="replace")[-2000:]
            raise HeatError(f"{self._name} ended with {self.process.returncode}: {tail}")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._stderr.close()


def run_heat(
    heat: Heat, rivals_python: Path, certificate: Path, when_warm: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Measure one heat and return its figures.

    :param when_warm: called when both processes have started up, before the measuring begins; may block.
    :raises HeatError: if there are none.
    """
    contestant = CONTESTANTS[heat.contestant]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place = Path(folder)
        order = {"vendor": contestant.vendor, "certificate": str(certificate)}
        server = stack.enter_context(_talk("benchmarks.serving", sys.executable, place, {}, json.dumps(order)))
        connection = server.hear()
        server.say({"do": "seed", "ends": [-1.0], "start": time.monotonic()})
        [warm_up] = server.hear()
        environment = {
            f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(connection),
            "SSL_CERT_FILE": str(certificate),
            "REQUESTS_CA_BUNDLE": str(certificate),
            "AIRFLOW_HOME": folder,
            "_AIRFLOW_PROCESS_CONTEXT": "client",
        }
        python = sys.executable if contestant.is_ours else str(rivals_python)
        client = stack.enter_context(_talk("benchmarks.client", python, place, environment, ""))
        task = {"contestant": heat.contestant, "interval": heat.interval, "window": heat.window, "warm_up": warm_up}
        client.say(task)
        if "error" in (told := client.hear()):
            raise HeatError(told["error"])
        when_warm()
        load = os.getloadavg()[0]
        ends = heat.ends()
        start = time.monotonic() + _LEAD + heat.runs / 2000
        server.say({"do": "seed", "ends": ends, "start": start, "rate_limit": heat.rate_limit})
        stretch = heat.measured_once_more()
        client.say({"runs": server.hear(), "ends": ends, "start": start, "read_at": stretch})
        seen = client.hear()
        server.say({"do": "count", "stretch": stretch})
        counted = server.hear()
    about = {"label": contestant.label, "ours": contestant.is_ours, "load_before": round(load, 2)}
    return {**asdict(heat), **about, **_summed(seen), **counted}


def _summed(seen: Mapping[str, Any]) -> dict[str, Any]:
    lags: list[float] = seen["lags"]
    told = {name: value for name, value in seen.items() if name not in ("lags", "cpu_readings")}
    if seen["cpu_readings"]:
        first, last = seen["cpu_readings"]
        told["cpu_seconds_in_window"] = last - first
    quantiles: dict[str, float | None] = {"p50": None, "p95": None, "max": None}
    if lags:
        quantiles = {"p50": _at(lags, 0.5), "p95": _at(lags, 0.95), "max": lags[-1]}
    return {**told, "ends_seen": len(lags), "lag_seconds": quantiles}


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextlib.contextmanager
def _talk(module: str, python: str, folder: Path, environment: Mapping[str, str], argument: str) -> Iterator[Talk]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    whole = {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "", **environment}
    talk = Talk([python, "-m", module, argument], whole, folder / f"{module}.log")
    try:
        yield talk
    finally:
        talk.close()
