"""Decides whose a run is: what Celery Director's list shows about the run of a start call that got no answer.

Pure: rows in, facts out. The run's comment proves it. Where there is none (servers before 0.8.0, relaunches), a run of
the same definition with the same payload may be ours; what was listed before the call, or has another payload, is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_etlapis.hooks import values
from airflow_provider_etlapis.hooks.celery_director.answers import Definition, Workflow
from airflow_provider_etlapis.hooks.celery_director.times import surely_before
from airflow_provider_etlapis.runs.evidence import StartProof
from airflow_provider_etlapis.runs.resume import Intent

START_PROOF = StartProof(
    marker="the run's comment, on servers from 0.8.0; a relaunch has the comment of the run it was made from",
    inputs="shown",
    starter="hidden",
    order="the runs listed just before a relaunch, or before a start on a server without comments",
    source="GET /api/workflows, read down to runs that surely began before the call, whatever the server's zone",
)

_SUMMER_TIME = 3900.0
"""Seconds by which a new run may look older than those before it when the server's clock is put back."""


def carries(row: Workflow, marker: str) -> bool:
    """Say whether a run's comment ends with a marker: in front of it stands the user's own text, which may change."""
    return bool(marker) and str(row.get("comment") or "").endswith(marker)


def keeps_comments(rows: Iterable[Workflow]) -> bool:
    """Say whether a list shows that its server keeps comments (0.8.0 and later)."""
    return any("comment" in row for row in rows)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a start without a usable marker asked for: facts that its run must show.

    :param fullname: of the definition.
    :param payload: that every run of it has; ``None`` if it is not known.
    :param comment: that its run has, ``None`` for none.
    :param not_id: a run that it surely is not.
    """

    fullname: str
    payload: Any
    comment: str | None = None
    not_id: str | None = None

    def matches(self, row: Workflow) -> bool:
        """Say whether a run may be that of the call, by all but its payload. Beat's runs are called ``periodic``."""
        return (
            row["fullname"] == self.fullname
            and not row.get("periodic")
            and row.get("comment") == self.comment
            and row["id"] != self.not_id
        )

    def has_payload(self, row: Workflow) -> bool | None:
        """Say whether a run was started with the same payload; ``None`` if that is not shown."""
        if self.payload is None or "payload" not in row:
            return None
        return is_same_json(row["payload"], self.payload)


def is_same_json(one: Any, other: Any) -> bool:
    """Say whether two JSON values are the same; a number is never a bool, and 1 is 1.0, as databases have it."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same_json(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same_json, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


@dataclass(frozen=True, slots=True)
class ListedBefore:
    """The top of the list just before a start call, so that later runs are known without a clock.

    :param seen: runs that were on it.
    :param oldest: creation of its last row in seconds, of whatever zone the server's times are; ``None`` if this was
        the whole list.
    """

    seen: frozenset[str]
    oldest: float | None

    @classmethod
    def of(cls, rows: Sequence[Workflow], per_page: int) -> ListedBefore:
        """Return what is to be remembered of the first page."""
        seen = frozenset(row["id"] for row in rows)
        return cls(seen, _created(rows[-1]) if len(rows) >= per_page else None)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON: ``{"seen": [id, ...], "oldest": seconds or null}``."""
        return {"seen": sorted(self.seen), "oldest": self.oldest}

    @classmethod
    def from_json(cls, value: Any) -> ListedBefore | None:
        """Read what :meth:`to_json` wrote, ``None`` if it is something else."""
        if not isinstance(value, Mapping) or not isinstance(value.get("seen"), list):
            return None
        oldest = value.get("oldest")
        if oldest is not None and not isinstance(oldest, int | float):
            return None
        return cls(frozenset(map(str, value["seen"])), oldest)

    def began_after(self, row: Workflow) -> bool | None:
        """Say whether a run began after the list was read; ``None`` if that cannot be told."""
        created = _created(row)
        if row["id"] in self.seen:
            return False
        if self.oldest is None:
            return True  # the whole list was there
        if created is None or created == self.oldest:
            return None  # of the last second of a page there may have been more
        if created > self.oldest:
            return True
        return False if created < self.oldest - _SUMMER_TIME else None


def began_after(row: Workflow, intent: Intent, before: ListedBefore | None, clock_ahead: float | None) -> bool | None:
    """Say whether a run began after a start call; ``None`` if that cannot be told.

    By a clock it is only ever shown that a run began before.

    :param before: the top of the list just before the call, if it was read.
    :param clock_ahead: seconds by which the server's clock is ahead of ours, ``None`` if unknown.
    """
    if before is not None and not intent.is_reconstructed:
        shown = before.began_after(row)
        if shown is not None:
            return shown
    return False if surely_before(row["created"], intent.at, clock_ahead) else None


def missing_tasks(workflow: Workflow, definitions: Iterable[Definition]) -> list[str]:
    """Return the tasks of its definition that a ``pending`` run lacks: then it was never sent to a worker.

    The server writes all tasks of a run before it sends the first. A task that no file defines, or a database that
    fails meanwhile, ends that with a 500, and the run stays ``pending`` for ever.

    :param workflow: the run with its tasks.
    :param definitions: those of the server at that time.
    """
    if workflow["status"] != "pending":
        return []
    definition = next((each for each in definitions if each.get("fullname") == workflow["fullname"]), None)
    shown = Counter(task["key"] for task in workflow.get("tasks", []))
    return sorted((Counter(_named(definition)) - shown).elements())


def _named(definition: Definition | None) -> list[str]:
    """Return the tasks that each run of a definition has from its start: its own and the success hook."""
    entry: Mapping[str, Any] = definition or {}
    tasks, hooks = entry.get("tasks"), entry.get("hooks")
    names = []
    for task in tasks if isinstance(tasks, list) else []:
        if isinstance(task, str):
            names.append(task)
        elif isinstance(task, Mapping):
            for group in task.values():
                members = group.get("tasks") if isinstance(group, Mapping) else None
                names += [name for name in members or [] if isinstance(name, str)]
    success = hooks.get("success") if isinstance(hooks, Mapping) else None
    return [*names, success] if isinstance(success, str) else names


def _created(row: Workflow) -> float | None:
    moment = values.moment(row["created"])
    return None if moment is None else moment.timestamp()
