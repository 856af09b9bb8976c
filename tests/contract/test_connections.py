"""The connection that a task names is the one that is asked: by the worker, the triggerer and a kill."""

from __future__ import annotations

from airflow_provider_etlapis.sandbox.server import VendorSandbox
from tests.contract.conftest import ELSEWHERE, LONG, SHORT, Stage


def test_a_task_asks_the_connection_that_it_names(stage: Stage, elsewhere: VendorSandbox) -> None:
    elsewhere.plan(SHORT)

    manifest = stage.task(**{stage.conn_id_field: ELSEWHERE}).run()

    assert manifest["state"] == "succeeded"
    assert len(elsewhere.ledger.starts) == 1
    assert stage.sandbox.ledger.requests == []


def test_a_kill_asks_the_connection_that_the_task_names(stage: Stage, elsewhere: VendorSandbox) -> None:
    elsewhere.plan(LONG)

    stage.task(**{stage.conn_id_field: ELSEWHERE}).kill()

    assert len(elsewhere.ledger.starts) == 1
    assert len(elsewhere.ledger.cancels) == int(stage.row.hook.capabilities.cancel)
    assert stage.sandbox.ledger.requests == []


def test_a_retry_asks_the_connection_that_the_task_names(stage: Stage, elsewhere: VendorSandbox) -> None:
    elsewhere.plan(LONG)
    task = stage.task(**{stage.conn_id_field: ELSEWHERE})
    task.lose_process()

    manifest = task.retry().run(when_known=Stage(stage.row, elsewhere, stage.deferrable).end_all)

    assert manifest["state"] == "succeeded"
    assert len(elsewhere.ledger.starts) == 1
    assert stage.sandbox.ledger.requests == []


def test_a_sensor_asks_the_connection_that_it_names(stage: Stage, elsewhere: VendorSandbox) -> None:
    elsewhere.plan(SHORT)
    at = {stage.conn_id_field: ELSEWHERE}
    ref = stage.row.ref_of(stage.task("elsewhere", wait_for_completion=False, **at).run())

    assert stage.sensor(ref, **at).run()["state"] == "succeeded"
    assert stage.sandbox.ledger.requests == []
