"""What a process can tell about itself while it waits: processor time, memory, and how long its loop was held up.

Standard library only: it also runs inside the rivals' environment.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
import selectors
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KIB = 1024


class TimedSelector(selectors.DefaultSelector):
    """Notes the longest stretch in which the event loop ran callbacks without coming back for news.

    That is the worst delay that any other trigger of the process can have suffered. A ticking task would find at
    most the same, only less exactly, and its own ticks would be a cost that dwarfs a cheap contestant's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        """Forget what was noted so far."""
        self.worst = 0.0
        self._since = time.perf_counter()

    def select(self, timeout: float | None = None) -> Any:
        """Wait for news as ever."""
        self.worst = max(self.worst, time.perf_counter() - self._since)
        ready = super().select(timeout)
        self._since = time.perf_counter()
        return ready


class Meter:
    """Measures this process from :meth:`start` on.

    :param selector: of the event loop that is measured.
    """

    def __init__(self, selector: TimedSelector) -> None:
        self._selector = selector
        self._cpu = 0.0
        self._idle_memory = 0
        self._idle_collection = 0.0

    def start(self) -> None:
        """Settle what start-up left behind, and begin."""
        gc.collect()
        began = time.perf_counter()
        gc.collect()  # what a collection costs that finds nothing: Airflow's own modules are most of what it walks
        self._idle_collection = time.perf_counter() - began
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        self._idle_memory = _status()["VmRSS"]
        self._cpu = cpu_seconds()
        self._selector.reset()

    def read(self) -> Mapping[str, float]:
        """Return what the time since :meth:`start` took."""
        cpu = cpu_seconds() - self._cpu
        return {
            "cpu_seconds": cpu,
            "idle_memory_bytes": self._idle_memory,
            "idle_collection_seconds": self._idle_collection,
            "memory_above_idle_bytes": max(0, _status()["VmHWM"] - self._idle_memory),
            "worst_stall_seconds": self._selector.worst,
        }


def new_loop(selector: TimedSelector) -> asyncio.AbstractEventLoop:
    """Return an event loop whose stalls are noted."""
    return asyncio.SelectorEventLoop(selector)


def cpu_seconds() -> float:
    """Return the processor time that this process has used, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _status() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line.endswith(" kB"))
    return {name: int(value.split()[0]) * _KIB for name, value in pairs}
