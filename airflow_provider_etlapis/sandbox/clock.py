"""The sandbox's own clock, so that a wait of eight vendor hours is tested in seconds."""

from __future__ import annotations

import threading
import time


class Clock:
    """Wall-clock seconds (unix time) that a test may hurry along; it never runs backwards.

    :param start: unix time at which it starts; default: now
    :param speed: vendor seconds per real second. ``1`` is real time, ``60`` a minute a second, ``0`` a clock
        that stands still until ``advance`` is called, which makes a test independent of the machine's load
    """

    def __init__(self, *, start: float | None = None, speed: float = 1.0) -> None:
        if speed < 0:
            raise ValueError(f"speed must not be negative, got {speed}")
        self._lock = threading.Lock()
        self._speed = speed
        self._base = time.time() if start is None else start
        self._since = time.monotonic()

    def now(self) -> float:
        """Return the sandbox's unix time in seconds."""
        with self._lock:
            return self._now()

    def advance(self, seconds: float) -> float:
        """Let ``seconds`` pass at once; returns the new time."""
        if seconds < 0:
            raise ValueError(f"a clock does not run backwards, got {seconds}")
        with self._lock:
            self._rebase()
            self._base += seconds
            return self._base

    @property
    def speed(self) -> float:
        """Vendor seconds per real second; settable at any time, the time of day does not jump."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if speed < 0:
            raise ValueError(f"speed must not be negative, got {speed}")
        with self._lock:
            self._rebase()
            self._speed = speed

    def _now(self) -> float:
        return self._base + (time.monotonic() - self._since) * self._speed

    def _rebase(self) -> None:
        self._base = self._now()
        self._since = time.monotonic()
