"""The contestant's process: many triggers in one event loop, as in a triggerer, and a meter.

Talks JSON lines with the benchmark: it says when it is warm, is told the runs and the start, and says what it saw.
Measured from the start on; imports, the first TLS context and one wait to warm up are over by then.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.measure import Meter, TimedSelector, cpu_seconds, new_loop

_LOADING_SECONDS = 1.0
_GRACE_SECONDS = 180.0  # reading a thousand runs one by one takes 100 s at 600 requests a minute


class Waits:
    """The waits of one heat and what came of them.

    :param interval: seconds between two polls.
    """

    def __init__(self, contestant: Contestant, interval: float) -> None:
        self._contestant = contestant
        self._interval = interval
        self.seen: dict[int, float] = {}
        self.failures: Counter[str] = Counter()

    async def run(self, runs: list[Any], start: float, window: float) -> None:
        """Load the triggers within a second, as a triggerer does at most, and wait for all of their events."""
        tasks = []
        for index, run in enumerate(runs):
            late = start + _LOADING_SECONDS * index / len(runs) - time.monotonic()
            if late > 0.01:
                await asyncio.sleep(late)
            tasks.append(asyncio.create_task(self._one(index, run)))
        _, pending = await asyncio.wait(tasks, timeout=window + _GRACE_SECONDS)
        for task in pending:
            task.cancel()
        if pending:
            self.failures[f"no event {_GRACE_SECONDS:.0f} s after the last end"] += len(pending)
            await asyncio.wait(pending, timeout=10)

    async def _one(self, index: int, run: Any) -> None:
        trigger = self._contestant.make(run, self._interval, self._contestant.hook)
        try:
            told = False
            async for event in trigger.run():  # to its end, as a triggerer does
                if told:
                    continue
                told = True
                if self._contestant.ended_well(event.payload):
                    self.seen[index] = time.monotonic()
                else:
                    self.failures[_reason(event.payload)] += 1
            if not told:
                self.failures["ended without an event"] += 1
        except Exception as error:  # noqa: BLE001 whatever a trigger dies of is a result here
            self.failures[_short(f"{type(error).__name__}: {error}")] += 1


def main() -> None:
    """Play one contestant."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what others print is not for the channel
    order = json.loads(sys.stdin.readline())
    contestant = CONTESTANTS[order["contestant"]]
    _log_as_a_triggerer_does()
    look_ups = _count_connection_look_ups()
    selector = TimedSelector()
    loop = new_loop(selector)
    asyncio.set_event_loop(loop)
    warm = Waits(contestant, order["interval"])
    loop.run_until_complete(warm.run([order["warm_up"]], time.monotonic(), 0.0))
    loop.run_until_complete(asyncio.sleep(0.5))  # what the warm-up leaves behind may close
    if warm.failures:
        _tell(channel, {"error": f"the warm-up failed: {dict(warm.failures)}"})
        return
    _tell(channel, {"warm": True})
    heat = json.loads(sys.stdin.readline())
    waits = Waits(contestant, order["interval"])
    meter = Meter(selector)
    look_ups.clear()
    meter.start()
    readings_at: list[float] = []
    for at in heat["read_at"]:
        loop.call_later(heat["start"] + at - time.monotonic(), lambda: readings_at.append(cpu_seconds()))
    loop.run_until_complete(waits.run(heat["runs"], heat["start"], order["window"]))
    loop.run_until_complete(asyncio.sleep(0.2))
    readings = meter.read()
    lags = [at - heat["start"] - heat["ends"][index] for index, at in waits.seen.items()]
    found = {
        **readings,
        "cpu_readings": readings_at,
        "lags": sorted(lags),
        "failures": dict(waits.failures),
        "look_ups": sum(look_ups.values()),
    }
    _tell(channel, found)


def _reason(payload: Any) -> str:
    return _short(str(payload["message"] if isinstance(payload, dict) and "message" in payload else payload))


def _short(text: str) -> str:
    """Return a reason without the numbers that make each one different."""
    return re.sub(r"(?<=[/:])\d+|\d{4,}|(?<=run )\d+", "N", text.replace("127.0.0.1", "localhost"))[:200]


def _log_as_a_triggerer_does() -> None:
    """Format log lines for a supervisor that reads none: what contestants log is part of their cost."""
    from airflow.sdk.log import configure_logging

    sink: BinaryIO = Path(os.devnull).open("wb", buffering=0)  # noqa: SIM115 the loggers keep it to the end
    configure_logging(json_output=True, output=sink, sending_to_supervisor=True)
    logging.getLogger().setLevel(logging.INFO)


def _count_connection_look_ups() -> Counter[str]:
    from airflow.sdk.execution_time import context

    counted: Counter[str] = Counter()
    for name in ("_get_connection", "_async_get_connection"):
        real = getattr(context, name)
        setattr(context, name, _counting(real, counted, name))
    return counted


def _counting(real: Any, counted: Counter[str], name: str) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        counted[name] += 1
        return real(*args, **kwargs)

    return call


def _tell(channel: BinaryIO, value: Any) -> None:
    channel.write(json.dumps(value).encode() + b"\n")
    channel.flush()


if __name__ == "__main__":
    main()
