"""Reads what an ended job's log shows of its start, by the form of the vendor's own examples and no other (a).

The example has a table ``Execution Details`` with the flow's id, and below it a table ``Parameter Set: <name>`` with
the columns NAME, TYPE and VALUE; texts are of the type STRING and stand in double quotes. It shows no number, no job
without a set that was given parameters, and no value that a table could not hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_LONGEST_HEAD = 200_000
"""Characters of a log that are read: the tables are its beginning."""

_STAMP = re.compile(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d,\d{3} ")
_DETAILS = "Execution Details"
_SET = "Parameter Set: "
_HEADING = ["NAME", "TYPE", "VALUE"]
_TEXT = re.compile(r'"([^"]*)"')
_PLAIN = re.compile(r"[A-Za-z0-9 _.,:;/\\@#&()'=+~^!?-]+")
"""Values that a table shows as they are: no quotes, bars, placeholders, stars or line breaks."""


@dataclass(frozen=True, slots=True)
class LoggedStart:
    """What a log shows of the start of its job.

    :param flow_id: id of the flow, ``None`` if it is not shown.
    :param parameters: type and value of each parameter, as written; empty if none are shown or they cannot be read.
    """

    flow_id: str | None
    parameters: Mapping[str, tuple[str, str]]


def logged_start(log: Any) -> LoggedStart:
    """Return what a job's log shows of its start; a job that has not ended has no log yet (a)."""
    flow_id: str | None = None
    parameters: dict[str, tuple[str, str]] = {}
    title, is_readable = "", True
    for cells in _rows_about_start(log):
        if cells is None:
            is_readable = False
        elif len(cells) == 1:
            title = cells[0]
        elif title == _DETAILS and len(cells) == 2 and cells[0] == "Flow Id":
            flow_id = cells[1]
        elif title.startswith(_SET) and cells != _HEADING:
            if len(cells) == 3 and parameters.setdefault(cells[0], (cells[1], cells[2])) == (cells[1], cells[2]):
                continue
            is_readable = False  # a value that holds a bar, or one parameter with two values
    return LoggedStart(flow_id, parameters if is_readable else {})


def same_inputs(given: Sequence[Mapping[str, Any]], log: Any) -> bool | None:
    """Return whether a job was started with the same parameters; ``None`` if its log does not show that.

    Other inputs are shown by a text in the documented form that differs. The same inputs are shown only if the log
    shows all that was given and nothing else: one more parameter may be the flow's own or another user's. A start
    without parameters is never recognised, because nothing says that a log shows a parameter whenever one was given.

    :param given: parameters of the start, in the vendor's form.
    """
    logged = logged_start(log).parameters
    if not given or any(item["name"] not in logged for item in given):
        return None
    verdicts = [_same_value(item["value"], *logged[item["name"]]) for item in given]
    if False in verdicts:
        return False
    return True if all(verdicts) and len(logged) == len(given) else None


def _same_value(given: Any, type_: str, written: str) -> bool | None:
    match = _TEXT.fullmatch(written)
    if type_ != "STRING" or not isinstance(given, str) or match is None:
        return None
    value = match.group(1)
    if value == given:
        return True
    ours, theirs = given.strip().casefold(), value.strip().casefold()
    is_plain = _PLAIN.fullmatch(given) and _PLAIN.fullmatch(value)
    # One may be the other cut off, or spelled by the table.
    is_unlike = not (ours.startswith(theirs) or theirs.startswith(ours))
    return False if is_plain and is_unlike else None


def _rows_about_start(log: Any) -> Iterator[list[str] | None]:
    """Yield the cells of the tables in the log's entry about the start; ``None`` for a line that is no table's.

    Yields nothing unless the entry is whole: another one follows it.
    """
    lines = [line.rstrip("\r") for line in log[:_LONGEST_HEAD].split("\n")] if isinstance(log, str) else []
    starts = [number for number, line in enumerate(lines) if _STAMP.match(line)]
    for first, following in pairwise(starts):
        rows = [_cells(line) for line in lines[first + 1 : following] if line.strip() and not _is_ruler(line)]
        if rows[:1] == [[_DETAILS]]:
            yield from rows
            return


def _cells(line: str) -> list[str] | None:
    if len(line) < 2 or not (line.startswith("|") and line.endswith("|")):
        return None
    return [cell.strip() for cell in line[1:-1].split("|")]


def _is_ruler(line: str) -> bool:
    return line.startswith("+") and not line.strip("+-")
