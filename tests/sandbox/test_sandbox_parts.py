"""Clock, runs, tokens and the schema check."""

from __future__ import annotations

import time

import pytest

from airflow_provider_etlapis.sandbox import json_schema, sandbox_class
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.runs import Run, RunTable
from airflow_provider_etlapis.sandbox.tokens import TokenDesk


def test_a_clock_that_stands_still_moves_only_by_hand():
    clock = Clock(start=1000, speed=0)

    assert clock.now() == 1000
    assert clock.advance(8 * 3600) == clock.now() == 1000 + 8 * 3600


def test_a_hurried_clock_lets_hours_pass_in_seconds():
    clock = Clock(start=0, speed=36_000)
    time.sleep(0.1)

    assert clock.now() >= 3600


def test_changing_the_speed_does_not_change_the_time():
    clock = Clock(start=1000, speed=0)
    time.sleep(0.05)
    clock.speed = 1000.0

    assert 1000 <= clock.now() < 1045
    assert clock.speed == 1000.0


def test_a_clock_does_not_run_backwards():
    with pytest.raises(ValueError, match="backwards"):
        Clock().advance(-1)
    with pytest.raises(ValueError, match="negative"):
        Clock(speed=-1)


def test_runs_come_newest_first_and_a_late_seed_takes_its_place():
    table = RunTable()
    for run_id, at in (("b", 2.0), ("c", 3.0), ("a", 1.0), ("c2", 3.0)):
        table.add(Run(run_id, "flow", Life(), at))

    assert [run.id for run in table.newest_first()] == ["c2", "c", "b", "a"]
    assert [run.id for run in table.newest_first(offset=1, limit=2)] == ["c", "b"]
    assert table.newest_first(offset=4, limit=2) == []
    assert table.newest_first(limit=0) == []
    assert [run.id for run in table] == ["a", "b", "c", "c2"]


def test_two_runs_with_one_id_are_a_mistake():
    table = RunTable()
    table.add(Run("a", "flow", Life(), 1.0))

    with pytest.raises(ValueError, match="already"):
        table.add(Run("a", "flow", Life(), 2.0))


def test_a_token_ages_is_renewed_in_time_and_can_be_revoked():
    clock = Clock(speed=0)
    desk = TokenDesk(clock, lifetime=100, refresh_grace=50)
    token = desk.issue("airflow")

    assert desk.owner(token) == "airflow"
    clock.advance(100)
    assert desk.owner(token) is None
    renewed = desk.refresh(token)
    assert renewed is not None
    assert desk.owner(renewed) == "airflow"
    clock.advance(50)
    assert desk.refresh(token) is None
    desk.revoke_all()
    assert desk.owner(renewed) is None


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        ({"n": "john"}, {"properties": {"n": {"type": "integer"}}}, ["'john' is not of type 'integer'"]),
        (True, {"type": "integer"}, ["True is not of type 'integer'"]),
        (1.0, {"type": "integer"}, []),
        (1, {"type": ["string", "null"]}, ["1 is not of type 'string', 'null'"]),
        ({}, {"required": ["q"]}, ["'q' is a required property"]),
        (
            {"a": 1, "b": 2},
            {"additionalProperties": False},
            ["Additional properties are not allowed ('a', 'b' were unexpected)"],
        ),
        ({"a": 1}, {"additionalProperties": {"type": "string"}}, ["1 is not of type 'string'"]),
        ([1, "x"], {"type": "array", "items": {"type": "number"}}, ["'x' is not of type 'number'"]),
        (2, {"enum": ["x", 1]}, ["2 is not one of ['x', 1]"]),
        (2, {"minimum": 3, "maximum": 1}, ["2 is less than the minimum of 3", "2 is greater than the maximum of 1"]),
        ("a", {"pattern": "^x", "title": "a remark"}, ["'a' does not match '^x'"]),
    ],
)
def test_schema_faults_are_told_in_the_usual_validators_words(value, schema, expected):
    jsonschema = pytest.importorskip("jsonschema")

    assert json_schema.errors(value, schema) == expected
    assert [fault.message for fault in jsonschema.Draft7Validator(schema).iter_errors(value)] == expected


def test_a_schema_that_cannot_be_checked_is_refused():
    with pytest.raises(ValueError, match="oneOf"):
        json_schema.check_schema({"properties": {"a": {"oneOf": []}}})
    with pytest.raises(ValueError, match="oneOf"):
        json_schema.errors(1, {"oneOf": []})


def test_an_unknown_vendor_is_named_with_those_there_are():
    with pytest.raises(LookupError, match=r"'acme'.*celery_director"):
        sandbox_class("acme")
