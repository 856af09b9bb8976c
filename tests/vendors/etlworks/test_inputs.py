"""Bad input for Etlworks is refused in words that name it and say what to write, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator
from airflow_provider_etlapis.sandbox.etlworks.work import Flow
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sensors.etlworks import EtlworksFlowExecutionSensor, EtlworksFlowSensor
from tests.support.rehearsal import Rehearsal
from tests.vendors.etlworks.kit import CONN_ID, ORDERS

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
DIGITS = "9" * 5000
NUMBER = 10**5000
SURROGATE = "a\ud800b"
NOT_IDS = [None, True, -1, 1.5, math.nan, "", " ", "12x", "²", "../1", DIGITS, NUMBER, -NUMBER, [1], {1}, [NUMBER], {}]
NOT_NAMES = [None, True, "", "  ", ".", "..", SURROGATE, NUMBER, 1.5, ["Load orders"], b"x"]
NOT_MAPS = ["a=b", "{'a': 'b'}", ["a"], {"a"}, [("a", "b")], math.nan, 7, datetime(2026, 11, 22, tzinfo=UTC)]


@pytest.fixture
def etlworks(etlapis_sandbox):
    return etlapis_sandbox.etlworks(conn_id=CONN_ID, default_life=Life(0.05))


@pytest.fixture
def hook(etlworks):
    with EtlworksHook(CONN_ID) as opened:
        yield opened


@pytest.fixture
def refused(etlworks):
    """Ask for something, and return the words in which it is refused: short, and with nothing sent."""

    def ask(asked: Callable[[], Any]) -> str:
        with pytest.raises(InvalidInputError) as failure:
            asked()
        words = str(failure.value)
        assert etlworks.ledger.count() == 0
        assert len(words) < 500
        words.encode()  # can be written to any log
        return words

    return ask


def task(**arguments: Any) -> Rehearsal:
    wanted = {"task_id": "run", "flow_id": ORDERS, "poll_interval": 0.05, **arguments}
    return Rehearsal(lambda: EtlworksRunFlowOperator(**wanted))


# Ids


@pytest.mark.parametrize("given", NOT_IDS, ids=lambda given: type(given).__name__)
def test_an_id_that_is_none_is_refused_by_every_method(hook, refused, given):
    ways: dict[str, Callable[[], Any]] = {
        "flow_id": lambda: hook.get_flow(given),
        "flow_id must": lambda: hook.run_flow(given),
        "flow_id must be": lambda: list(hook.iter_history(given)),
        "audit_id": lambda: hook.ref(1, given),
        "audit_id must": lambda: hook.list_running_tasks(given),
    }
    for name, asked in ways.items():
        assert name in refused(asked)


@pytest.mark.parametrize("given", [DIGITS, NUMBER, [1], "12x", 1.5], ids=lambda given: type(given).__name__)
def test_an_id_that_is_none_is_refused_by_tasks(refused, given):
    sensor = {"task_id": "sense", "poke_interval": 0.05, "timeout": 1.0}
    run = Rehearsal(lambda: EtlworksFlowExecutionSensor(flow_id=ORDERS, audit_id=given, **sensor))
    flow = Rehearsal(lambda: EtlworksFlowSensor(flow_id=given, since="2026-11-22", **sensor))

    assert "flow_id" in refused(lambda: task(flow_id=given).run())
    assert "audit_id" in refused(run.run)
    assert "flow_id" in refused(flow.run)


def test_an_id_of_the_vendors_may_be_as_large_as_its_database_allows(hook):
    assert hook.ref("0012", 10**18 - 1).ids == {"flow_id": "12", "audit_id": "9" * 18}


def test_an_id_of_thousands_of_digits_from_the_vendor_is_none(hook, etlworks):
    from airflow_provider_etlapis.hooks.etlworks import answers as answers

    assert [answers.whole(value) for value in (DIGITS, NUMBER, -NUMBER, "", "-", "1e5", " 7 ")] == [None] * 6 + [7]


# Names


@pytest.mark.parametrize("given", NOT_NAMES, ids=lambda given: type(given).__name__)
def test_a_name_that_is_none_is_refused(hook, refused, given):
    assert "flow_name" in refused(lambda: hook.run_flow_by_name(given))
    assert "flow_name" in refused(lambda: hook.find_flow(given))
    assert "flow_" in refused(lambda: task(flow_id=None, flow_name=given).run())


@MODES
@pytest.mark.parametrize("given", [2026, "2026"])
def test_a_name_of_digits_is_a_name_under_native_rendering_as_well(etlworks, deferrable, given):
    etlworks.define(Flow(99, "2026"))

    manifest = task(flow_id=None, flow_name=given, deferrable=deferrable).run()

    assert manifest["ids"]["flow_id"] == "99"


@pytest.mark.parametrize("absent", [None, ""])
def test_a_template_that_leaves_one_of_both_empty_names_the_flow_by_the_other(etlworks, absent):
    assert task(flow_id=absent, flow_name="Load orders").run()["ids"]["flow_id"] == str(ORDERS)
    assert task(flow_id=str(ORDERS), flow_name=absent).run()["ids"]["flow_id"] == str(ORDERS)


@pytest.mark.parametrize("both", [("", ""), (None, None), (ORDERS, "Load orders"), (NUMBER, DIGITS)])
def test_neither_and_both_are_refused(refused, both):
    assert "give flow_id or flow_name" in refused(lambda: task(flow_id=both[0], flow_name=both[1]).run())


# Parameters


@pytest.mark.parametrize("given", NOT_MAPS, ids=lambda given: type(given).__name__)
def test_parameters_that_are_no_map_are_refused(hook, refused, given):
    spec = {"flow_id": ORDERS, "parameters": given}

    assert "parameters" in refused(lambda: hook.run_flow(ORDERS, given))
    assert "parameters" in refused(lambda: hook.start_run(spec, "m"))
    assert "parameters" in refused(lambda: task(parameters=given).run())


@pytest.mark.parametrize("given", ["{{ params.d }}", "{'password': 'tiger'}"])
def test_parameters_that_a_template_has_made_text_of_say_what_to_write_instead(refused, given):
    words = refused(lambda: task(parameters=given).run())

    assert ".output" in words
    assert "render_template_as_native_obj=True" in words
    assert "tiger" not in words


@pytest.mark.parametrize(
    "given",
    [
        {1: "a"},
        {1: "a", "b": 2},
        {"": "a"},
        {None: "a"},
        {("a", "b"): "c"},
        {SURROGATE: "a"},
        {NUMBER: "a"},
        dict.fromkeys(range(10000), "a"),
        {b"x" * 10_000: "a"},
    ],
    ids=range(9),
)
def test_names_of_parameters_that_are_no_text_are_refused(hook, refused, given):
    assert "names of parameters must be text" in refused(lambda: hook.run_flow(ORDERS, given))
    assert "names of parameters must be text" in refused(lambda: task(parameters=given).run())


@pytest.mark.parametrize(
    "value",
    [
        None,
        math.nan,
        math.inf,
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        NUMBER,
        ["b"],
        {"b"},
        {"b": "c"},
        ("b",),
        b"bytes",
        1j,
        SURROGATE,
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_parameters_that_cannot_be_text_are_refused_by_name(hook, refused, value):
    assert "password" in refused(lambda: task(parameters={"password": value, "b": "c"}).run())
    assert "password" in refused(lambda: hook.run_flow(ORDERS, {"password": value, "b": "c"}))


def test_values_of_parameters_are_never_shown(refused, hook):
    assert "tiger" not in refused(lambda: task(parameters={"password": ["tiger"]}).run())
    assert "tiger" not in refused(lambda: hook.run_flow(ORDERS, {"password": ["tiger"]}))
    assert "tiger" not in refused(lambda: task(parameters={"password": "tiger\ud800"}).run())


@pytest.mark.parametrize("value", [1, 1.5, True, datetime(2026, 11, 22, tzinfo=UTC), Decimal(1)])
def test_the_hook_takes_text_alone_as_the_vendor_does(hook, refused, value):
    assert "strings to strings" in refused(lambda: hook.run_flow(ORDERS, {"a": value}))


def test_large_numbers_and_words_of_an_enumeration_become_text(etlworks):
    class Region(StrEnum):
        NORTH = "north"

    task(parameters={"large": 10**400, "region": Region.NORTH}).run()

    (run,) = etlworks.ledger.runs
    assert run.request == {"large": str(10**400), "region": "north"}


# The run key


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("true", "airflow_run_key"),
        ("True", "airflow_run_key"),
        ("false", None),
        ("False", None),
        (2026, "2026"),
        (True, "airflow_run_key"),
        (False, None),
    ],
)
def test_a_run_key_is_named_in_every_spelling_that_templates_make(etlworks, given, name):
    task(run_key_parameter=given).run()

    (run,) = etlworks.ledger.runs
    assert list(run.request) == ([name] if name else [])


@pytest.mark.parametrize("given", ["", " ", 1.5, ["k"], SURROGATE, NUMBER], ids=range(6))
def test_a_run_key_that_is_no_name_is_refused(refused, given):
    assert "run_key_parameter" in refused(lambda: task(run_key_parameter=given).run())


# What lists take


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("tag", lambda hook: hook.list_flows(tag=[])),
        ("tag", lambda hook: hook.list_flows(tag=[1])),
        ("tag", lambda hook: hook.list_flows(tag=7)),
        ("tag", lambda hook: hook.list_flows(tag={"a": "b"})),
        ("q", lambda hook: hook.list_flows(q=SURROGATE)),
        ("q", lambda hook: hook.list_flows(q=1)),
        ("sort", lambda hook: hook.list_flows(sort=["name"])),
        ("since", lambda hook: hook.list_flows(since=DIGITS)),
        ("since", lambda hook: hook.list_flows(since=7)),
        ("status", lambda hook: hook.get_execution(1, status=SURROGATE)),
        ("message_id", lambda hook: hook.get_execution(1, message_id="x")),
        ("limit", lambda hook: hook.iter_audit_trail("5")),
        ("limit", lambda hook: hook.iter_audit_trail(NUMBER)),
        ("limit", lambda hook: hook.iter_audit_trail(math.nan)),
        ("limit", lambda hook: hook.iter_audit_trail(True)),
        ("offset", lambda hook: hook.iter_audit_trail(5, 1.5)),
        ("limit", lambda hook: hook.recent_runs(0)),
        ("limit", lambda hook: hook.recent_runs("5", {"flow_id": 1})),
        ("flow_id", lambda hook: hook.recent_runs(5, {"flow_id": DIGITS})),
        ("flow_name", lambda hook: hook.runs_of({"flow_name": ".."}, 0.0)),
        ("days_back", lambda hook: hook.get_executions_report(days_back="1")),
        ("tenant_id", lambda hook: hook.get_executions_report(tenant_id="x")),
        ("day", lambda hook: hook.get_executions_report(datetime(2026, 11, 22, tzinfo=UTC))),
        ("task_type", lambda hook: hook.list_running_tasks(1, ["load"])),
        ("path", lambda hook: hook.iter_items("../health")),
        ("path", lambda hook: hook.iter_items("/v1/../../health")),
        ("path", lambda hook: hook.iter_items("/v1/audit?x=1")),
        ("path", lambda hook: hook.iter_items("/")),
        ("path", lambda hook: hook.iter_items(None)),
        ("flow_name", lambda hook: hook.start_run({}, "m")),
    ],
)
def test_a_wrong_argument_of_a_method_is_named(hook, refused, name, asked):
    assert name in refused(lambda: asked(hook))


def test_the_end_of_the_calendar_is_no_moment(hook, refused):
    from datetime import timedelta, timezone

    west = timezone(timedelta(hours=-14))
    assert "since" in refused(lambda: hook.list_flows(since=datetime(9999, 12, 31, 23, tzinfo=west)))
