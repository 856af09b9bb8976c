"""What a vendor's hook may claim, and the matrix of who claims what: the suite's account of itself.

A claim is data of the hook class, or a method that the class has overridden. Tests that hold a claim are marked
``@pytest.mark.claims(NAME)`` and run for the vendors that make it; for the others it stands in the matrix as ``-``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_etlapis.hooks.base import RemoteRunHook

if TYPE_CHECKING:
    from tests.contract.row import Row


@dataclass(frozen=True)
class Claim:
    """One thing that a vendor's API may offer.

    :param name: as ``@pytest.mark.claims`` takes it.
    :param means: what users get.
    :param instead: what they get where it is not claimed.
    :param is_made: whether a row claims it.
    """

    name: str
    means: str
    instead: str
    is_made: Callable[[Row], bool]


def overrides(hook: type[RemoteRunHook], name: str) -> bool:
    """Say whether a hook class has a method or a fact of its own in place of the base's."""
    return inspect.getattr_static(hook, name) is not inspect.getattr_static(RemoteRunHook, name)


CLAIMS = (
    Claim(
        "cancel",
        "a run is cancelled with its task",
        "the run goes on, and the log says so",
        lambda row: row.hook.capabilities.cancel,
    ),
    Claim(
        "bulk",
        "one request reads the state of many runs",
        "each run is read on its own",
        lambda row: row.hook.capabilities.bulk,
    ),
    Claim("steps", "the manifest has the run's steps", "no steps", lambda row: row.hook.capabilities.steps),
    Claim("logs", "log_remote copies the run's log", "no log", lambda row: row.hook.capabilities.logs),
    Claim(
        "finds_lost_starts",
        "a lost start is looked for",
        "a lost start fails the task and says what to check",
        lambda row: row.hook.capabilities.finds_lost_starts,
    ),
    Claim(
        "shows_whose",
        "the run of a lost start is shown to be the task's own and followed",
        "it is named, and a person decides (on_lost_start)",
        lambda row: row.can_show,
    ),
    Claim(
        "marker",
        "it is shown without the task's own note of it too",
        "without a note (Airflow 3.0 to 3.2), a person decides",
        lambda row: row.has_marker,
    ),
    Claim("warning", "a warning is a good end", "no such end", lambda row: row.warning is not None),
    Claim(
        "events",
        "an asset watcher gets an event for each end",
        "an event trigger is refused when it is made",
        lambda row: overrides(row.hook, "runs_of"),
    ),
    Claim(
        "recent_runs",
        "`etlapis runs` lists the newest runs",
        "it names a run by its id",
        lambda row: overrides(row.hook, "recent_runs"),
    ),
    Claim(
        "waits_by_target",
        "a sensor waits for whichever run of a target",
        "sensors take a run's ids",
        lambda row: overrides(row.hook, "read_newest"),
    ),
    Claim(
        "already_running",
        "on_already_running waits for the run in the way, or attaches to it",
        "starts are not refused for that",
        lambda row: overrides(row.hook, "find_running"),
    ),
)


def claim(name: str) -> Claim:
    """Return the claim of a name.

    :raises KeyError: if there is none.
    """
    return {each.name: each for each in CLAIMS}[name]


def matrix(rows: Sequence[Row]) -> str:
    """Return who claims what, one line a claim and one column a vendor, and what is so where nothing is claimed."""
    width = max(len(each.name) for each in CLAIMS)
    columns = [max(len(row.name), 3) for row in rows]
    lines = [" " * width + "".join(f"  {row.name:>{size}}" for row, size in zip(rows, columns, strict=True))]
    for each in CLAIMS:
        marks = ("yes" if each.is_made(row) else "-" for row in rows)
        lines.append(f"{each.name:<{width}}" + "".join(f"  {m:>{s}}" for m, s in zip(marks, columns, strict=True)))
    legend = [f"{each.name:<{width}}  yes: {each.means}; -: {each.instead}" for each in CLAIMS]
    return "\n".join([*lines, "", *legend])
