"""Following runs of Etlworks: records of every kind, pages, the daily report, and whichever run has ended since."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_etlapis.exceptions import InvalidInputError, VendorUnavailableError
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.runs.model import RunState
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sensors.etlworks import EtlworksFlowExecutionSensor, EtlworksFlowSensor
from tests.support.rehearsal import Rehearsal
from tests.vendors.etlworks.kit import COLOURS, CONN_ID, ORDERS, in_colour

HOST = "https://etl.example.com"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def mocked(monkeypatch):
    connection = {"conn_type": "etlworks", "host": HOST, "password": "k" * 32, "extra": {"retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))
    with EtlworksHook(CONN_ID) as hook:
        yield hook


@pytest.fixture
def etlworks(etlapis_sandbox):
    return etlapis_sandbox.etlworks(conn_id=CONN_ID, default_life=Life(0.05))


@pytest.fixture
def hook(etlworks):
    with EtlworksHook(CONN_ID) as opened:
        yield opened


def read(mocked: EtlworksHook, requests_mock: Any, record: dict[str, Any]) -> Any:
    requests_mock.get(f"{HOST}/rest/v1/executions/7?auditId=8", json=record)
    return mocked.read_run(mocked.ref(7, 8))


# Records


def test_a_record_with_nothing_but_its_status_is_enough(mocked, requests_mock):
    run = read(mocked, requests_mock, {"status": "success"})

    assert (run.state, run.name, run.started, run.ended) == (RunState.SUCCEEDED, "flow 7", None, None)


def test_milliseconds_and_iso_8601_are_both_times(mocked, requests_mock):
    run = read(
        mocked, requests_mock, {"status": "success", "started": 1795348800000, "endTime": "2026-11-22T12:01:00Z"}
    )

    assert (run.started, run.duration) == (NOON, 60.0)


@pytest.mark.parametrize("key", ["exception", "error", "errorMessage", "message"])
def test_the_error_text_is_taken_from_where_it_is(mocked, requests_mock, key):
    assert read(mocked, requests_mock, {"status": "error", key: "ORA-00942\n"}).error == "ORA-00942"


def test_a_message_of_a_good_run_is_no_error(mocked, requests_mock):
    assert read(mocked, requests_mock, {"status": "success", "message": "all fine"}).error is None


def test_a_record_of_another_run_says_nothing_about_ours(mocked, requests_mock):
    """It is not taken for ours, and is no word of the vendor that ours is gone: a cache may drop the query."""
    with pytest.raises(VendorUnavailableError, match="answered with run 9"):
        read(mocked, requests_mock, {"status": "success", "auditId": 9})


def test_a_record_of_our_runs_retry_is_ours(mocked, requests_mock):
    run = read(mocked, requests_mock, {"status": "running", "auditId": 9, "parentAuditId": 8, "retries": 1})

    assert run.state is RunState.RUNNING
    assert run.details == {"parentAuditId": 8, "retries": 1}


@pytest.mark.parametrize("answer", [{"status": 3}, {"status": None}, {}, {"success": False, "error": "busy"}])
def test_an_answer_that_is_no_record_says_nothing_about_the_run(mocked, requests_mock, answer):
    with pytest.raises(VendorUnavailableError):
        read(mocked, requests_mock, answer)


def test_a_run_once_seen_as_canceled_is_never_a_success(mocked, requests_mock):
    assert read(mocked, requests_mock, {"status": "canceled"}).state is RunState.CANCELLED

    run = read(mocked, requests_mock, {"status": "success"})

    assert (run.state, run.vendor_status) == (RunState.CANCELLED, "success")


# Pages


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("count", [0, 1, 4, 5, 10, 11])
@pytest.mark.parametrize("total", [True, False])
def test_a_listing_ends_where_the_items_end(etlworks, colour, count, total):
    etlworks.tells_total = total
    runs = [etlworks.seed_run(age=count - number) for number in range(count)]

    rows = in_colour(colour, lambda hook: (hook.iter_history, (ORDERS, 5), {}))

    assert [row["auditId"] for row in rows] == [int(run.id) for run in reversed(runs)]
    pages = count // 5 + (not total or count % 5 > 0 or not count)
    assert etlworks.ledger.count("history") == pages


@pytest.mark.parametrize("colour", COLOURS)
def test_a_listing_that_ignores_the_offset_ends_with_its_first_page(etlworks, colour):
    etlworks.history_ignores_offset = True
    for _ in range(7):
        etlworks.seed_run()

    rows = in_colour(colour, lambda hook: (hook.iter_history, (ORDERS, 5), {}))

    assert len(rows) == 5
    assert etlworks.ledger.count("history") == 2


def test_a_total_is_believed_more_than_a_short_page(mocked, requests_mock):
    """A server may cap the limit below what was asked for."""
    pages = [{"json": [{"id": n} for n in part], "headers": {"X-Total-Count": "5"}} for part in ([1, 2], [3, 4], [5])]
    asked = requests_mock.get(re.compile("/rest/v1/audit"), pages)

    assert [event["id"] for event in mocked.iter_audit_trail(200)] == [1, 2, 3, 4, 5]
    assert [request.qs["offset"] for request in asked.request_history] == [["0"], ["2"], ["4"]]


def test_a_total_that_is_too_high_does_not_make_a_listing_endless(mocked, requests_mock):
    asked = requests_mock.get(
        re.compile("/rest/v1/audit"), [{"json": [{"id": 1}], "headers": {"X-Total-Count": "9"}}, {"json": []}]
    )

    assert len(list(mocked.iter_audit_trail())) == 1
    assert asked.call_count == 2


# Whichever run has ended since


def sensor(**arguments: Any) -> Rehearsal:
    wanted = {"task_id": "sense", "flow_id": ORDERS, "poke_interval": 0.05, "timeout": 5.0, **arguments}
    return Rehearsal(lambda: EtlworksFlowSensor(**wanted))


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_run_that_ended_well_since_then_is_taken(etlworks, deferrable):
    etlworks.seed_run(Life(10), age=600)
    good = etlworks.seed_run(Life(10), age=100)

    manifest = sensor(since=ago(300), deferrable=deferrable).run()

    assert manifest["ids"]["audit_id"] == good.id
    assert manifest["state"] == "succeeded"


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_bad_end_is_not_the_end_of_the_wait(etlworks, deferrable):
    etlworks.seed_run(Life(1, "error"), age=100)
    good = etlworks.seed_run(Life(0.4))

    assert sensor(since=ago(300), deferrable=deferrable).run()["ids"]["audit_id"] == good.id


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_end_before_the_moment_does_not_count(etlworks, deferrable):
    etlworks.seed_run(Life(1), age=100)

    with pytest.raises(AirflowSensorTimeout):
        sensor(since=ago(50), timeout=0.3, deferrable=deferrable).run()


def test_a_good_end_stays_one_when_a_later_run_fails(etlworks):
    good = etlworks.seed_run(Life(1), age=100)
    etlworks.seed_run(Life(1, "error"), age=50)

    assert sensor(since=ago(300)).run()["ids"]["audit_id"] == good.id


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_the_order_of_the_history_does_not_matter(etlworks, order):
    etlworks.history_order = order
    for number in range(450):
        etlworks.seed_run(Life(1), age=90_000 - number)
    good = etlworks.seed_run(Life(1), age=100)

    assert sensor(since=ago(300)).run()["ids"]["audit_id"] == good.id
    assert etlworks.ledger.count("history") == (1 if order == "newest" else 3)


def test_a_history_without_times_is_helped_by_the_daily_report(etlworks):
    etlworks.tells_details = False
    good = etlworks.seed_run(Life(0.01))

    assert sensor(since=ago(5)).run()["ids"]["audit_id"] == good.id


def test_where_nobody_tells_when_runs_ended_the_task_says_what_to_use_instead(etlworks):
    etlworks.tells_details, etlworks.role = False, "operator"
    etlworks.seed_run(Life(0.01))

    with pytest.raises(AirflowFailException, match="EtlworksFlowExecutionSensor"):
        sensor(since=ago(5)).run()


def test_a_flow_is_sensed_by_its_name(etlworks):
    good = etlworks.seed_run(Life(1), age=100)

    manifest = sensor(flow_id=None, flow_name="Load orders", since=ago(300)).run()

    assert manifest["ids"] == {"flow_id": str(ORDERS), "audit_id": good.id}


@pytest.mark.parametrize("since", ["soon", "", None])
def test_a_moment_that_is_none_is_refused(etlworks, since):
    with pytest.raises(InvalidInputError, match="since"):
        sensor(since=since).run()

    assert etlworks.ledger.count() == 0


def test_by_default_the_moment_is_the_end_of_the_data_interval():
    import jinja2

    made = EtlworksFlowSensor(task_id="sense", flow_id=1)
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True).from_string(str(made.since))
    run = type("DagRun", (), {"run_after": "2026-11-22 13:00:00+00:00"})

    assert template.render(data_interval_end=NOON, dag_run=run) == "2026-11-22 12:00:00+00:00"
    assert template.render(dag_run=run) == "2026-11-22 13:00:00+00:00"
    assert "since" in made.template_fields


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_warning_counts_for_sensors_as_the_user_says(etlworks, deferrable):
    run = etlworks.seed_run(Life(0.05, "warning"))
    wanted = {
        "task_id": "sense",
        "flow_id": ORDERS,
        "audit_id": run.id,
        "poke_interval": 0.05,
        "deferrable": deferrable,
    }

    assert Rehearsal(lambda: EtlworksFlowExecutionSensor(**wanted)).run()["state"] == "warning"
    with pytest.raises(AirflowFailException):
        Rehearsal(lambda: EtlworksFlowExecutionSensor(**wanted, on_warning="fail")).run()
