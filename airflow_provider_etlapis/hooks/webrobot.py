"""WebRobot: starts, follows and stops executions of jobs and runs of tasks.

An "execution" is one run of a job, with an id. A task can also be started by itself: its run has no id.
Source: the vendor's API page, its published OpenAPI document, and, where said so, a later description of its API.
Nothing here was seen on a live server.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal

from airflow_provider_etlapis.connection_forms import WEBROBOT
from airflow_provider_etlapis.exceptions import (
    ConflictError,
    CredentialsRejectedError,
    InvalidInputError,
    NotFoundError,
    NotOfferedError,
    PermissionDeniedError,
    RequestRefusedError,
)
from airflow_provider_etlapis.hooks.base import CancelReport
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.values import moment, named
from airflow_provider_etlapis.hooks.webrobot_api import WebRobotEndpoints
from airflow_provider_etlapis.hooks.webrobot_json import Task, TaskMetrics, id_text
from airflow_provider_etlapis.hooks.webrobot_lists import JobLists
from airflow_provider_etlapis.hooks.webrobot_marks import (
    NEVER_RAN,
    JobMark,
    TaskMark,
    is_another_run,
    settle_execution,
    settle_task,
)
from airflow_provider_etlapis.hooks.webrobot_runs import (
    execution_run,
    is_going,
    job_name,
    metrics_detail,
    new_lines,
    started_run,
    state_of,
    task_name,
    task_of,
    task_step,
    utc_text,
    waiting_unless_since,
    word,
)
from airflow_provider_etlapis.runs.evidence import Evidence as Sighting
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, RunRef, RunState, newest_first
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.runs.watching import LogLines
from airflow_provider_etlapis.wire.auth import Auth, HeaderAuth
from airflow_provider_etlapis.wire.exchange import Pause

VENDOR = WEBROBOT.conn_type
DEFAULT_HOST = "https://api.webrobot.eu"

_LOOKS_FOR_LOST_START = 3
_PAUSE_BETWEEN_LOOKS = 2.0
_FEWER_SINGLY = 2
_LOG_WINDOW = 500
_ERROR_LINES = 10


class WebRobotHook(WebRobotEndpoints):
    """WebRobot's API and its runs.

    The connection (type ``webrobot``): the password is the API key, whole, with its colon if it has one; the host may
    be empty for the vendor's own address; ``base_path`` (``/api``) lies between it and the API's paths.

    References of runs name ``project_id``, ``job_id`` and ``execution_id`` (an execution), ``task_id`` instead of it
    (a run of a task by itself), or neither (whatever runs of a job, where nothing else is known about it).

    :param webrobot_conn_id: id of the Airflow connection.
    """

    conn_name_attr = "webrobot_conn_id"
    default_conn_name = "webrobot_default"
    conn_type = VENDOR
    hook_name = WEBROBOT.hook_name
    form = WEBROBOT
    capabilities = Capabilities(
        cancel=True,
        bulk=True,
        logs=True,
        finds_lost_starts=True,
        cancel_note="WebRobot stops the task of a run, which may lose data, and does not say in which status it ends",
    )

    def __init__(self, webrobot_conn_id: str = default_conn_name) -> None:
        super().__init__(webrobot_conn_id)
        self.webrobot_conn_id = webrobot_conn_id
        self._lists = JobLists()

    def address(self, values: ConnectionValues) -> str:
        """Return the base URL with the base path once, whatever the user typed along."""
        base_path = "/".join(part for part in values.extras["base_path"].split("/") if part)
        below = f"/{base_path}" if base_path else ""
        return values.base_url(default=DEFAULT_HOST, strip=("/webrobot/api", *filter(None, [below]))) + below

    def auth(self, values: ConnectionValues) -> Auth:
        """Return the API key as the header of its own."""
        key = values.password.strip()
        if values.login:
            raise values.fault(
                "the login must be empty and the password the whole API key; in a URI, write its colon as %3A"
            )
        if not key or not key.isascii() or not key.isprintable():
            raise values.fault("the password must be WebRobot's API key")
        return HeaderAuth({"X-API-Key": key})

    @staticmethod
    def execution_ref(project_id: str, job_id: str, execution_id: str) -> RunRef:
        """Return the reference of an execution."""
        return RunRef(VENDOR, {**_job_ids(project_id, job_id), "execution_id": id_text(execution_id, "execution_id")})

    @staticmethod
    def task_ref(project_id: str, job_id: str, task_id: str) -> RunRef:
        """Return the reference of a task's last run."""
        return RunRef(VENDOR, {**_job_ids(project_id, job_id), "task_id": id_text(task_id, "task_id")})

    @classmethod
    def ref_of(cls, run_id: str) -> RunRef:
        """Return the reference of ``project/job/execution``, of ``project/job/task:task``, or of ``project/job``."""
        match run_id.strip().split("/"):
            case [project_id, job_id, last] if last.startswith("task:"):
                return cls.task_ref(project_id, job_id, last.removeprefix("task:"))
            case [project_id, job_id, execution_id]:
                return cls.execution_ref(project_id, job_id, execution_id)
            case [project_id, job_id]:
                return cls.job_ref(project_id, job_id)
        raise InvalidInputError(
            f"a run of WebRobot is named project/job/execution, project/job/task:task or project/job, not {run_id!r}"
        )

    @staticmethod
    def job_ref(project_id: str, job_id: str) -> RunRef:
        """Return the reference of a job's last run."""
        return RunRef(VENDOR, _job_ids(project_id, job_id))

    # Looking

    @endpoint
    def check(self) -> Program[str]:
        """Prove the address and the key with the call that is made for it, and say what the key may see."""
        answer = yield from self.test_projects.plan()
        try:
            seen = f"{len((yield from self.list_projects.plan()))} projects"
        except CredentialsRejectedError as error:
            seen = f"the key may not list projects ({error})"
        return f"WebRobot at {self.settings.base_url} answered {answer.get('message')!r}: {seen}"

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
        before = TaskMark.from_json(ref.watermark)
        if before is not None and not is_another_run(before, TaskMark.of(task, metrics, shown)):
            waiting = f"{shown} by the run before, not begun yet"
            return RemoteRun(ref, RunState.QUEUED, waiting, run.name, details=details)
        if metrics.get("startedAt") and not metrics.get("completedAt"):
            # Another run may have begun between these reads; then the status was that of the one before.
            shown = str((yield from self.get_task_status.plan(**ref.ids)).get("status") or "")
            run = replace(run, state=state_of(shown), vendor_status=shown)
            if not run.state.is_terminal:
                return run
        log = (task.get("executionLog") or "").rstrip().splitlines()
        started = moment(metrics.get("startedAt"))
        ended = moment(metrics.get("completedAt")) or moment(task.get("updatedAt"))
        if started is not None and ended is not None and ended < started:
            ended = None  # a row that comes late still has the end of the run before
        return RemoteRun(
            ref,
            run.state,
            shown,
            run.name,
            started=started,
            ended=ended,
            error=None if run.state.is_good else "\n".join(log[-_ERROR_LINES:]) or None,
            details={**details, "execution_id": task.get("executionReferenceId"), **metrics_detail(metrics)},
        )

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
        since, or any at all where they name none, is told by the counts of the job's metrics.
        """
        if "task_id" in ref.ids:
            return waiting_unless_since(ref, (yield from self._read_task_run(ref)))
        runs = yield from self._named_executions(ref.ids, (yield from self._tasks_of(ref.ids)), frozenset())
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
        ids = dict(self.job_ref(**named(what, ("project_id", "job_id"))).ids)
        tasks = yield from self._tasks_of(ids)
        if any(task.get("executionReferenceId") for task in tasks):
            return (yield from self._named_executions(ids, tasks, frozenset()))
        if word((yield from self.get_job.plan(**ids)).get("executionStatus")) in NEVER_RAN:
            return []
        raise NotOfferedError(f"the tasks of {job_name(ids)} name no execution, so its runs cannot be told apart")

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        """Return the last run of each job that has run, by the lists of jobs; those changed last first.

        The API has no list of executions: a job's last run is named by the job. Of one job, its executions are
        returned, as far as its tasks name them (c).

        :param of: ``{"project_id"}``, or ``{"project_id", "job_id"}``.
        :raises NotOfferedError: for all projects, if the key may not list them; or as :meth:`runs_of`.
        """
        given = {} if of is None else named(of, ("project_id",), ("project_id", "job_id"))
        if "job_id" in given:
            return newest_first((yield from self.runs_of.plan(given, 0.0)), limit)
        found: list[tuple[str, RemoteRun]] = []
        for project_id in [given["project_id"]] if given else (yield from self._project_ids()):
            for job in (yield from self.list_jobs.plan(project_id)):
                shown = job.get("executionStatus") or ""
                if job.get("id") and word(shown) not in NEVER_RAN:
                    ref = self.job_ref(project_id, str(job["id"]))
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

    def _named_executions(
        self, ids: Mapping[str, str], tasks: Collection[Task], known: Collection[str]
    ) -> Program[list[RemoteRun]]:
        """Return the executions that the tasks of a job name, without those known already."""
        runs = []
        for execution_id in dict.fromkeys(task.get("executionReferenceId") or "" for task in tasks):
            if execution_id and execution_id not in known:
                ref = self.execution_ref(ids["project_id"], ids["job_id"], execution_id)
                try:
                    runs.append((yield from self.read_run.plan(ref)))
                except NotFoundError:
                    continue  # a task may name something else than an execution
        return runs

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        """Return executions by the job lists of their projects, as far as these tell.

        An end comes from here only if the look before saw the job going; how the run has ended, a read of its own
        tells (:class:`~airflow_provider_etlapis.hooks.webrobot_lists.JobLists`).
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
            except NotFoundError:
                continue
            found.update(self._lists.judge(wanted, jobs))
        return found

    @endpoint
    def complete_run(self, run: RemoteRun) -> Program[RemoteRun]:
        """Return an ended execution with the metrics of its task, and its tasks as steps.

        Which tasks are of the run is told by their ``executionReferenceId`` (c). ``details`` gets ``task_id`` and
        ``metrics`` of the first of them, and ``other_metrics`` by task id if there are more.
        """
        if "execution_id" not in run.ref.ids:
            return run
        tasks = yield from self._tasks_of(run.ref.ids)
        metrics: dict[str, TaskMetrics] = {}
        steps = []
        for task in tasks:
            if task.get("executionReferenceId") == run.ref.ids["execution_id"] and task.get("id"):
                task_id = str(task["id"])
                metrics[task_id] = yield from self._metrics(task_id, run.ref)
                steps.append(task_step(task, metrics[task_id]))
        first = next(iter(metrics), None)
        details = {**run.details, "task_id": first, **(metrics_detail(metrics[first]) if first else {})}
        if len(metrics) > 1:
            details["other_metrics"] = {task_id: dict(each) for task_id, each in metrics.items() if task_id != first}
        return replace(run, steps=tuple(steps), details=details)

    # Starting

    @endpoint
    def before_start(self, spec: Mapping[str, Any]) -> Program[Any]:
        """Return what the job or task shows about its last run."""
        mark: JobMark | TaskMark
        if "task_id" in spec:
            mark = yield from self._task_mark(spec)
        else:
            mark = yield from self._job_mark(spec)
        return mark.to_json()

    def _task_mark(self, spec: Mapping[str, Any]) -> Program[TaskMark]:
        ref = self.task_ref(**spec)
        task = yield from self.get_task.plan(**ref.ids)
        metrics: TaskMetrics = {}
        if word(task.get("executionStatus")):
            metrics = yield from self._metrics(ref.ids["task_id"], ref)
        return TaskMark.of(task, metrics)

    def _job_mark(self, spec: Mapping[str, Any]) -> Program[JobMark]:
        ids = _job_ids(spec["project_id"], spec["job_id"])
        job = yield from self.get_job.plan(**ids)
        return JobMark.of(job, (yield from self._tasks_of(ids)))

    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start an execution, or a task.

        :param spec: ``{"project_id", "job_id", "arguments", "cloud_credential_ids", "body"}``, or
            ``{"project_id", "job_id", "task_id"}``.
        :param marker: not sent: the API has nothing that carries one.
        """
        if "task_id" in spec:
            before = yield from self._task_mark(spec)
            ref = self.task_ref(**spec)
            yield from self.start_task.plan(**ref.ids)
            ref = RunRef(VENDOR, ref.ids, watermark=before.to_json())
            return RemoteRun(ref, RunState.QUEUED, "start accepted", task_name(ref.ids))
        started = yield from self.execute_job.plan(**spec)
        return started_run(self.execution_ref(spec["project_id"], spec["job_id"], started["executionId"]), started)

    @endpoint
    def find_running(self, spec: Mapping[str, Any]) -> Program[RemoteRun | None]:
        """Return what runs of a job or task: its execution, else a task by itself, else the job as such."""
        if "task_id" in spec:
            run = yield from self.read_run.plan(self.task_ref(**spec))
            return run if is_going(run.vendor_status) else None
        ids = _job_ids(spec["project_id"], spec["job_id"])
        tasks = yield from self._tasks_of(ids)
        for run in (yield from self._named_executions(ids, tasks, frozenset())):
            if not run.state.is_terminal:
                return run
        for task in tasks:
            if is_going(task.get("executionStatus")):
                return (yield from self.read_run.plan(self.task_ref(**ids, task_id=str(task.get("id")))))
        run = yield from self.read_run.plan(self.job_ref(**ids))
        return run if is_going(run.vendor_status) else None

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Look for the run of a start call that got no answer, a few times: a slow server may write it late."""
        search = Search(Sighting.UNSURE, "")
        for look in range(_LOOKS_FOR_LOST_START):
            if look:
                yield Pause(_PAUSE_BETWEEN_LOOKS)
            search = yield from (self._find_task_run if "task_id" in spec else self._find_execution)(spec, intent)
            if search.sighting is Sighting.FOUND:
                break
        return search

    def _find_execution(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        ids = _job_ids(spec["project_id"], spec["job_id"])
        before = JobMark.from_json(intent.watermark)
        job = yield from self.get_job.plan(**ids)
        tasks = yield from self._tasks_of(ids)
        named = yield from self._named_executions(ids, tasks, before.executions if before else ())
        looked_for = f"an execution of {job_name(ids)} since {utc_text(intent.at)}, by the ones that its tasks name"
        return settle_execution(before, JobMark.of(job, tasks), named, intent.at, looked_for)

    def _find_task_run(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        now = yield from self._task_mark(spec)
        ref = RunRef(VENDOR, self.task_ref(**spec).ids, watermark=intent.watermark)
        run = RemoteRun(ref, state_of(now.status), now.status, task_name(ref.ids), started=moment(now.started))
        looked_for = f"a run of {run.name} since {utc_text(intent.at)}, by the task's status, reference and metrics"
        return settle_task(TaskMark.from_json(intent.watermark), now, run, intent.at, looked_for)

    # Cancelling

    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        """Stop a run that has not ended: by a stop of its task, as documented.

        Where the task of an execution cannot be told or stopped, the execution is deleted; where only the job is
        known, the job is stopped. Both calls are from a later description of the API.
        """
        run = yield from self.read_run.plan(ref)
        if run.state.is_terminal:
            return CancelReport(False, f"run {ref.run_id} had ended already: {run.vendor_status}")
        note = f"asked to stop run {ref.run_id}"
        if "task_id" in ref.ids:
            try:
                yield from self.stop_task.plan(**ref.ids)
            except ConflictError:
                return CancelReport(False, f"{task_name(ref.ids)} is not running")
            return CancelReport(True, f"{note}. {self.capabilities.cancel_note}")
        if "execution_id" not in ref.ids:
            yield from self.stop_job.plan(**ref.ids)
            return CancelReport(True, f"{note} by a stop of its job (not in the vendor's reference)")
        task_id = task_of(ref.ids["execution_id"], (yield from self._tasks_of(ref.ids)))
        if task_id is not None:
            try:
                yield from self.stop_task.plan(ref.ids["project_id"], ref.ids["job_id"], task_id)
            except (ConflictError, NotFoundError):
                self.log.info("Task %s of run %s does not run: deleting the execution", task_id, ref.run_id)
            else:
                return CancelReport(True, f"{note} by a stop of task {task_id}. {self.capabilities.cancel_note}")
        try:
            yield from self.cancel_execution.plan(**ref.ids)
        except (NotFoundError, RequestRefusedError) as error:
            return CancelReport(False, f"run {ref.run_id} could not be stopped, it may go on: {error}")
        return CancelReport(True, f"{note} by deleting the execution (not in the vendor's reference)")

    # Logs

    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        """Return the driver's new log lines.

        The API tells the last lines only, so the cursor holds those of the look before; if more than 500 come between
        two looks, some are missed.
        """
        ids = yield from self._log_ids(ref, (ref.watermark or {}).get("reference"))
        if ids is None:
            return LogLines((), cursor)
        shown = yield from self.get_execution_logs.plan(**ids, pod_type="driver", tail=_LOG_WINDOW)
        return LogLines(tuple(new_lines(cursor or (), shown)), shown or cursor)

    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        """Return the last lines of the executors' log and of the driver's, each with its origin in front."""
        ids = yield from self._log_ids(ref, None)
        if ids is None:
            return ()
        told: list[str] = []
        pods: tuple[Literal["executor", "driver"], ...] = ("executor", "driver")
        for pod_type in pods:
            try:
                shown = yield from self.get_execution_logs.plan(**ids, pod_type=pod_type, tail=lines)
            except NotFoundError:
                continue  # gone with its pods, or never there: the other one may still tell
            told += [f"[{pod_type}] {line}" for line in shown[-lines:]]
        return tuple(told)

    def _log_ids(self, ref: RunRef, before: str | None) -> Program[dict[str, str] | None]:
        """Return the ids of the execution whose log is that of a run, ``None`` where it has none (yet).

        :param before: the execution that its task named before the run.
        """
        if "execution_id" in ref.ids:
            return dict(ref.ids)
        if "task_id" not in ref.ids:
            return None
        task = yield from self.get_task.plan(**ref.ids)
        execution_id = task.get("executionReferenceId")
        if not execution_id or execution_id == before:
            return None
        return {**_job_ids(ref.ids["project_id"], ref.ids["job_id"]), "execution_id": execution_id}


def _job_ids(project_id: str, job_id: str) -> dict[str, str]:
    return {"project_id": id_text(project_id, "project_id"), "job_id": id_text(job_id, "job_id")}
