"""DataWORQ on localhost is as strict as its reference, and open where the reference is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.dataworq.log import job_log
from airflow_provider_etlapis.sandbox.dataworq.work import DEMO_FLOWS, Flow
from airflow_provider_etlapis.sandbox.lives import Life
from tests.vendors.dataworq.support import EXAMPLES, FLOW

NOON = 1795348800.0  # 2026-11-22T12:00:00Z
BODY = {"flowId": FLOW.flow_id, "runProfileName": "default", "notificationEnabled": False, "parameters": []}

Ask = Callable[..., requests.Response]


@pytest.fixture
def clock() -> Clock:
    return Clock(start=NOON, speed=0)


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[DataworqSandbox]:
    with DataworqSandbox(clock=clock) as running:
        yield running


@pytest.fixture
def ask(sandbox: DataworqSandbox) -> Ask:
    """Send a native call packed for the Cloud Connector; headers of None are left out."""

    def send(endpoint: str, method: str = "GET", *, headers: dict[str, Any] | None = None, **options: Any) -> Any:
        packed = {
            "Content-Type": "application/json",
            "apiKey": sandbox.api_key,
            "user-api-key": sandbox.user_api_key,
            "endpoint": endpoint,
            "method": method,
            **(headers or {}),
        }
        verb = options.pop("verb", method)
        path = options.pop("path", "/call/status" if method == "GET" else "/call/execute")
        return requests.request(verb, f"{sandbox.base_url}{path}", headers=packed, timeout=5, **options)

    return send


def test_a_job_has_every_field_of_the_reference_and_no_other(sandbox: DataworqSandbox, ask: Ask):
    job = sandbox.seed_run(Life(duration=10), age=20)

    shown = ask(f"/api/v1/jobs/{job.id}").json()

    assert set(shown) == set(EXAMPLES["job"])
    assert {name: type(value) for name, value in shown.items()} == {
        name: type(value) for name, value in EXAMPLES["job"].items()
    }


def test_a_running_job_is_shown_as_in_the_reference(sandbox: DataworqSandbox, clock: Clock, ask: Ask):
    sandbox.seed_run(Life(duration=30))
    clock.advance(25)

    (shown,) = ask("/api/v1/jobs?filter=active").json()

    assert {name: type(value) for name, value in shown.items()} == {
        name: type(value) for name, value in EXAMPLES["jobs"][0].items()
    }
    assert shown["currentStepDescription"] == "Step 3 (0 of 1 completed)"
    assert shown["currentStepElapsedTime"] == "0:00:05"


def test_numbers_are_utc_and_texts_are_the_servers_own_time(sandbox: DataworqSandbox, ask: Ask):
    job = sandbox.seed_run(Life(duration=10), age=20)

    shown = ask(f"/api/v1/jobs/{job.id}").json()

    assert shown["startTime"] == (NOON - 20) * 1000
    assert shown["startTimeFormatted"] == "2026-11-22 07:59:40.000"
    assert shown["runtimeFormatted"] == "10.000 seconds"


def test_a_queued_job_has_not_started(sandbox: DataworqSandbox, ask: Ask):
    job = sandbox.seed_run(Life(queued=60))

    shown = ask(f"/api/v1/jobs/{job.id}").json()

    assert (shown["executionStatus"], shown["startTime"], shown["startTimeFormatted"]) == ("QUEUED", None, "")
    assert shown["currentStepId"] is None


@pytest.mark.parametrize(
    ("form", "text"),
    [("text", "RUNNING"), ("json_text", '"RUNNING"'), ("object", '{"executionStatus": "RUNNING"}')],
)
def test_the_status_alone_comes_in_the_chosen_shape(sandbox: DataworqSandbox, ask: Ask, form: Any, text: str):
    sandbox.status_form = form
    job = sandbox.seed_run(Life(duration=60))

    assert ask(f"/api/v1/jobs/{job.id}?filter=executionStatus").text == text


@pytest.mark.parametrize(
    ("form", "error"), [("text", "no disk"), ("object", {"message": "no disk", "step": None}), ("null", None)]
)
def test_an_error_comes_in_the_chosen_form(sandbox: DataworqSandbox, ask: Ask, form: Any, error: Any):
    sandbox.error_form = form
    job = sandbox.seed_run(Life(duration=1, outcome="error", error_text="no disk"), age=5)

    assert ask(f"/api/v1/jobs/{job.id}").json()["error"] == error


def test_the_lists_divide_jobs_into_active_ones_and_history(sandbox: DataworqSandbox, ask: Ask):
    running = sandbox.seed_run(Life(duration=60)).id
    queued = sandbox.seed_run(Life(queued=60)).id
    over = {sandbox.seed_run(Life(duration=1, outcome=end), age=5).id for end in ("success", "error", "canceled")}

    def ids(query: str) -> set[str]:
        return {job["id"] for job in ask(f"/api/v1/jobs{query}").json()}

    assert ids("?filter=active") == {running, queued}
    assert ids("?filter=history") == over
    assert ids("") == {running, queued, *over}
    sandbox.active_has_queued = sandbox.history_has_bad_ends = False
    assert ids("?filter=active") == {running}
    assert len(ids("?filter=history")) == 1


def test_a_list_shows_at_most_a_hundred_the_last_started_first(sandbox: DataworqSandbox, ask: Ask):
    for number in range(120):
        sandbox.seed_run(Life(duration=1), age=float(number))

    starts = [job["startTime"] for job in ask("/api/v1/jobs").json()]

    assert len(starts) == 100
    assert starts == sorted(starts, reverse=True)
    assert starts[0] == NOON * 1000


def test_ten_thousand_jobs_cost_little(sandbox: DataworqSandbox, ask: Ask):
    for number in range(10_000):
        sandbox.seed_run(Life(duration=1), age=float(number))
    began = time.process_time()  # the server runs in this process

    assert len(ask("/api/v1/jobs?filter=active").json()) == 1
    assert time.process_time() - began < 1.0


def test_a_start_makes_a_job_of_the_flow(sandbox: DataworqSandbox, ask: Ask):
    answer = ask("/api/v1/jobs", "POST", json=BODY)

    assert answer.status_code == 200
    assert answer.json() == {"jobId": sandbox.ledger.starts[0]}
    assert sandbox.runs[sandbox.ledger.starts[0]].flow == FLOW.name


@pytest.mark.parametrize(
    "change",
    [
        {"flowId": "nobody"},
        {"runProfileName": "weekly"},
        {"runProfileName": None},
        {"notificationEnabled": "yes"},
        {"parameters": {"X": 1}},
        {"parameters": [{"name": "X", "type": "boolean", "value": True}]},
        {"parameters": [{"name": "X", "type": "integer", "value": "1"}]},
        {"parameters": [{"name": "X", "type": "integer", "value": True}]},
        {"parameters": [{"name": "X", "type": "integer"}]},
        {"priority": 1},
    ],
)
def test_a_start_that_does_not_fit_is_a_400(sandbox: DataworqSandbox, ask: Ask, change: dict[str, Any]):
    answer = ask("/api/v1/jobs", "POST", json={**BODY, **change})

    assert answer.status_code == 400
    assert sandbox.ledger.starts == []


@pytest.mark.parametrize("data", [b"", b"{", b"[]"])
def test_a_start_without_a_json_object_is_a_400(ask: Ask, data: bytes):
    assert ask("/api/v1/jobs", "POST", data=data).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"apiKey": "wrong"},
        {"apiKey": None},
        {"user-api-key": "wrong"},
        {"user-api-key": None},
    ],
)
def test_without_both_keys_nobody_gets_in(ask: Ask, headers: dict[str, Any]):
    assert ask("/api/v1/jobs", headers=headers).status_code == 401


def test_a_read_needs_the_content_type_too(ask: Ask):
    assert ask("/api/v1/jobs", headers={"Content-Type": None}).status_code == 400


@pytest.mark.parametrize(
    "wrongly",
    [
        {"headers": {"endpoint": None}},
        {"headers": {"method": None}},
        {"headers": {"method": "POST"}},
        {"endpoint": "api/v1/jobs"},
        {"endpoint": "/api/v1/jobs?filter=active x"},
        {"path": "/call/status?x=1"},
        {"path": "/call/execute", "verb": "POST"},
    ],
)
def test_a_call_that_is_packed_wrongly_is_a_400(ask: Ask, wrongly: dict[str, Any]):
    assert ask(wrongly.pop("endpoint", "/api/v1/jobs"), **wrongly).status_code == 400


@pytest.mark.parametrize("endpoint", ["/jobs", "/api/v1/flows", "/api/v1/jobs/a/cancel", "/api/v1/api/v1/jobs"])
def test_a_path_that_is_not_there_is_a_404(ask: Ask, endpoint: str):
    assert ask(endpoint).status_code == 404


@pytest.mark.parametrize(
    "endpoint", ["/api/v1/jobs?filter=executionStatus", "/api/v1/jobs?page=2", "/api/v1/jobs/a?filter=active"]
)
def test_the_filters_are_told_apart(ask: Ask, endpoint: str):
    assert ask(endpoint).status_code == 400


def test_the_native_paths_are_not_at_the_cloud_connector(ask: Ask):
    assert ask("/api/v1/jobs", path="/api/v1/jobs").status_code == 404


def test_the_native_server_knows_no_cloud_connector():
    with DataworqSandbox(access="native") as native:
        headers = {"user-api-key": native.user_api_key, "Content-Type": "application/json"}

        assert requests.get(f"{native.base_url}/api/v1/jobs", headers=headers, timeout=5).json() == []
        assert requests.get(f"{native.base_url}/call/status", headers=headers, timeout=5).status_code == 404


@pytest.mark.parametrize("status", [400, 404])
def test_a_job_that_is_not_known_is_answered_as_chosen(sandbox: DataworqSandbox, ask: Ask, status: int):
    sandbox.unknown_job = status

    assert ask("/api/v1/jobs/b4b834b0-1f73-4c8b-aa74-a54610483241").status_code == status


def test_a_job_is_known_some_time_after_its_start(sandbox: DataworqSandbox, clock: Clock, ask: Ask):
    sandbox.registration_seconds = 5
    job_id = ask("/api/v1/jobs", "POST", json=BODY).json()["jobId"]

    assert ask(f"/api/v1/jobs/{job_id}").status_code == 404
    assert ask("/api/v1/jobs").json() == []
    clock.advance(5)
    assert ask(f"/api/v1/jobs/{job_id}").status_code == 200


def test_the_demo_flows_end_as_their_names_promise(sandbox: DataworqSandbox, clock: Clock, ask: Ask):
    ids = [ask("/api/v1/jobs", "POST", json={**BODY, "flowId": flow.flow_id}).json()["jobId"] for flow in DEMO_FLOWS]
    clock.advance(10)

    assert [ask(f"/api/v1/jobs/{job_id}").json()["executionStatus"] for job_id in ids] == [
        "COMPLETED",
        "ERROR",
        "COMPLETED",
    ]


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_list_of_a_hundred_is_cut_at_either_end(sandbox: DataworqSandbox, ask: Ask, newest_first: bool):
    sandbox.newest_first = newest_first
    ids = [sandbox.seed_run(Life(duration=1), age=float(number)).id for number in range(101)]

    left_out = set(ids) - {job["id"] for job in ask("/api/v1/jobs").json()}

    assert left_out == {ids[-1] if newest_first else ids[0]}


def layout(log: str) -> list[str]:
    """Return a log line by line without what differs from job to job: times, threads, what each step did and took."""
    lines = [re.sub(r"^\S+ \S+ \[pool-\d+-thread-\d+\]", "", line) for line in log.split("\r\n")]
    lines = [re.sub(r"\|  (N/A|\d+\.\d+ seconds) +\|$", "|  some time         |", line) for line in lines]
    return [line for line in lines if "PERFORMANCE" not in line]


def test_a_log_is_laid_out_as_in_the_references_examples(clock: Clock):
    example: str = EXAMPLES["jobs"][1]["log"]
    flow = Flow(
        "2932ca30-8871-48b1-8e9b-90b744020b68",
        "Demo",
        parameters={"SOURCEFILE": r"C:\Temp\retail_unit_demand.csv", "TABLENAME": "another"},
    )
    with DataworqSandbox(clock=clock, flows=(flow,)) as demo:
        job = demo.seed_run(
            Life(duration=9),
            flow="Demo",
            age=20,
            run_id="2956fdae-73f8-45ec-a999-bf3514020472",
            request={"parameters": EXAMPLES["job_request"]["parameters"]},
        )
        written = job_log(job, clock.now(), demo.zone).replace("C:/Flows/Demo.flx", "C:/Temp/Demo.flx ")

    assert layout(written) == layout(example)
    assert all(line.endswith("\r") for line in written.split("\n")[:-1])


def test_a_log_shows_the_parameters_of_the_start_and_of_the_flow(sandbox: DataworqSandbox, ask: Ask):
    started = [
        {"name": "TABLENAME", "type": "string", "value": "DEMO_TABLE"},
        {"name": "DAYS", "type": "integer", "value": 7},
    ]
    job = sandbox.seed_run(Life(duration=9), age=20, request={"parameters": started})
    plain = sandbox.seed_run(Life(duration=9), age=20)

    log = ask(f"/api/v1/jobs/{job.id}").json()["log"]

    for part in (job.id, FLOW.flow_id, f"{FLOW.name}_default", '"DEMO_TABLE"', "Step 3", "completed successfully"):
        assert part in log
    assert "Parameter Set" not in ask(f"/api/v1/jobs/{plain.id}").json()["log"]


def test_a_wrong_script_is_refused(sandbox: DataworqSandbox):
    with pytest.raises(ValueError, match="warning"):
        sandbox.seed_run(Life(outcome="warning"))
    with pytest.raises(ValueError, match="SalesLoad"):
        sandbox.seed_run(flow="nobody's")
