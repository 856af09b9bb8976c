"""Which workspace of Meiro Integrations is meant: found by its name, or among those that are new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_etlapis.exceptions import (
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    RequestRefusedError,
)
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.meiro.calls import id_number, plain_text
from airflow_provider_etlapis.hooks.meiro.shapes import Workspace
from airflow_provider_etlapis.hooks.meiro.workspaces import WorkspaceEndpoints
from airflow_provider_etlapis.text import near
from airflow_provider_etlapis.wire.call import Call, Page


class WorkspaceLookup(WorkspaceEndpoints):
    """Finds workspaces by the lists of the document."""

    def __init__(self, conn_id: str) -> None:
        super().__init__(conn_id)
        self._ids_of_names: dict[str, int] = {}

    @endpoint
    def find_workspace(self, name: str) -> Program[Workspace]:
        """Return the workspace with exactly this name.

        The server's filter is only used to read less: how it compares is not stated (c), so all names are read
        if it shows none.

        :raises NotFoundError: if the credential sees none.
        :raises InvalidInputError: if there are several; the message has their ids.
        """
        plain_text(name, "workspace_name")
        found: list[Workspace] = []
        names: list[str] = []
        for name_filter in (name, None):
            call: Call[Page[Workspace]] | None = self.list_workspaces.first(
                name_filter=name_filter, show_enabled=True, show_disabled=True
            )
            while call is not None:
                page: Page[Workspace] = yield call
                found += [workspace for workspace in page.items if workspace["name"] == name]
                names += [str(workspace["name"]) for workspace in page.items]
                call = page.following
            if found:
                break
        ids = sorted({workspace["id"] for workspace in found})
        if not ids:
            raise NotFoundError(
                f"There is no workspace {name[:200]!r} that connection {self.conn_id!r} may see{near(name, names)}"
            )
        if len(ids) > 1:
            shown = f"{ids[:20]}".rstrip("]") + (", ...]" if len(ids) > 20 else "]")
            raise InvalidInputError(f"{len(ids)} workspaces have the name {name!r:.200}: use one of the ids {shown}")
        return found[0]

    @endpoint
    def newest_workspace_id(self) -> Program[int | None]:
        """Return the highest workspace id that the credential sees, 0 if it sees none.

        ``None`` if that cannot be known: the list is refused to it, or does not come newest first.
        """
        try:
            page: Page[Workspace] = yield self.list_workspaces.first(
                show_enabled=True, show_disabled=True, page_size=2, order_dir="DESC"
            )
        except (PermissionDeniedError, NotFoundError, RequestRefusedError) as error:
            self.log.info("The list of workspaces is refused: %s", error)
            return None
        ids = [workspace["id"] for workspace in page.items]
        return None if ids != sorted(ids, reverse=True) else max(ids, default=0)

    @endpoint
    def workspaces_above(self, workspace_id: int) -> Program[list[Workspace]]:
        """Return the workspaces with a higher id, the newest first."""
        call: Call[Page[Workspace]] | None = self.list_workspaces.first(
            show_enabled=True, show_disabled=True, order_dir="DESC"
        )
        found: dict[int, Workspace] = {}
        while call is not None:
            page: Page[Workspace] = yield call
            ids = [workspace["id"] for workspace in page.items]
            found |= {workspace["id"]: workspace for workspace in page.items if workspace["id"] > workspace_id}
            is_below = bool(ids) and ids == sorted(ids, reverse=True) and len(ids) > 1 and ids[-1] <= workspace_id
            call = None if is_below else page.following
        return list(found.values())

    def _workspace_id(self, spec: Mapping[str, Any]) -> Program[int]:
        if spec.get("workspace_id") is not None:
            return id_number(spec["workspace_id"], "workspace_id")
        name = spec["workspace_name"]
        if name not in self._ids_of_names:
            self._ids_of_names[name] = (yield from self.find_workspace.plan(name))["id"]
        return self._ids_of_names[name]
