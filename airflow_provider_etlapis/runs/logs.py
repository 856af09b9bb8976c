"""Copies lines of a remote log into the task's log: bounded, nothing in them invisible, and marked as the vendor's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from airflow_provider_etlapis.text import printable

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

    :param lines: as they came; of more than 1,000 at once the first ones are left out, a line is cut after 2,000
        characters, and control characters in it become escapes.
    """
    if len(lines) > MOST_LINES:
        log.info("[remote] (%d lines left out)", len(lines) - MOST_LINES)
    for line in lines[-MOST_LINES:]:
        # Cut first: a line may be of any length, and hold nothing but blanks.
        log.info("[remote] %s", printable(line[: LONGEST_LINE + 1].rstrip(), LONGEST_LINE))
