"""A run is named to a sensor by its ids, or by the `run_id` that operators push, for every vendor and in both modes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from tests.contract.conftest import connect
from tests.contract.row import Row
from tests.contract.rows import ROWS
from tests.support.rehearsal import Rehearsal

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])


@pytest.fixture(params=ROWS, ids=lambda row: row.vendor)
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


@pytest.fixture
def sandbox(row: Row, monkeypatch: pytest.MonkeyPatch) -> Iterator[VendorSandbox]:
    with row.sandbox() as running:
        connect(monkeypatch, row, running)
        yield running


def started(row: Row, sandbox: VendorSandbox) -> dict[str, Any]:
    sandbox.plan(Life(duration=0.1))
    manifest: dict[str, Any] = Rehearsal(lambda: row.operator(task_id="start", poll_interval=0.1)).run()
    return manifest


def sensor(row: Row, manifest: dict[str, Any], **named: Any) -> Any:
    kind: Any = type(row.sensor(row.ref_of(manifest), task_id="by_ids"))
    return kind(task_id="named", poke_interval=0.1, **{kind.conn_id_field: f"{row.vendor}_default"}, **named)


@MODES
def test_a_sensor_takes_the_run_id_that_operators_push(row: Row, sandbox: VendorSandbox, deferrable: bool) -> None:
    manifest = started(row, sandbox)

    seen = Rehearsal(lambda: sensor(row, manifest, run_id=manifest["run_id"], deferrable=deferrable)).run()

    assert seen["run_id"] == manifest["run_id"]


def test_the_last_id_may_be_the_whole_run_id_and_has_to_agree_with_the_others(row: Row, sandbox: VendorSandbox) -> None:
    manifest = started(row, sandbox)
    *others, last = sensor(row, manifest, run_id=manifest["run_id"]).id_fields
    ids = {**{name: manifest["ids"][name] for name in others}, last: manifest["run_id"]}

    assert Rehearsal(lambda: sensor(row, manifest, **ids)).run()["run_id"] == manifest["run_id"]
    if others:
        with pytest.raises(InvalidInputError, match=f"{last} is .* which is another run than"):
            Rehearsal(lambda: sensor(row, manifest, **{**ids, others[0]: "4711"})).run()


def test_a_run_that_is_named_in_no_way_or_in_two_is_refused_when_the_dag_is_parsed(
    row: Row, sandbox: VendorSandbox
) -> None:
    manifest = started(row, sandbox)
    *_, last = sensor(row, manifest, run_id="x").id_fields

    with pytest.raises(InvalidInputError, match=rf"or by run_id as operators push it; .*{last} is missing"):
        sensor(row, manifest)
    with pytest.raises(InvalidInputError, match="or by run_id, not by both"):
        sensor(row, manifest, run_id=manifest["run_id"], **{last: manifest["ids"][last]})


def test_a_run_id_that_a_template_left_empty_is_refused_with_the_likely_cause(row: Row, sandbox: VendorSandbox) -> None:
    manifest = started(row, sandbox)
    before = len(sandbox.ledger.requests)

    with pytest.raises(InvalidInputError, match="a template renders an XCom that is not there as None"):
        Rehearsal(lambda: sensor(row, manifest, run_id="None")).run()

    assert len(sandbox.ledger.requests) == before
