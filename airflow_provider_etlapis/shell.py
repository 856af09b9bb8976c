"""What the commands print: answers to standard output, everything else to standard error."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from airflow_provider_etlapis.runs.model import RemoteRun


def columns(out: TextIO, rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns of one width each."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(line_of(row, widths), file=out)


def line_of(row: Sequence[str], widths: Sequence[int]) -> str:
    """Return one row of a table."""
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def print_json(out: TextIO, value: Any) -> None:
    """Print a value as JSON, for scripts."""
    print(json.dumps(value, indent=2), file=out)


def say(line: str) -> None:
    """Print a line that is not part of the answer."""
    print(line, file=sys.stderr, flush=True)


def moment(at: datetime | None) -> str:
    """Return a moment in UTC to the second, nothing for none."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def seconds(duration: float | None) -> str:
    """Return a duration in whole seconds, nothing for none."""
    return "" if duration is None else f"{duration:.0f} s"


def as_json(run: RemoteRun) -> dict[str, Any]:
    """Return a run as plain JSON: its manifest and ``"error"``."""
    return {**run.manifest(), "error": run.error}


def positive(text: str) -> int:
    """Read a whole number above 0 from the command line."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def name_and_value(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE`` from the command line."""
    name, found, value = text.partition("=")
    if not (name and found and value):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, not {text!r}")
    return name, value


def hours(text: str) -> float:
    """Read a duration such as ``30s``, ``90m``, ``24h`` or ``7d`` from the command line, and return it in hours."""
    units = {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0}
    try:
        number = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        number = 0.0
    if not 0 < number < 24 * 3660:
        raise argparse.ArgumentTypeError(f"must be an age such as 30s, 90m, 24h or 7d, not {text!r}")
    return number
