"""What the log of an ended DataWORQ job proves about its inputs, by the form of the reference's own example only."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_etlapis.hooks.dataworq.log import logged_start, same_inputs
from tests.vendors.dataworq.support import EXAMPLES

DEMO_LOG: str = EXAMPLES["jobs"][1]["log"]


def given(**parameters: str | int | float) -> list[dict[str, Any]]:
    kinds = {str: "string", int: "integer", float: "float"}
    return [{"name": name, "type": kinds[type(value)], "value": value} for name, value in parameters.items()]


def test_the_references_log_shows_flow_and_parameters():
    logged = logged_start(DEMO_LOG)

    assert logged.flow_id == "2932ca30-8871-48b1-8e9b-90b744020b68"
    assert logged.parameters == {
        "SOURCEFILE": ("STRING", '"C:\\Temp\\retail_unit_demand.csv"'),
        "TABLENAME": ("STRING", '"DEMO_TABLE"'),
    }
    assert logged_start(EXAMPLES["job"]["log"]).parameters == {}


@pytest.mark.parametrize(
    ("parameters", "verdict"),
    [
        (given(TABLENAME="DEMO_TABLE", SOURCEFILE="C:\\Temp\\retail_unit_demand.csv"), True),
        (given(TABLENAME="DEMO_TABLE"), None),
        (given(TABLENAME="SALES"), False),
        (given(TABLENAME="SALES", SOURCEFILE="C:\\Temp\\retail_unit_demand.csv"), False),
        (given(TABLENAME="SALES", REGION="A"), None),
        (given(TABLENAME="DEMO"), None),
        (given(TABLENAME="demo_table"), None),
        (given(TABLENAME="${TABLE}"), None),
        (given(TABLENAME='SA"LES'), None),
        (given(TABLENAME="Größe"), None),
        (given(TABLENAME=7), None),
        (given(tablename="SALES"), None),
        ([], None),
    ],
    ids=[
        "all the same",
        "one more is shown",
        "another text",
        "one of two is another",
        "one is not shown",
        "perhaps cut off",
        "other case",
        "placeholder",
        "quote",
        "no ASCII",
        "number",
        "other name",
        "none given",
    ],
)
def test_what_the_references_log_proves_about_inputs(parameters: list[dict[str, Any]], verdict: bool | None):
    assert same_inputs(parameters, DEMO_LOG) is verdict


@pytest.mark.parametrize(
    "log",
    [
        None,
        "",
        7,
        DEMO_LOG.replace("TABLENAME   |", "TABLENAME   |  |"),
        DEMO_LOG.replace("|  TABLENAME", "and a line\r\n|  TABLENAME"),
        DEMO_LOG.replace("SOURCEFILE", "TABLENAME "),
        DEMO_LOG.replace('"DEMO_TABLE"  ', "DEMO_TABLE    "),
        DEMO_LOG.replace("|  STRING  |", "|  TEXT    |"),
        DEMO_LOG.replace("Parameter Set: ", "Parameters of: "),
        DEMO_LOG[: DEMO_LOG.index("05/19/2021 12:01:56,580")],
        "x" * 300_000 + DEMO_LOG,
    ],
    ids=[
        "null",
        "empty",
        "number",
        "bar in a value",
        "line break in a value",
        "two values of one name",
        "no quotes",
        "other type",
        "other title",
        "not followed by an entry",
        "beyond the first 200,000 characters",
    ],
)
def test_a_log_of_any_other_form_proves_nothing(log: Any):
    assert same_inputs(given(TABLENAME="SALES"), log) is None


def test_a_number_in_the_log_proves_nothing_because_no_example_shows_one():
    log = DEMO_LOG.replace('STRING  |  "DEMO_TABLE"', "INTEGER |  8           ")

    assert logged_start(log).parameters["TABLENAME"] == ("INTEGER", "8")
    assert same_inputs(given(TABLENAME=7), log) is None
    assert same_inputs(given(TABLENAME=8, SOURCEFILE="C:\\Temp\\retail_unit_demand.csv"), log) is None
