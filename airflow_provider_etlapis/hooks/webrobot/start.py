"""How WebRobot's runs are started, and how the run of a start call that got no answer is looked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.values import moment
from airflow_provider_etlapis.hooks.webrobot.documents import Task, TaskMetrics
from airflow_provider_etlapis.hooks.webrobot.inputs import job_ids
from airflow_provider_etlapis.hooks.webrobot.marks import CallTime, JobMark, TaskMark
from airflow_provider_etlapis.hooks.webrobot.read import WebRobotReads
from airflow_provider_etlapis.hooks.webrobot.runs import (
    VENDOR,
    execution_named_by,
    execution_ref,
    is_going,
    is_seen_going,
    job_name,
    job_ref,
    reference_of,
    started_run,
    state_of,
    task_name,
    task_ref,
    utc_text,
    word,
)
from airflow_provider_etlapis.hooks.webrobot.search import (
    EXECUTION_PROOF,
    TASK_RUN_PROOF,
    weigh_executions,
    weigh_task_run,
)
from airflow_provider_etlapis.runs.evidence import Search, StartProof
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.resume import Intent


class WebRobotStarts(WebRobotReads):
    """Starts of jobs and of tasks by themselves."""

    start_proof: ClassVar[StartProof] = EXECUTION_PROOF
    task_start_proof: ClassVar[StartProof] = TASK_RUN_PROOF
    """What shows that a run of a task by itself is the one that an unanswered start call has made."""

    @endpoint
    def before_start(self, spec: Mapping[str, Any]) -> Program[Any]:
        """Return what the job or task shows about its last run."""
        mark: JobMark | TaskMark
        if "task_id" in spec:
            mark, *_ = yield from self._task_among_others(spec)
        else:
            ids = job_ids(spec["project_id"], spec["job_id"])
            mark = JobMark.of((yield from self.get_job.plan(**ids)), (yield from self._tasks_of(ids)))
        return mark.to_json()

    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start an execution, or a task.

        :param spec: ``{"project_id", "job_id", "arguments", "cloud_credential_ids", "body"}``, or
            ``{"project_id", "job_id", "task_id"}``.
        :param marker: not sent: the API has nothing that carries one.
        """
        if "task_id" not in spec:
            started = yield from self.execute_job.plan(**spec)
            return started_run(execution_ref(spec["project_id"], spec["job_id"], started["executionId"]), started)
        ref = task_ref(**spec)
        try:
            before = TaskMark.of(*(yield from self._task_and_metrics(ref)))
        except EtlApiError as error:
            error.may_have_acted, error.acts_for = False, 0.0  # it was a read: no start call has been made
            raise
        called_at = time.time()
        yield from self.start_task.plan(**ref.ids)
        ref = RunRef(VENDOR, ref.ids, since=called_at, watermark=before.to_json())
        return RemoteRun(ref, RunState.QUEUED, "start accepted", task_name(ref.ids))

    @endpoint
    def find_running(self, spec: Mapping[str, Any]) -> Program[RemoteRun | None]:
        """Return what runs of a job or task: its execution, else a task by itself, else the job as such.

        ``PENDING`` counts only where something else shows a run, see
        :func:`~airflow_provider_etlapis.hooks.webrobot.runs.is_seen_going`.
        """
        if "task_id" in spec:
            ref = task_ref(**spec)
            run = yield from self.read_run.plan(ref)
            return run if (yield from self._is_going(ref, run.vendor_status, {})) else None
        ids = job_ids(spec["project_id"], spec["job_id"])
        tasks = yield from self._tasks_of(ids)
        for execution in (yield from self._named_executions(ids, tasks)):
            if not execution.state.is_terminal:
                return execution
        for task in tasks:
            if task.get("id") and is_going(task.get("executionStatus")):
                ref = task_ref(**ids, task_id=task["id"])
                if (yield from self._is_going(ref, task.get("executionStatus"), task)):
                    return (yield from self.read_run.plan(ref))
        run = yield from self.read_run.plan(job_ref(**ids))
        has_run = any(map(reference_of, tasks))
        return run if is_seen_going(run.vendor_status, has_run=has_run) else None

    def _is_going(self, ref: RunRef, status: str | None, task: Task) -> Program[bool]:
        """Say whether a task is seen going; more is read of it only where its status alone does not say so.

        :param task: its row, if that is at hand.
        """
        if word(status) == "RUNNING" or not is_going(status):
            return word(status) == "RUNNING"
        if reference_of(task):
            return True
        row, metrics = yield from self._task_and_metrics(ref)
        return bool(reference_of(row) or metrics.get("startedAt"))

    def _task_and_metrics(self, ref: RunRef) -> Program[tuple[Task, TaskMetrics]]:
        """Return a task and the metrics of its last run; the row is read last, so that its status is the newer one."""
        metrics: TaskMetrics = yield from self._metrics(ref.ids["task_id"], ref)
        return (yield from self.get_task.plan(**ref.ids)), metrics

    def _task_among_others(self, spec: Mapping[str, Any]) -> Program[tuple[TaskMark, TaskMetrics, bool]]:
        """Return the mark of a task, its metrics, and whether another task of its job names the same execution."""
        ref = task_ref(**spec)
        metrics: TaskMetrics = yield from self._metrics(ref.ids["task_id"], ref)
        tasks = yield from self._tasks_of(ref.ids)
        own = next((task for task in tasks if str(task.get("id")) == ref.ids["task_id"]), None)
        if own is None:
            return TaskMark.of((yield from self.get_task.plan(**ref.ids)), metrics), metrics, False
        others = [task for task in tasks if task is not own]
        is_shared = bool(reference_of(own)) and reference_of(own) in map(reference_of, others)
        return TaskMark.of(own, metrics, others=others), metrics, is_shared

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Look once for the run of a start call that got no answer.

        An execution is never shown to be ours: see :attr:`start_proof`. A run of a task by itself is, where it began
        after the call: see :attr:`task_start_proof`.
        """
        return (yield from (self._find_task_run if "task_id" in spec else self._find_execution)(spec, intent))

    def _find_execution(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        ids = job_ids(spec["project_id"], spec["job_id"])
        before = None if intent.is_reconstructed else JobMark.from_json(intent.watermark)
        job = yield from self.get_job.plan(**ids)
        tasks = yield from self._tasks_of(ids)
        known = before.executions if before else frozenset()
        runs = []
        for execution_id in dict.fromkeys(map(execution_named_by, tasks)):
            if execution_id is not None and execution_id not in known:
                ref = execution_ref(**ids, execution_id=execution_id)
                unseen = RemoteRun(ref, RunState.UNKNOWN, "not visible yet", job_name(ids))
                runs.append((yield from self._execution(ref)) or unseen)
        looked_for = (
            f"an execution of {job_name(ids)} since {utc_text(intent.at)}, by what its tasks name as their last"
        )
        call = CallTime(intent.at, self.clock_ahead)
        return weigh_executions(before, JobMark.of(job, tasks), runs, call, looked_for)

    def _find_task_run(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        before = None if intent.is_reconstructed else TaskMark.from_json(intent.watermark)
        now, metrics, is_shared = yield from self._task_among_others(spec)
        ids, state = task_ref(**spec).ids, state_of(now.status)
        ref = RunRef(VENDOR, ids) if before is None else RunRef(VENDOR, ids, intent.at, watermark=intent.watermark)
        ended = moment(metrics.get("completedAt")) if state.is_terminal else None
        run = RemoteRun(ref, state, now.status, task_name(ids), started=moment(now.started), ended=ended)
        if before is not None and now.started != before.started and now.has_same_row(before) and ended is None:
            # The metrics are of another run than the row, whose end is that of the run before.
            run = replace(run, state=RunState.RUNNING, vendor_status="started")
        looked_for = f"a run of {run.name} since {utc_text(intent.at)}, by the task's reference, metrics and status"
        call = CallTime(intent.at, self.clock_ahead)
        return weigh_task_run(before, now, run, call, looked_for, is_shared=is_shared)
