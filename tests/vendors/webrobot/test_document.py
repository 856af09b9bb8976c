"""WebRobot's API page: every operation over the wire in both colours, every JSON example through the parsers."""

# ruff: noqa: F401, F811 - fixtures are imported, and asked for by their names

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import RequestRefusedError
from airflow_provider_etlapis.hooks.values import moment
from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox
from tests.vendors.webrobot import documents as documents
from tests.vendors.webrobot.stage import JOB, TASK, Ask, ask, clock, hook, sandbox, sent

RECORD_TEXT = json.dumps(documents.RECORD_BODY).encode()

# operation, arguments, method, path as sent, query, body
OPERATIONS: list[Any] = [
    pytest.param(
        "stop_task", TASK, "POST", "/api/webrobot/api/projects/id/98/jobs/210/tasks/1/stop", (), b"", id="stop task"
    ),
    pytest.param(
        "get_task_metrics",
        ("98", "220", "229"),
        "GET",
        "/api/webrobot/api/projects/id/98/jobs/220/tasks/229/metrics",
        (),
        b"",
        id="task metrics",
    ),
    pytest.param(
        "get_job_metrics",
        ("98", "220", "2025-12-11T00:00:00Z", "2025-12-11T23:59:59Z"),
        "GET",
        "/api/webrobot/api/projects/id/98/jobs/220/metrics",
        (("startTime", "2025-12-11T00:00:00Z"), ("endTime", "2025-12-11T23:59:59Z")),
        b"",
        id="job metrics",
    ),
    pytest.param(
        "get_html",
        ("https://example.com/a b?q=1&r=%2F",),
        "GET",
        "/api/webrobot/api/html/example.com%2Fa%20b%3Fq%3D1%26r%3D%252F/https",
        (),
        b"",
        id="html",
    ),
    pytest.param(
        "find_all",
        ("shops",),
        "GET",
        "/api/api/strapi-tables/shops",
        (("page", "0"), ("pageSize", "50")),
        b"",
        id="find all",
    ),
    pytest.param("get_record", ("shops", "2"), "GET", "/api/api/strapi-tables/shops/2", (), b"", id="get by id"),
    pytest.param(
        "insert_record",
        ("shops", documents.RECORD_BODY),
        "POST",
        "/api/api/strapi-tables/shops",
        (),
        RECORD_TEXT,
        id="insert",
    ),
    pytest.param(
        "update_record",
        ("shops", "2", documents.RECORD_BODY),
        "PUT",
        "/api/api/strapi-tables/shops/2",
        (),
        RECORD_TEXT,
        id="update",
    ),
    pytest.param("delete_record", ("shops", "2"), "DELETE", "/api/api/strapi-tables/shops/2", (), b"", id="delete"),
    pytest.param("get_health", (), "GET", "/api/health", (), b"", id="health"),
]


@pytest.mark.parametrize(("operation", "arguments", "method", "path", "query", "body"), OPERATIONS)
def test_an_operation_is_sent_as_the_page_has_it(
    ask: Ask,
    sandbox: WebRobotSandbox,
    operation: str,
    arguments: tuple[Any, ...],
    method: str,
    path: str,
    query: tuple[tuple[str, str], ...],
    body: bytes,
) -> None:
    sandbox.seed_run(Life(duration=99), flow="98/210")
    sandbox.seed_run(Life(duration=1), flow="98/220", age=5)

    ask(operation, *arguments)

    record = sent(sandbox)
    assert (record.method, record.path, record.query, record.body, record.status) == (method, path, query, body, 200)
    assert "x-api-key" in record.header_names
    assert "authorization" not in record.header_names
    assert ("content-type" in record.header_names) is bool(body)


# operation, arguments, the sandbox's operation, the page's answer, what comes of it
EXAMPLES: list[Any] = [
    pytest.param("stop_task", TASK, "cancel", documents.STOP_TASK, {}, id="stop task"),
    pytest.param(
        "get_task_metrics", TASK, "task_metrics", documents.TASK_METRICS, documents.TASK_METRICS, id="task metrics"
    ),
    pytest.param("get_job_metrics", JOB, "job_metrics", documents.JOB_METRICS, documents.JOB_METRICS, id="job metrics"),
    pytest.param("find_all", ("shops",), "find_all", None, [], id="find all"),
    pytest.param("get_record", ("shops", "1"), "record", None, None, id="get by id"),
    pytest.param("insert_record", ("shops", {}), "insert", None, None, id="insert"),
    pytest.param("update_record", ("shops", "1", {}), "update", None, None, id="update"),
    pytest.param("delete_record", ("shops", "1"), "delete", None, None, id="delete"),
    pytest.param("get_health", (), "health", None, None, id="health"),
    pytest.param("execute_job", JOB, "start", documents.EXECUTED, documents.EXECUTED, id="execute"),
]


@pytest.mark.parametrize(("operation", "arguments", "operation_there", "answer", "result"), EXAMPLES)
def test_an_example_of_the_page_goes_through_the_parser(
    ask: Ask,
    sandbox: WebRobotSandbox,
    operation: str,
    arguments: tuple[Any, ...],
    operation_there: str,
    answer: Any,
    result: Any,
) -> None:
    sandbox.inject(Fault(operation_there, "status", status=200, body=json.dumps(answer)))

    assert ask(operation, *arguments) == result


def test_the_examples_times_are_read_as_utc() -> None:
    assert moment(documents.TASK_METRICS["startedAt"]) == datetime(2019, 8, 24, 14, 15, 22, tzinfo=UTC)
    assert moment("2025-12-10T19:36:47.798498") == datetime(2025, 12, 10, 19, 36, 47, 798498, tzinfo=UTC)


def test_the_example_of_a_body_of_execute_is_sent_as_it_is(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    hook.execute_job(*JOB, cloud_credential_ids=documents.EXECUTE_BODY["cloudCredentialIds"])

    assert json.loads(sent(sandbox).body) == documents.EXECUTE_BODY


def test_the_example_of_an_error_is_told_with_its_text(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    sandbox.inject(Fault("start", "status", status=400, body=json.dumps(documents.ERROR)))

    with pytest.raises(RequestRefusedError, match="Job not found or invalid configuration"):
        hook.execute_job(*JOB)
