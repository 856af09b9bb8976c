"""Every operation of Meiro's document as a call of the hook, with what must go over the wire for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ASCENDING = {"limit": "100", "order_by": "id", "order_dir": "ASC"}
DESCENDING = {**ASCENDING, "order_dir": "DESC"}
FULL = {"load_full_structure": "1"}


@dataclass(frozen=True)
class Operation:
    """One operation.

    :param example: its key among the document's examples; ``None`` where it is of another page.
    :param method: name of the hook's method.
    """

    example: str | None
    method: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    verb: str = "GET"
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None


OPERATIONS = (
    Operation(
        "GET /workspaces",
        "list_workspaces",
        kwargs={
            "name_filter": "demo",
            "tag_ids": [1, 2],
            "show_enabled": True,
            "show_disabled": False,
            "load_full_structure": True,
        },
        path="/workspaces",
        query={
            **ASCENDING,
            **FULL,
            "name_filter": "demo",
            "tag_ids": "1,2",
            "show_enabled": "true",
            "show_disabled": "false",
        },
    ),
    Operation(
        "POST /workspaces",
        "create_workspace",
        ("new",),
        {"settings": {"schedules": [{"minute": "*"}]}, "description": "x", "disabled": True},
        verb="POST",
        path="/workspaces",
        body={"name": "new", "settings": {"schedules": [{"minute": "*"}]}, "description": "x", "disabled": 1},
    ),
    Operation(
        "PATCH /workspaces",
        "update_workspaces",
        ([{"id": "100", "name": "renamed", "continue_on_failure": 1}],),
        verb="PATCH",
        path="/workspaces",
        body=[{"id": 100, "name": "renamed", "continue_on_failure": 1}],
    ),
    Operation(
        "GET /workspaces/{workspace_id}",
        "get_workspace",
        (100,),
        {"load_full_structure": True},
        path="/workspaces/100",
        query=FULL,
    ),
    Operation(
        "PATCH /workspaces/{workspace_id}",
        "modify_workspace",
        (100,),
        {"name": "renamed", "disabled": False},
        verb="PATCH",
        path="/workspaces/100",
        body={"name": "renamed", "disabled": 0},
    ),
    Operation("DELETE /workspaces/{workspace_id}", "delete_workspace", (101,), verb="DELETE", path="/workspaces/101"),
    Operation("POST /workspaces/{workspace_id}", "clone_workspace", (100,), verb="POST", path="/workspaces/100"),
    Operation(
        "PATCH /workspaces/{workspace_id}/owner",
        "change_workspace_owner",
        (100, 7),
        verb="PATCH",
        path="/workspaces/100/owner",
        body={"user_id": 7},
    ),
    Operation(
        "GET /workspaces/{workspace_id}/history",
        "list_workspace_history",
        (100,),
        path="/workspaces/100/history",
        query=ASCENDING,
    ),
    Operation(
        "GET /workspaces/{workspace_id}/history/{history_id}",
        "get_workspace_history",
        (100, "9001"),
        path="/workspaces/100/history/9001",
    ),
    Operation(
        "PATCH /workspaces/{workspace_id}/history/{history_id}",
        "revert_workspace",
        (100, 9001),
        verb="PATCH",
        path="/workspaces/100/history/9001",
    ),
    Operation("GET /workspaces/trash", "list_trashed_workspaces", path="/workspaces/trash", query=ASCENDING),
    Operation(
        "PATCH /workspaces/trash/{workspace_id}",
        "restore_workspace",
        (102,),
        verb="PATCH",
        path="/workspaces/trash/102",
    ),
    Operation(
        "GET /workspaces/{workspace_id}/jobs",
        "list_workspace_jobs",
        (100,),
        path="/workspaces/100/jobs",
        query=DESCENDING,
    ),
    Operation(
        "POST /workspaces/{workspace_id}/jobs", "run_workspace", (100,), verb="POST", path="/workspaces/100/jobs"
    ),
    Operation(
        "GET /workspaces/{workspace_id}/jobs/{job_id}", "get_job", ("100", 5001), path="/workspaces/100/jobs/5001"
    ),
    Operation(
        "DELETE /workspaces/{workspace_id}/jobs/{job_id}",
        "cancel_job",
        (100, 5001),
        verb="DELETE",
        path="/workspaces/100/jobs/5001",
    ),
    Operation(
        "GET /workspaces/{workspace_id}/jobs/{job_id}/history",
        "list_job_history",
        (100, 5001),
        path="/workspaces/100/jobs/5001/history",
        query=ASCENDING,
    ),
    Operation(
        "GET /workspaces/{workspace_id}/jobs/{job_id}/history/{history_id}",
        "get_job_history",
        (100, 5001, 50010),
        path="/workspaces/100/jobs/5001/history/50010",
    ),
    Operation(
        "GET /workspace_jobs",
        "list_jobs",
        kwargs={"include_deleted_workspaces_jobs": True},
        path="/workspace_jobs",
        query={**DESCENDING, "include_deleted_workspaces_jobs": "1"},
    ),
    Operation(
        "GET /dawgs/{dawg_id}/workspace_jobs",
        "list_dawg_workspace_jobs",
        (10,),
        {"include_deleted_workspace_jobs": True},
        path="/dawgs/10/workspace_jobs",
        query={**DESCENDING, "include_deleted_workspace_jobs": "1"},
    ),
    Operation(
        "GET /dawgs/{dawg_id}/jobs/{job_id}/workspace_jobs",
        "list_dawg_job_workspace_jobs",
        (10, 400),
        {"include_deleted_workspace_jobs": True},
        path="/dawgs/10/jobs/400/workspace_jobs",
        query={**DESCENDING, "include_deleted_workspace_jobs": "1"},
    ),
    Operation(
        "GET /workspaces/last_jobs",
        "list_last_jobs",
        ([100, 101],),
        path="/workspaces/last_jobs",
        query={"workspace_ids": "100,101"},
    ),
    Operation(
        "GET /workspaces/{workspace_id}/jobs/{job_id}/logs",
        "list_job_logs",
        (100, 5001),
        {"offset": 1, "page_size": 50},
        path="/workspaces/100/jobs/5001/logs",
        query={**ASCENDING, "limit": "50", "offset": "1"},
    ),
    Operation(
        "GET /workspaces/{workspace_id}/jobs/{job_id}/logs/{log_id}",
        "get_job_log",
        (100, 5001, 5001000001),
        path="/workspaces/100/jobs/5001/logs/5001000001",
    ),
    Operation(
        "DELETE /workspaces/{workspace_id}/data",
        "delete_workspace_data",
        (100,),
        verb="DELETE",
        path="/workspaces/100/data",
    ),
    Operation(
        "GET /dawgs/{dawg_id}/workspaces",
        "list_dawg_workspaces",
        (10,),
        path="/dawgs/10/workspaces",
        query=ASCENDING,
    ),
    Operation(
        None, "list_dawgs", kwargs={"name_filter": "demo"}, path="/dawgs", query={**ASCENDING, "name_filter": "demo"}
    ),
    Operation(None, "get_auth_options", path="/auth_options"),
)
