"""Meiro Integrations' workspaces, their versions, the trash, and the graphs (dawgs) that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.endpoints import endpoint, listing
from airflow_provider_etlapis.hooks.meiro.calls import (
    PAGE_SIZE,
    MeiroEndpoints,
    acknowledged,
    filter_ids,
    flag,
    id_number,
    name_text,
    one,
    path_of,
    plain_json,
    plain_text,
    rows_of,
)
from airflow_provider_etlapis.hooks.meiro.shapes import Acknowledgement, Dawg, OrderDir, Workspace, WorkspaceVersion
from airflow_provider_etlapis.wire.call import NO_BODY, Call, Page, Response

_CHANGEABLE = frozenset(
    {
        "id",
        "dawg_id",
        "workspace_id",
        "name",
        "description",
        "input_settings",
        "settings",
        "frontend_settings",
        "continue_on_failure",
        "disabled",
    }
)

_SAME_VALUES = "it sets the same values again"

WorkspaceId = int | str
"""A whole number; text is taken as well, because templates make text."""


class WorkspaceEndpoints(MeiroEndpoints):
    """All operations on workspaces. Every one is of the vendor's own document (a) unless it says otherwise.

    Lists yield all rows, page after page. Changes that set values are repeated after a failure that leaves open
    whether they took effect; what makes something, or erases data, never is. ``load_full_structure`` embeds what is
    otherwise an id; what the result looks like then is not stated.
    """

    @listing
    def list_workspaces(
        self,
        *,
        name_filter: str | None = None,
        tag_ids: Sequence[int] | None = None,
        show_enabled: bool | None = None,
        show_disabled: bool | None = None,
        page_size: int = PAGE_SIZE,
        order_by: str = "id",
        order_dir: OrderDir = "ASC",
        load_full_structure: bool = False,
    ) -> Call[Page[Workspace]]:
        """Yield the workspaces that the credential may see, without those in the trash.

        :param name_filter: text in the name; how it is compared is not stated (c).
        :param tag_ids: only workspaces with these tags; ``None`` for all. An empty list is refused, because a server
            could not tell it from no filter at all.
        :param show_enabled: include enabled ones; ``None`` leaves it to the server, which includes them.
        :param show_disabled: include disabled ones, likewise.
        :param page_size: rows a request.
        :param order_by: column; only ``id`` is shown in the document.
        :param order_dir: ``"ASC"`` or ``"DESC"``.
        """
        return self._paged(
            "workspaces",
            "workspaces",
            page_size,
            order_by,
            order_dir,
            name_filter=None if name_filter is None else plain_text(name_filter, "name_filter"),
            tag_ids=filter_ids(tag_ids, "tag_ids"),
            show_enabled=show_enabled,
            show_disabled=show_disabled,
            load_full_structure=flag(load_full_structure),
        )

    @endpoint
    def create_workspace(
        self,
        name: str,
        *,
        settings: Mapping[str, Any] | str | None = None,
        description: str | None = None,
        disabled: bool | None = None,
        load_full_structure: bool = False,
    ) -> Call[Workspace]:
        """Create a workspace and return it.

        :param settings: ``{"schedules": [...], "notification_emails": [...], "delete_data_after_success": bool}``.
            Sent as an object; a text is sent as it is, because the document calls it "string (json)" (c).
        :raises InvalidInputError: if the name is empty.
        """
        body = {"name": name_text(name, "name"), **_attributes(settings, description, disabled)}
        query = self._query({"load_full_structure": flag(load_full_structure)})
        return Call("POST", "workspaces", one("workspace"), query, body)

    @endpoint
    def update_workspaces(
        self, changes: Sequence[Mapping[str, Any]], *, load_full_structure: bool = False
    ) -> Call[list[Workspace]]:
        """Change many workspaces in one request and return them.

        :param changes: one object a workspace, with its ``id`` and what to change: ``dawg_id``, ``workspace_id``,
            ``name``, ``description``, ``input_settings``, ``settings``, ``frontend_settings``,
            ``continue_on_failure``, ``disabled``. Which of them must be there is not stated (c).
        :raises InvalidInputError: if there is none, one lacks its id, or holds a field that is not among these.
        """
        if not changes:
            raise InvalidInputError("changes must hold at least one workspace")
        body = []
        for change in changes:
            if not isinstance(change, Mapping):
                raise InvalidInputError(f"changes must hold one object a workspace, not {type(change).__name__}")
            if unknown := set(change) - _CHANGEABLE:
                raise InvalidInputError(f"changes may not hold {', '.join(sorted(map(str, unknown)))[:200]}")
            row = {**change, "id": id_number(change.get("id"), "the id of each change")}
            body.append(plain_json(row, "each change"))

        def parse(response: Response) -> list[Workspace]:
            return cast("list[Workspace]", rows_of(response, "workspaces"))

        query = self._query({"load_full_structure": flag(load_full_structure)})
        return Call("PATCH", "workspaces", parse, query, body, repeatable=_SAME_VALUES)

    @endpoint
    def get_workspace(self, workspace_id: WorkspaceId, *, load_full_structure: bool = False) -> Call[Workspace]:
        """Return one workspace.

        :raises NotFoundError: if there is none, or the credential may not see it (c).
        """
        return self._one_workspace("GET", path_of("workspaces", _workspace(workspace_id)), load_full_structure)

    @endpoint
    def modify_workspace(
        self,
        workspace_id: WorkspaceId,
        *,
        name: str | None = None,
        settings: Mapping[str, Any] | str | None = None,
        description: str | None = None,
        disabled: bool | None = None,
        load_full_structure: bool = False,
    ) -> Call[Workspace]:
        """Change a workspace and return it; what is ``None`` stays.

        :param settings: as of :meth:`create_workspace`.
        :raises InvalidInputError: if nothing is to be changed.
        """
        body = _attributes(settings, description, disabled)
        if name is not None:
            body["name"] = name_text(name, "name")
        if not body:
            raise InvalidInputError("give at least one of name, settings, description, disabled")
        path = path_of("workspaces", _workspace(workspace_id))
        return self._one_workspace("PATCH", path, load_full_structure, body, repeatable=_SAME_VALUES)

    @endpoint
    def delete_workspace(self, workspace_id: WorkspaceId) -> Call[Acknowledgement]:
        """Move a workspace to the trash (b), from where :meth:`restore_workspace` brings it back."""
        return Call("DELETE", path_of("workspaces", _workspace(workspace_id)), acknowledged)

    @endpoint
    def clone_workspace(self, workspace_id: WorkspaceId, *, load_full_structure: bool = False) -> Call[Workspace]:
        """Copy a workspace and return the copy, whose name begins with ``clone_`` in the document's example.

        The document gives no path of its own for this: it stands under ``/workspaces/{workspace_id}``. Never
        repeated by itself, because a call without an answer may have made a copy.
        """
        query = self._query({"load_full_structure": flag(load_full_structure)})
        path = path_of("workspaces", _workspace(workspace_id))
        return Call("POST", path, one("workspace"), query)

    @endpoint
    def change_workspace_owner(
        self, workspace_id: WorkspaceId, user_id: int | str, *, load_full_structure: bool = False
    ) -> Call[Workspace]:
        """Give a workspace to another user and return it."""
        path = path_of("workspaces", _workspace(workspace_id), "owner")
        body = {"user_id": id_number(user_id, "user_id")}
        return self._one_workspace("PATCH", path, load_full_structure, body, repeatable=_SAME_VALUES)

    @endpoint
    def delete_workspace_data(self, workspace_id: WorkspaceId) -> Call[Acknowledgement]:
        """Erase the data of a workspace. Nothing in the document brings it back.

        Never repeated by itself: by then there may be new data.
        """
        path = path_of("workspaces", _workspace(workspace_id), "data")
        return Call("DELETE", path, acknowledged, repeatable=False)

    # Versions

    @listing
    def list_workspace_history(
        self,
        workspace_id: WorkspaceId,
        *,
        page_size: int = PAGE_SIZE,
        order_by: str = "id",
        order_dir: OrderDir = "ASC",
        load_full_structure: bool = False,
    ) -> Call[Page[WorkspaceVersion]]:
        """Yield the versions of a workspace, the present one (with the id ``None``) among them."""
        path = path_of("workspaces", _workspace(workspace_id), "history")
        full = flag(load_full_structure)
        return self._paged(path, "history_list", page_size, order_by, order_dir, load_full_structure=full)

    @endpoint
    def get_workspace_history(
        self, workspace_id: WorkspaceId, history_id: int | str, *, load_full_structure: bool = False
    ) -> Call[WorkspaceVersion]:
        """Return one version of a workspace."""
        path = path_of("workspaces", _workspace(workspace_id), "history", (history_id, "history_id"))
        query = self._query({"load_full_structure": flag(load_full_structure)})
        return Call("GET", path, one("history"), query)

    @endpoint
    def revert_workspace(
        self, workspace_id: WorkspaceId, history_id: int | str, *, load_full_structure: bool = False
    ) -> Call[Workspace]:
        """Make an older version of a workspace the present one, and return it."""
        path = path_of("workspaces", _workspace(workspace_id), "history", (history_id, "history_id"))
        return self._one_workspace("PATCH", path, load_full_structure)

    # The trash

    @listing
    def list_trashed_workspaces(
        self,
        *,
        page_size: int = PAGE_SIZE,
        order_by: str = "id",
        order_dir: OrderDir = "ASC",
        load_full_structure: bool = False,
    ) -> Call[Page[Workspace]]:
        """Yield the workspaces in the trash."""
        full = flag(load_full_structure)
        return self._paged(
            "workspaces/trash", "trashed_workspaces", page_size, order_by, order_dir, load_full_structure=full
        )

    @endpoint
    def restore_workspace(self, workspace_id: WorkspaceId, *, load_full_structure: bool = False) -> Call[Workspace]:
        """Bring a workspace back from the trash, and return it."""
        path = path_of("workspaces", "trash", _workspace(workspace_id))
        return self._one_workspace("PATCH", path, load_full_structure)

    # Dawgs

    @listing
    def list_dawg_workspaces(
        self,
        dawg_id: int | str,
        *,
        page_size: int = PAGE_SIZE,
        order_by: str = "id",
        order_dir: OrderDir = "ASC",
        load_full_structure: bool = False,
    ) -> Call[Page[Workspace]]:
        """Yield the workspaces of a dawg."""
        path = path_of("dawgs", (dawg_id, "dawg_id"), "workspaces")
        full = flag(load_full_structure)
        return self._paged(path, "workspaces", page_size, order_by, order_dir, load_full_structure=full)

    @listing
    def list_dawgs(
        self,
        *,
        name_filter: str | None = None,
        tag_ids: Sequence[int] | None = None,
        show_enabled: bool | None = None,
        show_disabled: bool | None = None,
        page_size: int = PAGE_SIZE,
        order_by: str = "id",
        order_dir: OrderDir = "ASC",
        load_full_structure: bool = False,
    ) -> Call[Page[Dawg]]:
        """Yield the dawgs; parameters as of :meth:`list_workspaces`. From the product's dawgs page (b)."""
        return self._paged(
            "dawgs",
            "dawgs",
            page_size,
            order_by,
            order_dir,
            name_filter=None if name_filter is None else plain_text(name_filter, "name_filter"),
            tag_ids=filter_ids(tag_ids, "tag_ids"),
            show_enabled=show_enabled,
            show_disabled=show_disabled,
            load_full_structure=flag(load_full_structure),
        )

    def _one_workspace(
        self,
        method: str,
        path: str,
        load_full_structure: bool,
        body: Mapping[str, Any] | object = NO_BODY,
        repeatable: str | None = None,
    ) -> Call[Workspace]:
        query = self._query({"load_full_structure": flag(load_full_structure)})
        return Call(method, path, one("workspace"), query, body, repeatable=repeatable)


def _workspace(workspace_id: WorkspaceId) -> tuple[WorkspaceId, str]:
    return workspace_id, "workspace_id"


def _attributes(
    settings: Mapping[str, Any] | str | None, description: str | None, disabled: bool | None
) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if settings is not None:
        if not isinstance(settings, str | Mapping):
            raise InvalidInputError(f"settings must be an object or its JSON text, not {type(settings).__name__}")
        body["settings"] = plain_json(settings if isinstance(settings, str) else dict(settings), "settings")
    if description is not None:
        body["description"] = plain_text(description, "description")
    if disabled is not None:
        body["disabled"] = int(disabled)
    return body
