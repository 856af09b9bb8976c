"""The reference's own examples, and what else may come, through DataWORQ's parsers and checks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.dataworq.inputs import job_parameters
from airflow_provider_etlapis.hooks.dataworq.jobs import (
    parse_execution_status,
    parse_job,
    parse_jobs,
    parse_started,
    run_of,
)
from airflow_provider_etlapis.runs.model import RunState
from airflow_provider_etlapis.wire.call import Response
from airflow_provider_etlapis.wire.errors import MalformedAnswerError
from tests.vendors.dataworq.support import EXAMPLES, JOB_ID


def answer(body: Any, status: int = 200) -> Response:
    text = body if isinstance(body, str) else json.dumps(body)
    return Response(status, {}, text.encode())


def test_the_finished_job_of_the_reference():
    run = run_of(parse_job(answer(EXAMPLES["job"])))

    assert (run.state, run.vendor_status, run.name) == (RunState.SUCCEEDED, "COMPLETED", "Sleep6Split_default")
    assert run.started == datetime(2021, 5, 19, 16, 1, 59, 691000, tzinfo=UTC), "the numbers are UTC, the texts are not"
    assert run.duration == pytest.approx(15.363)
    assert run.error is None
    assert run.details == {
        "job_type": "RUNPROFILE",
        "flow_name": "Sleep6Split",
        "run_profile_name": "default",
        "current_step": "Step 3 (1)",
    }


def test_the_list_of_the_reference_has_a_running_and_a_finished_job():
    running, finished = (run_of(job) for job in parse_jobs(answer(EXAMPLES["jobs"])))

    assert (running.ref.run_id, running.state, running.ended) == (JOB_ID, RunState.RUNNING, None)
    assert (finished.state, finished.duration) == (RunState.SUCCEEDED, pytest.approx(10.043))


def test_the_parameters_of_the_references_start_are_left_as_they_are():
    wanted = EXAMPLES["job_request"]["parameters"]

    assert job_parameters(wanted) == wanted


@pytest.mark.parametrize("status", [200, 202])
def test_the_reply_to_a_start(status: int):
    assert parse_started(answer(EXAMPLES["job_execution_response"], status)) == EXAMPLES["job_execution_response"]


@pytest.mark.parametrize("body", ["COMPLETED", '"COMPLETED"', {"executionStatus": "COMPLETED"}, EXAMPLES["job"]])
def test_a_status_is_read_in_any_shape(body: Any):
    assert parse_execution_status(answer(body)) == "COMPLETED"


@pytest.mark.parametrize("body", [{}, {"executionStatus": None}, [], "null", "17"])
def test_json_of_another_shape_has_no_status(body: Any):
    assert parse_execution_status(answer(body)) is None


@pytest.mark.parametrize("body", ["", "<html><body>Sign in</body></html>", '{"executionStatus": '])
def test_what_is_no_status_at_all_is_malformed(body: str):
    with pytest.raises(MalformedAnswerError):
        parse_execution_status(answer(body))


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("QUEUED", RunState.QUEUED),
        ("RUNNING", RunState.RUNNING),
        ("COMPLETED", RunState.SUCCEEDED),
        ("ERROR", RunState.FAILED),
        ("CANCELLED", RunState.CANCELLED),
        ("completed", RunState.SUCCEEDED),
        ("CANCELED", RunState.UNKNOWN),
        ("SUSPENDED", RunState.UNKNOWN),
    ],
)
def test_every_status_has_its_state(word: str, state: RunState):
    run = run_of({"id": JOB_ID, "executionStatus": word})

    assert (run.state, run.vendor_status) == (state, word)


@pytest.mark.parametrize(
    ("error", "text"),
    [(None, None), ("", None), ("no such table", "no such table"), ({"code": 7}, '{"code": 7}')],
)
def test_an_error_may_be_text_an_object_or_null(error: Any, text: str | None):
    assert run_of({"id": JOB_ID, "executionStatus": "ERROR", "error": error}).error == text


def test_a_reply_to_a_start_without_a_job_id_is_malformed():
    with pytest.raises(MalformedAnswerError):
        parse_started(answer({"message": "accepted"}))


def test_a_list_in_an_envelope_is_malformed():
    with pytest.raises(MalformedAnswerError):
        parse_jobs(answer({"jobs": []}))


def test_keys_that_are_not_known_come_along():
    assert parse_job(answer({**EXAMPLES["job"], "tenant": "north"}))["tenant"] == "north"
