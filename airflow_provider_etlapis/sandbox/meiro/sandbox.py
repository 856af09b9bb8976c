"""Meiro Integrations on localhost: its document on workspaces whole, and of its other pages what a client needs.

Not imitated: what ``load_full_structure`` embeds (not documented: the flag is checked and changes nothing), rights
beyond seeing a workspace or not, schedules, components and OAuth repositories.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_etlapis.sandbox.meiro.jobs import MeiroJobs, history_rows, version_of
from airflow_provider_etlapis.sandbox.meiro.requests import RefusedError, check_fields, operation, whole
from airflow_provider_etlapis.sandbox.meiro.work import Dawg, Workspace
from airflow_provider_etlapis.sandbox.messages import Call, Reply

_ATTRIBUTES: Mapping[str, Any] = {"name": str, "settings": (dict, str), "description": str, "disabled": int}
_BULK: Mapping[str, Any] = {
    **_ATTRIBUTES,
    "dawg_id": (int, type(None)),
    "workspace_id": int,
    "input_settings": dict,
    "frontend_settings": dict,
    "continue_on_failure": int,
}
_AFTER_DURATION = ("last_run_duration",)
_NOT_YET = ("last_run", "last_run_duration", "last_activity", "author_id", "tags")


class MeiroSandbox(MeiroJobs):
    """A Meiro instance with scripted jobs.

    A flow of the sandbox is the id of a workspace as text; options are those of
    :class:`~airflow_provider_etlapis.sandbox.meiro.server.MeiroServer`.
    """

    @operation("workspaces", "GET", "/workspaces")
    def list_workspaces(self, call: Call) -> Reply:
        """List the workspaces that are not in the trash, by the filters."""
        wanted, echo = self._filter(call)
        rows = [w for w in self._all() if not w.deleted and not w.hidden and wanted(w)]
        return self.page(call, "workspaces", rows, self._shown, echo=echo)

    @operation("create_workspace", "POST", "/workspaces")
    def create_workspace(self, call: Call) -> Reply:
        """Make a workspace."""
        self.plain_query(call)
        fields = _read(self.object_of(call, required={"name": str}, optional=_ATTRIBUTES))
        made = self.define(Workspace(max(self.workspaces, default=0) + 1, user_id=self._user(call), **fields))
        return Reply.json(201, {"workspace": self._shown(made, *_NOT_YET)})

    @operation("update_workspaces", "PATCH", "/workspaces")
    def update_workspaces(self, call: Call) -> Reply:
        """Change many workspaces, or none if one of them is not there."""
        self.plain_query(call)
        body = self.body_of(call)
        if not isinstance(body, list) or not body:
            raise RefusedError(400, "The body must be an array")
        for change in body:
            check_fields(change, {"id": int}, _BULK)
            if change["id"] not in self.workspaces:
                raise RefusedError(404)
        changed = []
        for change in body:
            workspace = self.workspaces[change["id"]]
            kept = {name: value for name, value in change.items() if name not in ("id", "workspace_id")}
            workspace.change(_read(kept), next(self._version_ids))
            changed.append(self._shown(workspace))
        return Reply.json(200, {"workspaces": changed})

    @operation("trash", "GET", "/workspaces/trash")
    def list_trash(self, call: Call) -> Reply:
        """List the trash."""
        rows = [w for w in self._all() if w.deleted and not w.hidden]
        return self.page(call, "trashed_workspaces", rows, lambda workspace: workspace.trash_json(self.stamp))

    @operation("restore", "PATCH", "/workspaces/trash/{workspace_id}")
    def restore(self, call: Call) -> Reply:
        """Take a workspace out of the trash."""
        self.plain_query(call)
        workspace = self.workspace(call, deleted=True)
        if not workspace.deleted:
            raise RefusedError(404)
        workspace.deleted = 0
        return Reply.json(200, {"workspace": self._shown(workspace, *_NOT_YET, "dawg_id", "input_settings")})

    @operation("get_workspace", "GET", "/workspaces/{workspace_id}")
    def get_workspace(self, call: Call) -> Reply:
        """Show one workspace."""
        self.plain_query(call)
        return Reply.json(200, {"workspace": self._shown(self.workspace(call))})

    @operation("modify_workspace", "PATCH", "/workspaces/{workspace_id}")
    def modify_workspace(self, call: Call) -> Reply:
        """Change a workspace."""
        self.plain_query(call)
        workspace = self.workspace(call)
        workspace.change(_read(self.object_of(call, optional=_ATTRIBUTES)), next(self._version_ids))
        return Reply.json(200, {"workspace": self._shown(workspace, *_AFTER_DURATION)})

    @operation("delete_workspace", "DELETE", "/workspaces/{workspace_id}")
    def delete_workspace(self, call: Call) -> Reply:
        """Move a workspace to the trash."""
        self.query(call)
        self.workspace(call).deleted = 1
        return Reply.json(200, {"message": "OK"})

    @operation("clone", "POST", "/workspaces/{workspace_id}")
    def clone(self, call: Call) -> Reply:
        """Copy a workspace."""
        self.plain_query(call)
        if call.body:
            raise RefusedError(400, "No body is expected")
        source = self.workspace(call)
        copy = replace(
            source,
            id=max(self.workspaces) + 1,
            name=f"clone_{source.name}",
            user_id=self._user(call),
            created_at=self.clock.now(),
            versions=[],
        )
        return Reply.json(200, {"workspace": self._shown(self.define(copy), *_AFTER_DURATION)})

    @operation("change_owner", "PATCH", "/workspaces/{workspace_id}/owner")
    def change_owner(self, call: Call) -> Reply:
        """Give a workspace to another user."""
        self.plain_query(call)
        workspace = self.workspace(call)
        workspace.change(self.object_of(call, required={"user_id": int}), next(self._version_ids))
        return Reply.json(200, {"workspace": self._shown(workspace, *_AFTER_DURATION)})

    @operation("delete_data", "DELETE", "/workspaces/{workspace_id}/data")
    def delete_data(self, call: Call) -> Reply:
        """Erase data, of which the sandbox has none; the message is in lower case here."""
        self.query(call)
        self.workspace(call)
        return Reply.json(200, {"message": "ok"})

    @operation("history", "GET", "/workspaces/{workspace_id}/history")
    def history(self, call: Call) -> Reply:
        """List the versions of a workspace."""
        return self.page(call, "history_list", self._versions(self.workspace(call)), lambda row: row)

    @operation("version", "GET", "/workspaces/{workspace_id}/history/{history_id}")
    def version(self, call: Call) -> Reply:
        """Show one version of a workspace."""
        self.plain_query(call)
        return Reply.json(200, {"history": version_of(self._versions(self.workspace(call)), call)})

    @operation("revert", "PATCH", "/workspaces/{workspace_id}/history/{history_id}")
    def revert(self, call: Call) -> Reply:
        """Make an old version the present one."""
        self.plain_query(call)
        if call.body:
            raise RefusedError(400, "No body is expected")
        workspace = self.workspace(call)
        wanted = whole(call.parameters["history_id"])
        old = next((old for number, old in workspace.versions if number == wanted), None)
        if old is None:
            raise RefusedError(404)
        names = ("name", "description", "settings", "frontend_settings", "input_settings", "dawg_id", "disabled")
        workspace.change({name: getattr(old, name) for name in names}, next(self._version_ids))
        return Reply.json(200, {"workspace": workspace.version_json(self.stamp)})

    @operation("dawg_workspaces", "GET", "/dawgs/{dawg_id}/workspaces")
    def dawg_workspaces(self, call: Call) -> Reply:
        """List the workspaces of a dawg."""
        dawg_id = self.dawg_id(call)
        rows = [w for w in self._all() if w.dawg_id == dawg_id and not w.deleted and not w.hidden]
        return self.page(call, "workspaces", rows, lambda workspace: self._shown(workspace, "high_disk_usage"))

    @operation("dawgs", "GET", "/dawgs")
    def list_dawgs(self, call: Call) -> Reply:
        """List the dawgs, by the filters."""
        wanted, echo = self._filter(call)
        rows = [dawg for _, dawg in sorted(self.dawgs.items()) if wanted(dawg)]
        return self.page(call, "dawgs", rows, self._dawg, echo=echo)

    def _filter(self, call: Call) -> tuple[Callable[[Any], bool], dict[str, Any]]:
        name = call.query_value("name_filter")
        tags = self.array(call, "tag_ids")
        enabled = self.boolean(call, "show_enabled", default=True)
        disabled = self.boolean(call, "show_disabled", default=True)

        def wanted(thing: Any) -> bool:
            named = name is None or name.lower() in thing.name.lower()
            tagged = tags is None or bool(set(tags) & set(getattr(thing, "tag_ids", ())))
            return named and tagged and (disabled if thing.disabled else enabled)

        echo = {"name_filter": name, "tag_ids": tags, "show_enabled": enabled, "show_disabled": disabled}
        return wanted, echo

    def _all(self) -> list[Workspace]:
        return [workspace for _, workspace in sorted(self.workspaces.items())]

    def _user(self, call: Call) -> int:
        user = self.user_of(call)
        if user is None:
            raise RefusedError(401)
        return user

    def _shown(self, workspace: Workspace, *absent: str) -> dict[str, Any]:
        row = workspace.as_json(self.stamp, self.jobs_of.get(workspace.id, []), self.clock.now())
        return {name: value for name, value in row.items() if name not in absent}

    def _versions(self, workspace: Workspace) -> list[dict[str, Any]]:
        older = [(number, old.version_json(self.stamp)) for number, old in workspace.versions]
        return history_rows("workspace", older, workspace.version_json(self.stamp))

    def _dawg(self, dawg: Dawg) -> dict[str, Any]:
        members = [workspace for workspace in self._all() if workspace.dawg_id == dawg.id and not workspace.deleted]
        return {
            "id": dawg.id,
            "user_id": dawg.user_id,
            "name": dawg.name,
            "description": "",
            "settings": {"schedules": [], "notification_emails": []},
            "frontend_settings": {},
            "disabled": dawg.disabled,
            "deleted": 0,
            "author_id": dawg.user_id,
            "tags": [],
            "example_workspaces": [workspace.id for workspace in members[:3]],
            "workspaces_count": len(members),
            "created": self.stamp(self.clock.now()),
        }


def _read(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Take settings as an object or as its text: the document calls them "string (json)" and shows an object."""
    read = dict(fields)
    if isinstance(read.get("settings"), str):
        try:
            read["settings"] = json.loads(read["settings"])
        except ValueError:
            raise RefusedError(400, "settings are no JSON") from None
    return read
