"""The JSON that Meiro Integrations sends, as its document shows it. Not every answer carries every field."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class Workspace(TypedDict):
    """A workspace. Flags are the numbers 0 and 1; timestamps are ``"YYYY-MM-DD HH:MM:SS"`` without a zone."""

    id: int
    name: str
    user_id: NotRequired[int]
    author_id: NotRequired[int]
    description: NotRequired[str]
    settings: NotRequired[dict[str, Any]]
    frontend_settings: NotRequired[dict[str, Any]]
    variables: NotRequired[dict[str, Any]]
    dawg_id: NotRequired[int | None]
    input_settings: NotRequired[dict[str, Any]]
    disk_usage: NotRequired[int]
    high_disk_usage: NotRequired[int]
    continue_on_failure: NotRequired[int]
    disabled: NotRequired[int]
    deleted: NotRequired[int]
    last_run: NotRequired[str | None]
    last_run_duration: NotRequired[int | None]
    last_activity: NotRequired[str | None]
    tags: NotRequired[list[Any]]
    created: NotRequired[str]


class JobStats(TypedDict, total=False):
    """Facts about a job, all of which may be missing; the unit of the volumes is not stated."""

    data_volumes: dict[str, float]
    files_count: dict[str, int]
    statuses_history: dict[str, str]


class WorkspaceJob(TypedDict):
    """A run of a workspace. ``status`` is ``waiting``, ``running``, ``finished``, ``error`` or ``canceled``."""

    id: int
    workspace_id: int
    status: str
    user_id: NotRequired[int]
    settings: NotRequired[dict[str, Any]]
    variables: NotRequired[dict[str, Any]]
    dawg_job_id: NotRequired[int | None]
    stats: NotRequired[JobStats]
    created: NotRequired[str]
    origin_created: NotRequired[str]


class LastJob(TypedDict):
    """The last job of one workspace; how one that never ran looks is not stated."""

    workspace_id: int
    last_job: NotRequired[WorkspaceJob | None]


class LogRow(TypedDict):
    """One line of a job's log."""

    id: int
    level: str
    text: str
    workspace_job_id: NotRequired[int]
    created: NotRequired[str]


HistoryId = str | int | None
"""``None`` for the present version, text or a number for an older one: the document shows all three."""


class WorkspaceVersion(TypedDict):
    """A workspace as it was at some time."""

    id: HistoryId
    workspace: Workspace
    previous_history: NotRequired[WorkspaceVersion | None]


class JobVersion(TypedDict):
    """A job as it was at some time."""

    id: HistoryId
    workspace_job: WorkspaceJob
    previous_history: NotRequired[JobVersion | None]


class Dawg(TypedDict):
    """A graph of workspaces (from a public page that was readable in part)."""

    id: int
    name: str
    user_id: NotRequired[int]
    author_id: NotRequired[int]
    description: NotRequired[str]
    settings: NotRequired[dict[str, Any]]
    frontend_settings: NotRequired[dict[str, Any]]
    disabled: NotRequired[int]
    deleted: NotRequired[int]
    last_run: NotRequired[str | None]
    last_run_duration: NotRequired[int | None]
    tags: NotRequired[list[Any]]
    example_workspaces: NotRequired[list[Any]]
    workspaces_count: NotRequired[int]
    created: NotRequired[str]


class AuthOptions(TypedDict):
    """Which ways to log in an instance offers."""

    is_credentials_login_enabled: bool
    is_okta_login_enabled: NotRequired[bool]
    okta_auth_link: NotRequired[str | None]


class Acknowledgement(TypedDict):
    """What deleting and cancelling answer: ``{"message": "OK"}``, in either case of letters."""

    message: str


OrderDir = Literal["ASC", "DESC"]
