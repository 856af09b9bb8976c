"""WebRobot's endpoints, each defined once.

Marks: (a) the vendor's API page, (b) its published OpenAPI document and other pages, (b, later) a later generated
description of it, which the reference does not have, (c) an assumption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from airflow_provider_etlapis.exceptions import (
    AlreadyRunningError,
    ConflictError,
    InvalidInputError,
    RequestRefusedError,
)
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint, listing
from airflow_provider_etlapis.hooks.webrobot_json import (
    ExecutionStarted,
    ExecutionStatus,
    Job,
    JobMetrics,
    Project,
    Task,
    TaskMetrics,
    TaskStatus,
    execution_path,
    id_text,
    instant,
    job_path,
    objects,
    parse_anything,
    parse_done,
    parse_execution,
    parse_logs,
    parse_started,
    parse_task,
    parse_task_status,
    parse_tasks,
    spelled,
    task_path,
)
from airflow_provider_etlapis.wire.call import Call, Page, Response, json_object, segment
from airflow_provider_etlapis.wire.errors import MalformedAnswerError

_PROJECTS = "webrobot/api/projects"
_PROTOCOLS = ("http", "https")
_ROW_KEYS = ("data", "results", "items", "content")


class WebRobotEndpoints(RemoteRunHook):
    """The calls of WebRobot's API. Every id may be text or a whole number.

    Raised by all: ``InvalidInputError`` before anything is sent, ``CredentialsRejectedError`` on a 401 (the key is
    wrong, or lacks the scope named in the message), ``NotFoundError`` on a 404, ``VendorUnavailableError``.
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
        return Call("POST", job_path(project_id, job_id, "stop"), parse_done, json={})

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
        :raises RequestRefusedError: if the answer says that the submission was not accepted.
        """
        sent: dict[str, Any] = dict(body or {})
        if arguments is not None:
            sent["arguments"] = list(arguments)
        if cloud_credential_ids is not None:
            sent["cloudCredentialIds"] = list(cloud_credential_ids)
        path = job_path(project_id, job_id, "execute")
        try:
            started: ExecutionStarted = yield Call("POST", path, parse_started, json=sent)
        except ConflictError as error:
            raise AlreadyRunningError(str(error)) from error
        if started.get("success") is False:
            raise RequestRefusedError(f"WebRobot did not accept the execution: {started.get('message')}")
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
            raise InvalidInputError(f"pod_type must be 'driver' or 'executor', not {pod_type!r}")
        if tail is not None and tail < 1:
            raise InvalidInputError(f"tail must be at least 1, not {tail}")
        path = execution_path(project_id, job_id, execution_id, "logs")
        return Call("GET", path, parse_logs, query={"podType": pod_type, "tail": tail})

    @endpoint
    def cancel_execution(self, project_id: str, job_id: str, execution_id: str) -> Call[dict[str, Any]]:
        """Cancel one execution (b, later): a server that goes by the reference answers 404 or 405."""
        return Call("DELETE", execution_path(project_id, job_id, execution_id), parse_done)

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
            answer: dict[str, Any] = yield Call("POST", path, parse_done)
        except ConflictError as error:
            raise AlreadyRunningError(str(error)) from error
        return answer

    @endpoint
    def stop_task(self, project_id: str, job_id: str, task_id: str) -> Call[dict[str, Any]]:
        """Stop a task in progress; returns ``{}`` (a). By the vendor's warning, data may be lost or inconsistent.

        :raises ConflictError: if the task does not run.
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

    # Pages, tables, health

    @endpoint
    def get_html(self, url: str, protocol: Literal["http", "https"] | None = None) -> Call[str]:
        """Return the HTML that WebRobot finds at an address (a).

        :param url: with or without its scheme; sent without it, encoded as one segment of the path (c).
        :param protocol: the scheme, where the address has none. Default: ``https``.
        """
        scheme, separator, rest = str(url).strip().partition("://")
        address = rest if separator else scheme
        named = scheme.lower() if separator else protocol or "https"
        if named not in _PROTOCOLS or (protocol is not None and protocol != named):
            raise InvalidInputError(
                f"get_html takes an http or https address with one scheme, not {url!r}, {protocol!r}"
            )
        if not urlsplit(f"//{address}").hostname:
            raise InvalidInputError(f"url must be an address such as https://example.com/page, not {url!r}")
        return Call(
            "GET",
            f"webrobot/api/html/{segment(address)}/{named}",
            lambda response: response.text,
            headers={"Accept": "text/html"},
        )

    @listing
    def find_all(self, table: str, page_size: int = 50, first_page: int = 0) -> Call[Page[dict[str, Any]]]:
        """Yield all records of a table, page by page (a).

        The answer's form is not documented: an array is taken, and an object that holds one as ``data``. Neither is
        the number of the first page: it is 0, the parameter's default. A page that is shorter than asked for is the
        last one, and one that repeats the page before is left out; two in a row end it (c).

        :param table: name of the table.
        :param page_size: records on a page.
        :param first_page: number of the first page.
        """
        if page_size < 1 or first_page < 0:
            raise InvalidInputError(f"page_size must be at least 1 and first_page 0, not {page_size} and {first_page}")
        return _page(_table_path(table), first_page, page_size, before=None, repeated=False)

    @endpoint
    def get_record(self, table: str, record_id: str) -> Call[Any]:
        """Return one record of a table, in whatever form the server gives it (a)."""
        return Call("GET", _table_path(table, record_id), parse_anything)

    @endpoint
    def insert_record(self, table: str, record: Mapping[str, Any]) -> Call[Any]:
        """Add a record to a table and return the server's answer (a). Never repeated by itself once sent.

        :param record: a JSON object.
        """
        return Call("POST", _table_path(table), parse_anything, json=_record(record))

    @endpoint
    def update_record(self, table: str, record_id: str, record: Mapping[str, Any]) -> Call[Any]:
        """Change a record of a table and return the server's answer (a).

        :param record: a JSON object.
        """
        return Call("PUT", _table_path(table, record_id), parse_anything, json=_record(record))

    @endpoint
    def delete_record(self, table: str, record_id: str) -> Call[Any]:
        """Delete a record of a table and return the server's answer (a). Never repeated by itself once sent."""
        return Call("DELETE", _table_path(table, record_id), parse_anything)

    @endpoint
    def get_health(self) -> Call[Any]:
        """Return what the server says about its health, JSON of any kind (a). Proves little: see ``check``."""
        return Call("GET", "health", parse_anything)


def _table_path(table: str, *record_id: str) -> str:
    # With the base URL of the reference this makes /api/api/...: so the vendor's document has it.
    parts = (id_text(table, "table"), *(id_text(each, "record_id") for each in record_id))
    return "/".join(("api/strapi-tables", *map(segment, parts)))


def _record(record: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(record, Mapping):
        raise InvalidInputError(f"record must be a JSON object (a dict), not {type(record).__name__}")
    return dict(record)


def _page(path: str, number: int, size: int, *, before: list[Any] | None, repeated: bool) -> Call[Page[dict[str, Any]]]:
    """Return the call for one page.

    :param before: the records of the page before.
    :param repeated: whether that one repeated its own predecessor, as page 1 does where pages count from 1.
    """

    def parse(response: Response) -> Page[dict[str, Any]]:
        rows = _rows(response)
        repeats = bool(rows) and rows == before
        if repeats and repeated:
            return Page(())
        more = len(rows) >= size
        following = _page(path, number + 1, size, before=rows, repeated=repeats) if more else None
        return Page(() if repeats else rows, following)

    return Call("GET", path, parse, query={"page": number, "pageSize": size})


def _rows(response: Response) -> list[dict[str, Any]]:
    value = parse_anything(response)
    if isinstance(value, dict):
        value = next((value[key] for key in _ROW_KEYS if isinstance(value.get(key), list)), value)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise MalformedAnswerError("records that are no array of objects", status=response.status)
    return value
