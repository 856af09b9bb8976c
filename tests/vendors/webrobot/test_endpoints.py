"""WebRobot's other endpoints in both colours, and what is refused before anything is sent."""
# ruff: noqa: F401, F811 - fixtures are imported, and asked for by their names

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import (
    AlreadyRunningError,
    ConnectionSettingsError,
    CredentialsRejectedError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    RequestRefusedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox, execution_of
from tests.vendors.webrobot.stage import JOB, TASK, Ask, ask, clock, connect, hook, sandbox, sent

JOB_PATH = "/api/webrobot/api/projects/id/98/jobs/210"


@pytest.mark.parametrize(
    ("operation", "arguments", "method", "path", "query", "body"),
    [
        pytest.param("test_projects", (), "GET", "/api/webrobot/api/projects/test", (), b"", id="test"),
        pytest.param("list_projects", (), "GET", "/api/webrobot/api/projects", (), b"", id="projects"),
        pytest.param("get_project", (98,), "GET", "/api/webrobot/api/projects/id/98", (), b"", id="project"),
        pytest.param("list_jobs", ("98",), "GET", "/api/webrobot/api/projects/id/98/jobs", (), b"", id="jobs"),
        pytest.param("get_job", JOB, "GET", JOB_PATH, (), b"", id="job"),
        pytest.param("execute_job", (98, 220), "POST", f"{JOB_PATH[:-3]}220/execute", (), b"{}", id="execute"),
        pytest.param(
            "get_execution_status", (*JOB, "spark-1"), "GET", f"{JOB_PATH}/executions/spark-1/status", (), b""
        ),
        pytest.param(
            "get_execution_logs",
            (*JOB, "spark-1", "driver", 200),
            "GET",
            f"{JOB_PATH}/executions/spark-1/logs",
            (("podType", "driver"), ("tail", "200")),
            b"",
        ),
        pytest.param("cancel_execution", (*JOB, "spark-1"), "DELETE", f"{JOB_PATH}/executions/spark-1", (), b""),
        pytest.param("stop_job", JOB, "POST", f"{JOB_PATH}/stop", (), b"{}", id="stop job"),
        pytest.param("list_tasks", JOB, "GET", f"{JOB_PATH}/tasks", (), b"", id="tasks"),
        pytest.param("get_task", TASK, "GET", f"{JOB_PATH}/tasks/1", (), b"", id="task"),
        pytest.param("start_task", ("98", "220", "229"), "POST", f"{JOB_PATH[:-3]}220/tasks/229/start", (), b""),
        pytest.param("get_task_status", TASK, "GET", f"{JOB_PATH}/tasks/1/status", (), b"", id="task status"),
    ],
)
def test_an_operation_is_sent_as_the_published_description_has_it(
    ask: Ask,
    sandbox: WebRobotSandbox,
    operation: str,
    arguments: tuple[Any, ...],
    method: str,
    path: str,
    query: tuple[tuple[str, str], ...],
    body: bytes,
) -> None:
    sandbox.seed_run(Life(duration=99), flow="98/210", run_id="98/210/spark-1")

    ask(operation, *arguments)

    record = sent(sandbox)
    assert (record.method, record.path, record.query, record.body, record.status) == (method, path, query, body, 200)


def test_an_execution_is_started_with_its_arguments_credentials_and_further_keys(
    ask: Ask, sandbox: WebRobotSandbox
) -> None:
    started = ask("execute_job", *JOB, ["--day", "1"], ["550e8400"], {"parameters": {"limit": 100}})

    assert started["success"] is True
    assert json.loads(sent(sandbox).body) == {
        "parameters": {"limit": 100},
        "arguments": ["--day", "1"],
        "cloudCredentialIds": ["550e8400"],
    }
    assert sandbox.runs[f"98/210/{started['executionId']}"].request["arguments"] == ["--day", "1"]


def test_a_job_that_runs_already_is_told_as_such(ask: Ask, sandbox: WebRobotSandbox) -> None:
    sandbox.seed_run(Life(duration=99))

    with pytest.raises(AlreadyRunningError):
        ask("execute_job", *JOB)
    with pytest.raises(AlreadyRunningError):
        ask("start_task", *TASK)
    assert sandbox.ledger.starts == []


def test_an_execution_that_was_not_accepted_is_an_error(ask: Ask, sandbox: WebRobotSandbox) -> None:
    refusal = json.dumps({"success": False, "message": "no cluster is free", "executionId": None})
    sandbox.inject(Fault("start", "status", status=200, body=refusal))

    with pytest.raises(RequestRefusedError, match="no cluster is free"):
        ask("execute_job", *JOB)


@pytest.mark.parametrize("answer", ["{}", '{"executionId": ""}', '{"executionId": null, "success": true}', "[]"])
def test_an_accepted_execution_without_an_id_may_have_started(ask: Ask, sandbox: WebRobotSandbox, answer: str) -> None:
    sandbox.inject(Fault("start", "status", status=200, body=answer))

    with pytest.raises(VendorUnavailableError) as failure:
        ask("execute_job", *JOB)

    assert failure.value.may_have_acted
    assert sandbox.ledger.count("start") == 1, "it is not repeated"


def test_a_missing_scope_is_a_401_and_on_execute_a_403(ask: Ask, sandbox: WebRobotSandbox) -> None:
    sandbox.missing_scopes = frozenset({"jobs:read", "etl:execute"})

    with pytest.raises(CredentialsRejectedError, match="jobs:read"):
        ask("get_job", *JOB)
    with pytest.raises(PermissionDeniedError, match="etl:execute"):
        ask("execute_job", *JOB)
    assert [record.status for record in sandbox.ledger.requests] == [401, 403], "neither is tried again"


def test_empty_answers_of_stop_start_and_cancel_are_as_good_as_an_object(ask: Ask, sandbox: WebRobotSandbox) -> None:
    sandbox.inject(Fault("*", "empty", times=None))

    assert ask("stop_task", *TASK) == {}
    assert ask("start_task", *TASK) == {}
    assert ask("cancel_execution", *JOB, "spark-1") == {}
    assert ask("delete_record", "shops", "1") is None


def test_the_key_of_a_task_is_not_shown(ask: Ask) -> None:
    (listed,) = ask("list_tasks", "98", "220")

    assert listed["apiKey"] == "***"
    assert ask("get_task", "98", "220", "229")["apiKey"] == "***"
    assert ask("get_task", "98", "210", "1")["apiKey"] is None


def test_an_answer_that_is_no_status_of_an_execution_passes_for_none(ask: Ask, sandbox: WebRobotSandbox) -> None:
    sandbox.inject(Fault("get", "status", status=200, body="{}"))

    with pytest.raises(VendorUnavailableError, match="without a status"):
        ask("get_execution_status", *JOB, "spark-1")


# -- times, addresses, ids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        "2025-12-11T00:00:00Z",
        "2025-12-11",
        "2025-12-11T01:00:00+01:00",
        datetime(2025, 12, 11),
        datetime(2025, 12, 11, tzinfo=UTC),
        datetime(2025, 12, 11, 1, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_times_are_sent_in_utc(hook: WebRobotHook, sandbox: WebRobotSandbox, start: datetime | str) -> None:
    hook.get_job_metrics(*JOB, start_time=start)

    assert sent(sandbox).query == (("startTime", "2025-12-11T00:00:00Z"),)


def test_job_metrics_count_what_started_in_the_span(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    for age in (7200, 600):
        sandbox.seed_run(Life(duration=60), age=age)
    sandbox.seed_run(Life(duration=60, outcome="error"), age=300)

    counted = hook.get_job_metrics(*JOB, "2026-11-22T11:00:00Z", datetime(2026, 11, 22, 12, tzinfo=UTC))

    assert counted["aggregated"]["totalExecutions"] == 2
    assert (counted["aggregated"]["completedCount"], counted["aggregated"]["failedCount"]) == (1, 1)


@pytest.mark.parametrize(
    ("url", "protocol", "sent_as"),
    [
        ("https://example.com", None, "example.com/https"),
        ("http://example.com/x", None, "example.com%2Fx/http"),
        ("example.com/x", "http", "example.com%2Fx/http"),
        ("example.com/x", None, "example.com%2Fx/https"),
        ("HTTPS://example.com/ü?a=b#c", None, "example.com%2F%C3%BC%3Fa%3Db%23c/https"),
        ("http://127.0.0.1:8080/", "http", "127.0.0.1%3A8080%2F/http"),
    ],
)
def test_an_address_goes_into_one_segment_of_the_path(
    ask: Ask, sandbox: WebRobotSandbox, url: str, protocol: Any, sent_as: str
) -> None:
    page = ask("get_html", url, protocol)

    assert sent(sandbox).path == f"/api/webrobot/api/html/{sent_as}"
    assert "<h1>Fetched http" in page


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_html", ("ftp://example.com",)),
        ("get_html", ("https://example.com", "http")),
        ("get_html", ("",)),
        ("get_html", ("https:///path",)),
        ("get_job_metrics", ("98", "210", "yesterday")),
        ("get_job_metrics", ("98", "210", "2025-12-12", "2025-12-11")),
        ("get_execution_logs", ("98", "210", "spark-1", "worker")),
        ("get_execution_logs", ("98", "210", "spark-1", "driver", 0)),
        ("get_job", ("98", "")),
        ("get_job", ("98", None)),
        ("get_job", ("..", "210")),
        ("get_job", ("98/jobs", "210")),
        ("get_job", (True, "210")),
        ("insert_record", ("shops", ["no object"])),
        ("get_record", ("shops", " ")),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_sent(
    ask: Ask, sandbox: WebRobotSandbox, name: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(InvalidInputError):
        ask(name, *arguments)

    assert sandbox.ledger.requests == []


# -- tables -------------------------------------------------------------------------------------------------------


def test_records_are_kept_changed_and_deleted(ask: Ask) -> None:
    added = ask("insert_record", "shops", {"name": "west"})
    assert ask("get_record", "shops", added["id"]) == {"id": added["id"], "name": "west"}

    ask("update_record", "shops", added["id"], {"name": "east"})
    assert ask("get_record", "shops", added["id"])["name"] == "east"

    ask("delete_record", "shops", added["id"])
    with pytest.raises(NotFoundError):
        ask("get_record", "shops", added["id"])


@pytest.mark.parametrize("rows", [0, 1, 4, 5, 6, 11])
@pytest.mark.parametrize("wraps", [False, True])
def test_all_records_come_page_by_page(ask: Ask, sandbox: WebRobotSandbox, rows: int, wraps: bool) -> None:
    sandbox.tables["many"] = {str(number): {"n": number} for number in range(rows)}
    sandbox.wraps_records = wraps

    assert [row["n"] for row in ask("find_all", "many", page_size=5)] == list(range(rows))
    assert sandbox.ledger.count("find_all") == rows // 5 + 1


def test_pages_that_count_from_1_are_all_shown_once(ask: Ask, sandbox: WebRobotSandbox) -> None:
    """There page 0 is page 1 again, or so a tolerant server has it."""
    sandbox.tables["many"] = {str(number): {"n": number} for number in range(12)}
    sandbox.first_page = 1

    assert [row["n"] for row in ask("find_all", "many", page_size=5)] == list(range(12))


def test_a_server_that_ignores_paging_ends_the_listing(ask: Ask, sandbox: WebRobotSandbox) -> None:
    rows = json.dumps([{"n": number} for number in range(5)])
    sandbox.inject(Fault("find_all", "status", status=200, body=rows, times=None))

    assert len(ask("find_all", "shops", page_size=5)) == 5
    assert sandbox.ledger.count("find_all") == 3


def test_records_of_an_unknown_form_are_an_error(ask: Ask, sandbox: WebRobotSandbox) -> None:
    sandbox.inject(Fault("find_all", "status", status=200, body='{"shops": 3}'))

    with pytest.raises(VendorUnavailableError, match="no array"):
        ask("find_all", "shops")


# -- the connection -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["", "/", "/api", "/api/", "/api/webrobot/api", "/webrobot/api/"])
def test_the_base_path_is_there_once_whatever_was_typed(
    sandbox: WebRobotSandbox, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    connect(monkeypatch, sandbox, host=f"{sandbox.base_url}{typed}")

    assert WebRobotHook().settings.base_url == f"{sandbox.base_url}/api"
    assert WebRobotHook().test_connection()[0]


@pytest.mark.parametrize("base_path", ["", "/gateway/v2"])
def test_the_base_path_is_a_setting(sandbox: WebRobotSandbox, monkeypatch: pytest.MonkeyPatch, base_path: str) -> None:
    sandbox.base_path = base_path
    connect(monkeypatch, sandbox)

    assert WebRobotHook().settings.base_url == f"{sandbox.base_url}{base_path}"
    assert WebRobotHook().test_connection()[0]


def test_without_a_host_the_vendors_own_address_is_taken(
    sandbox: WebRobotSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, sandbox, host="")

    assert WebRobotHook().settings.base_url == "https://api.webrobot.eu/api"
    assert WebRobotHook().settings.requests_per_minute == 60_000


def test_the_budget_is_500_requests_a_minute_by_default(
    sandbox: WebRobotSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WEBROBOT_DEFAULT", json.dumps(sandbox.connection()))

    assert WebRobotHook().settings.requests_per_minute == 500


def test_a_key_with_colons_and_slashes_goes_over_as_it_is(
    sandbox: WebRobotSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.api_key = "acme:wr_4f/9+x=:tail@host"
    monkeypatch.setenv("AIRFLOW_CONN_WEBROBOT_DEFAULT", sandbox.connection_uri())

    assert WebRobotHook().test_connection()[0]


@pytest.mark.parametrize(
    "fields", [{"password": ""}, {"login": "acme"}, {"password": "two\nlines"}, {"password": "schlüssel"}]
)
def test_a_credential_that_cannot_work_is_told_before_anything_is_sent(
    sandbox: WebRobotSandbox, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str]
) -> None:
    connect(monkeypatch, sandbox, **fields)

    with pytest.raises(ConnectionSettingsError, match="key") as failure:
        WebRobotHook().list_projects()

    assert sandbox.ledger.requests == []
    assert sandbox.api_key not in str(failure.value)


def test_the_connection_test_tells_what_answered(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    good, told = hook.test_connection()

    assert good
    assert sandbox.base_url in told
    assert "1 projects" in told


def test_the_connection_test_tells_a_wrong_key_from_a_missing_scope(
    hook: WebRobotHook, sandbox: WebRobotSandbox
) -> None:
    sandbox.missing_scopes = frozenset({"projects:read"})
    assert hook.test_connection()[0]
    assert "may not list projects" in hook.test_connection()[1]

    sandbox.api_key = "another:key"
    good, told = hook.test_connection()
    assert not good
    assert "sandbox-org" not in told


def test_the_key_is_in_no_repr_and_no_error(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    key = sandbox.api_key
    sandbox.inject(Fault("job", "status", status=500, body=f"headers were X-API-Key: {key}"))

    with pytest.raises(VendorUnavailableError) as failure:
        hook.get_job(*JOB)

    assert key not in str(failure.value)
    assert key not in repr(hook.channel)


def test_execution_ids_are_those_of_runs(hook: WebRobotHook, sandbox: WebRobotSandbox) -> None:
    started = hook.execute_job(*JOB)

    assert [execution_of(run) for run in sandbox.ledger.runs] == [started["executionId"]]
