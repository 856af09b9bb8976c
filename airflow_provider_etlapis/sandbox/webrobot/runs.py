"""WebRobot on localhost, what its operations share about runs: the options, who runs what, and what is shown of it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.messages import Call, Reply
from airflow_provider_etlapis.sandbox.replay import fixed
from airflow_provider_etlapis.sandbox.runs import Run
from airflow_provider_etlapis.sandbox.server import SandboxOptions
from airflow_provider_etlapis.sandbox.webrobot.frame import WebRobotFrame
from airflow_provider_etlapis.sandbox.webrobot.work import (
    DEMO_JOBS,
    DEMO_PROJECTS,
    STAGES,
    Job,
    Look,
    Task,
    job_json,
    stamp,
    task_json,
)


class WebRobotRuns(WebRobotFrame):
    """A WebRobot server with scripted runs. Every option is also an attribute, changeable while it serves.

    A run's flow is ``project/job``, or ``project/job/task`` for a task started by itself.

    :param api_key: the one key that is accepted
    :param base_path: what lies in front of the API's own paths
    :param missing_scopes: scopes that the key lacks, such as ``etl:execute``
    :param stopped_status: status of a stopped run, which no document states
    :param later_calls: ``False``: a server that goes by the reference has no stop of a job, no delete of an execution
    :param one_run: ``False``: a job may run more than once at a time
    :param max_concurrent: executions of a project at a time, beyond it 429; the vendor says 10, and not what it
        answers then; ``None``: no limit
    :param task_references: ``False``: tasks do not name the execution that they are part of
    :param has_metrics: ``False``: tasks have no metrics
    :param task_lag: seconds for which a started task still shows its last run
    :param hidden_for: seconds for which the status of a new execution is a 404
    :param naive_times: times of executions and in metrics have no zone
    :param whole_seconds: times have no fraction
    :param rows_ahead: seconds by which ``updatedAt`` is ahead of the times of executions and in metrics
    :param idle_status: status in the rows of a job or task that never ran, which no document states; ``None``: none
    :param stopping_for: seconds for which a run that was stopped is still shown as going on
    :param dates_by_clock: ``Date`` headers are of the sandbox's clock, and not of this machine's
    :param projects: names by id
    :param jobs: default ``DEMO_JOBS``
    """

    vendor = "webrobot"
    connection_type = "webrobot"
    default_flow = "98/210"
    replays = {  # noqa: RUF012 as the base class has it
        "base-path": lambda settings: {"base_path": settings["base_path"].rstrip("/")},
        "task-references": fixed(task_references=False),
    }

    def __init__(
        self,
        *,
        api_key: str = "sandbox-org:wr-sandbox-key",
        base_path: str = "/api",
        missing_scopes: frozenset[str] = frozenset(),
        stopped_status: str = "FAILED",
        later_calls: bool = True,
        one_run: bool = True,
        max_concurrent: int | None = None,
        task_references: bool = True,
        has_metrics: bool = True,
        task_lag: float = 0.0,
        hidden_for: float = 0.0,
        naive_times: bool = False,
        whole_seconds: bool = False,
        rows_ahead: float = 0.0,
        idle_status: str | None = None,
        stopping_for: float = 0.0,
        dates_by_clock: bool = False,
        projects: Mapping[str, str] = DEMO_PROJECTS,
        jobs: Sequence[Job] = DEMO_JOBS,
        **options: Unpack[SandboxOptions],
    ) -> None:
        super().__init__(**options)
        self.api_key = api_key
        self.base_path = base_path.rstrip("/")
        self.missing_scopes = missing_scopes
        self.stopped_status = stopped_status
        self.later_calls = later_calls
        self.one_run = one_run
        self.max_concurrent = max_concurrent
        self.task_references = task_references
        self.has_metrics = has_metrics
        self.task_lag = task_lag
        self.hidden_for = hidden_for
        self.naive_times = naive_times
        self.whole_seconds = whole_seconds
        self.rows_ahead = rows_ahead
        self.idle_status = idle_status
        self.stopping_for = stopping_for
        self.dates_by_clock = dates_by_clock
        self.tables = {"shops": {"1": {"id": "1", "name": "north"}, "2": {"id": "2", "name": "south"}}}
        self.pages = {}
        self.projects = dict(projects)
        self.jobs: dict[str, dict[str, Job]] = {}
        self._runs_of: dict[str, list[Run]] = {}
        self._of_execution: dict[str, Run] = {}
        for job in jobs:
            self.define(job)

    def define(self, job: Job) -> Job:
        """Add or replace a job."""
        self.projects.setdefault(job.project, f"Project {job.project}")
        self.jobs.setdefault(job.project, {})[job.id] = job
        return job

    # -- what the framework asks ------------------------------------------------------------------------------

    def begin_run(
        self,
        flow: str,
        request: Mapping[str, Any],
        *,
        life: Life | None = None,
        age: float = 0.0,
        run_id: str | None = None,
        seeded: bool = False,
    ) -> Run:
        """Make a run, whose id is that of its flow and its execution."""
        named = run_id or f"{flow}/{self.new_run_id()}"
        return super().begin_run(flow, request, life=life, age=age, run_id=named, seeded=seeded)

    def new_run_id(self) -> str:
        """Return a random execution id."""
        draw = random.SystemRandom()
        return f"spark-{draw.getrandbits(48):012x}-{draw.randrange(10**7, 10**8)}"

    def offers(self) -> list[dict[str, str]]:
        """Return project and id of each job."""
        return [{"project_id": job.project, "job_id": job.id} for jobs in self.jobs.values() for job in jobs.values()]

    def script(self, flow: str, request: Mapping[str, Any], life: Life | None) -> Life:
        """Resolve the life from the job; the stages show in the logs only."""
        job, _ = self._of_flow(flow)
        if life is None:
            life = job.life(request) if callable(job.life) else job.life or self.default_life
        if "warning" in (life.outcome, *(outcome for _, outcome in life.afterwards)):
            raise ValueError("a run of this vendor cannot end in a warning")
        return life.for_steps(STAGES)

    def remember(self, run: Run) -> None:
        """Note the run for its job and for each of its tasks, in the order of the starts."""
        job, task = self._of_flow(run.flow)
        for flow in (job.flow, *(job.flow_of(each) for each in ([task] if task else job.tasks))):
            runs = self._runs_of.setdefault(flow, [])
            runs.append(run)
            if len(runs) > 1 and runs[-2].started_at > run.started_at:
                runs.sort(key=lambda each: each.started_at)
        self._of_execution[execution_of(run)] = run

    def _of_flow(self, flow: str) -> tuple[Job, Task | None]:
        project, _, rest = flow.partition("/")
        job_id, _, task_id = rest.partition("/")
        job = self.jobs.get(project, {}).get(job_id)
        task = next((each for each in job.tasks if each.id == task_id), None) if job else None
        if job is None or (task_id and task is None):
            raise ValueError(f"no job or task {flow!r}; jobs are: {', '.join(self._flows())}")
        return job, task

    def _flows(self) -> list[str]:
        return [job.flow for jobs in self.jobs.values() for job in jobs.values()]

    # -- what operations ask ----------------------------------------------------------------------------------

    def _reading(self, call: Call, scope: str, *query: str) -> None:
        self.need_scope(scope)
        self.only_query(call, *query)

    def _later(self) -> None:
        if not self.later_calls:
            raise self.refused(404)

    def _project(self, call: Call) -> str:
        project = call.parameters["project"]
        if project not in self.projects:
            raise self.refused(404, "Project not found")
        return project

    def _job(self, call: Call) -> Job:
        job = self.jobs.get(self._project(call), {}).get(call.parameters["job"])
        if job is None:
            raise self.refused(404, "Job not found")
        return job

    def _task(self, call: Call) -> tuple[Job, Task]:
        job = self._job(call)
        for task in job.tasks:
            if task.id == call.parameters["task"]:
                return job, task
        raise self.refused(404, "Task not found")

    def _execution(self, call: Call) -> Run:
        job = self._job(call)
        run = self._of_execution.get(call.parameters["execution"])
        if run is None or not f"{run.flow}/".startswith(f"{job.flow}/"):
            raise self.refused(404, "Execution not found")
        return run

    def _live(self, flow: str) -> Run | None:
        now = self.clock.now()
        return next((run for run in reversed(self._runs_of.get(flow, [])) if run.is_live(now)), None)

    def _refuse_another(self, flow: str) -> None:
        if self.one_run and self._live(flow) is not None:
            raise self.refused(409)

    def _stop(self, run: Run | None) -> Reply:
        if run is None:
            raise self.refused(409)
        if self.stopping_for:
            if run.cancelled_at is None:  # a second stop delays nothing
                run.cancel(self.clock.now() + self.stopping_for, stops_work=True)
            self.ledger.note_cancel(run.id)
        else:
            self.cancel_run(run)
        return Reply.json(200, {})

    def _look(self, flow: str, call: Call, *, lagging: bool = False) -> Look | None:
        """Return the last run of a job or task, or the one before while that is all it shows."""
        runs = self._runs_of.get(flow, [])
        if lagging and len(runs) > 1 and self.clock.now() < runs[-1].started_at + self.task_lag:
            return self._look_at(runs[-2], call)
        return self._look_at(runs[-1], call) if runs else None

    def _look_at(self, run: Run, call: Call) -> Look:
        return Look(
            run,
            self.clock.now(),
            self.stopped_status,
            call.status_word,
            self.naive_times,
            self.whole_seconds,
            self.rows_ahead,
        )

    def _job_json(self, job: Job, call: Call) -> dict[str, Any]:
        return job_json(job, self._look(job.flow, call), self.idle_status)

    def _task_json(self, job: Job, task: Task, call: Call) -> dict[str, Any]:
        look = self._look(job.flow_of(task), call, lagging=True)
        reference = execution_of(look.run) if look and self.task_references else None
        return task_json(job, task, look, reference, self.idle_status)

    def _project_json(self, project: str) -> dict[str, Any]:
        return {
            "id": project,
            "name": self.projects[project],
            "description": None,
            "enabled": True,
            "jobIds": list(self.jobs.get(project, {})),
            "createdAt": stamp(1764547200.0),
            "updatedAt": stamp(1764547200.0),
        }


def execution_of(run: Run) -> str:
    """Return the execution id of a run."""
    return run.id.rpartition("/")[2]
