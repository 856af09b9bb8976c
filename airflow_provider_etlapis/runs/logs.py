"""Copies lines of a remote log into the task's log: bounded, and marked as the vendor's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

LONGEST_LINE = 2000
MOST_LINES = 1000


class TaskLog(Protocol):
    """A task's or a trigger's log."""

    def info(self, event: Any, *args: Any) -> Any:
        """Write a line."""

    def warning(self, event: Any, *args: Any) -> Any:
        """Write a line that someone should look at."""


def tell_log(log: TaskLog, lines: Sequence[str]) -> None:
    """Write remote log lines to a log.

    :param lines: as they came; of more than 1,000 at once the first ones are left out, and a line is cut after
        2,000 characters.
    """
    if len(lines) > MOST_LINES:
        log.info("[remote] (%d lines left out)", len(lines) - MOST_LINES)
    for line in lines[-MOST_LINES:]:
        text = line.rstrip()
        log.info("[remote] %s", text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}...")
