"""WebRobot on localhost is strict: what its documents do not allow is refused with its own error object."""
# ruff: noqa: F401, F811 - fixtures are imported, and asked for by their names

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests

from airflow_provider_etlapis.sandbox import sandbox_class
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox, execution_of
from airflow_provider_etlapis.sandbox.webrobot.work import Job, Task
from tests.vendors.webrobot.stage import NOON, clock, sandbox

P = "/api/webrobot/api/projects"
J = f"{P}/id/98/jobs/210"
JSON = {"Content-Type": "application/json"}


def ask(sandbox: WebRobotSandbox, method: str, path: str, **options: Any) -> requests.Response:
    """Send a request as it stands, with the key unless the test gives headers of its own."""
    headers = {"X-API-Key": sandbox.api_key, **options.pop("headers", {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    return requests.request(method, f"{sandbox.base_url}{path}", headers=headers, timeout=5, **options)


def test_it_is_in_the_table_of_vendors() -> None:
    assert sandbox_class("webrobot") is WebRobotSandbox


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": None},
        {"X-API-Key": ""},
        {"X-API-Key": "sandbox-org"},
        {"X-API-Key": None, "Authorization": "Bearer sandbox-org:wr-sandbox-key"},
    ],
)
@pytest.mark.parametrize("path", [f"{P}/test", "/api/health", f"{J}/tasks/1/stop", "/api/api/strapi-tables/shops"])
def test_only_the_key_in_its_header_is_accepted(sandbox: WebRobotSandbox, path: str, headers: dict[str, Any]) -> None:
    answer = ask(sandbox, "POST" if path.endswith("stop") else "GET", path, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["code"] == 401
    assert answer.json()["timestamp"] == "2026-11-22T12:00:00.000Z"


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/webrobot/api/projects", {}, 404),
        ("GET", f"{P}/98/jobs", {}, 404),
        ("GET", f"{P}/id/99", {}, 404),
        ("GET", f"{P}/id/98/jobs/9", {}, 404),
        ("GET", f"{J}/tasks/9", {}, 404),
        ("GET", f"{J}/executions/spark-9/status", {}, 404),
        ("GET", f"{J}/executions", {}, 404),
        ("POST", f"{J}/executions", {}, 404),
        ("DELETE", J, {}, 405),
        ("GET", f"{J}/execute", {}, 405),
        ("GET", f"{J}?expand=true", {}, 400),
        ("GET", f"{J}/metrics?startTime=2025-12-11", {}, 400),
        ("GET", f"{J}/metrics?startTime=noon", {}, 400),
        ("GET", f"{J}/metrics?startTime=2025-12-11T00:00:00Z&startTime=2025-12-11T00:00:00Z", {}, 400),
        ("POST", f"{J}/execute", {"data": "{}"}, 415),
        ("POST", f"{J}/execute", {"data": "{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", f"{J}/execute", {"data": "{", "headers": JSON}, 400),
        ("POST", f"{J}/execute", {"json": []}, 400),
        ("POST", f"{J}/execute", {"json": {"arguments": "--day"}}, 400),
        ("POST", f"{J}/execute", {"json": {"arguments": [1]}}, 400),
        ("POST", f"{J}/execute", {"json": {"cloudCredentialIds": {}}}, 400),
        ("POST", f"{J}/execute?wait=1", {"json": {}}, 400),
        ("POST", f"{J}/tasks/1/stop", {}, 409),
        ("POST", f"{J}/tasks/1/stop", {"json": {"force": True}}, 400),
        ("POST", f"{J}/tasks/1/start", {"json": {"force": True}}, 400),
        ("POST", f"{J}/stop", {"json": {}}, 409),
        ("GET", f"{J}/tasks/1/metrics", {}, 404),
        ("GET", "/api/webrobot/api/html/example.com/ftp", {}, 400),
        ("GET", "/api/webrobot/api/html/example.com/a/https", {}, 404),
        ("GET", "/api/strapi-tables/shops", {}, 404),
        ("GET", "/api/api/strapi-tables/none", {}, 404),
        ("GET", "/api/api/strapi-tables/shops?page=one", {}, 400),
        ("GET", "/api/api/strapi-tables/shops?pageSize=0", {}, 400),
        ("POST", "/api/api/strapi-tables/shops", {"data": "name=west"}, 415),
        ("PUT", "/api/api/strapi-tables/shops/9", {"json": {}}, 404),
        ("DELETE", "/api/api/strapi-tables/shops/9", {}, 404),
    ],
)
def test_what_the_documents_do_not_have_is_refused(
    sandbox: WebRobotSandbox, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = ask(sandbox, method, path, **options)

    assert (answer.status_code, answer.json()["code"]) == (status, status)
    assert isinstance(answer.json()["error"], str)
    assert sandbox.ledger.starts == []


@pytest.mark.parametrize("options", [{}, {"json": {}}, {"json": {"arguments": ["a"], "engine": "scrapy"}}])
def test_the_body_of_execute_is_optional_and_open(sandbox: WebRobotSandbox, options: dict[str, Any]) -> None:
    answer = ask(sandbox, "POST", f"{J}/execute", **options)

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["success"]) == ("SUBMITTED", True)


def test_a_job_runs_once_at_a_time_and_so_does_a_task(sandbox: WebRobotSandbox, clock: Clock) -> None:
    sandbox.plan(Life(duration=60), Life(duration=60))
    assert ask(sandbox, "POST", f"{J}/execute").status_code == 200
    assert ask(sandbox, "POST", f"{J}/execute").status_code == 409
    assert ask(sandbox, "POST", f"{J}/tasks/1/start").status_code == 409

    clock.advance(61)
    assert ask(sandbox, "POST", f"{J}/tasks/1/start").status_code == 200
    assert ask(sandbox, "POST", f"{J}/execute").status_code == 409

    sandbox.one_run = False
    assert ask(sandbox, "POST", f"{J}/execute").status_code == 200


def test_a_project_may_have_a_limit_of_executions(sandbox: WebRobotSandbox) -> None:
    sandbox.max_concurrent = 1
    sandbox.plan(Life(duration=60))

    assert ask(sandbox, "POST", f"{J}/execute").status_code == 200
    assert ask(sandbox, "POST", f"{P}/id/98/jobs/220/execute").status_code == 429


def test_beyond_its_rate_it_answers_429(sandbox: WebRobotSandbox) -> None:
    sandbox.rate_limit = 2

    statuses = [ask(sandbox, "GET", f"{P}/test").status_code for _ in range(3)]

    assert statuses == [200, 200, 429]


@pytest.mark.parametrize("word", ["FAILED", "CANCELLED"])
def test_the_status_of_a_stopped_run_is_an_option(sandbox: WebRobotSandbox, word: str) -> None:
    sandbox.stopped_status = word
    run = sandbox.seed_run(Life(duration=60))
    ask(sandbox, "POST", f"{J}/tasks/1/stop")

    shown = ask(sandbox, "GET", f"{J}/executions/{execution_of(run)}/status").json()

    assert (shown["status"], shown["completedAt"]) == (word, "2026-11-22T12:00:00.000Z")
    assert ask(sandbox, "GET", f"{J}/tasks/1").json()["executionStatus"] == word


def test_a_new_execution_may_be_hidden_for_a_while(sandbox: WebRobotSandbox, clock: Clock) -> None:
    sandbox.hidden_for = 5
    path = f"{J}/executions/{execution_of(sandbox.seed_run(Life(duration=60)))}/status"
    assert ask(sandbox, "GET", path).status_code == 404

    clock.advance(5)
    assert ask(sandbox, "GET", path).status_code == 200


def test_an_execution_is_found_in_its_own_job_only(sandbox: WebRobotSandbox) -> None:
    run = sandbox.seed_run(Life(duration=60))

    assert ask(sandbox, "GET", f"{P}/id/98/jobs/220/executions/{execution_of(run)}/status").status_code == 404


def test_a_run_cannot_end_in_a_warning(sandbox: WebRobotSandbox) -> None:
    with pytest.raises(ValueError, match="warning"):
        sandbox.seed_run(Life(outcome="warning"))


def test_ids_are_whole_numbers() -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        Job("98", "two", "job", (Task("1", "task"),))


def test_it_carries_thousands_of_jobs(sandbox: WebRobotSandbox) -> None:
    for number in range(1, 3001):
        sandbox.define(Job("700", str(number), f"job {number}", (Task(str(number), "only"),)))
        sandbox.seed_run(Life(duration=60), flow=f"700/{number}")

    began = time.monotonic()
    rows = ask(sandbox, "GET", f"{P}/id/700/jobs").json()

    assert [row["executionStatus"] for row in rows] == ["RUNNING"] * 3000
    assert time.monotonic() - began < 2


def test_the_connection_holds_the_key_and_the_base_path_if_it_is_unusual(sandbox: WebRobotSandbox) -> None:
    assert sandbox.connection() == {
        "conn_type": "webrobot",
        "host": sandbox.base_url,
        "login": "",
        "password": "sandbox-org:wr-sandbox-key",
        "extra": {},
    }
    sandbox.base_path = ""
    assert sandbox.connection()["extra"] == {"base_path": "/"}
    assert json.dumps(sandbox.connection())
