"""Every operation of Meiro's document in both colours: what goes over the wire, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import (
    InvalidInputError,
    NotFoundError,
    UnrecognizedAnswerError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.endpoints import BoundListing
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.meiro.work import Workspace
from airflow_provider_etlapis.wire.call import Page, Response
from airflow_provider_etlapis.wire.errors import MalformedAnswerError
from tests.vendors.meiro.operations import OPERATIONS, Operation
from tests.vendors.meiro.stage import (  # noqa: F401 fixtures
    Carry,
    given_carry,
    given_clock,
    given_connect,
    given_hook,
    given_meiro,
)

EXAMPLES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("examples.json").read_text())
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


@pytest.mark.parametrize(
    "wrong",
    [
        *("trash", "last_jobs", "", "1/2", "-1", 1.5, True, None, "\u0661", [], b"1", "\ud800", "1\0"),
        pytest.param("9" * 5000, id="text of 5,000 digits"),
        pytest.param(10**5000, id="5,001 digits"),
        pytest.param("x" * 5000, id="long text"),
    ],
)
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
        lambda hook: hook.list_last_jobs(100),
        lambda hook: hook.list_last_jobs(["trash"]),
        lambda hook: list(hook.list_jobs(page_size=0)),
        lambda hook: list(hook.list_jobs(page_size="many")),
        lambda hook: list(hook.list_jobs(order_dir="up")),
        lambda hook: list(hook.list_jobs(order_dir=["ASC"])),
        lambda hook: list(hook.list_jobs(order_by="\ud800")),
        lambda hook: list(hook.list_workspaces(tag_ids=[])),
        lambda hook: list(hook.list_dawgs(tag_ids=[])),
        lambda hook: list(hook.list_workspaces(tag_ids=7)),
        lambda hook: list(hook.list_workspaces(name_filter="a\0b")),
        lambda hook: hook.find_workspace("half \ud83d"),
        lambda hook: hook.find_workspace(7),
        lambda hook: hook.create_workspace("a\0b"),
        lambda hook: hook.create_workspace("x", settings={"a": float("nan")}),
        lambda hook: hook.create_workspace("x", settings={"a": "\udc00"}),
        lambda hook: hook.create_workspace("x", settings={"a": "\0"}),
        lambda hook: hook.create_workspace("x", settings={"a": {1, 2}}),
        lambda hook: hook.create_workspace("x", settings=["a"]),
        lambda hook: hook.create_workspace("x", description=7),
        lambda hook: hook.update_workspaces([7]),
        lambda hook: hook.update_workspaces([{"id": 1, "name": "\udc00"}]),
        lambda hook: hook.runs_of({"workspace_id": 10**5000}, 0.0),
        lambda hook: hook.runs_of({"workspace_id": "1", "color": "red"}, 0.0),
        lambda hook: hook.recent_runs(5, {"workspace_id": "9" * 5000}),
    ],
)
def test_wrong_input_is_refused_before_anything_is_sent(
    meiro: MeiroSandbox,
    hook: MeiroHook,
    ask: Callable[[MeiroHook], Any],
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        ask(hook)

    assert len(str(refused.value)) < 400
    assert meiro.ledger.requests == []


def test_a_backslash_in_a_text_is_no_nul(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    made = hook.create_workspace("C:\\u0000", settings={"path": "C:\\u0000"})

    assert made["settings"] == {"path": "C:\\u0000"}


def test_the_last_jobs_of_no_workspaces_are_none_and_nothing_is_asked(
    meiro: MeiroSandbox, hook: MeiroHook, carry: Carry
) -> None:
    meiro.seed_run(flow="100")

    assert carry(hook.list_last_jobs, []) == []
    assert meiro.ledger.requests == []


# -- what is repeated ---------------------------------------------------------------------------------------------

REPEATED = {"update_workspaces", "modify_workspace", "change_workspace_owner", "log_in"}


@pytest.mark.parametrize("operation", [op for op in BY_METHOD if op.values[0].verb in {"POST", "PATCH"}])
def test_what_makes_something_is_never_repeated_and_what_sets_values_is(
    stocked: MeiroSandbox, connect: Callable[..., MeiroHook], operation: Operation
) -> None:
    hook = connect()
    hook.get_conn()  # the login calls need the connection

    call = next(getattr(hook, operation.method).plan(*operation.args, **operation.kwargs))

    assert call.is_repeatable == (operation.method in REPEATED)
    assert call.starts_run == (operation.method == "run_workspace")


def test_erasing_data_is_never_repeated(stocked: MeiroSandbox, connect: Callable[..., MeiroHook]) -> None:
    stocked.inject(Fault("delete_data", "drop_after", times=None))

    with pytest.raises(VendorUnavailableError):
        connect({"retries": 3}).delete_workspace_data(100)

    assert stocked.ledger.count("delete_data") == 1


def test_a_start_is_never_repeated_by_the_wire(stocked: MeiroSandbox, connect: Callable[..., MeiroHook]) -> None:
    stocked.inject(Fault("start", "status", status=503, times=None))

    with pytest.raises(VendorUnavailableError) as failure:
        connect({"retries": 3}).run_workspace(100)

    assert failure.value.may_have_acted
    assert stocked.ledger.count("start") == 1


# -- who has answered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "is_own"),
    [
        ('{"message": "Not found"}', True),
        ('{"message": "Not found", "code": 7}', True),
        ('{"message": ""}', False),
        ('{"message": {"text": "Not found"}}', False),
        ('["message"]', False),
        ("default backend - 404", False),
        ("<html>404</html>", False),
        ("", False),
    ],
)
def test_the_vendors_own_error_says_what_it_is(meiro: MeiroSandbox, hook: MeiroHook, body: str, is_own: bool) -> None:
    meiro.inject(Fault("get_workspace", "status", status=404, body=body))

    with pytest.raises(NotFoundError if is_own else UnrecognizedAnswerError) as failure:
        hook.get_workspace(100)

    assert failure.value.by_vendor is is_own


# -- lists --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_server_that_shows_a_few_pages_in_turn_does_not_make_a_list_endless(hook: MeiroHook, width: int) -> None:
    call: Any = hook.list_workspaces.first(page_size=1)
    pages = [
        json.dumps({"workspaces": [{"id": number, "name": "x"}], "selection_settings": {"limit": 1}}).encode()
        for number in range(width)
    ]
    for page in pages:
        call = call.parse(Response(200, {}, page)).following

    with pytest.raises(MalformedAnswerError, match="the same page again"):
        call.parse(Response(200, {}, pages[0]))


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
