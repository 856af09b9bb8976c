"""Every operation of Meiro's document in both colours: what goes over the wire, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.endpoints import BoundListing
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.meiro_work import Workspace
from airflow_provider_etlapis.wire.call import Page, Response
from tests.vendors.meiro_operations import OPERATIONS, Operation
from tests.vendors.meiro_stage import (  # noqa: F401 fixtures
    Carry,
    given_carry,
    given_clock,
    given_connect,
    given_hook,
    given_meiro,
)

EXAMPLES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("meiro_examples.json").read_text())
BY_METHOD = [pytest.param(operation, id=operation.method) for operation in OPERATIONS]


def key_of(answer: dict[str, Any]) -> Any:
    """Return what an answer wraps."""
    keys = set(answer) - {"selection_settings"}
    return answer[keys.pop()] if keys != {"message"} else answer


@pytest.fixture
def stocked(meiro: MeiroSandbox) -> MeiroSandbox:
    """A sandbox that has what the operations name: a version of 100, a job 5001, 102 in the trash."""
    meiro.seed_run(Life(duration=60.0), flow="100", age=30.0, request={"dawg_job_id": 400, "user_id": 200})
    meiro.workspaces[100].change({"description": "changed"}, next(meiro._version_ids))
    meiro.workspaces[100].tag_ids = (1,)
    meiro.workspaces[102].deleted = 1
    return meiro


@pytest.mark.parametrize("operation", BY_METHOD)
def test_an_operation_sends_exactly_what_the_document_says(
    stocked: MeiroSandbox,
    hook: MeiroHook,
    carry: Carry,
    operation: Operation,
) -> None:
    carry(getattr(hook, operation.method), *operation.args, **operation.kwargs)

    (sent,) = [record for record in stocked.ledger.requests if record.operation not in {"login", "refresh"}]
    assert (sent.method, sent.path, sent.status) == (
        operation.verb,
        operation.path,
        201 if operation.method in {"create_workspace", "run_workspace"} else 200,
    )
    assert sorted(sent.query) == sorted(operation.query.items())
    assert (json.loads(sent.body) if sent.body else None) == operation.body
    assert ("content-type" in sent.header_names) == (operation.body is not None)
    assert ("x-access-token" in sent.header_names) == (operation.method != "get_auth_options")


@pytest.mark.parametrize("operation", [op for op in BY_METHOD if op.values[0].example])
def test_an_example_of_the_document_goes_through_the_parser(hook: MeiroHook, operation: Operation) -> None:
    answer = EXAMPLES[operation.example or ""]["answer"]
    bound = getattr(hook, operation.method)
    if isinstance(bound, BoundListing):
        call = bound.first(*operation.args, **operation.kwargs)
    else:
        call = next(bound.plan(*operation.args, **operation.kwargs))

    parsed = call.parse(Response(200, {}, json.dumps(answer).encode()))

    assert (list(parsed.items) if isinstance(parsed, Page) else parsed) == key_of(answer)
    assert not isinstance(parsed, Page) or parsed.following is None


def test_no_example_and_no_operation_of_the_document_is_left_out() -> None:
    assert sorted(EXAMPLES) == sorted(operation.example for operation in OPERATIONS if operation.example)


def test_the_documents_body_for_many_workspaces_is_taken_as_it_is(stocked: MeiroSandbox, hook: MeiroHook) -> None:
    (change,) = EXAMPLES["PATCH /workspaces"]["body"]

    (changed,) = hook.update_workspaces([change])

    assert changed["name"] == change["name"]


def test_a_list_is_read_page_by_page_by_the_limit_that_the_server_echoes(
    meiro: MeiroSandbox,
    hook: MeiroHook,
    carry: Carry,
) -> None:
    meiro.max_limit = 3
    for number in range(7):
        meiro.define(Workspace(1000 + number, f"more {number}"))

    rows = carry(hook.list_workspaces)

    assert [row["id"] for row in rows] == [100, 101, 102, *range(1000, 1007)]
    pages = [dict(record.query) for record in meiro.ledger.requests if record.operation == "workspaces"]
    assert [page.get("offset") for page in pages] == [None, "3", "6", "9"]
    assert {(page["limit"], page["order_by"], page["order_dir"]) for page in pages} == {("100", "id", "ASC")}


def test_a_server_that_ignores_the_offset_does_not_make_the_list_endless(hook: MeiroHook) -> None:
    body = json.dumps({"workspaces": [{"id": 1, "name": "x"}], "selection_settings": {"limit": 1}}).encode()
    first = hook.list_workspaces.first(page_size=1)
    second = first.parse(Response(200, {}, body)).following
    assert second is not None

    with pytest.raises(Exception, match="the same page again"):
        second.parse(Response(200, {}, body))


@pytest.mark.parametrize("wrong", ["trash", "last_jobs", "", "1/2", "-1", 1.5, True, None, "\u0661"])
def test_an_id_that_is_no_whole_number_is_refused_before_anything_is_sent(
    meiro: MeiroSandbox,
    hook: MeiroHook,
    wrong: Any,
) -> None:
    for ask in (hook.get_workspace, hook.delete_workspace, hook.run_workspace, hook.delete_workspace_data):
        with pytest.raises(InvalidInputError, match="workspace_id must be a whole number"):
            ask(wrong)
    with pytest.raises(InvalidInputError, match="job_id must be a whole number"):
        hook.cancel_job(100, wrong)

    assert meiro.ledger.requests == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda hook: hook.create_workspace(" "),
        lambda hook: hook.modify_workspace(100),
        lambda hook: hook.update_workspaces([]),
        lambda hook: hook.update_workspaces([{"name": "x"}]),
        lambda hook: hook.update_workspaces([{"id": 1, "color": "red"}]),
        lambda hook: hook.list_last_jobs("100"),
        lambda hook: list(hook.list_jobs(page_size=0)),
        lambda hook: list(hook.list_jobs(order_dir="up")),
    ],
)
def test_wrong_input_is_refused_before_anything_is_sent(
    meiro: MeiroSandbox,
    hook: MeiroHook,
    ask: Callable[[MeiroHook], Any],
) -> None:
    with pytest.raises(InvalidInputError):
        ask(hook)

    assert meiro.ledger.requests == []


@pytest.mark.parametrize("style", ["comma", "repeated", "brackets"])
def test_lists_and_booleans_are_spelled_as_the_connection_says(
    meiro: MeiroSandbox,
    connect: Callable[..., MeiroHook],
    carry: Carry,
    style: Any,
) -> None:
    meiro.array_style, meiro.boolean_style = style, "1"
    meiro.seed_run(flow="100")
    meiro.seed_run(flow="102")
    hook = connect({"array_parameters": style, "boolean_parameters": "1"})

    last = carry(hook.list_last_jobs, [100, 102])
    disabled = carry(hook.list_workspaces, show_enabled=False)

    assert [row["workspace_id"] for row in last] == [100, 102]
    assert disabled == []


def test_settings_may_be_given_as_their_text(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    hook.modify_workspace(100, settings='{"schedules": []}')

    assert meiro.workspaces[100].settings == {"schedules": []}


def test_trash_history_and_clone_work_together(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    hook.modify_workspace(100, name="second name")
    older = [version for version in hook.list_workspace_history(100) if version["id"] is not None]
    assert hook.revert_workspace(100, older[0]["id"] or 0)["name"] == "demo ETL"

    copy = hook.clone_workspace(100)
    assert copy["name"] == "clone_demo ETL"

    hook.delete_workspace(copy["id"])
    assert [row["id"] for row in hook.list_trashed_workspaces()] == [copy["id"]]
    hook.restore_workspace(copy["id"])
    assert copy["id"] in [row["id"] for row in hook.list_workspaces()]
