"""What a check is and what it finds. Pure: texts are ours alone, nothing that a server sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How an assumption stands on one server."""

    HOLDS = "holds"
    DIFFERS = "differs"
    UNKNOWN = "unknown"
    """What the check needs is not there at the moment, such as a run that has ended."""
    NEEDS_A_RUN = "needs a run"
    """Only a start, a stop or another write would show it; none is sent."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a probe has seen.

    :param seen: in our own words: counts, kinds and HTTP statuses, never a text, name or id of the server.
    :param settings: of the connection's extra, with which the assumption would fit this server.
    :param advice: what else to do where it differs.
    """

    verdict: Verdict
    seen: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One assumption and how it is probed.

    :param id: its name in reports.
    :param assumption: as on the vendor's page.
    :param how: what is read.
    :param probe: does it, given the patient; ``None`` where only a run would show it.
    :param way_in: whether nothing can be read as long as it does not hold.
    """

    id: str
    assumption: str
    how: str
    probe: Callable[..., Outcome] | None = None
    way_in: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A check with its outcome."""

    check: Check
    outcome: Outcome


def holds(seen: str) -> Outcome:
    """Return the outcome of an assumption that holds."""
    return Outcome(Verdict.HOLDS, seen)


def differs(seen: str, *, advice: str = "", **settings: Any) -> Outcome:
    """Return the outcome of an assumption that does not hold, with the settings that fit."""
    return Outcome(Verdict.DIFFERS, seen, settings, advice)


def of_all(count: int, total: int, what: str, *, advice: str = "", **settings: Any) -> Outcome:
    """Return the outcome of an assumption about things of which ``count`` bear it out: it holds if all do.

    :param what: the things and what they show, as it follows "3 of 5".
    """
    seen = f"{count} of {total} {what}"
    return holds(seen) if count == total else differs(seen, advice=advice, **settings)


def unknown(seen: str) -> Outcome:
    """Return the outcome of an assumption that cannot be probed at the moment."""
    return Outcome(Verdict.UNKNOWN, seen)


def proposed(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the settings that the findings propose, all together."""
    return {name: value for finding in findings for name, value in finding.outcome.settings.items()}
