"""What a Meiro instance holds: workspaces, their dawgs, and what the jobs of a workspace show."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_etlapis.sandbox.lives import Change, Life, story
from airflow_provider_etlapis.sandbox.runs import Run

#: Phases that the vendor has its own words for.
STATUSES = {"queued": "waiting", "success": "finished"}

USER = 200
"""The user whom the sandbox's credential belongs to."""
SOMEBODY_ELSE = 201

Stamp = Callable[[float], str]

_LOG_IDS_A_JOB = 1_000_000


@dataclass
class Workspace:
    """A workspace; what is here may be changed while it is served.

    :param life: of its jobs; default: the sandbox's
    :param steps: its configurations, which its jobs run one after the other
    :param log_every: seconds between two lines that a running job writes beside those of its steps
    :param hidden: the credential may not see it
    :param versions: earlier ones with their ids, oldest first
    """

    id: int
    name: str
    life: Life | None = None
    steps: Sequence[str] = ("extract", "transform", "load")
    log_every: float = 1.0
    user_id: int = USER
    description: str = ""
    settings: Any = field(default_factory=dict)
    frontend_settings: Any = field(default_factory=dict)
    input_settings: Any = field(default_factory=lambda: {"inputs": []})
    dawg_id: int | None = None
    tag_ids: Sequence[int] = ()
    continue_on_failure: int = 0
    disabled: int = 0
    deleted: int = 0
    hidden: bool = False
    created_at: float | None = None
    versions: list[tuple[int, Workspace]] = field(default_factory=list)

    def change(self, changes: Mapping[str, Any], version_id: int) -> None:
        """Change fields; what was there becomes a version."""
        self.versions.append((version_id, replace(self, versions=[])))
        for name, value in changes.items():
            setattr(self, name, value)

    def as_json(self, stamp: Stamp, jobs: Sequence[Run], now: float) -> dict[str, Any]:
        """Return it as a list shows it."""
        created = stamp(self.created_at or 0.0)
        last = jobs[-1] if jobs else None
        return {
            **self.version_json(stamp),
            "disk_usage": 1024,
            "high_disk_usage": 0,
            "deleted": self.deleted,
            "last_run": stamp(last.started_at) if last else None,
            "last_run_duration": int(now - last.started_at) if last else None,
            "last_activity": stamp(last.started_at) if last else created,
            "author_id": self.user_id,
            "tags": [{"id": tag_id} for tag_id in self.tag_ids],
        }

    def version_json(self, stamp: Stamp) -> dict[str, Any]:
        """Return it as a history shows it."""
        return {
            "id": self.id,
            "user_id": self.user_id,
            "name": self.name,
            "description": self.description,
            "settings": self.settings,
            "frontend_settings": self.frontend_settings,
            "variables": {},
            "dawg_id": self.dawg_id,
            "input_settings": self.input_settings,
            "continue_on_failure": self.continue_on_failure,
            "disabled": self.disabled,
            "created": stamp(self.created_at or 0.0),
        }

    def trash_json(self, stamp: Stamp) -> dict[str, Any]:
        """Return it as the trash shows it."""
        shown = ("id", "user_id", "name", "description", "settings", "disabled", "created")
        row = self.version_json(stamp)
        return {**{name: row[name] for name in shown}, "deleted": 1}


@dataclass(frozen=True)
class Dawg:
    """A graph of workspaces; its workspaces name it."""

    id: int
    name: str
    user_id: int = USER
    disabled: int = 0


DEMO_DAWGS = (Dawg(10, "demo dawg"),)


def demo_workspaces() -> tuple[Workspace, ...]:
    """Return workspaces for the demo: one that ends well, one that fails, one that takes long."""
    failing = Life(
        duration=3.0, outcome="error", failing_step="transform", error_text="column 'amount' is missing from orders.csv"
    )
    return (
        Workspace(100, "demo ETL", Life(duration=4.0), description="ends well", dawg_id=10),
        Workspace(101, "demo fails", failing, description="fails in its second step"),
        Workspace(102, "demo slow", Life(duration=60.0), description="takes a minute"),
    )


def job_json(run: Run, now: float, stamp: Stamp, word: str | None = None) -> dict[str, Any]:
    """Return a job with all fields that any answer has.

    :param word: given as its status, whatever that is (an injected fault)
    """
    phase = run.current(now).phase
    return {
        "id": job_id(run),
        "user_id": run.request.get("user_id", SOMEBODY_ELSE),
        "workspace_id": int(run.flow),
        "status": word or STATUSES.get(phase, phase),
        "settings": {},
        "variables": {},
        "dawg_job_id": run.request.get("dawg_job_id"),
        "stats": _stats(run, now, stamp),
        "created": stamp(run.started_at),
        "origin_created": stamp(run.started_at),
    }


def job_id(run: Run) -> int:
    """Return the vendor's number of a job; the sandbox's own id has the workspace before it."""
    return int(run.id.rpartition("/")[2])


def status_changes(run: Run, now: float) -> list[Change]:
    """Return what has happened to a job so far, with the vendor's words; the newest of one moment counts."""
    told: dict[float, Change] = {}
    for change in run.timeline.run:
        if change.at <= now:
            told[change.at] = Change(change.at, STATUSES.get(change.phase, change.phase))
    first = Change(run.started_at, "waiting")
    later = sorted(told.values())
    return later if later[:1] == [first] else [first, *later]


def log_rows(run: Run, log_every: float, now: float, stamp: Stamp) -> list[dict[str, Any]]:
    """Return the lines of a job's log so far; they only ever become more."""
    lines = [(at, 1, "info", text) for at, text in story(run.timeline, now)]
    begun = math.inf
    ended = now
    for change in status_changes(run, now):
        if change.phase == "running":
            begun = change.at
        elif change.phase != "waiting":
            ended = min(ended, change.at)
        said = {"error": ("error", run.life.error_text), "canceled": ("warning", "the job was canceled")}
        level, text = said.get(change.phase, ("info", f"the job is {change.phase}"))
        lines.append((change.at, 2, level, text))
    working = max(ended - begun, 0.0) if begun <= ended else 0.0
    lines += [
        (begun + number * log_every, 0, "info", f"{number * 1000} rows so far")
        for number in range(1, int(working / log_every) + 1)
    ]
    return [
        {
            "id": job_id(run) * _LOG_IDS_A_JOB + number,
            "workspace_job_id": job_id(run),
            "level": level,
            "text": text,
            "created": stamp(at),
        }
        for number, (at, _, level, text) in enumerate(sorted(lines, key=lambda line: line[:2]), start=1)
    ]


def job_versions(run: Run, now: float, stamp: Stamp) -> list[tuple[int, dict[str, Any]]]:
    """Return a job as it was at each of its statuses, with ids, oldest first."""
    row = job_json(run, now, stamp)
    shown = ("id", "user_id", "workspace_id", "settings", "dawg_job_id", "created")
    return [
        (
            job_id(run) * 10 + number,
            {**{name: row[name] for name in shown}, "status": change.phase, "stats": {}},
        )
        for number, change in enumerate(status_changes(run, now))
    ]


def _stats(run: Run, now: float, stamp: Stamp) -> dict[str, Any]:
    changes = status_changes(run, now)
    stats: dict[str, Any] = {"statuses_history": {change.phase: stamp(change.at) for change in changes}}
    if changes[-1].phase == "finished":
        stats |= {"data_volumes": {"/in": 10.0, "/out": 20.0}, "files_count": {"/in": 2, "/out": 3}}
    return stats
