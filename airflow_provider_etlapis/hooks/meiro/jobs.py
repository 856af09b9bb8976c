"""Meiro Integrations' jobs: the runs of workspaces, their versions and their logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from airflow_provider_etlapis.hooks.endpoints import Program, endpoint, listing
from airflow_provider_etlapis.hooks.meiro.calls import (
    PAGE_SIZE,
    MeiroEndpoints,
    acknowledged,
    flag,
    ids_of,
    one,
    path_of,
    rows_of,
)
from airflow_provider_etlapis.hooks.meiro.shapes import (
    Acknowledgement,
    JobVersion,
    LastJob,
    LogRow,
    OrderDir,
    WorkspaceJob,
)
from airflow_provider_etlapis.wire.call import Call, Page, Response

Id = int | str
"""A whole number; text is taken as well, because templates make text."""


class JobEndpoints(MeiroEndpoints):
    """All operations on jobs, each of the vendor's own document (a).

    Lists yield all rows, page after page, newest first by default. A job that is started meanwhile pushes
    the others back, so one may be shown twice. No list takes a status, a date or an id. ``load_full_structure``
    embeds what is otherwise an id; what the result looks like then is not stated.
    """

    @listing
    def list_workspace_jobs(
        self,
        workspace_id: Id,
        *,
        page_size: int = PAGE_SIZE,
        order_by: str = "id",
        order_dir: OrderDir = "DESC",
        load_full_structure: bool = False,
    ) -> Call[Page[WorkspaceJob]]:
        """Yield the jobs of one workspace.

        :param page_size: rows a request.
        :param order_by: column; only ``id`` is shown in the document.
        """
        path = path_of("workspaces", (workspace_id, "workspace_id"), "jobs")
        full = flag(load_full_structure)
        return self._paged(path, "workspace_jobs", page_size, order_by, order_dir, load_full_structure=full)

    @endpoint
    def run_workspace(self, workspace_id: Id, *, load_full_structure: bool = False) -> Call[WorkspaceJob]:
        """Start a job of a workspace and return it, ``waiting``. The document knows no settings for one run.

        Never repeated by itself once it may have reached the server.
        """
        path = path_of("workspaces", (workspace_id, "workspace_id"), "jobs")
        query = self._query({"load_full_structure": flag(load_full_structure)})
        return Call("POST", path, one("workspace_job"), query, starts_run=True)

    @endpoint
    def get_job(self, workspace_id: Id, job_id: Id, *, load_full_structure: bool = False) -> Call[WorkspaceJob]:
        """Return one job.

        :raises NotFoundError: if there is none, or the credential may not see it (c).
        """
        query = self._query({"load_full_structure": flag(load_full_structure)})
        return Call("GET", _job_path(workspace_id, job_id), one("workspace_job"), query)

    @endpoint
    def cancel_job(self, workspace_id: Id, job_id: Id) -> Call[Acknowledgement]:
        """Cancel a job. Whether that is done at once, and what a job that has ended answers, is not stated (c).

        :raises RequestRefusedError: if the vendor says anything else than ``OK``.
        """
        return Call("DELETE", _job_path(workspace_id, job_id), acknowledged)

    @listing
    def list_job_history(
        self,
        workspace_id: Id,
        job_id: Id,
        *,
        page_size: int = PAGE_SIZE,
        order_by: str = "id",
        order_dir: OrderDir = "ASC",
        load_full_structure: bool = False,
    ) -> Call[Page[JobVersion]]:
        """Yield the versions of a job, one a status, the present one (with the id ``None``) among them."""
        path = f"{_job_path(workspace_id, job_id)}/history"
        full = flag(load_full_structure)
        return self._paged(path, "history_list", page_size, order_by, order_dir, load_full_structure=full)

    @endpoint
    def get_job_history(
        self, workspace_id: Id, job_id: Id, history_id: Id, *, load_full_structure: bool = False
    ) -> Call[JobVersion]:
        """Return one version of a job."""
        path = f"{_job_path(workspace_id, job_id)}/history/{path_of((history_id, 'history_id'))}"
        return Call("GET", path, one("history"), self._query({"load_full_structure": flag(load_full_structure)}))

    @listing
    def list_jobs(
        self,
        *,
        include_deleted_workspaces_jobs: bool = False,
        page_size: int = PAGE_SIZE,
        order_by: str = "id",
        order_dir: OrderDir = "DESC",
        load_full_structure: bool = False,
    ) -> Call[Page[WorkspaceJob]]:
        """Yield the jobs of all workspaces of the project.

        :param include_deleted_workspaces_jobs: include jobs of workspaces in the trash.
        """
        return self._paged(
            "workspace_jobs",
            "workspace_jobs",
            page_size,
            order_by,
            order_dir,
            include_deleted_workspaces_jobs=flag(include_deleted_workspaces_jobs),
            load_full_structure=flag(load_full_structure),
        )

    @listing
    def list_dawg_workspace_jobs(
        self,
        dawg_id: Id,
        *,
        include_deleted_workspace_jobs: bool = False,
        page_size: int = PAGE_SIZE,
        order_by: str = "id",
        order_dir: OrderDir = "DESC",
        load_full_structure: bool = False,
    ) -> Call[Page[WorkspaceJob]]:
        """Yield the jobs of the workspaces of a dawg.

        :param include_deleted_workspace_jobs: include jobs of workspaces in the trash (spelled with one ``s`` less
            than for the project's list).
        """
        return self._jobs_below(
            path_of("dawgs", (dawg_id, "dawg_id"), "workspace_jobs"),
            include_deleted_workspace_jobs,
            page_size,
            order_by,
            order_dir,
            load_full_structure,
        )

    @listing
    def list_dawg_job_workspace_jobs(
        self,
        dawg_id: Id,
        job_id: Id,
        *,
        include_deleted_workspace_jobs: bool = False,
        page_size: int = PAGE_SIZE,
        order_by: str = "id",
        order_dir: OrderDir = "DESC",
        load_full_structure: bool = False,
    ) -> Call[Page[WorkspaceJob]]:
        """Yield the workspace jobs that one job of a dawg has started.

        :param job_id: id of the dawg's job.
        :param include_deleted_workspace_jobs: as of :meth:`list_dawg_workspace_jobs`.
        """
        return self._jobs_below(
            path_of("dawgs", (dawg_id, "dawg_id"), "jobs", (job_id, "job_id"), "workspace_jobs"),
            include_deleted_workspace_jobs,
            page_size,
            order_by,
            order_dir,
            load_full_structure,
        )

    def _jobs_below(
        self, path: str, deleted: bool, page_size: int, order_by: str, order_dir: OrderDir, full: bool
    ) -> Call[Page[WorkspaceJob]]:
        return self._paged(
            path,
            "workspace_jobs",
            page_size,
            order_by,
            order_dir,
            include_deleted_workspace_jobs=flag(deleted),
            load_full_structure=flag(full),
        )

    @endpoint
    def list_last_jobs(
        self, workspace_ids: Sequence[Id] | None = None, *, load_full_structure: bool = False
    ) -> Program[list[LastJob]]:
        """Return the last job of each of many workspaces in one request; not paged.

        :param workspace_ids: ``None`` for all. Of no workspaces (``[]``) nothing is asked, and nothing returned.
        :returns: ``[{"workspace_id": 300, "last_job": {...}}]``. Of a workspace that never ran, the row, the job or
            its key may be missing (c).
        """
        ids = None if workspace_ids is None else ids_of(workspace_ids, "workspace_ids")
        if ids == []:
            return []  # on the wire an empty list would mean all of them
        query = {"workspace_ids": ids, "load_full_structure": flag(load_full_structure)}

        def parse(response: Response) -> list[LastJob]:
            return cast("list[LastJob]", rows_of(response, "last_workspace_jobs"))

        rows: list[LastJob] = yield Call("GET", "workspaces/last_jobs", parse, self._query(query))
        return rows

    @listing
    def list_job_logs(
        self,
        workspace_id: Id,
        job_id: Id,
        *,
        offset: int = 0,
        page_size: int = PAGE_SIZE,
        order_by: str = "id",
        order_dir: OrderDir = "ASC",
        load_full_structure: bool = False,
    ) -> Call[Page[LogRow]]:
        """Yield the lines of a job's log.

        :param offset: lines to pass over.
        """
        path = f"{_job_path(workspace_id, job_id)}/logs"
        full = flag(load_full_structure)
        return self._paged(
            path, "workspace_logs", page_size, order_by, order_dir, offset=offset, load_full_structure=full
        )

    @endpoint
    def get_job_log(
        self, workspace_id: Id, job_id: Id, log_id: Id, *, load_full_structure: bool = False
    ) -> Call[LogRow]:
        """Return one line of a job's log."""
        path = f"{_job_path(workspace_id, job_id)}/logs/{path_of((log_id, 'log_id'))}"
        return Call("GET", path, one("workspace_log"), self._query({"load_full_structure": flag(load_full_structure)}))


def _job_path(workspace_id: Id, job_id: Id) -> str:
    return path_of("workspaces", (workspace_id, "workspace_id"), "jobs", (job_id, "job_id"))
