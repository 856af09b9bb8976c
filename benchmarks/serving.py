"""The server's process: one vendor on localhost behind TLS, told by lines of JSON what to do.

Commands, one a line on standard input, each answered by a line on standard output:
``{"do": "seed", "ends": [...], "start": t, "rate_limit": n}``, ``{"do": "count", "stretch": [from, to]}``.
It ends with its standard input.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_provider_etlapis.sandbox import sandbox_class
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from benchmarks.certificate import server_context
from benchmarks.rivals import STAND_INS
from benchmarks.vendors import VENDORS

_AGE = 60.0  # seconds for which the runs have been going on when the measuring begins


class Server:
    """One vendor and the book it keeps.

    :param vendor: a stand-in for a rival's vendor, or one of our sandboxes.
    """

    def __init__(self, vendor: str, certificate: Path) -> None:
        options: dict[str, Any] = {"tls": server_context(certificate), "keep_alive": True}
        self._ours = VENDORS.get(vendor)
        if vendor in STAND_INS:
            self._sandbox: VendorSandbox = STAND_INS[vendor](**options)
        elif self._ours is not None:
            self._sandbox = self._ours.sandbox(sandbox_class(self._ours.sandbox_name), options)
        else:
            raise LookupError(f"there is no vendor {vendor!r} to serve")
        self._sandbox.start()
        self._asked_before = self._connected_before = 0
        self._start = 0.0

    def connection(self) -> dict[str, Any]:
        """Return the Airflow connection to it."""
        fields = self._sandbox.connection()
        return self._ours.connection(fields) if self._ours else fields

    def seed(self, ends: Sequence[float], start: float, rate_limit: int | None) -> list[Any]:
        """Add runs that are going on, and return what their waits need to know.

        :param ends: seconds after ``start`` at which each ends.
        :param start: on the machine's monotonic clock.
        :param rate_limit: requests a minute that are enforced from now on; ``None`` only counts what would have been
            refused.
        """
        sandbox = self._sandbox
        refs: list[Any] = []
        sandbox.rate_limit = rate_limit
        self._start = start
        for index, end in enumerate(ends):
            life_left = start + end - time.monotonic()
            life = Life(duration=_AGE + life_left)
            if self._ours is not None:
                refs.append(self._ours.seed(sandbox, life, _AGE, index))
            else:
                refs.append(sandbox.seed_run(life, age=_AGE).id)
        ledger = sandbox.ledger
        self._asked_before, self._connected_before = ledger.count(), ledger.connections
        return refs

    def count(self, stretch: Sequence[float] = ()) -> dict[str, Any]:
        """Return what has been asked since the runs were added.

        :param stretch: from when to when to count once more, in seconds after the start; or empty.
        """
        ledger = self._sandbox.ledger
        records = ledger.requests[self._asked_before :]
        by_operation: dict[str, int] = {}
        for record in records:
            by_operation[record.operation] = by_operation.get(record.operation, 0) + 1
        after = [record.monotonic - self._start for record in records]
        in_window = sum(stretch[0] <= at < stretch[1] for at in after) if stretch else 0
        return {
            **({"requests_in_window": in_window} if stretch else {}),
            "requests": len(records),
            "requests_by_operation": by_operation,
            "tls_handshakes": ledger.connections - self._connected_before,
            "refused": sum(record.status == 429 for record in records),
            "over_600_a_minute": over_limit([record.monotonic for record in records], 600, 60.0),
            "requests_in_each_second": per_second(after),
        }

    def end_all(self) -> None:
        """Let every run come to its end now."""
        self._sandbox.clock.advance(max(run.life.duration for run in self._sandbox.ledger.runs))

    def close(self) -> None:
        """Stop serving."""
        self._sandbox.stop()


def over_limit(arrivals: Sequence[float], limit: int, window: float) -> int:
    """Return how many requests a limit would have refused, had it been enforced.

    :param arrivals: seconds, in order.
    """
    admitted: deque[float] = deque()
    refused = 0
    for at in arrivals:
        while admitted and admitted[0] <= at - window:
            admitted.popleft()
        if len(admitted) < limit:
            admitted.append(at)
        else:
            refused += 1
    return refused


def per_second(arrivals: Sequence[float]) -> list[int]:
    """Return how many arrived in each second from 0 on."""
    counts = [0] * (int(max(arrivals, default=0.0)) + 1)
    for at in arrivals:
        counts[max(0, int(at))] += 1
    return counts


def main() -> None:
    """Serve until standard input ends."""
    order = json.loads(sys.argv[1])
    server = Server(order["vendor"], Path(order["certificate"]))
    _tell(server.connection())
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "seed":
            _tell(server.seed(command["ends"], command["start"], command.get("rate_limit")))
        else:
            _tell(server.count(command["stretch"]))
    server.close()


def _tell(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
