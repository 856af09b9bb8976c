"""What the page asks of the vendors: once for all people who have it open, however many runs there are."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import VendorUnavailableError
from airflow_provider_etlapis.runs.claims import Claim, ClaimingTask, RunStanding
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from tests.contract.row import Row
from tests.contract.rows import ROWS
from tests.support.releases import AIRFLOW

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow has no place for such a page before 3.1")

PEOPLE, WAITING = 5, 200
MOST_REQUESTS = 30


@pytest.fixture(params=ROWS, ids=lambda row: row.vendor)
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


@pytest.fixture
def vendor(row: Row, monkeypatch: pytest.MonkeyPatch) -> Iterator[VendorSandbox]:
    with row.sandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_SHOWN", json.dumps(sandbox.connection()))
        yield sandbox


def waiting(row: Row, sandbox: VendorSandbox) -> list[ClaimingTask]:
    """Return tasks that wait for one run each."""
    with row.hook("shown") as hook:
        names = [run.ref for run in hook.recent_runs(WAITING)]
    return [
        ClaimingTask("nightly", "r", "load", index, 1, 0, "deferred", Claim(ref, "shown"))
        for index, ref in enumerate(names)
    ]


def test_five_people_cost_what_one_costs(row: Row, vendor: VendorSandbox) -> None:
    from airflow_provider_etlapis.page.board import Board

    for _ in range(WAITING):
        vendor.seed_run(Life(duration=3600), age=60)
    tasks = waiting(row, vendor)
    assert tasks

    def shown(_: datetime) -> list[ClaimingTask]:
        return tasks

    board = Board(shown, lambda: ["shown"])
    board.survey()
    before = len(vendor.ledger.requests)
    board.survey(fresh=False)
    assert len(vendor.ledger.requests) == before, "a young survey serves everybody"

    board = Board(shown, lambda: ["shown"])
    began = time.monotonic()
    with ThreadPoolExecutor(PEOPLE) as people:
        found = list(people.map(lambda _: board.survey(), range(PEOPLE)))
    took = time.monotonic() - began
    asked = len(vendor.ledger.requests) - before

    assert len({id(each) for each in found}) == 1
    assert asked <= MOST_REQUESTS, f"{asked} requests in {took:.1f} s"
    standings = {each.standing for each in found[0].rows if each.task is not None}
    assert standings == {RunStanding.WAITED_FOR}
    assert not found[0].troubles


def test_connections_are_asked_side_by_side_so_that_one_that_is_away_holds_up_no_other() -> None:
    from airflow_provider_etlapis.inventory.survey import survey

    together = threading.Barrier(3)

    @contextmanager
    def away(conn_id: str) -> Iterator[Any]:
        together.wait(20)  # breaks, unless all three are asked at the same time
        raise VendorUnavailableError(f"{conn_id} is away")
        yield

    found = survey([], ["a", "b", "c"], away, newest=5, at_once=3)

    assert found.troubles == {conn_id: f"{conn_id} is away" for conn_id in ("a", "b", "c")}


def test_a_vendor_that_is_away_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_etlapis.page.board import Board

    fields = {"conn_type": "celery_director", "host": "http://127.0.0.1:9"}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps(fields))
    board = Board(lambda _: [], lambda: ["away"])

    with board.hook("away") as hook:
        assert hook.settings.retry.refused_for == 0.0
        assert hook.settings.retry.retries == 1
    assert "Connection refused: nobody listens at 127.0.0.1:9" in board.survey().troubles["away"]
