"""The Meiro sandbox's jobs: started, listed in five ways, cancelled, with their versions and their logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_etlapis.sandbox.meiro.requests import RefusedError, operation, whole
from airflow_provider_etlapis.sandbox.meiro.server import MeiroServer
from airflow_provider_etlapis.sandbox.meiro.work import Workspace, job_json, job_versions, log_rows
from airflow_provider_etlapis.sandbox.messages import Call, Reply
from airflow_provider_etlapis.sandbox.runs import Run

_NOT_IN_REPLY_OF_RUN = ("variables", "origin_created")


class MeiroJobs(MeiroServer):
    """All operations on jobs."""

    @operation("list", "GET", "/workspaces/last_jobs")
    def last_jobs(self, call: Call) -> Reply:
        """Show the last job of each wanted workspace that the credential may see."""
        self.query(call, "workspace_ids", "load_full_structure")
        if "last_jobs" in self.refused_lists:
            raise RefusedError(403)
        wanted = self.array(call, "workspace_ids")
        rows = []
        for number in sorted(self.workspaces) if wanted is None else wanted:
            workspace = self.workspaces.get(number)
            if workspace is None or workspace.deleted or workspace.hidden:
                continue
            jobs = self.jobs_of.get(number)
            if jobs:
                rows.append({"workspace_id": number, "last_job": self._row(jobs[-1], call, "dawg_job_id")})
            elif self.never_ran == "null":
                rows.append({"workspace_id": number, "last_job": None})
            elif self.never_ran == "no key":
                rows.append({"workspace_id": number})
        echo = {"selection_settings": {"workspace_ids": wanted}}
        return Reply.json(200, {"last_workspace_jobs": rows, **echo})

    @operation("list", "GET", "/workspace_jobs")
    def all_jobs(self, call: Call) -> Reply:
        """List the jobs of all workspaces."""
        if "workspace_jobs" in self.refused_lists:
            raise RefusedError(403)
        name = "include_deleted_workspaces_jobs"
        jobs = self._seen(self.jobs, deleted=self.flag(call, name))
        return self.page(
            call,
            "workspace_jobs",
            jobs,
            lambda run: self._row(run, call, "dawg_job_id", "variables"),
            flags=[name],
        )

    @operation("jobs", "GET", "/workspaces/{workspace_id}/jobs")
    def workspace_jobs(self, call: Call) -> Reply:
        """List the jobs of one workspace."""
        workspace = self.workspace(call)
        jobs = self.jobs_of.get(workspace.id, [])
        return self.page(
            call, "workspace_jobs", jobs, lambda run: job_json(run, self.clock.now(), self.stamp, call.status_word)
        )

    @operation("start", "POST", "/workspaces/{workspace_id}/jobs")
    def run_workspace(self, call: Call) -> Reply:
        """Start a job; there is nothing to say about it."""
        self.plain_query(call)
        if call.body:
            raise RefusedError(400, "No body is expected")
        workspace = self.workspace(call)
        if workspace.disabled and not self.runs_disabled:
            raise RefusedError(400, "Workspace is disabled")
        run = self.begin_run(str(workspace.id), {"user_id": self.user_of(call)})
        row = {**job_json(run, run.started_at, self.stamp), "status": call.status_word or "waiting", "stats": {}}
        return Reply.json(201, {"workspace_job": {key: row[key] for key in row if key not in _NOT_IN_REPLY_OF_RUN}})

    @operation("get", "GET", "/workspaces/{workspace_id}/jobs/{job_id}")
    def get_job(self, call: Call) -> Reply:
        """Show one job."""
        self.plain_query(call)
        return Reply.json(
            200, {"workspace_job": job_json(self._job(call), self.clock.now(), self.stamp, call.status_word)}
        )

    @operation("cancel", "DELETE", "/workspaces/{workspace_id}/jobs/{job_id}")
    def cancel(self, call: Call) -> Reply:
        """Cancel a job, at once or a little later."""
        self.query(call)
        run = self._job(call)
        if not run.is_live(self.clock.now()):
            if self.cancel_ended != 200:
                raise RefusedError(self.cancel_ended, "The job has ended")
            return Reply.json(200, {"message": "OK"})
        stops_at = self.clock.now() + self.cancel_seconds
        if run.is_live(stops_at):
            run.cancel(stops_at, stops_work=True)
        self.ledger.note_cancel(run.id)
        return Reply.json(200, {"message": "OK"})

    @operation("job_history", "GET", "/workspaces/{workspace_id}/jobs/{job_id}/history")
    def job_history(self, call: Call) -> Reply:
        """List the versions of a job, the present one first by age of its number: it has none."""
        versions = job_versions(self._job(call), self.clock.now(), self.stamp)
        return self.page(
            call, "history_list", history_rows("workspace_job", versions[:-1], versions[-1][1]), lambda row: row
        )

    @operation("job_version", "GET", "/workspaces/{workspace_id}/jobs/{job_id}/history/{history_id}")
    def job_version(self, call: Call) -> Reply:
        """Show one version of a job."""
        self.plain_query(call)
        versions = job_versions(self._job(call), self.clock.now(), self.stamp)
        rows = history_rows("workspace_job", versions[:-1], versions[-1][1])
        return Reply.json(200, {"history": version_of(rows, call)})

    @operation("logs", "GET", "/workspaces/{workspace_id}/jobs/{job_id}/logs")
    def logs(self, call: Call) -> Reply:
        """List the lines of a job's log so far."""
        run = self._job(call)
        return self.page(call, "workspace_logs", self._log(run), lambda row: row)

    @operation("log_row", "GET", "/workspaces/{workspace_id}/jobs/{job_id}/logs/{log_id}")
    def log_row(self, call: Call) -> Reply:
        """Show one line of a job's log."""
        self.plain_query(call)
        wanted = whole(call.parameters["log_id"])
        row = next((row for row in self._log(self._job(call)) if row["id"] == wanted), None)
        if row is None:
            raise RefusedError(404)
        return Reply.json(200, {"workspace_log": row})

    @operation("dawg_jobs", "GET", "/dawgs/{dawg_id}/workspace_jobs")
    def dawg_jobs(self, call: Call) -> Reply:
        """List the jobs of a dawg's workspaces."""
        return self._dawg_page(call, None)

    @operation("dawg_job_jobs", "GET", "/dawgs/{dawg_id}/jobs/{dawg_job_id}/workspace_jobs")
    def dawg_job_jobs(self, call: Call) -> Reply:
        """List the jobs that one job of a dawg has started."""
        return self._dawg_page(call, whole(call.parameters["dawg_job_id"]))

    def _dawg_page(self, call: Call, dawg_job_id: int | None) -> Reply:
        dawg_id = self.dawg_id(call)
        name = "include_deleted_workspace_jobs"
        jobs = [
            run
            for run in self._seen(self.jobs, deleted=self.flag(call, name))
            if self._workspace_of(run).dawg_id == dawg_id
            and (dawg_job_id is None or run.request.get("dawg_job_id") == dawg_job_id)
        ]
        return self.page(call, "workspace_jobs", jobs, lambda run: self._row(run, call, "variables"), flags=[name])

    def dawg_id(self, call: Call) -> int:
        """Return the dawg of the path."""
        number = whole(call.parameters["dawg_id"])
        if number not in self.dawgs:
            raise RefusedError(404)
        return number

    def _job(self, call: Call) -> Run:
        workspace = self.workspace(call, deleted=True)
        run = self.runs.get(f"{workspace.id}/{whole(call.parameters['job_id'])}")
        if run is None:
            raise RefusedError(404)
        return run

    def _log(self, run: Run) -> list[dict[str, Any]]:
        return log_rows(run, self._workspace_of(run).log_every, self.clock.now(), self.stamp)

    def _workspace_of(self, run: Run) -> Workspace:
        return self.workspaces[int(run.flow)]

    def _seen(self, jobs: Sequence[Run], *, deleted: bool) -> Sequence[Run]:
        out = {w.id for w in self.workspaces.values() if w.hidden or (w.deleted and not deleted)}
        return [run for run in jobs if int(run.flow) not in out] if out else jobs

    def _row(self, run: Run, call: Call, *absent: str) -> dict[str, Any]:
        """Return a job as a list over many workspaces shows it."""
        row = job_json(run, self.clock.now(), self.stamp, call.status_word)
        if self.bare_lists:
            row["stats"] = {}
        return {name: value for name, value in row.items() if name not in absent}


def history_rows(
    key: str, older: Sequence[tuple[int, dict[str, Any]]], present: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return versions as the history lists them: the present one without a number, each with the one before it.

    Numbers change their type as in the document: text as an id, a number as that of the version before.
    """
    rows: list[dict[str, Any]] = []
    for index, (number, entry) in enumerate(older):
        rows.append({"id": str(number), key: entry, **_before(key, older[:index])})
    return [{"id": None, key: present, **_before(key, older)}, *reversed(rows)]


def version_of(rows: Sequence[dict[str, Any]], call: Call) -> dict[str, Any]:
    """Return the version that a path names."""
    wanted = str(whole(call.parameters["history_id"]))
    row = next((row for row in rows if row["id"] == wanted), None)
    if row is None:
        raise RefusedError(404)
    return row


def _before(key: str, older: Sequence[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
    return {"previous_history": {"id": older[-1][0], key: older[-1][1]}} if older else {}
