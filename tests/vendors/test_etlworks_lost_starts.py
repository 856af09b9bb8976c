"""A start at Etlworks that got no answer: known by its key, or by the rule that a flow runs once at a time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import StartLostError
from airflow_provider_etlapis.hooks.etlworks_search import StartSearch
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.runs.resume import Intent, Sighting
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from tests.support.rehearsal import Rehearsal
from tests.vendors.etlworks_kit import CONN_ID, ORDERS

NOW = 1_795_348_800.0
MARKER = "airflow dag.run 0123456789abcdef01234567"


def intent(watermark: Any = None) -> Intent:
    return Intent(MARKER, "f", max_tries=0, retries=0, at=NOW, watermark=watermark)


def row(audit_id: int, *, status: str = "running", after: float | None = 1.0, **more: Any) -> dict[str, Any]:
    times = {} if after is None else {"started": int((NOW + after) * 1000)}
    return {"auditId": audit_id, "status": status, **times, **more}


def looked(search: StartSearch, *rows: dict[str, Any]) -> tuple[Sighting, list[int]]:
    search.take(rows)
    found = search.result("runs", _run_of)
    return found.sighting, [int(run.ref.ids["audit_id"]) for run in found.candidates]


def _run_of(row: Any) -> RemoteRun:
    states = {"running": RunState.RUNNING, "success": RunState.SUCCEEDED, "error": RunState.FAILED}
    ref = RunRef("etlworks", {"flow_id": "1", "audit_id": str(row["auditId"])})
    return RemoteRun(ref, states[row["status"]], row["status"])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], (Sighting.ABSENT, [])),
        ([row(5, status="success", after=-999)], (Sighting.ABSENT, [])),
        ([row(6), row(5, status="success", after=-999)], (Sighting.FOUND, [6])),
        ([row(6, after=None), row(5, after=None)], (Sighting.FOUND, [6])),
        ([row(6, eventId=3), row(5, after=-999)], (Sighting.ABSENT, [])),
        ([row(6, eventName="nightly")], (Sighting.ABSENT, [])),
        ([row(7), row(6, status="success")], (Sighting.UNSURE, [7, 6])),
        ([row(6, status="error")], (Sighting.FOUND, [6])),
        ([row(7, status="error"), row(6, status="error")], (Sighting.ABSENT, [])),
        ([row(4, after=-3600)], (Sighting.ABSENT, [])),
        ([row(4, after=None)], (Sighting.ABSENT, [])),
    ],
)
def test_what_was_there_before_the_call_tells_what_came_by_it(rows, expected):
    assert looked(StartSearch(intent({"audit_id": 5}), ""), *rows) == expected


def test_without_knowing_what_was_there_a_run_is_only_a_candidate():
    assert looked(StartSearch(intent(), ""), row(6)) == (Sighting.UNSURE, [6])


def test_a_flow_that_had_never_run_has_ours_alone():
    assert looked(StartSearch(intent({"audit_id": None}), ""), row(6, after=None)) == (Sighting.FOUND, [6])


def test_the_key_in_a_record_is_proof():
    search = StartSearch(intent(), "key")
    rows = [row(7, parameters={"key": MARKER}), row(6, parameters={"key": "airflow other 99"})]

    assert looked(search, *rows) == (Sighting.FOUND, [7])
    assert search.to_be_read() == []


def test_the_key_in_a_log_is_proof():
    search = StartSearch(intent(), "key")
    search.take([row(7), row(6)])
    assert search.to_be_read() == [7, 6]

    search.take_log(7, "key=airflow other 99")
    search.take_log(6, f"key={MARKER}")

    assert search.result("runs", _run_of).candidates[0].ref.ids["audit_id"] == "6"


def test_a_run_that_shows_another_key_is_not_ours():
    search = StartSearch(intent({"audit_id": 5}), "key")

    assert looked(search, row(6, parameters={"key": "airflow other 99"})) == (Sighting.ABSENT, [])


# Over the wire


@pytest.fixture
def etlworks(etlapis_sandbox):
    return etlapis_sandbox.etlworks(conn_id=CONN_ID, default_life=Life(0.05))


def task(**arguments: Any) -> Rehearsal:
    wanted = {"task_id": "run", "flow_id": ORDERS, "poll_interval": 0.05, "retries": 1, **arguments}
    return Rehearsal(lambda: EtlworksRunFlowOperator(**wanted))


@pytest.mark.parametrize("details", [True, False], ids=["with_times", "bare_records"])
@pytest.mark.parametrize("history", ["newest", "oldest"])
def test_a_lost_answer_costs_no_second_run(etlworks, details, history):
    etlworks.tells_details, etlworks.history_order = details, history
    for _ in range(3):
        etlworks.seed_run(Life(0.01), age=900)
    etlworks.inject(Fault("start", "drop_after"))

    assert task().run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


def test_a_history_that_may_not_be_read_leaves_the_flows_latest_run(etlworks):
    etlworks.inject(Fault("history", "status", status=403, times=None))
    etlworks.inject(Fault("start", "drop_after"))

    assert task().run()["state"] == "succeeded"
    assert len(etlworks.ledger.starts) == 1


def test_two_new_runs_without_a_key_are_for_a_person_to_tell_apart(etlworks):
    etlworks.single_instance = False
    starting = task()
    etlworks.inject(Fault("start", "drop_after"))
    begin = etlworks.begin_run

    def begin_two(*args: Any, **options: Any) -> Any:
        etlworks.begin_run = begin
        etlworks.seed_run(Life(60)).details["user"] = "bob@example.com"
        return begin(*args, **options)

    etlworks.begin_run = begin_two

    with pytest.raises(StartLostError, match=r"candidates: 12346/8721935 .*, 12346/8721934"):
        starting.run()


def test_a_second_start_that_finds_the_flow_running_looks_again_for_the_first(etlworks):
    """The record of the first start came later than the looks for it."""
    etlworks.plan(Life(0.5))
    etlworks.inject(Fault("start", "drop_after"))
    etlworks.inject(Fault("get", "status", status=404, times=4))
    etlworks.inject(Fault("history", "status", status=404, times=3))

    assert task().run()["state"] == "succeeded"
    assert etlworks.ledger.count("start") == 2
    assert len(etlworks.ledger.starts) == 1


def test_the_key_is_searched_for_where_nothing_was_remembered(etlworks):
    etlworks.single_instance = False
    mine = task(run_key_parameter=True)
    mine.store = None
    etlworks.plan(Life(60))
    mine.lose_process()
    etlworks.seed_run(Life(60)).details["user"] = "bob@example.com"
    began = time.monotonic()

    etlworks.clock.advance(60)
    manifest = mine.retry().run()

    assert manifest["ids"]["audit_id"] == etlworks.ledger.starts[0]
    assert len(etlworks.ledger.starts) == 1
    assert time.monotonic() - began < 5
