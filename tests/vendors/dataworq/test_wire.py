"""Every call of DataWORQ's reference over the wire: in both colours, by both ways in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import (
    ConnectionSettingsError,
    CredentialsRejectedError,
    InvalidInputError,
    RequestRefusedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.wire.auth import Turn
from airflow_provider_etlapis.wire.call import Request
from tests.vendors.dataworq.support import EXAMPLES, FLOW, JOB_ID, connect, in_colour

PARAMETERS = EXAMPLES["job_request"]["parameters"]

CALLS: list[tuple[str, tuple[Any, ...], str, str, tuple[tuple[str, str], ...]]] = [
    ("get_job", (JOB_ID,), "GET", f"/api/v1/jobs/{JOB_ID}", ()),
    ("get_job_execution_status", (JOB_ID,), "GET", f"/api/v1/jobs/{JOB_ID}", (("filter", "executionStatus"),)),
    ("list_jobs", (), "GET", "/api/v1/jobs", ()),
    ("list_jobs", ("active",), "GET", "/api/v1/jobs", (("filter", "active"),)),
    ("list_jobs", ("history",), "GET", "/api/v1/jobs", (("filter", "history"),)),
    ("execute_job", (FLOW.flow_id, "nightly", PARAMETERS, True), "POST", "/api/v1/jobs", ()),
]


@pytest.fixture(params=["cloud_connector", "native"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[DataworqSandbox]:
    with DataworqSandbox(access=request.param) as running:
        yield running


@pytest.fixture
def hook(sandbox: DataworqSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataworqHook]:
    with connect(monkeypatch, sandbox) as made:
        yield made


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize(
    ("endpoint", "arguments", "method", "path", "query"),
    CALLS,
    ids=[f"{c[0]}-{'-'.join(map(str, c[1]))[:9]}" for c in CALLS],
)
async def test_a_call_as_the_server_sees_it(
    sandbox: DataworqSandbox, hook: DataworqHook, colour: str, endpoint: str, arguments: Any, method, path, query
):
    sandbox.seed_run(Life(duration=60), run_id=JOB_ID)

    await in_colour(colour, hook, endpoint, *arguments)

    (seen,) = sandbox.ledger.requests
    assert (seen.method, seen.path, seen.query, seen.status) == (method, path, query, 200)
    assert {"user-api-key", "content-type"} <= seen.header_names
    packed = {"apikey", "endpoint", "method"}
    assert seen.header_names & packed == (packed if sandbox.access == "cloud_connector" else set())
    wanted = (
        None
        if method == "GET"
        else {
            "flowId": FLOW.flow_id,
            "runProfileName": "nightly",
            "notificationEnabled": True,
            "parameters": PARAMETERS,
        }
    )
    assert (json.loads(seen.body) if seen.body else None) == wanted


@pytest.mark.parametrize(("endpoint", "arguments", "method", "path", "query"), CALLS)
def test_the_cloud_connector_gets_the_native_call_in_its_headers(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, arguments: Any, method: str, path: str, query: Any
):
    monkeypatch.setenv(
        "AIRFLOW_CONN_DATAWORQ_DEFAULT",
        json.dumps({"conn_type": "dataworq", "password": "user-key", "extra": {"api_key": "DATAWORQ-d213b"}}),
    )
    hook = DataworqHook()
    call = next(getattr(hook, endpoint).plan(*arguments))

    request = next(hook.channel.auth.flow(call.request(hook.settings.base_url, {})))

    assert isinstance(request, Request)
    assert not isinstance(request, Turn)
    outer = {"GET": "status", "POST": "execute"}[method]
    assert (request.method, request.url) == (method, f"https://api.quebit.com/call/{outer}")
    asked = "?" + "&".join(f"{name}={value}" for name, value in query) if query else ""
    assert dict(request.headers) == {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "apiKey": "DATAWORQ-d213b",
        "user-api-key": "user-key",
        "endpoint": path + asked,
        "method": method,
    }


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("form", ["text", "json_text", "object"])
async def test_the_status_alone_in_each_of_its_shapes(sandbox: DataworqSandbox, hook: DataworqHook, colour, form):
    sandbox.status_form = form
    sandbox.seed_run(Life(duration=60), run_id=JOB_ID)

    assert await in_colour(colour, hook, "get_job_execution_status", JOB_ID) == "RUNNING"


@pytest.mark.parametrize("status", [200, 202])
def test_a_start_is_accepted_with_either_status(sandbox: DataworqSandbox, hook: DataworqHook, status):
    sandbox.start_status = status

    assert hook.execute_job(FLOW.flow_id) == {"jobId": sandbox.ledger.starts[0]}


def test_a_read_is_tried_again_after_a_400(sandbox: DataworqSandbox, monkeypatch: pytest.MonkeyPatch):
    sandbox.seed_run(Life(duration=60), run_id=JOB_ID)
    sandbox.inject(Fault("get", "status", status=400, times=2))
    hook = connect(monkeypatch, sandbox, retries=2)
    hook.client._sleep = lambda seconds: None

    assert hook.get_job(JOB_ID)["executionStatus"] == "RUNNING"
    assert sandbox.ledger.count("get") == 3


def test_a_400_that_stays_is_a_passing_fault_of_a_read(sandbox: DataworqSandbox, hook: DataworqHook):
    sandbox.inject(Fault("get", "status", status=400, times=None))

    with pytest.raises(VendorUnavailableError, match="Bad Request or Server error"):
        hook.get_job(JOB_ID)


def test_a_start_is_not_tried_again_after_a_400(sandbox: DataworqSandbox, monkeypatch: pytest.MonkeyPatch):
    sandbox.inject(Fault("start", "status", status=400, times=None))

    with pytest.raises(RequestRefusedError):
        connect(monkeypatch, sandbox, retries=3).execute_job(FLOW.flow_id)

    assert sandbox.ledger.count("start") == 1


def test_a_job_id_cannot_carry_headers(sandbox: DataworqSandbox, hook: DataworqHook):
    with pytest.raises(InvalidInputError):
        hook.get_job(f"{JOB_ID}\r\nmethod: POST")

    assert sandbox.ledger.requests == []


# The connection


def test_the_connection_test_says_what_answered(sandbox: DataworqSandbox, hook: DataworqHook):
    sandbox.seed_run(Life(duration=60))

    assert hook.test_connection() == (True, f"DataWORQ at {sandbox.base_url}/api/v1 answered: 1 active jobs")


@pytest.mark.parametrize("key", ["user_api_key", "api_key"])
def test_a_wrong_key_is_told_by_the_connection_test_and_not_shown(sandbox: DataworqSandbox, hook: DataworqHook, key):
    if key == "api_key" and sandbox.access == "native":
        sandbox.user_api_key = "changed"  # there is one key only
    setattr(sandbox, key, "changed-since")

    good, told = hook.test_connection()

    assert not good
    assert "credential" in told
    assert "sandbox-user-key" not in told
    assert "sandbox-connector-key" not in told


def test_no_key_is_in_an_error(sandbox: DataworqSandbox, hook: DataworqHook):
    sandbox.inject(Fault("list", "status", status=401, body=f"bad {sandbox.user_api_key} {sandbox.api_key}"))

    with pytest.raises(CredentialsRejectedError) as refused:
        hook.list_jobs()

    assert sandbox.user_api_key not in str(refused.value)
    if sandbox.access == "cloud_connector":
        assert sandbox.api_key not in str(refused.value)


@pytest.mark.parametrize("typed", ["", "/", "/api/v1", "/api/v1/"])
def test_the_prefix_is_never_doubled(sandbox: DataworqSandbox, monkeypatch: pytest.MonkeyPatch, typed: str):
    connection = sandbox.connection(host=f"{sandbox.base_url}{typed}")
    monkeypatch.setenv("AIRFLOW_CONN_DATAWORQ_DEFAULT", json.dumps(connection))

    assert DataworqHook().list_jobs() == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"password": ""}, "password"),
        ({"password": "a key"}, "password"),
        ({"password": "key\r\nX: 1"}, "password"),
        ({"extra": {}}, "api_key"),
        ({"extra": {"api_key": "k", "api_prefix": "/api v1"}}, "api_prefix"),
        ({"extra": {"access": "native"}}, "host"),
        ({"extra": {"access": "proxy"}}, "access"),
    ],
)
def test_a_connection_that_cannot_work_names_the_field(monkeypatch: pytest.MonkeyPatch, fields: Any, told: str):
    connection = {"conn_type": "dataworq", "password": "user-key", "extra": {"api_key": "connector-key"}, **fields}
    monkeypatch.setenv("AIRFLOW_CONN_DATAWORQ_DEFAULT", json.dumps(connection))

    with pytest.raises(ConnectionSettingsError, match=told):
        DataworqHook().list_jobs()
