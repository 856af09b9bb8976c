"""WebRobot on localhost: projects, jobs, executions and tasks, as the vendor's documents describe them.

What they do not say is an option of the sandbox.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.messages import Call, Reply
from airflow_provider_etlapis.sandbox.runs import Run
from airflow_provider_etlapis.sandbox.server import SandboxOptions
from airflow_provider_etlapis.sandbox.webrobot_frame import WebRobotFrame, operation
from airflow_provider_etlapis.sandbox.webrobot_work import (
    DEMO_JOBS,
    DEMO_PROJECTS,
    STAGES,
    Job,
    Look,
    Task,
    aggregated,
    job_json,
    stamp,
    task_json,
)

_PROJECTS = "/api/webrobot/api/projects"
_JOB = _PROJECTS + "/id/{project}/jobs/{job}"
_TASK = _JOB + "/tasks/{task}"
_EXECUTION = _JOB + "/executions/{execution}"


class WebRobotSandbox(WebRobotFrame):
    """A WebRobot server with scripted runs. Every option is also an attribute, changeable while it serves.

    A run's flow is ``project/job``, or ``project/job/task`` for a task started by itself.

    :param api_key: the one key that is accepted
    :param base_path: what lies in front of the API's own paths
    :param missing_scopes: scopes that the key lacks, such as ``etl:execute``
    :param stopped_status: status of a stopped run, which no document tells
    :param later_calls: ``False``: a server that goes by the reference has no stop of a job, no delete of an execution
    :param one_run: ``False``: a job may run more than once at a time
    :param max_concurrent: executions of a project at a time, beyond it 429; the vendor says 10, and not what it
        answers then; ``None``: no limit
    :param task_references: ``False``: tasks do not name the execution that they are part of
    :param has_metrics: ``False``: tasks have no metrics
    :param task_lag: seconds for which a started task still shows its last run
    :param hidden_for: seconds for which the status of a new execution is a 404
    :param naive_times: times of executions and in metrics have no zone
    :param projects: names by id
    :param jobs: default ``DEMO_JOBS``
    """

    vendor = "webrobot"
    connection_type = "webrobot"
    default_flow = "98/210"

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

    # -- projects and jobs ------------------------------------------------------------------------------------

    @operation("test", "GET", f"{_PROJECTS}/test")
    def test(self, call: Call) -> Reply:
        """Answer a key that is good."""
        self.only_query(call)
        return Reply.json(200, {"message": "OK"})

    @operation("projects", "GET", _PROJECTS)
    def list_projects(self, call: Call) -> Reply:
        """List all projects."""
        self._reading(call, "projects:read")
        return Reply.json(200, [self._project_json(project) for project in self.projects])

    @operation("project", "GET", f"{_PROJECTS}/id/{{project}}")
    def get_project(self, call: Call) -> Reply:
        """Show one project."""
        self._reading(call, "projects:read")
        return Reply.json(200, self._project_json(self._project(call)))

    @operation("list", "GET", f"{_PROJECTS}/id/{{project}}/jobs")
    def list_jobs(self, call: Call) -> Reply:
        """List the jobs of a project, with the status of the last run of each."""
        self._reading(call, "jobs:read")
        jobs = self.jobs.get(self._project(call), {})
        return Reply.json(200, [job_json(job, self._look(job.flow, call)) for job in jobs.values()])

    @operation("job", "GET", _JOB)
    def get_job(self, call: Call) -> Reply:
        """Show one job."""
        self._reading(call, "jobs:read")
        job = self._job(call)
        return Reply.json(200, job_json(job, self._look(job.flow, call)))

    @operation("job_metrics", "GET", f"{_JOB}/metrics")
    def job_metrics(self, call: Call) -> Reply:
        """Add up the runs of a job that started in a span of time."""
        self._reading(call, "jobs:read", "startTime", "endTime")
        job = self._job(call)
        first, last = self.moment(call, "startTime", 0.0), self.moment(call, "endTime", float("inf"))
        runs = [run for run in self._runs_of.get(job.flow, []) if first <= run.started_at <= last]
        told = {name: call.query_value(name) for name in ("startTime", "endTime") if call.query_value(name)}
        summed = aggregated([self._look_at(run, call) for run in runs], job.records)
        return Reply.json(200, {"jobId": int(job.id), **told, "aggregated": summed})

    @operation("stop_job", "POST", f"{_JOB}/stop")
    def stop_job(self, call: Call) -> Reply:
        """Stop whatever runs of a job."""
        self._later()
        self.need_scope("jobs:execute")
        self.no_body(call)
        return self._stop(self._live(self._job(call).flow))

    # -- executions -------------------------------------------------------------------------------------------

    @operation("start", "POST", f"{_JOB}/execute")
    def execute(self, call: Call) -> Reply:
        """Start an execution of a job that does not run."""
        self.need_scope("etl:execute", 403)
        self.only_query(call)
        job, body = self._job(call), self.json_object(call, optional=True)
        for name in ("arguments", "cloudCredentialIds"):
            value = body.get(name, [])
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise self.refused(400, f"{name} must be an array of strings")
        self._refuse_another(job.flow)
        going = [each for each in self.jobs[job.project].values() if self._live(each.flow)]
        if self.max_concurrent is not None and len(going) >= self.max_concurrent:
            raise self.refused(429, "Too many executions of this project at a time")
        run = self.begin_run(job.flow, body)
        told = {"status": "SUBMITTED", "message": "Execution submitted", "clusterId": "sandbox", "success": True}
        return Reply.json(200, {"executionId": execution_of(run), **told})

    @operation("get", "GET", f"{_EXECUTION}/status")
    def execution_status(self, call: Call) -> Reply:
        """Show the status of an execution."""
        self._reading(call, "jobs:read")
        run = self._execution(call)
        if self.clock.now() < run.started_at + self.hidden_for:
            raise self.refused(404, "Execution not found")
        execution_id = execution_of(run)
        url = f"{self.base_url}/spark-ui/{execution_id}"
        return Reply.json(200, self._look_at(run, call).execution(execution_id, url))

    @operation("logs", "GET", f"{_EXECUTION}/logs")
    def execution_logs(self, call: Call) -> Reply:
        """Show the last lines of an execution's log."""
        self._reading(call, "jobs:read", "podType", "tail")
        run, pod_type = self._execution(call), call.query_value("podType")
        if pod_type not in (None, "driver", "executor"):
            raise self.refused(400, "podType must be driver or executor")
        look = self._look_at(run, call)
        lines = [line for pod in ([pod_type] if pod_type else ["driver", "executor"]) for line in look.log(pod)]
        return Reply.json(200, {"logs": lines[-self.number(call, "tail", len(lines) or 1, 1) :]})

    @operation("cancel_execution", "DELETE", _EXECUTION)
    def cancel_execution(self, call: Call) -> Reply:
        """Stop one execution."""
        self._later()
        self.need_scope("jobs:execute")
        run = self._execution(call)
        return self._stop(run if run.is_live(self.clock.now()) else None)

    # -- tasks ------------------------------------------------------------------------------------------------

    @operation("tasks", "GET", f"{_JOB}/tasks")
    def list_tasks(self, call: Call) -> Reply:
        """List the tasks of a job."""
        self._reading(call, "jobs:read")
        job = self._job(call)
        return Reply.json(200, [self._task_json(job, task, call) for task in job.tasks])

    @operation("task", "GET", _TASK)
    def get_task(self, call: Call) -> Reply:
        """Show one task."""
        self._reading(call, "jobs:read")
        job, task = self._task(call)
        return Reply.json(200, self._task_json(job, task, call))

    @operation("task_status", "GET", f"{_TASK}/status")
    def task_status(self, call: Call) -> Reply:
        """Show the status of a task's last run, and half of its way while it runs."""
        self._reading(call, "jobs:read")
        job, task = self._task(call)
        look = self._look(job.flow_of(task), call, lagging=True)
        if look is None:
            return Reply.json(200, {"status": "PENDING", "progress": 0.0})
        progress = {"queued": 0.0, "running": 50.0}.get(look.phase, 100.0)
        return Reply.json(200, {"status": look.status, "progress": progress})

    @operation("task_metrics", "GET", f"{_TASK}/metrics")
    def task_metrics(self, call: Call) -> Reply:
        """Show the metrics of a task's last run."""
        self._reading(call, "jobs:read")
        job, task = self._task(call)
        look = self._look(job.flow_of(task), call, lagging=True)
        if look is None or not self.has_metrics:
            raise self.refused(404, "No metrics of this task")
        return Reply.json(200, look.metrics(task.id, job.records))

    @operation("start_task", "POST", f"{_TASK}/start")
    def start_task(self, call: Call) -> Reply:
        """Start one task that does not run."""
        self.need_scope("jobs:execute")
        self.no_body(call)
        job, task = self._task(call)
        self._refuse_another(job.flow_of(task))
        self.begin_run(job.flow_of(task), {})
        return Reply.json(200, {})

    @operation("cancel", "POST", f"{_TASK}/stop")
    def stop_task(self, call: Call) -> Reply:
        """Stop a task that runs."""
        self.need_scope("jobs:execute")
        self.no_body(call)
        job, task = self._task(call)
        return self._stop(self._live(job.flow_of(task)))

    # -- how it does it ---------------------------------------------------------------------------------------

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
        self.cancel_run(run)
        return Reply.json(200, {})

    def _look(self, flow: str, call: Call, *, lagging: bool = False) -> Look | None:
        """Return the last run of a job or task, or the one before while that is all it shows."""
        runs = self._runs_of.get(flow, [])
        if lagging and len(runs) > 1 and self.clock.now() < runs[-1].started_at + self.task_lag:
            return self._look_at(runs[-2], call)
        return self._look_at(runs[-1], call) if runs else None

    def _look_at(self, run: Run, call: Call) -> Look:
        return Look(run, self.clock.now(), self.stopped_status, call.status_word, self.naive_times)

    def _task_json(self, job: Job, task: Task, call: Call) -> dict[str, Any]:
        look = self._look(job.flow_of(task), call, lagging=True)
        return task_json(job, task, look, execution_of(look.run) if look and self.task_references else None)

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
