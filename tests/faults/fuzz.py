"""Waits, starts and kills of all vendors against a server that spoils answers at random, beside a healthy connection.

``uv run python -m tests.faults.fuzz --minutes 60 [--seed N]``: in a process like a worker, and in an event loop like a
triggerer's. Whatever the server does, tasks end well or with an error of this package, the healthy connection's runs
are seen as soon as before, and memory stays as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import multiprocessing
import os
import random
import secrets
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from statistics import mean, median
from typing import Any
from unittest import mock

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

try:
    import structlog
except ImportError:  # Airflow 2 has Python's own loggers only
    structlog = None  # type: ignore[assignment]

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.triggers import cancel_queue, guard
from airflow_provider_etlapis.triggers.releases import KILLS_ARE_TOLD
from tests.contract.row import Row
from tests.faults.campaign import VENDORS
from tests.faults.fuzz_server import HEALTHY, serve
from tests.support.airflow_context import FakeStateStore, FakeTaskInstance, context_of
from tests.support.rehearsal import ProcessGoneError
from tests.support.releases import without_handover
from tests.wire.hostile import kilobytes, stopwatch

LOOK = 0.1
"""Seconds between two looks at a run."""
PLAYERS = 2
"""Tasks of one vendor at a time, of each colour."""
_TYPED = (EtlApiError, AirflowFailException)
_OPTIONS = {
    "retries": 1,
    "requests_per_minute": 100_000,
    "connect_timeout": 1,
    "read_timeout": 1,
    "total_timeout": 3,
}


@dataclass
class Report:
    """What a run of the fuzz has seen.

    :param lags: seconds from a healthy run's end to its event, before and while the others are fuzzed.
    :param stalls: the longest turn of the event loop in each stretch of five seconds.
    :param megabytes: resident memory, once in five seconds.
    """

    seed: str
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lags_before: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    stalls_before: list[float] = field(default_factory=list)
    stalls: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    spoiled: int = 0

    @property
    def growth(self) -> float:
        """Megabytes by which the last third is above the second: by the first, everything has happened once."""
        third = max(1, len(self.megabytes) // 3)
        return mean(self.megabytes[-third:]) - mean(self.megabytes[third : 2 * third] or self.megabytes)

    def lines(self) -> list[str]:
        """Return the figures as lines."""
        ends = ", ".join(f"{name} {count}" for name, count in self.ends.most_common())
        return [
            f"tasks {sum(self.ends.values())}, answers spoiled {self.spoiled}, seed {self.seed}",
            f"ends: {ends}",
            f"untyped errors and defects: {len(self.wrong)}",
            f"healthy connection's lag, median and most: before {_two(self.lags_before)}, beside {_two(self.lags)} s "
            f"({len(self.lags)} runs)",
            f"longest turn of the event loop, median and most of 5 s: before {_two(self.stalls_before)}, "
            f"beside {_two(self.stalls)} s",
            f"memory: {self.megabytes[0]:.0f} MB at first, {self.megabytes[-1]:.0f} MB at the end, at most "
            f"{max(self.megabytes):.0f} MB; last third above the second: {self.growth:.1f} MB",
        ]


def _two(values: list[float]) -> str:
    return f"{median(values):.2f} and {max(values):.2f}" if values else "none"


class _Defects(logging.Handler):
    """Notes what nobody has foreseen: a watcher that failed, an exception that nobody has taken."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.ERROR)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] and not isinstance(record.exc_info[1], _TYPED):
            self._report.wrong.append(
                f"logged: {record.getMessage()}\n{''.join(traceback.format_exception(record.exc_info[1]))}"
            )


class Fuzz:
    """One process as a triggerer or as a worker, against the servers of another one."""

    def __init__(self, report: Report, connections: dict[str, dict[str, Any]]) -> None:
        self.report = report
        self._dice = random.Random(f"{report.seed}/client")
        self._pool = ThreadPoolExecutor(3 * PLAYERS * len(VENDORS))
        for name, connection in connections.items():
            extra = {**connection.get("extra", {}), **_OPTIONS}
            os.environ[f"AIRFLOW_CONN_FUZZ_{name.upper()}"] = json.dumps({**connection, "extra": extra})

    async def be_triggerer(self, seconds: float, before: float) -> None:
        """Watch the healthy connection alone for a while, then beside deferred tasks of all vendors."""
        report = self.report
        await self._watch(before, report.lags_before, report.stalls_before)
        playing = asyncio.create_task(self._play(seconds, deferrable=True))
        await self._watch(seconds, report.lags, report.stalls)
        await playing

    async def be_worker(self, seconds: float) -> None:
        """Play tasks of all vendors that wait on the worker."""
        await self._play(seconds, deferrable=False)

    async def _play(self, seconds: float, *, deferrable: bool) -> None:
        self._ends_at = time.monotonic() + seconds
        rows = [row for row in VENDORS.values() for _ in range(PLAYERS)]
        await asyncio.gather(*(self._go_on(row, deferrable=deferrable) for row in rows))

    async def _watch(self, seconds: float, lags: list[float], stalls: list[float]) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            async with stopwatch() as late:
                stretch = time.monotonic() + 5
                while time.monotonic() < stretch:
                    lags.append(await self._lag())
            stalls.append(max(late))
            self.report.megabytes.append(kilobytes("VmRSS") / 1000)

    async def _lag(self) -> float:
        """Return the seconds from a healthy run's end until its trigger's event."""
        row = VENDORS["celery_director"]
        operator = row.operator(
            task_id="healthy",
            deferrable=True,
            poll_interval=LOOK,
            celery_director_conn_id=f"fuzz_{HEALTHY}",
            **row.inputs[0],
        )
        ti = FakeTaskInstance("healthy")
        began = time.monotonic()
        deferred = await self._in_thread(_deferral_of, operator, context_of(ti, FakeStateStore()))
        trigger = _trigger_of(deferred, ti)
        event = await anext(trigger.run())
        if event.payload.get("state") != "succeeded":
            self.report.wrong.append(f"healthy run: {event.payload}")
        return max(0.0, time.monotonic() - began - 0.5)

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def _go_on(self, row: Row, *, deferrable: bool) -> None:
        while time.monotonic() < self._ends_at:
            kind = "deferred" if deferrable else "sync"
            try:
                end = await self._one_task(row, deferrable=deferrable, killed=self._dice.random() < 0.3)
            except _TYPED as error:
                end = type(error).__name__
            except Exception as error:  # noqa: BLE001 what is looked for
                end = f"UNTYPED {type(error).__name__}"
                self.report.wrong.append(f"{row.vendor} {kind}: {''.join(traceback.format_exception(error))}")
            self.report.ends[f"{kind} {end}"] += 1

    async def _one_task(self, row: Row, *, deferrable: bool, killed: bool) -> str:
        ti, store = FakeTaskInstance("fuzzed", retries=1), FakeStateStore()

        def make() -> Any:
            return row.operator(
                task_id="fuzzed",
                deferrable=deferrable,
                poll_interval=LOOK,
                poll_failure_budget=2,
                timeout=5,
                **{row.hook.conn_name_attr: f"fuzz_{row.vendor}"},
                **row.inputs[0],
            )

        operator = make()
        if not deferrable:
            return str(await self._in_thread(_execute, operator, ti, store, killed))
        try:
            deferred = await self._in_thread(_deferral_of, operator, context_of(ti, store))
        except _EndedAtOnceError:
            return "well"
        trigger = _trigger_of(deferred, ti)
        waiting = asyncio.create_task(_first(trigger))
        if killed:
            await asyncio.wait([waiting], timeout=self._dice.random())
            if not waiting.done():
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting
                if KILLS_ARE_TOLD:
                    await trigger.on_kill()
                return "killed"
        event = await waiting
        if "watcher failed" in json.dumps(event):
            self.report.wrong.append(f"{row.vendor}: {event}")
        await self._in_thread(
            lambda: make().resume_execution(
                deferred.method_name, {**(deferred.kwargs or {}), "event": event}, context_of(ti, store)
            )
        )
        return "well"


class _EndedAtOnceError(Exception):
    """The run had ended before the task could be deferred."""


def _execute(operator: Any, ti: FakeTaskInstance, store: FakeStateStore, killed: bool) -> str:
    def on_push(key: str) -> None:
        if killed and key == "remote_run":
            raise ProcessGoneError

    ti.on_push = on_push
    try:
        operator.execute(context_of(ti, store))
    except ProcessGoneError:
        operator.on_kill()
        return "killed"
    return "well"


def _deferral_of(operator: Any, context: Any) -> TaskDeferred:
    try:
        operator.execute(context)
    except TaskDeferred as deferred:
        return deferred
    raise _EndedAtOnceError


def _trigger_of(deferred: TaskDeferred, ti: FakeTaskInstance) -> Any:
    _, arguments = deferred.trigger.serialize()
    trigger = type(deferred.trigger)(**without_handover(arguments))
    trigger.task_instance = ti
    return trigger


async def _first(trigger: Any) -> dict[str, Any]:
    async with asyncio.timeout(30):
        event = await anext(trigger.run())
    return dict(event.payload)


@contextlib.contextmanager
def _process(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """Run a function in an interpreter of its own; its last argument is a pipe, and so is what it is reached by."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(5)
        if process.is_alive():
            process.terminate()
        process.join()


@contextlib.contextmanager
def _stage(report: Report) -> Iterator[None]:
    """Let lost starts settle soon, each kill be a person's, and everything unforeseen that is logged be noted."""
    with contextlib.ExitStack() as stack:
        for name in ("ACTS_AFTER_ANSWER", "ACTS_AFTER_CLOSE", "ACTS_AFTER_TIMEOUT"):
            stack.enter_context(mock.patch.object(evidence, name, 0.2))
        stack.enter_context(mock.patch.object(guard, "_state_of", return_value="failed"))
        stack.enter_context(mock.patch.multiple(cancel_queue, PERSISTENCE=2.0, PAUSE=0.2))
        stack.enter_context(mock.patch.dict(os.environ))
        handler = _Defects(report)
        for name in ("airflow_provider_etlapis", "asyncio", "airflow.task"):
            logger = logging.getLogger(name)
            logger.addHandler(handler)
            stack.callback(logger.removeHandler, handler)
        yield


def _work(seed: str, connections: dict[str, dict[str, Any]], seconds: float, pipe: Connection) -> None:
    _be_quiet()
    report = Report(seed)
    with _stage(report):
        asyncio.run(Fuzz(report, connections).be_worker(seconds))
    pipe.send((report.ends, report.wrong))


def fuzz(seed: str, seconds: float, before: float = 10.0) -> Report:
    """Play for a while and return what was seen.

    :param before: seconds for which the healthy connection is watched alone, for comparison.
    """
    report = Report(seed)
    with _process(serve, seed) as servers:
        connections = servers.recv()
        with _stage(report), _process(_work, seed, connections, before + seconds) as worker:
            asyncio.run(Fuzz(report, connections).be_triggerer(seconds, before))
            ends, wrong = worker.recv()
        report.ends += ends
        report.wrong += wrong
        servers.send("spoiled")
        report.spoiled = servers.recv()
    return report


def _be_quiet() -> None:
    """Let the tasks' and triggers' lines go nowhere: there are hundreds a second."""
    for name in ("airflow_provider_etlapis", "airflow", "urllib3", "asyncio"):
        logging.getLogger(name).propagate = False
        logging.getLogger(name).addHandler(logging.NullHandler())
    if structlog is not None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def main() -> int:
    """Play, print the figures; the exit code is 1 if anything untyped was raised or logged."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", default=str(secrets.randbelow(10**6)), help="default: a new one, printed at the end")
    chosen = parser.parse_args()
    _be_quiet()
    report = fuzz(chosen.seed, 60 * chosen.minutes, before=min(60.0, 30 * chosen.minutes))
    for wrong in report.wrong[:20]:
        print(wrong)
    print("\n".join(report.lines()))
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
