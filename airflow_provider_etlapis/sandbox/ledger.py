"""What happened at a sandbox, so that a test can count requests, starts, cancels, connections and logins."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_etlapis.sandbox.runs import Run, RunTable


@dataclass
class RequestRecord:
    """One request. Header values, secret query values and the bodies of logins are not kept.

    ``at`` is the sandbox clock, ``monotonic`` the machine's; ``status`` is ``None`` until answered, and stays so
    for a connection closed with no answer. ``fault`` is the kind of the injected fault that hit it, if one did.
    """

    operation: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    header_names: frozenset[str]
    at: float
    body: bytes = field(default=b"", repr=False)
    monotonic: float = field(default_factory=time.monotonic)
    status: int | None = None
    fault: str | None = None


class Ledger:
    """Thread-safe book of everything that a sandbox was asked and did.

    :param runs: the sandbox's runs
    :param now: the sandbox's time
    """

    def __init__(self, runs: RunTable, now: Callable[[], float]) -> None:
        self._lock = threading.Lock()
        self._runs = runs
        self._now = now
        self._requests: list[RequestRecord] = []
        self._starts: list[str] = []
        self._cancels: list[str] = []
        self._connections = 0
        self._logins = 0

    def note_request(self, record: RequestRecord) -> None:
        """Write down a request at its arrival."""
        with self._lock:
            self._requests.append(record)

    def note_start(self, run_id: str) -> None:
        """Write down that a request made this run."""
        with self._lock:
            self._starts.append(run_id)

    def note_cancel(self, run_id: str) -> None:
        """Write down that a cancel of this run was accepted."""
        with self._lock:
            self._cancels.append(run_id)

    def note_connection(self) -> None:
        """Write down that a TCP connection was accepted."""
        with self._lock:
            self._connections += 1

    def note_login(self) -> None:
        """Write down that a token was issued for a password."""
        with self._lock:
            self._logins += 1

    @property
    def requests(self) -> list[RequestRecord]:
        """All requests in order of arrival."""
        with self._lock:
            return list(self._requests)

    @property
    def starts(self) -> list[str]:
        """Ids of the runs that requests made, relaunches included, in order."""
        with self._lock:
            return list(self._starts)

    @property
    def cancels(self) -> list[str]:
        """Run ids of the accepted cancels in order, repeated ones included."""
        with self._lock:
            return list(self._cancels)

    @property
    def connections(self) -> int:
        """How many TCP connections were accepted."""
        with self._lock:
            return self._connections

    @property
    def logins(self) -> int:
        """How many tokens were issued for a password."""
        with self._lock:
            return self._logins

    @property
    def runs(self) -> list[Run]:
        """All runs, seeded ones included, the first started first."""
        return list(self._runs)

    def live_runs(self) -> list[Run]:
        """Return the runs that the vendor calls queued or running now."""
        now = self._now()
        return [run for run in self._runs if run.is_live(now)]

    def count(self, operation: str | None = None) -> int:
        """Return how many requests came, all or those of one operation."""
        return len([record for record in self.requests if operation in (None, record.operation)])

    def requests_between(self, t0: float, t1: float, operation: str | None = None) -> list[RequestRecord]:
        """Return the requests that arrived at ``t0 <= at < t1`` of the sandbox clock."""
        return [r for r in self.requests if t0 <= r.at < t1 and operation in (None, r.operation)]

    def peak(self, window: float, operation: str | None = None) -> int:
        """Return the largest number of requests in any ``window`` real seconds: what a rate limit is about."""
        recent: deque[float] = deque()
        most = 0
        for record in self.requests:
            if operation not in (None, record.operation):
                continue
            recent.append(record.monotonic)
            while recent[0] <= record.monotonic - window:
                recent.popleft()
            most = max(most, len(recent))
        return most
