"""WebRobot's endpoints, each defined once.

Marks: (a) the vendor's API page, (b) its published OpenAPI document and other pages, (b, later) a later generated
description of it, which the reference does not have, (c) an assumption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, cast

from airflow_provider_etlapis.exceptions import AlreadyRunningError, ConflictError, InvalidInputError
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.webrobot.documents import (
    ExecutionStarted,
    ExecutionStatus,
    Job,
    JobMetrics,
    Project,
    Task,
    TaskMetrics,
    TaskStatus,
    objects,
    parse_done,
    parse_execution,
    parse_later_done,
    parse_logs,
    parse_started,
    parse_task,
    parse_task_status,
    parse_tasks,
)
from airflow_provider_etlapis.hooks.webrobot.inputs import (
    execute_body,
    execution_path,
    id_text,
    instant,
    job_path,
    spelled,
    task_path,
    whole_number,
)
from airflow_provider_etlapis.hooks.webrobot.pages import WebRobotPages
from airflow_provider_etlapis.text import shown
from airflow_provider_etlapis.wire.call import Call, json_object, segment

_PROJECTS = "webrobot/api/projects"


class WebRobotEndpoints(WebRobotPages):
    """The calls of WebRobot's API. Every id may be text or a whole number.

    Raised by all: ``InvalidInputError`` before anything is sent, ``CredentialsRejectedError`` on a 401 (the key is
    wrong, or lacks the scope that the message names), ``NotFoundError`` on WebRobot's own 404,
    ``VendorUnavailableError``.
    """

    # Projects and jobs

    @endpoint
    def test_projects(self) -> Call[dict[str, Any]]:
        """Return ``{"message": "OK"}`` to a key that is accepted (b)."""
        return Call("GET", f"{_PROJECTS}/test", json_object)

    @endpoint
    def list_projects(self) -> Call[list[Project]]:
        """Return all projects that the key may see, in one list (b)."""
        return Call("GET", _PROJECTS, lambda response: objects(response, Project))

    @endpoint
    def get_project(self, project_id: str) -> Call[Project]:
        """Return one project (b).

        :param project_id: id of the project, not its name.
        """
        path = f"{_PROJECTS}/id/{segment(id_text(project_id, 'project_id'))}"
        return Call("GET", path, lambda response: cast("Project", json_object(response)))

    @endpoint
    def list_jobs(self, project_id: str) -> Call[list[Job]]:
        """Return all jobs of a project, in one list (b)."""
        path = f"{_PROJECTS}/id/{segment(id_text(project_id, 'project_id'))}/jobs"
        return Call("GET", path, lambda response: objects(response, Job))

    @endpoint
    def get_job(self, project_id: str, job_id: str) -> Call[Job]:
        """Return one job; its ``executionStatus`` is that of its last run (b)."""
        return Call("GET", job_path(project_id, job_id), lambda response: cast("Job", json_object(response)))

    @endpoint
    def get_job_metrics(
        self,
        project_id: str,
        job_id: str,
        start_time: datetime | str | None = None,
        end_time: datetime | str | None = None,
    ) -> Call[JobMetrics]:
        """Return sums, averages and counts over a job's executions (a).

        :param start_time: only executions from this moment on: a datetime or ISO 8601 text, UTC where it names no
            zone. Whether their start or their end counts is not documented.
        :param end_time: only executions up to this moment.
        """
        begin, end = instant(start_time, "start_time"), instant(end_time, "end_time")
        if begin is not None and end is not None and begin > end:
            raise InvalidInputError(f"start_time must not be after end_time: {spelled(begin)}, {spelled(end)}")
        return Call(
            "GET",
            job_path(project_id, job_id, "metrics"),
            lambda response: cast("JobMetrics", json_object(response)),
            query={"startTime": spelled(begin), "endTime": spelled(end)},
        )

    @endpoint
    def stop_job(self, project_id: str, job_id: str) -> Call[dict[str, Any]]:
        """Stop whatever runs of a job (b, later): a server that goes by the reference answers 404 or 405."""
        return Call("POST", job_path(project_id, job_id, "stop"), parse_later_done, json={})

    # Executions

    @endpoint
    def execute_job(
        self,
        project_id: str,
        job_id: str,
        arguments: Sequence[str] | None = None,
        cloud_credential_ids: Sequence[str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Program[ExecutionStarted]:
        """Start an execution of a job (b). Never repeated by itself once it may have reached the server.

        :param arguments: further arguments of the Spark job.
        :param cloud_credential_ids: credentials to use instead of the job's own.
        :param body: further keys of the request, such as ``parameters``; the vendor's own clients send some that its
            reference does not have.
        :returns: ``{"executionId", "status", "message", "clusterId", "success"}``; a 200 means accepted, not ended.
        :raises AlreadyRunningError: if the job runs already; it runs once at a time.
        :raises PermissionDeniedError: if the key lacks the scope ``etl:execute``.
        :raises RequestRefusedError: if the answer says that the submission was not accepted, with its words.
        """
        given, credentials, sent = execute_body(arguments, cloud_credential_ids, body)
        if given is not None:
            sent["arguments"] = given
        if credentials is not None:
            sent["cloudCredentialIds"] = credentials
        path = job_path(project_id, job_id, "execute")
        try:
            started: ExecutionStarted = yield Call("POST", path, parse_started, json=sent, starts_run=True)
        except ConflictError as error:
            raise _already_running(error) from error
        return started

    @endpoint
    def get_execution_status(self, project_id: str, job_id: str, execution_id: str) -> Call[ExecutionStatus]:
        """Return the status of one execution, as fresh as Spark's last message to the vendor (b)."""
        return Call("GET", execution_path(project_id, job_id, execution_id, "status"), parse_execution)

    @endpoint
    def get_execution_logs(
        self,
        project_id: str,
        job_id: str,
        execution_id: str,
        pod_type: Literal["driver", "executor"] | None = None,
        tail: int | None = None,
    ) -> Call[list[str]]:
        """Return lines of an execution's log (b).

        :param pod_type: of the driver or of the executors; all without it (where pages disagree, the reference).
        :param tail: how many of the last lines.
        """
        if pod_type not in (None, "driver", "executor"):
            raise InvalidInputError(f"pod_type must be 'driver' or 'executor', not {shown(pod_type)}")
        if tail is not None:
            whole_number(tail, "tail", 1)
        path = execution_path(project_id, job_id, execution_id, "logs")
        return Call("GET", path, parse_logs, query={"podType": pod_type, "tail": tail})

    @endpoint
    def cancel_execution(self, project_id: str, job_id: str, execution_id: str) -> Call[dict[str, Any]]:
        """Cancel one execution (b, later): a server that goes by the reference answers 404 or 405."""
        return Call("DELETE", execution_path(project_id, job_id, execution_id), parse_later_done)

    # Tasks

    @endpoint
    def list_tasks(self, project_id: str, job_id: str) -> Call[list[Task]]:
        """Return all tasks of a job, in one list; their ``apiKey`` comes as ``***`` (b)."""
        return Call("GET", job_path(project_id, job_id, "tasks"), parse_tasks)

    @endpoint
    def get_task(self, project_id: str, job_id: str, task_id: str) -> Call[Task]:
        """Return one task; its ``apiKey`` comes as ``***`` (b)."""
        return Call("GET", task_path(project_id, job_id, task_id), parse_task)

    @endpoint
    def start_task(self, project_id: str, job_id: str, task_id: str) -> Program[dict[str, Any]]:
        """Start a task; returns ``{}``, no id (b). Never repeated by itself once it may have reached the server.

        :raises AlreadyRunningError: if the task runs already.
        """
        path = task_path(project_id, job_id, task_id, "start")
        try:
            answer: dict[str, Any] = yield Call("POST", path, parse_done, starts_run=True)
        except ConflictError as error:
            raise _already_running(error) from error
        return answer

    @endpoint
    def stop_task(self, project_id: str, job_id: str, task_id: str) -> Call[dict[str, Any]]:
        """Stop a task in progress; returns ``{}`` (a). By the vendor's warning, data may be lost or inconsistent.

        Never repeated by itself once it may have reached the server: it names no run, and a second one could stop
        the run that somebody has started meanwhile.

        :raises ConflictError: if the task does not run.
        :raises RequestRefusedError: if the answer says that nothing was stopped, with its words.
        """
        return Call("POST", task_path(project_id, job_id, task_id, "stop"), parse_done)

    @endpoint
    def get_task_status(self, project_id: str, job_id: str, task_id: str) -> Call[TaskStatus]:
        """Return ``{"status", "progress"}`` of a task's last run, with no word on which one that is (b)."""
        return Call("GET", task_path(project_id, job_id, task_id, "status"), parse_task_status)

    @endpoint
    def get_task_metrics(self, project_id: str, job_id: str, task_id: str) -> Call[TaskMetrics]:
        """Return the metrics of a task's last run (a)."""
        path = task_path(project_id, job_id, task_id, "metrics")
        return Call("GET", path, lambda response: cast("TaskMetrics", json_object(response)))


def _already_running(error: ConflictError) -> AlreadyRunningError:
    """Return what a refused start means, with what is known of the answer."""
    made = AlreadyRunningError(str(error))
    made.by_vendor, made.status = error.by_vendor, error.status
    return made
