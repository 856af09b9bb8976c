"""How WebRobot's runs are read: one, whichever has ended since a moment, those of a job, and many at once."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from airflow_provider_etlapis.exceptions import (
    CredentialsRejectedError,
    NotFoundError,
    NotOfferedError,
    PermissionDeniedError,
    RequestRefusedError,
    UnrecognizedAnswerError,
)
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.webrobot.api import WebRobotEndpoints
from airflow_provider_etlapis.hooks.webrobot.documents import Task, TaskMetrics
from airflow_provider_etlapis.hooks.webrobot.inputs import named_ids
from airflow_provider_etlapis.hooks.webrobot.lists import JobLists
from airflow_provider_etlapis.hooks.webrobot.marks import CallTime, TaskMark
from airflow_provider_etlapis.hooks.webrobot.runs import (
    NEVER_RAN,
    ended_task_run,
    execution_named_by,
    execution_ref,
    execution_run,
    is_going,
    is_seen_going,
    job_name,
    job_ref,
    metrics_detail,
    reference_of,
    state_of,
    task_name,
    task_step,
    waiting_unless_since,
    word,
)
from airflow_provider_etlapis.runs.evidence import CLOCK_SKEW
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, newest_first

SHOWN_WITHIN = CLOCK_SKEW
"""Seconds after an accepted start within which its task shows the new run (c)."""
_FEWER_SINGLY = 2


class WebRobotReads(WebRobotEndpoints):
    """What WebRobot says about runs."""

    def __init__(self, webrobot_conn_id: str) -> None:
        super().__init__(webrobot_conn_id)
        self._lists = JobLists()

    @endpoint
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Return what WebRobot says about an execution, a task's run or a job's last run."""
        if "execution_id" in ref.ids:
            status = yield from self.get_execution_status.plan(**ref.ids)
            return execution_run(ref, status)
        if "task_id" in ref.ids:
            return (yield from self._read_task_run(ref))
        return (yield from self._read_job_run(ref))

    def _read_task_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Read the run of a task; an end that the run before it has left is not taken for its own."""
        status = yield from self.get_task_status.plan(**ref.ids)
        shown = str(status.get("status") or "")
        details: dict[str, Any] = {"progress": status.get("progress")}
        run = RemoteRun(ref, state_of(shown), shown, task_name(ref.ids), details=details)
        if not run.state.is_terminal:
            return run
        task = yield from self.get_task.plan(**ref.ids)
        metrics = yield from self._metrics(ref.ids["task_id"], ref)
        waiting = self._run_before(ref, TaskMark.of(task, metrics, shown), has_end=bool(metrics.get("completedAt")))
        if waiting:
            return RemoteRun(ref, RunState.QUEUED, waiting, run.name, details=details)
        if metrics.get("startedAt") and not metrics.get("completedAt"):
            # Another run may have begun between these reads; then the status was that of the one before.
            shown = str((yield from self.get_task_status.plan(**ref.ids)).get("status") or "")
            run = replace(run, state=state_of(shown), vendor_status=shown)
            if not run.state.is_terminal:
                return run
        return ended_task_run(run, task, metrics)

    def _run_before(self, ref: RunRef, now: TaskMark, *, has_end: bool) -> str:
        """Return a status in words if the end that a task shows is, or may be, that of the run before; empty if not.

        Its start was accepted, so the task shows this run sooner or later. What nothing distinguishes from the run
        before is taken after five minutes: longer than clocks differ and rows lag (c).

        :param has_end: whether the metrics have an end.
        """
        before = TaskMark.from_json(ref.watermark)
        if before is None:
            return ""
        call = None if ref.since is None else CallTime(ref.since, self.clock_ahead)
        is_new = now.shows_new_run(before, call)
        if is_new is False:
            return f"{now.status} by the run before, not begun yet"
        is_ours = is_new or call is None or now.has_started_since(before, call)
        is_late = now.has_same_row(before) and not has_end  # the metrics are of this run, the status not yet
        if (is_ours and not is_late) or call is None or time.time() >= call.at + SHOWN_WITHIN:
            return ""
        return f"{now.status}, which may be that of the run before"

    def _read_job_run(self, ref: RunRef) -> Program[RemoteRun]:
        job = yield from self.get_job.plan(**ref.ids)
        shown = job.get("executionStatus") or ""
        return RemoteRun(ref, state_of(shown), shown, job.get("name") or job_name(ref.ids))

    def _metrics(self, task_id: str, ref: RunRef) -> Program[TaskMetrics]:
        """Return a task's metrics, empty where there are none (yet)."""
        try:
            metrics: TaskMetrics = yield from self.get_task_metrics.plan(
                ref.ids["project_id"], ref.ids["job_id"], task_id
            )
        except NotFoundError:
            return {}
        return metrics

    @endpoint
    def read_newest(self, ref: RunRef) -> Program[RemoteRun]:
        """Return the last run of a job or task once it has ended at or after ``ref.since``.

        A job's last execution is found through its tasks, which name it (c). Whether one before it has ended well
        since, or any at all where they name none, shows in the counts of the job's metrics.
        """
        if "task_id" in ref.ids:
            return waiting_unless_since(ref, (yield from self._read_task_run(ref)))
        runs = yield from self._named_executions(ref.ids, (yield from self._tasks_of(ref.ids)))
        if runs:
            run = max(runs, key=lambda run: run.started.timestamp() if run.started else float("inf"))
        else:
            run = yield from self._read_job_run(ref)
        last = waiting_unless_since(ref, run)
        if ref.since is None or last.state.is_good:
            return last
        since = datetime.fromtimestamp(ref.since, UTC)
        counted = (yield from self.get_job_metrics.plan(**ref.ids, start_time=since)).get("aggregated", {})
        if counted.get("completedCount"):
            return RemoteRun(ref, RunState.SUCCEEDED, "COMPLETED", job_name(ref.ids), details=dict(counted))
        return run if run.state.is_terminal and run.ended is None and counted.get("failedCount") else last

    @endpoint
    def runs_of(self, what: Mapping[str, Any], since: float, shared: Any = None) -> Program[list[RemoteRun]]:
        """Return the last executions of a job, as its tasks name them (c): the API has no list of executions.

        An execution that begins and ends between two looks is missed if another one has begun by the second.

        :param what: ``{"project_id", "job_id"}``.
        :raises NotOfferedError: if the job has run and its tasks name no execution.
        """
        ids = named_ids(what, ("project_id", "job_id"))
        tasks = yield from self._tasks_of(ids)
        if any(map(execution_named_by, tasks)):
            return (yield from self._named_executions(ids, tasks))
        status = (yield from self.get_job.plan(**ids)).get("executionStatus")
        if word(status) in NEVER_RAN or (is_going(status) and not is_seen_going(status, has_run=False)):
            return []  # nothing shows that it has ever run
        raise NotOfferedError(f"the tasks of {job_name(ids)} name no execution, so its runs cannot be told apart")

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        """Return the last run of each job that has run, by the lists of jobs; those changed last first.

        The API has no list of executions: a job's last run is named by the job. Of one job, its executions are
        returned, as far as its tasks name them (c).

        :param of: ``{"project_id"}``, or ``{"project_id", "job_id"}``.
        :raises NotOfferedError: for all projects, if the key may not list them; or as :meth:`runs_of`.
        """
        given = {} if of is None else named_ids(of, ("project_id",), ("project_id", "job_id"))
        if "job_id" in given:
            return newest_first((yield from self.runs_of.plan(given, 0.0)), limit)
        found: list[tuple[str, RemoteRun]] = []
        for project_id in [given["project_id"]] if given else (yield from self._project_ids()):
            for job in (yield from self.list_jobs.plan(project_id)):
                shown = job.get("executionStatus") or ""
                if job.get("id") and word(shown) not in NEVER_RAN:
                    ref = job_ref(project_id, str(job["id"]))
                    run = RemoteRun(ref, state_of(shown), shown, job.get("name") or job_name(ref.ids))
                    found.append((job.get("updatedAt") or "", run))
        found.sort(key=lambda each: each[0], reverse=True)
        return newest_first((run for _, run in found), limit)

    def _project_ids(self) -> Program[list[str]]:
        try:
            projects = yield from self.list_projects.plan()
        except (CredentialsRejectedError, PermissionDeniedError) as error:
            raise NotOfferedError(
                f"the key may not list projects: name one by project_id, and its jobs are listed ({error})"
            ) from error
        return [str(project["id"]) for project in projects if project.get("id")]

    def _tasks_of(self, ids: Mapping[str, str]) -> Program[list[Task]]:
        return (yield from self.list_tasks.plan(ids["project_id"], ids["job_id"]))

    def _named_executions(self, ids: Mapping[str, str], tasks: Collection[Task]) -> Program[list[RemoteRun]]:
        """Return the executions that the tasks of a job name; a task may name something else, which is left out."""
        runs = []
        for execution_id in dict.fromkeys(filter(None, map(execution_named_by, tasks))):
            run = yield from self._execution(execution_ref(**ids, execution_id=execution_id))
            if run is not None:
                runs.append(run)
        return runs

    def _execution(self, ref: RunRef) -> Program[RemoteRun | None]:
        """Return an execution, ``None`` if WebRobot does not know it (yet)."""
        try:
            return execution_run(ref, (yield from self.get_execution_status.plan(**ref.ids)))
        except NotFoundError:
            return None

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        """Return executions by the job lists of their projects, as far as these tell.

        An end comes from here only if the poll before saw the job going; how the run has ended, a read of its own
        says (:class:`~airflow_provider_etlapis.hooks.webrobot.lists.JobLists`). The runs of a project whose list is
        refused, by WebRobot or by something in between, are left to reads of their own until the next poll.
        """
        self._lists.begin()
        found: dict[str, RemoteRun] = {}
        executions = [ref for ref in refs if "execution_id" in ref.ids]
        executions.sort(key=lambda ref: (ref.ids["project_id"], ref.run_id))
        for project_id, group in groupby(executions, key=lambda ref: ref.ids["project_id"]):
            wanted = list(group)
            if len(wanted) < _FEWER_SINGLY:
                continue
            try:
                jobs = yield from self.list_jobs.plan(project_id)
            except (PermissionDeniedError, NotFoundError, RequestRefusedError, UnrecognizedAnswerError):
                continue
            found.update(self._lists.judge(wanted, jobs))
        return found

    @endpoint
    def complete_run(self, run: RemoteRun) -> Program[RemoteRun]:
        """Return an ended execution with the metrics of its task, and its tasks as steps.

        Which tasks are of the run shows in their ``executionReferenceId`` (c). ``details`` gets ``task_id`` and
        ``metrics`` of the first of them, and ``other_metrics`` by task id if there are more.
        """
        if "execution_id" not in run.ref.ids:
            return run
        tasks = yield from self._tasks_of(run.ref.ids)
        metrics: dict[str, TaskMetrics] = {}
        steps = []
        for task in tasks:
            if reference_of(task) == run.ref.ids["execution_id"] and task.get("id"):
                task_id = str(task["id"])
                metrics[task_id] = yield from self._metrics(task_id, run.ref)
                steps.append(task_step(task, metrics[task_id]))
        first = next(iter(metrics), None)
        details = {**run.details, "task_id": first, **(metrics_detail(metrics[first]) if first else {})}
        if len(metrics) > 1:
            details["other_metrics"] = {task_id: dict(each) for task_id, each in metrics.items() if task_id != first}
        return replace(run, steps=tuple(steps), details=details)
