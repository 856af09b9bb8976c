"""What WebRobot's answers mean: status words, log lines, whose error it is, and what a refusal looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.hooks.webrobot.documents import parse_done, parse_later_done, parse_started
from airflow_provider_etlapis.hooks.webrobot.runs import new_lines, state_of, task_of
from airflow_provider_etlapis.runs.model import RunState
from airflow_provider_etlapis.wire.call import Response
from airflow_provider_etlapis.wire.errors import BadRequestError, MalformedAnswerError
from tests.vendors.webrobot import documents as documents


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", RunState.QUEUED),
        ("CREATED", RunState.QUEUED),
        ("SUBMITTED", RunState.QUEUED),
        (None, RunState.QUEUED),
        ("RUNNING", RunState.RUNNING),
        ("running ", RunState.RUNNING),
        ("COMPLETED", RunState.SUCCEEDED),
        ("Completed", RunState.SUCCEEDED),
        ("FAILED", RunState.FAILED),
        ("ERROR", RunState.FAILED),
        ("KILLED", RunState.FAILED),
        ("CANCELLED", RunState.CANCELLED),
        ("CANCELED", RunState.CANCELLED),
        ("STOPPED", RunState.CANCELLED),
        ("ABORTED", RunState.CANCELLED),
        ("UNKNOWN", RunState.UNKNOWN),
        ("COMPLETED_WITH_ERRORS", RunState.UNKNOWN),
    ],
)
def test_a_status_word_means_what_the_sheet_says(word: str | None, state: RunState) -> None:
    assert state_of(word) is state


@pytest.mark.parametrize(
    ("seen", "now", "new"),
    [
        ([], ["a", "b"], ["a", "b"]),
        (["a", "b"], ["a", "b"], []),
        (["a", "b"], ["a", "b", "c"], ["c"]),
        (["a", "b", "c"], ["c", "d", "e"], ["d", "e"]),
        (["a", "a", "a"], ["a", "a", "a"], []),
        (["a", "b", "a"], ["b", "a", "c"], ["c"]),
        (["a", "b"], ["x", "y"], ["x", "y"]),
        (["a", "b"], [], []),
    ],
)
def test_only_new_lines_of_a_log_are_copied(seen: list[str], now: list[str], new: list[str]) -> None:
    assert new_lines(seen, now) == new


def test_the_task_of_an_execution_is_the_one_that_names_it_else_the_only_one_that_runs() -> None:
    named = {"id": "1", "executionReferenceId": "spark-1", "executionStatus": "RUNNING"}
    other = {"id": "2", "executionReferenceId": "spark-2", "executionStatus": "RUNNING"}
    nameless = {"id": "3", "executionReferenceId": None, "executionStatus": "RUNNING"}

    assert task_of("spark-1", [other, named]) == "1"
    assert task_of("spark-9", [nameless]) == "3"
    assert task_of("spark-9", [other]) is None, "it names another execution"
    assert task_of("spark-9", [nameless, {**nameless, "id": "4"}]) is None
    idle = {"id": "5", "executionReferenceId": None, "executionStatus": "PENDING"}
    assert task_of("spark-9", [idle, nameless]) == "3", "a task that never ran may be PENDING"
    assert task_of("spark-9", [idle]) == "5", "or it is the only one that can be queued"


# -- whose error is it? -------------------------------------------------------------------------------------------


def answer(body: Any, status: int = 404) -> Response:
    """Return an answer with a body, JSON unless it is bytes."""
    return Response(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        documents.ERROR,
        {"error": "Authentication required. Provide X-API-Key header or Authorization: Bearer"},
        {"error": "Job not found", "code": 404},
        {"error": "Job not found", "code": 404, "timestamp": "2025-12-10T23:15:30Z", "path": "/x"},
        {"code": 404, "timestamp": "2025-12-10T23:15:30Z"},
    ],
)
def test_an_error_object_as_documented_is_the_vendors_own(body: dict[str, Any]) -> None:
    assert WebRobotHook.is_own_error(answer(body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"default backend - 404",
        b"<html><head><title>404 Not Found</title></head></html>",
        b'{"error": "cut o',
        {},
        [],
        None,
        "not found",
        {"error": ""},
        {"error": {"code": "NotFound", "message": "gateway"}},
        {"message": "no Route matched with those values"},
        {"error": "Not Found", "code": "404"},
        {"code": 400},
        {"timestamp": "2026-11-22T12:00:00Z", "status": 404, "error": "Not Found", "path": "/api/webrobot"},
    ],
)
def test_what_something_in_between_can_make_up_is_not_the_vendors_own(body: Any) -> None:
    assert not WebRobotHook.is_own_error(answer(body))


# -- answers with a good status -----------------------------------------------------------------------------------


@pytest.mark.parametrize("parse", [parse_done, parse_later_done, parse_started])
@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "message": "no cluster is free"},
        {"success": "false", "error": "no cluster is free"},
        {"success": False, "executionId": None, "message": "no cluster is free"},
        {"error": "no cluster is free", "code": 409},
    ],
)
def test_a_refusal_with_a_good_status_is_a_refusal_in_the_vendors_words(parse: Any, body: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError, match="no cluster is free"):
        parse(answer(body, 200))


@pytest.mark.parametrize("parse", [parse_done, parse_later_done, parse_started])
@pytest.mark.parametrize("body", [{"error": "boom"}, {"error": "boom", "code": 500}, b"<html>Sign in</html>", b"OK"])
def test_an_answer_that_neither_accepts_nor_refuses_leaves_open_what_was_done(parse: Any, body: Any) -> None:
    with pytest.raises(MalformedAnswerError):
        parse(answer(body, 200))


def test_a_refusal_that_names_an_execution_leaves_open_whether_it_started() -> None:
    with pytest.raises(MalformedAnswerError, match="and yet"):
        parse_started(answer({"success": False, "executionId": "spark-1"}, 200))


@pytest.mark.parametrize("name", ["a/b", "..", "\x00", "\ud800", "9" * 5000, {"id": 1}, True])
def test_an_execution_id_that_no_path_can_hold_leaves_open_what_was_started(name: Any) -> None:
    with pytest.raises(MalformedAnswerError, match="without an executionId"):
        parse_started(answer({"success": True, "executionId": name}, 200))


def test_an_execution_id_may_be_a_number() -> None:
    assert parse_started(answer({"executionId": 872}, 200))["executionId"] == "872"


@pytest.mark.parametrize("body", [b"", b"  ", b"null", b"{}", b'{"success": true}'])
def test_a_start_or_stop_is_accepted_by_an_object_or_nothing_at_all(body: bytes) -> None:
    assert parse_done(answer(body, 200)) in ({}, {"success": True})
    assert parse_later_done(answer(body, 200)) in ({}, {"success": True})


def test_only_calls_whose_answer_no_document_describes_take_any_json() -> None:
    assert parse_later_done(answer(["stopped"], 200)) == {}
    with pytest.raises(MalformedAnswerError):
        parse_done(answer(["stopped"], 200))
    with pytest.raises(BadRequestError):
        parse_later_done(answer(False, 200))


def test_the_words_of_a_refusal_are_cut_between_two_words() -> None:
    """A part of a secret would not be recognised as one."""
    with pytest.raises(BadRequestError) as refusal:
        parse_done(answer({"success": False, "message": "no " + "x" * 290 + " sk-" + "k" * 40}, 200))

    assert "sk-" not in str(refusal.value)
    assert len(str(refusal.value)) < 320
