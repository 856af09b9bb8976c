"""What users give for a DataWORQ job: taken, or refused in words before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.hooks.dataworq.inputs import checked_job_id, checked_name, job_parameters
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sensors.dataworq import DataworqJobSensor
from tests.support.rehearsal import Rehearsal
from tests.vendors.dataworq.support import FLOW, JOB_ID, connect, maker, operator

HUGE = 10**5000
"""Python refuses to write an integer of so many digits."""
HUGE_CASE = pytest.param(HUGE, id="an integer of 5,001 digits")
LONG_CASE = pytest.param("x" * 5000, id="5,000 letters")
DIGITS_CASE = pytest.param("9" * 5000, id="5,000 digits")


@pytest.fixture
def sandbox() -> Iterator[DataworqSandbox]:
    with DataworqSandbox() as running:
        yield running


@pytest.fixture
def hook(sandbox: DataworqSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataworqHook]:
    with connect(monkeypatch, sandbox) as made:
        yield made


def refusal(check: Callable[[], Any]) -> str:
    """Return the words of a refusal; they are always bounded."""
    with pytest.raises(InvalidInputError) as refused:
        check()
    assert len(str(refused.value)) < 500
    return str(refused.value)


# Parameters


def test_a_dict_of_parameters_gets_the_vendors_types():
    assert job_parameters({"TABLE": "T", "DAYS": 7, "RATE": 0.5}) == [
        {"name": "TABLE", "type": "string", "value": "T"},
        {"name": "DAYS", "type": "integer", "value": 7},
        {"name": "RATE", "type": "float", "value": 0.5},
    ]


def test_numbers_may_be_text_in_a_list_because_templates_give_text():
    given = [{"name": "DAYS", "type": "integer", "value": "7"}, {"name": "RATE", "type": "float", "value": "0.5"}]

    assert [item["value"] for item in job_parameters(given)] == [7, 0.5]


@pytest.mark.parametrize("value", [True, None, [1], {"a": 1}, {1, 2}, b"a", math.nan, math.inf, datetime(2026, 1, 1)])
def test_a_value_that_the_vendor_does_not_know_is_refused_by_its_name_and_type(value: Any):
    words = refusal(lambda: job_parameters({"X": value}))

    assert "'X'" in words
    assert type(value).__name__ in words


@pytest.mark.parametrize(
    "item",
    [
        {"name": "X", "type": "boolean", "value": "true"},
        {"name": "X", "type": ["string"], "value": "true"},
        {"name": "X", "type": "integer", "value": "seven"},
        {"name": "X", "type": "integer", "value": "1_000"},
        {"name": "X", "type": "integer", "value": "9" * 5000},
        {"name": "X", "type": "integer", "value": 7.5},
        {"name": "X", "type": "integer", "value": True},
        {"name": "X", "type": "string", "value": 7},
        {"name": "X", "type": "float", "value": "nan"},
        {"name": "X", "type": "float", "value": "1_0.5"},
        {"name": "X", "type": "float", "value": HUGE},
        {"name": " ", "type": "string", "value": "a"},
        {"name": "X", "value": "a"},
        {"name": "X", "type": "string", "value": "a", "secret": True},
        "X=1",
    ],
)
def test_items_that_do_not_fit_are_refused(item: Any):
    refusal(lambda: job_parameters([item]))


@pytest.mark.parametrize(
    "parameters",
    [
        {"A": 1, " A ": 2},
        [{"name": "A", "type": "integer", "value": 1}, {"name": " A ", "type": "integer", "value": 2}],
    ],
    ids=["dict", "list"],
)
def test_two_spellings_of_one_name_are_refused_naming_both(parameters: Any):
    words = refusal(lambda: job_parameters(parameters))

    assert "'A'" in words
    assert "' A '" in words


def test_a_number_and_its_text_are_one_name():
    assert "'1'" in refusal(lambda: job_parameters({1: "a", "1": "b"}))


@pytest.mark.parametrize("text", ["X=1", "{'REGION': 'A'}", ""])
def test_a_rendered_text_in_place_of_parameters_is_refused_naming_what_to_write(text: Any):
    words = refusal(lambda: operator(parameters=text).spec())

    assert ".output" in words
    assert "render_template_as_native_obj=True" in words


@pytest.mark.parametrize("parameters", [{1}, b"X=1", 7, object()])
def test_what_is_neither_dict_nor_list_is_refused(parameters: Any):
    assert "must be a dict or a list" in refusal(lambda: job_parameters(parameters))


@pytest.mark.parametrize(
    ("broken", "word"), [("a\x00b", "NUL"), ("a\ud800", "surrogate")], ids=["NUL", "half a surrogate pair"]
)
@pytest.mark.parametrize("place", ["value", "name", "typed value", "flow_id", "run_profile_name", "flow_name"])
def test_a_text_that_no_server_can_store_is_refused(place: str, broken: str, word: str):
    arguments: dict[str, dict[str, Any]] = {
        "value": {"parameters": {"X": broken}},
        "name": {"parameters": {broken: "x"}},
        "typed value": {"parameters": [{"name": "X", "type": "string", "value": broken}]},
    }

    words = refusal(lambda: operator(**arguments.get(place, {place: broken})).spec())

    assert word in words
    words.encode()


def test_no_refusal_shows_the_value_of_a_parameter():
    for value in ("hush-hush\x00", ["hush-hush"], math.nan):
        assert "hush" not in refusal(lambda value=value: job_parameters({"PASSWORD": value}))  # type: ignore[misc]
    typed = {"name": "PASSWORD", "type": "integer", "value": "hush-hush"}
    assert "hush" not in refusal(lambda: job_parameters([typed]))


# Names and ids


@pytest.mark.parametrize("place", ["flow_id", "run_profile_name", "flow_name"])
def test_a_name_of_digits_may_come_as_the_integer_that_native_rendering_makes_of_it(place: str):
    assert operator(**{place: 2026}).spec()[place] == "2026"


def test_a_parameters_name_of_digits_may_come_as_an_integer():
    assert job_parameters({7: "seven"}) == [{"name": "7", "type": "string", "value": "seven"}]


def test_a_job_id_of_digits_may_come_as_an_integer(sandbox: DataworqSandbox, hook: DataworqHook):
    sandbox.seed_run(run_id="4711")

    assert hook.get_job(4711)["id"] == "4711"  # type: ignore[arg-type]  # as native rendering gives it
    assert DataworqJobSensor(task_id="sense", job_id=4711).ref() == hook.ref("4711")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, False, 1.5, math.nan, None, [], {}, b"a", HUGE_CASE, LONG_CASE, DIGITS_CASE])
@pytest.mark.parametrize("place", ["flow_id", "run_profile_name"])
def test_a_name_of_another_kind_or_length_is_refused_in_bounded_words(place: str, value: Any):
    assert place in refusal(lambda: operator(**{place: value}).spec())


@pytest.mark.parametrize(
    "job_id",
    [
        "",
        " ",
        "a b",
        "a\r\nmethod: POST",
        "../users",
        "..",
        "a/b",
        "a?filter=active",
        "a%2Fb",
        "a\x00",
        "a\ud800",
        pytest.param("x" * 200, id="200 letters"),
        DIGITS_CASE,
        "None",
        None,
        True,
        1.5,
        -1,
        HUGE_CASE,
        {"job_id": JOB_ID},
    ],
)
def test_an_id_that_could_reach_into_a_header_or_a_path_is_refused(job_id: Any):
    refusal(lambda: DataworqHook.ref(job_id))


def test_an_id_that_is_no_uuid_is_let_through():
    assert checked_job_id(" job-17.b ") == "job-17.b"


def test_blanks_around_a_name_are_left_out():
    assert checked_name(" SalesLoad ", "flow_name") == "SalesLoad"


# Nothing is sent


@pytest.mark.parametrize(
    "arguments",
    [
        {"flow_id": ""},
        {"flow_id": None},
        {"run_profile_name": " "},
        {"parameters": {"X": True}},
        {"parameters": {"X": None}},
        {"parameters": {"X": {"nested": 1}}},
        {"parameters": {"X": 1, "X ": 2}},
        {"parameters": "X=1"},
        {"notification_enabled": "yes"},
        {"notification_enabled": HUGE},
        {"flow_name": ""},
    ],
)
def test_wrong_inputs_are_refused_before_anything_is_sent(
    sandbox: DataworqSandbox, hook: DataworqHook, arguments: dict[str, Any]
):
    refusal(Rehearsal(maker(**arguments)).run)

    assert sandbox.ledger.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("",),
        (FLOW.flow_id, " "),
        (FLOW.flow_id, "default", {"X": True}),
        (FLOW.flow_id, "default", {"X": {1}}),
        (FLOW.flow_id, "default", None, "yes"),
    ],
)
def test_a_start_by_the_hook_with_wrong_inputs_sends_nothing(
    sandbox: DataworqSandbox, hook: DataworqHook, arguments: Any
):
    refusal(lambda: hook.execute_job(*arguments))

    assert sandbox.ledger.requests == []


@pytest.mark.parametrize("wrong", ["executionStatus", 7, LONG_CASE, HUGE_CASE])
def test_a_filter_that_the_list_does_not_have_is_refused(sandbox: DataworqSandbox, hook: DataworqHook, wrong: Any):
    assert "filter" in refusal(lambda: hook.list_jobs(wrong))

    assert sandbox.ledger.requests == []


def test_the_spec_is_what_the_hook_starts():
    given = operator(parameters={"DAYS": 7}, run_profile_name="nightly", notification_enabled=True).spec()

    assert given == {
        "flow_id": FLOW.flow_id,
        "run_profile_name": "nightly",
        "parameters": [{"name": "DAYS", "type": "integer", "value": 7}],
        "notification_enabled": True,
        "flow_name": FLOW.name,
    }
