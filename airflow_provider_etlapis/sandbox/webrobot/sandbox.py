"""WebRobot on localhost: projects, jobs, executions and tasks, as the vendor's documents describe them.

What they do not say is an option of the sandbox.
"""

from __future__ import annotations

from airflow_provider_etlapis.sandbox.messages import Call, Reply
from airflow_provider_etlapis.sandbox.webrobot.frame import operation
from airflow_provider_etlapis.sandbox.webrobot.runs import WebRobotRuns, execution_of
from airflow_provider_etlapis.sandbox.webrobot.work import aggregated

__all__ = ["WebRobotSandbox", "execution_of"]

_PROJECTS = "/api/webrobot/api/projects"
_JOB = _PROJECTS + "/id/{project}/jobs/{job}"
_TASK = _JOB + "/tasks/{task}"
_EXECUTION = _JOB + "/executions/{execution}"


class WebRobotSandbox(WebRobotRuns):
    """The operations of a WebRobot server; its options are those of :class:`WebRobotRuns`."""

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
        return Reply.json(200, [self._job_json(job, call) for job in jobs.values()])

    @operation("job", "GET", _JOB)
    def get_job(self, call: Call) -> Reply:
        """Show one job."""
        self._reading(call, "jobs:read")
        job = self._job(call)
        return Reply.json(200, self._job_json(job, call))

    @operation("job_metrics", "GET", f"{_JOB}/metrics")
    def job_metrics(self, call: Call) -> Reply:
        """Add up the runs of a job that started in a span of time."""
        self._reading(call, "jobs:read", "startTime", "endTime")
        job = self._job(call)
        first, last = self.moment(call, "startTime", 0.0), self.moment(call, "endTime", float("inf"))
        runs = [run for run in self._runs_of.get(job.flow, []) if first <= run.started_at <= last]
        asked = {name: call.query_value(name) for name in ("startTime", "endTime") if call.query_value(name)}
        summed = aggregated([self._look_at(run, call) for run in runs], job.records)
        return Reply.json(200, {"jobId": int(job.id), **asked, "aggregated": summed})

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
        answer = {"status": "SUBMITTED", "message": "Execution submitted", "clusterId": "sandbox", "success": True}
        return Reply.json(200, {"executionId": execution_of(run), **answer})

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
