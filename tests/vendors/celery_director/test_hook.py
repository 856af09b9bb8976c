"""Celery Director's API as its page and its servers have it: every endpoint in both colours, and every trap."""

from __future__ import annotations

import inspect
import json
import math
import uuid
from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any
from unittest import mock

import pytest

from airflow_provider_etlapis import exceptions
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.hooks.celery_director.answers import in_order
from airflow_provider_etlapis.runs.model import RunState
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox, Definition
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life

DEFINITIONS = (
    Definition("lab.ETL", ["EXTRACT", "TRANSFORM", "LOAD"], results={"EXTRACT": {"n": 1}}),
    Definition("lab.PAIR", ["EXTRACT", {"PAIR": {"type": "group", "tasks": ["A", "B"]}}, "LOAD"]),
    Definition("lab.HOOKED", ["EXTRACT", "LOAD"], hooks={"success": "CHEER"}),
    Definition("lab.BYTES", ["RAW"], unreadable_result=True),
    Definition("lab.LOST", ["EXTRACT", "NOWHERE"], unknown_task=True),
    Definition("lab.TYPED", ["E"], schema={"type": "object", "properties": {"n": {"type": "integer"}}}),
)
LONG = Life(duration=3600)
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def server() -> Iterator[CeleryDirectorSandbox]:
    with CeleryDirectorSandbox(definitions=DEFINITIONS) as running:
        running.default_flow = "lab.ETL"  # type: ignore[misc]
        yield running


@pytest.fixture
def hook(server: CeleryDirectorSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[CeleryDirectorHook]:
    monkeypatch.setenv("AIRFLOW_CONN_DIRECTOR", json.dumps(server.connection(extra={"retries": 0})))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with CeleryDirectorHook("director") as made:
        yield made


class Sent:
    """What the last request was, as the server got it."""

    def __init__(self, server: CeleryDirectorSandbox) -> None:
        self._server = server
        self.bodies: list[bytes] = []
        admit = server._admit

        def note(call: Any) -> Any:
            self.bodies.append(call.body)
            return admit(call)

        server._admit = note  # type: ignore[method-assign]

    @property
    def last(self) -> tuple[str, str, dict[str, str], Any]:
        record = self._server.ledger.requests[-1]
        body = self.bodies[-1]
        return record.method, record.path, dict(record.query), json.loads(body) if body else None


@pytest.fixture
def sent(server: CeleryDirectorSandbox) -> Sent:
    return Sent(server)


PAGING = {"per_page": "1000", "page": "1", "with_payload": "true"}


def calls(run_id: str) -> list[Any]:
    """Return each endpoint: its name, its arguments, and the request that it must make."""
    path = f"/api/workflows/{run_id}"
    start = {"project": "lab", "name": "ETL", "payload": {}}
    return [
        ("ping", (), {}, ("GET", "/api/ping", {}, None)),
        ("list_workflows", (), {}, ("GET", "/api/workflows", PAGING, None)),
        (
            "list_workflows",
            (2, 1),
            {"with_payload": False},
            ("GET", "/api/workflows", {"per_page": "2", "page": "1", "with_payload": "false"}, None),
        ),
        ("get_workflow", (run_id,), {}, ("GET", path, {}, None)),
        ("start_workflow", ("lab", "ETL"), {}, ("POST", "/api/workflows", {}, start)),
        (
            "start_workflow",
            ("lab", "ETL", {"n": 1}, "why"),
            {},
            ("POST", "/api/workflows", {}, {**start, "payload": {"n": 1}, "comment": "why"}),
        ),
        ("relaunch_workflow", (run_id,), {}, ("POST", f"{path}/relaunch", {}, None)),
        ("cancel_workflow", (run_id,), {}, ("POST", f"{path}/cancel", {}, None)),
        ("list_definitions", (), {}, ("GET", "/api/definitions", {}, None)),
    ]


@pytest.mark.parametrize("colour", ["sync", "aio"])
async def test_every_endpoint_makes_the_request_of_the_api_page(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, sent: Sent, colour: str
) -> None:
    run_id = server.seed_run(LONG).id
    answers: dict[str, Any] = {}
    for name, arguments, more, expected in calls(run_id):
        called = getattr(hook, name)
        result = called(*arguments, **more) if colour == "sync" else await called.aio(*arguments, **more)
        assert sent.last == expected, name
        answers[name] = result
    await hook.aclose()

    assert answers["ping"] == {"message": "pong"}
    assert answers["get_workflow"]["id"] == run_id
    assert [task["key"] for task in answers["get_workflow"]["tasks"]]
    assert answers["relaunch_workflow"]["id"] != run_id
    assert answers["cancel_workflow"]["status"] == "canceled"
    assert {entry["fullname"] for entry in answers["list_definitions"]} == {each.fullname for each in DEFINITIONS}


async def test_all_pages_are_listed_in_both_colours(server: CeleryDirectorSandbox, hook: CeleryDirectorHook) -> None:
    runs = [server.seed_run(Life(duration=0), age=100 - n).id for n in range(6)]

    listed = [row["id"] for row in hook.iter_workflows(per_page=3)]
    on_the_loop = [row["id"] async for row in hook.iter_workflows.aio(per_page=3)]
    await hook.aclose()

    assert listed == on_the_loop == runs[::-1]
    assert server.ledger.count("list") == 8, "pages overlap by a run, so the last one is never full"


def test_a_page_past_the_end_is_empty_and_a_wrong_address_is_not(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    assert hook.list_workflows(page=7) == []
    server.inject(Fault("list", status=404))
    with pytest.raises(exceptions.NotFoundError, match="base URL"):
        hook.list_workflows()


@pytest.mark.parametrize("numbers", [(0, 1), (10, 0), (-1, 1)])
def test_numbers_that_the_server_would_misread_are_refused_here(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, numbers: tuple[int, int]
) -> None:
    with pytest.raises(exceptions.InvalidInputError):
        hook.list_workflows(*numbers)

    assert server.ledger.requests == []


@pytest.mark.parametrize("bad", ["", "abc", "../definitions", None, 7])
@pytest.mark.parametrize("name", ["get_workflow", "relaunch_workflow", "cancel_workflow"])
def test_a_malformed_id_is_refused_before_it_is_sent(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, name: str, bad: Any
) -> None:
    with pytest.raises(exceptions.InvalidInputError, match="must be a UUID"):
        getattr(hook, name)(bad)

    assert server.ledger.requests == []


def test_an_id_is_accepted_in_every_spelling(server: CeleryDirectorSandbox, hook: CeleryDirectorHook) -> None:
    run_id = server.seed_run(LONG).id

    for spelling in (run_id.upper(), run_id.replace("-", ""), f"{{{run_id}}}", f" {run_id} "):
        assert hook.get_workflow(spelling)["id"] == run_id


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda hook: hook.get_workflow(UNKNOWN), exceptions.NotFoundError, UNKNOWN),
        (lambda hook: hook.start_workflow("lab", "NOPE"), exceptions.NotFoundError, "Workflow lab.NOPE not found"),
        (lambda hook: hook.start_workflow("lab", "TYPED", {"n": "x"}), exceptions.RequestRefusedError, "not of type"),
        (lambda hook: hook.start_workflow("lab", "ETL", comment="x" * 256), exceptions.InvalidInputError, "255"),
        (lambda hook: hook.start_workflow("lab", "LOST"), exceptions.VendorUnavailableError, "500"),
    ],
)
def test_refusals_are_told_in_the_servers_words(hook: CeleryDirectorHook, call: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call(hook)


def spec(name: str = "ETL", **more: Any) -> dict[str, Any]:
    return {"project": "lab", "name": name, "payload": {}, "comment": None, **more}


def test_a_run_carries_the_marker_behind_the_users_own_comment(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    hook.start_run(spec(comment="for the auditors"), "airflow d.t 123")
    hook.start_run(spec(), "airflow d.t 123")
    hook.start_run(spec(comment="x" * 300), "airflow d.t 123")

    comments = [run.request["comment"] for run in server.ledger.runs]
    assert comments[:2] == ["for the auditors | airflow d.t 123", "airflow d.t 123"]
    assert len(comments[2]) == 255
    assert comments[2].endswith("x | airflow d.t 123")


def test_a_server_that_refuses_comments_is_asked_without_one(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    server.comments = False

    run = hook.start_run(spec(), "marker")

    assert run.state is RunState.QUEUED
    assert len(server.ledger.starts) == 1


def test_a_refusal_that_is_not_about_the_comment_is_told(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    with pytest.raises(exceptions.RequestRefusedError, match="not of type 'integer'"):
        hook.start_run(spec("TYPED", payload={"n": "x"}), "marker")

    assert server.ledger.count("start") == 1


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_tasks_come_in_the_order_in_which_they_run(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, database: Any
) -> None:
    server.database = database
    for name, order in {
        "lab.ETL": ["EXTRACT", "TRANSFORM", "LOAD"],
        "lab.PAIR": ["EXTRACT", {"A", "B"}, "LOAD"],
        "lab.HOOKED": ["EXTRACT", "LOAD", "CHEER"],
    }.items():
        run = server.seed_run(LONG, flow=name)
        names = [step.name for step in hook.read_run(hook.ref(run.id)).steps]
        for wanted in order:
            some = {wanted} if isinstance(wanted, str) else wanted
            assert set(names[: len(some)]) == some
            names = names[len(some) :]


def test_a_circle_of_tasks_does_not_hang() -> None:
    tasks: Any = [
        {"id": "1", "key": "A", "previous": ["2"], "created": "2026-01-01T00:00:00"},
        {"id": "2", "key": "B", "previous": ["1"], "created": "2026-01-01T00:00:00"},
    ]

    assert [task["key"] for task in in_order(tasks)] == ["A", "B"]


def test_a_run_with_an_unreadable_result_is_read_from_the_list(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    run = server.seed_run(Life(duration=0), flow="lab.BYTES", age=10)

    read = hook.read_run(hook.ref(run.id))

    assert read.state is RunState.SUCCEEDED
    assert read.steps == ()


def test_a_server_fault_about_an_unknown_run_stays_a_fault(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    server.inject(Fault("get", status=500))

    with pytest.raises(exceptions.VendorUnavailableError):
        hook.read_run(hook.ref(UNKNOWN))


def test_a_failed_run_tells_the_failing_task_with_class_and_traceback(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    life = Life(duration=0, outcome="error", failing_step="TRANSFORM", error_text="no column 'x'")
    run = hook.read_run(hook.ref(server.seed_run(life, flow="lab.ETL", age=9).id))

    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.startswith("task TRANSFORM: ValueError: no column 'x'")
    assert "raise ValueError" in run.error
    assert [step.state for step in run.steps] == [RunState.SUCCEEDED, RunState.FAILED, RunState.QUEUED]


def test_a_failed_run_without_a_failed_task_says_that_it_never_reached_the_broker(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    life = Life(duration=0, outcome="error", runs_steps=False)
    run = hook.read_run(hook.ref(server.seed_run(life, age=9).id))

    assert run.error == "no task failed: the run probably never reached the broker"


@pytest.mark.parametrize(("database", "zone"), [("sqlite", 0.0), ("postgresql", 0.0), ("postgresql", 9.0)])
def test_times_are_utc_whatever_the_servers_database(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, database: Any, zone: float
) -> None:
    server.database, server.utc_offset = database, zone
    run = server.seed_run(Life(duration=60), age=90)

    read = hook.read_run(hook.ref(run.id))

    assert read.started is not None
    assert read.ended is not None
    assert read.started.tzinfo is UTC
    assert abs(read.started.timestamp() - run.started_at) < 1
    assert abs((read.ended - read.started) - timedelta(seconds=60)) < timedelta(seconds=2)
    assert read.manifest()["started"].endswith("+00:00")


@pytest.mark.parametrize("outcome", ["success", "error", "canceled"])
def test_a_finished_run_is_never_cancelled(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, outcome: Any
) -> None:
    run = server.seed_run(Life(duration=0, outcome=outcome), age=9)

    report = hook.cancel_run(hook.ref(run.id))

    assert report.asked is False
    assert "had ended already" in report.note
    assert server.ledger.count("cancel") == 0


def test_a_running_run_is_cancelled_and_the_limits_of_that_are_said(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    run = server.seed_run(LONG)

    report = hook.cancel_run(hook.ref(run.id))

    assert report.asked is True
    assert "0.10.0 marks the run as canceled without stopping its work" in report.note
    assert server.ledger.cancels == [run.id]


@pytest.mark.parametrize("word", ["hibernating", "SUCCESS", "succes", ""])
def test_a_word_that_is_not_on_the_sheet_is_no_success(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, word: str
) -> None:
    run = server.seed_run(Life(duration=0), age=9)
    server.inject(Fault("get", "unknown_status", word=word or " "))

    assert hook.read_run(hook.ref(run.id)).state is RunState.UNKNOWN


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b'{"id": "x"}', b'{"error": "nothing"}', b'"text"'])
@pytest.mark.parametrize("operation", ["get", "list"])
def test_json_of_another_shape_is_a_passing_fault_and_no_defect(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, operation: str, body: bytes
) -> None:
    runs = [hook.ref(server.seed_run(LONG).id) for _ in range(2)]
    server.inject(Fault(operation, status=200, body=body.decode(), times=None))
    read = (lambda: hook.read_run(runs[0])) if operation == "get" else (lambda: hook.read_runs(runs))

    if operation == "list" and body == b"[]":
        assert read() == {}
        return
    with pytest.raises(exceptions.VendorUnavailableError):
        read()


def test_public_methods_are_documented() -> None:
    public = [name for name in vars(CeleryDirectorHook) if not name.startswith("_")]
    callables = [name for name in public if callable(inspect.getattr_static(CeleryDirectorHook, name, None))]

    assert [name for name in callables if not getattr(CeleryDirectorHook, name).__doc__] == []


def test_payloads_that_are_no_json_are_refused_before_anything_is_sent(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    with pytest.raises(exceptions.InvalidInputError, match=r"payload\['n'\] is nan"):
        hook.start_workflow("lab", "ETL", {"n": math.nan})

    assert server.ledger.requests == []


def test_ids_are_never_reused(server: CeleryDirectorSandbox, hook: CeleryDirectorHook) -> None:
    with mock.patch.object(server, "new_run_id", side_effect=lambda: str(uuid.uuid4())):
        ids = {hook.start_run(spec(), "m").ref.run_id for _ in range(3)}

    assert len(ids) == 3
