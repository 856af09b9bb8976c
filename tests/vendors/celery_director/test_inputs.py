"""What users give for a Celery Director run: accepted where it has one meaning, refused in words where it has none."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.operators.celery_director import (
    CeleryDirectorRelaunchWorkflowOperator,
    CeleryDirectorRunWorkflowOperator,
)
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sensors.celery_director import CeleryDirectorWorkflowSensor
from tests.support.airflow_context import FakeTaskInstance, context_of
from tests.vendors.celery_director.kit import MARKER, SHORT, given_hook, given_server, spec

__all__ = ["given_hook", "given_server"]


class LazySequence(Sequence[int]):
    """What a mapped task's `.output` is inside a payload."""

    def __getitem__(self, index: Any) -> Any:
        return [3, 4][index]

    def __len__(self) -> int:
        return 2


HUGE = pytest.param(10**5000, id="a number too long to be shown")
HOLDS_ITSELF: dict[str, Any] = {}
HOLDS_ITSELF["again"] = HOLDS_ITSELF

PAYLOADS = [
    pytest.param([1, 2], "must be a JSON object .a dict., not list", id="list"),
    pytest.param({1, 2}, "must be a JSON object .a dict., not set", id="set"),
    pytest.param(7, "must be a JSON object .a dict., not int", id="number"),
    pytest.param("{'day': 1}", r"\.output\), or set render_template_as_native_obj=True", id="text of a template"),
    pytest.param({"n": math.nan}, r"payload\['n'\] is nan", id="NaN"),
    pytest.param({"n": [1, {"m": -math.inf}]}, r"payload\['n'\]\[1\]\['m'\] is -inf", id="infinity"),
    pytest.param({"at": datetime(2026, 1, 2, tzinfo=UTC)}, "give its isoformat", id="datetime"),
    pytest.param({"on": date(2026, 1, 2)}, "give its isoformat", id="date"),
    pytest.param({"ids": {1, 2}}, "give sorted", id="set inside"),
    pytest.param({"price": Decimal("1.5")}, "give float", id="decimal"),
    pytest.param({"raw": b"bytes"}, "give it as text", id="bytes"),
    pytest.param({"x": object()}, "a object", id="object"),
    pytest.param({1: "a", "b": 2}, "a key of payload is a int, 1; give the text '1'", id="mixed keys"),
    pytest.param({"a": {None: 1}}, r"a key of payload\['a'\] is a NoneType", id="key that is no text"),
    pytest.param({"a": "x\0y"}, r"payload\['a'\] must not hold a NUL", id="NUL"),
    pytest.param({"a\0": 1}, "a key of payload must not hold a NUL", id="NUL in a key"),
    pytest.param({"a": "\ud800"}, "half of a surrogate pair", id="surrogate"),
    pytest.param({"n": 10**400}, "more than 300 digits", id="long number"),
    pytest.param({"n": 10**5000}, "more than 300 digits", id="number too long to be shown"),
]
CIRCLE = pytest.param(HOLDS_ITSELF, "nor hold itself", id="circle")  # an operator of Airflow's cannot be made with one


@pytest.mark.parametrize(("payload", "words"), PAYLOADS)
def test_a_payload_that_cannot_be_sent_is_refused_by_the_operator_before_anything_is_sent(
    server: CeleryDirectorSandbox, payload: Any, words: str
) -> None:
    task = CeleryDirectorRunWorkflowOperator(task_id="t", project="lab", name="ETL", payload=payload)

    with pytest.raises(InvalidInputError, match=words):
        task.execute(context_of(FakeTaskInstance()))

    assert server.ledger.requests == []


@pytest.mark.parametrize(("payload", "words"), [*PAYLOADS, CIRCLE])
def test_a_payload_that_cannot_be_sent_is_refused_by_the_hook_alike(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, payload: Any, words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        hook.start_workflow("lab", "ETL", payload)
    with pytest.raises(InvalidInputError, match=words):
        hook.start_run(spec(payload=payload), MARKER)

    assert server.ledger.requests == []


def test_a_message_shows_no_more_than_a_little_of_what_was_given(hook: CeleryDirectorHook) -> None:
    with pytest.raises(InvalidInputError) as refused:
        hook.start_workflow("lab", "ETL", {"x" * 50_000: b"y" * 50_000})

    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        (None, {}),
        ({}, {}),
        (OrderedDict(a=1), {"a": 1}),
        ({"ids": LazySequence()}, {"ids": [3, 4]}),
        ({"ids": (1, (2,))}, {"ids": [1, [2]]}),
        ({1: "a", 2: "b"}, {"1": "a", "2": "b"}),
        ({"text": "żółw 🐢", "none": None, "yes": True}, {"text": "żółw 🐢", "none": None, "yes": True}),
    ],
)
def test_a_payload_with_one_meaning_is_sent(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, payload: Any, sent: Any
) -> None:
    hook.start_workflow("lab", "ETL", payload)

    assert server.ledger.runs[0].request["payload"] == sent


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_is_accepted_every_database_keeps(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, database: Any
) -> None:
    server.database = database

    assert hook.start_workflow("lab", "ETL", {"text": "🐢 \x01 \\u0041"}, comment="🐢")["status"] == "pending"


@pytest.mark.parametrize("field", ["project", "name"])
@pytest.mark.parametrize("value", [None, "", "  ", 1.5, True, ["ETL"], "a\0", "\udfff", HUGE])
def test_a_name_that_can_name_nothing_is_refused_before_anything_is_sent(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, field: str, value: Any
) -> None:
    names = {"project": "lab", "name": "ETL", field: value}

    with pytest.raises(InvalidInputError, match=f"^{field} must"):
        hook.start_workflow(**names)
    with pytest.raises(InvalidInputError, match=f"^{field} must"):
        CeleryDirectorRunWorkflowOperator(task_id="t", **names).execute(context_of(FakeTaskInstance()))

    assert server.ledger.requests == []


def test_a_name_of_digits_that_native_rendering_made_a_number_is_text(server: CeleryDirectorSandbox) -> None:
    from airflow_provider_etlapis.sandbox.celery_director import Definition

    server.define(Definition("2026.7", ["E"], life=SHORT))
    names: Any = {"project": 2026, "name": 7}
    task = CeleryDirectorRunWorkflowOperator(task_id="t", wait_for_completion=False, **names)

    assert task.execute(context_of(FakeTaskInstance()))["name"] == "2026.7"


def test_a_comment_that_native_rendering_made_a_number_is_text(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    hook.start_run(spec(comment=7), MARKER)

    assert server.ledger.runs[0].request["comment"] == f"7 | {MARKER}"


@pytest.mark.parametrize("comment", ["a\0b", "\ud83d"])
def test_a_comment_that_no_database_keeps_is_refused_before_anything_is_sent(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, comment: str
) -> None:
    task = CeleryDirectorRunWorkflowOperator(task_id="t", project="lab", name="ETL", comment=comment)

    with pytest.raises(InvalidInputError, match=r"^comment must not hold"):
        hook.start_workflow("lab", "ETL", comment=comment)
    with pytest.raises(InvalidInputError, match=r"^comment must not hold"):
        task.execute(context_of(FakeTaskInstance()))

    assert server.ledger.requests == []


@pytest.mark.parametrize("workflow_id", [HUGE, "\ud800", "x" * 10_000, None, "../definitions"])
def test_an_id_that_is_none_is_refused_in_a_short_message(hook: CeleryDirectorHook, workflow_id: Any) -> None:
    with pytest.raises(InvalidInputError, match="workflow_id must be a UUID") as refused:
        hook.get_workflow(workflow_id)

    assert len(str(refused.value)) < 150


@pytest.mark.parametrize("value", ["yes", 1, None, "{{ params.all }}"])
def test_a_switch_that_is_none_is_refused_where_the_dag_is_written(value: Any) -> None:
    for make in (
        lambda: CeleryDirectorRunWorkflowOperator(task_id="a", project="p", name="n", wait_for_all_tasks=value),
        lambda: CeleryDirectorRelaunchWorkflowOperator(task_id="b", workflow_id="x", wait_for_all_tasks=value),
        lambda: CeleryDirectorWorkflowSensor(task_id="c", workflow_id="x", wait_for_all_tasks=value),
    ):
        with pytest.raises(InvalidInputError, match="wait_for_all_tasks must be True or False"):
            make()
