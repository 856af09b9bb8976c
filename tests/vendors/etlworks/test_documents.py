"""The JSON of Etlworks' documents, as it stands there, through the hook's parsers."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import RequestRefusedError
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.hooks.etlworks import answers as answers
from airflow_provider_etlapis.hooks.values import moment_of_millis
from airflow_provider_etlapis.runs.model import RunState
from tests.vendors.etlworks.kit import CONN_ID

EXAMPLES: dict[str, Any] = json.loads(Path(__file__).with_name("examples.json").read_text())
HOST = "https://etl.example.com"


@pytest.fixture
def hook(monkeypatch):
    connection = {"conn_type": "etlworks", "host": HOST, "password": "k" * 32, "extra": {"retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))
    with EtlworksHook(CONN_ID) as opened:
        yield opened


def test_the_list_of_flows(hook, requests_mock):
    requests_mock.get(f"{HOST}/rest/v1/flows", json=EXAMPLES["flows"])

    flows = hook.list_flows()

    assert flows == EXAMPLES["flows"]
    assert moment_of_millis(flows[0]["created"]) == datetime(2024, 5, 10, 18, 41, 2, tzinfo=UTC)


def test_the_flow_of_the_list_is_found_by_its_name(hook, requests_mock):
    requests_mock.get(f"{HOST}/rest/v1/flows", json=EXAMPLES["flows"])

    assert hook.find_flow("Stripe to Snowflake — daily")["id"] == 12345


def test_the_start_of_a_run(hook, requests_mock):
    posted = requests_mock.post(f"{HOST}/rest/v1/flows/12345/run", json=EXAMPLES["started"])

    answer = hook.run_flow(12345, EXAMPLES["run"])

    assert answer == EXAMPLES["started"]
    assert posted.last_request.json() == EXAMPLES["run"]
    assert posted.last_request.headers["Content-Type"] == "application/json"


def test_the_started_run_is_named_by_both_its_ids(hook, requests_mock):
    requests_mock.post(f"{HOST}/rest/v1/flows/12345/run", json=EXAMPLES["started"])

    run = hook.start_run({"flow_id": "12345", "parameters": {}}, "marker")

    assert dict(run.ref.ids) == {"flow_id": "12345", "audit_id": "8721934"}
    assert run.state is RunState.QUEUED


def test_the_record_of_a_run(hook, requests_mock):
    requests_mock.get(f"{HOST}/rest/v1/executions/12345?auditId=8721934", json=EXAMPLES["record"])

    run = hook.read_run(hook.ref(12345, 8721934))

    assert (run.state, run.vendor_status, run.name) == (RunState.RUNNING, "running", "Stripe to Snowflake")


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("queued", RunState.QUEUED),
        ("running", RunState.RUNNING),
        ("success", RunState.SUCCEEDED),
        ("warning", RunState.WARNING),
        ("error", RunState.FAILED),
        ("canceled", RunState.CANCELLED),
        ("cancelled", RunState.CANCELLED),
        ("SUCCESS", RunState.SUCCEEDED),
        ("paused", RunState.UNKNOWN),
    ],
)
def test_the_words_of_a_status(word, state):
    assert answers.state_of(word) is state


def test_the_error_body_is_quoted(hook, requests_mock):
    requests_mock.get(f"{HOST}/rest/v1/flows", status_code=400, json=EXAMPLES["error"])

    with pytest.raises(RequestRefusedError, match=r"400: Bad Request; Field 'name' is required"):
        hook.list_flows()


@pytest.mark.parametrize("ask", [lambda hook: hook.list_flows(), lambda hook: hook.get_flow(1)], ids=["list", "one"])
def test_a_200_that_says_success_false_is_an_error(hook, requests_mock, ask):
    requests_mock.get(requests_mock_any(), json=EXAMPLES["refusal"])

    with pytest.raises(RequestRefusedError, match=r"success: false: Monthly cap reached \(cap_exceeded\)"):
        ask(hook)


def test_a_start_that_says_success_false_started_nothing(hook, requests_mock):
    requests_mock.post(requests_mock_any(), json=EXAMPLES["refusal"])

    with pytest.raises(RequestRefusedError, match="Monthly cap reached"):
        hook.run_flow(12345)


def test_each_row_of_the_page_about_proof_names_tests_that_are_there():
    here = Path(__file__)
    page = (here.parents[3] / "docs" / "vendors" / "etlworks.md").read_text()
    tests = "".join(file.read_text() for file in here.parent.glob("test_*.py"))
    rows = re.findall(r"^\| .*test_.*$", page.partition("## What proves that a run is yours")[2], re.MULTILINE)

    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert [name for name in named if f"def {name}(" not in tests] == []


def requests_mock_any() -> Any:
    import requests_mock

    return requests_mock.ANY
