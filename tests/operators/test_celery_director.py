"""Celery Director's operators and sensor: their inputs and what they start."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import InvalidInputError, StartLostError
from airflow_provider_etlapis.operators.celery_director import (
    CeleryDirectorRelaunchWorkflowOperator,
    CeleryDirectorRunWorkflowOperator,
)
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sensors.celery_director import CeleryDirectorWorkflowSensor
from tests.support.airflow_context import FakeTaskInstance, context_of
from tests.support.rehearsal import Rehearsal

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CeleryDirectorSandbox]:
    with CeleryDirectorSandbox() as running:
        monkeypatch.setenv("AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT", json.dumps(running.connection()))
        yield running


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"project": "", "name": "ETL"}, "project must be"),
        ({"project": "demo", "name": None}, "name must be"),
        ({"project": "demo", "name": "ETL", "payload": "{}"}, "payload must be a JSON object"),
        ({"project": "demo", "name": "ETL", "payload": {"x": math.nan}}, "payload must be plain JSON"),
        ({"project": "demo", "name": "ETL", "payload": {"x": object()}}, "payload must be plain JSON"),
    ],
)
def test_inputs_that_cannot_work_fail_before_anything_is_sent(
    server: CeleryDirectorSandbox, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        CeleryDirectorRunWorkflowOperator(task_id="t", **arguments).execute(context_of(FakeTaskInstance()))

    assert server.ledger.requests == []


@pytest.mark.parametrize(
    "made",
    [
        lambda: CeleryDirectorRelaunchWorkflowOperator(task_id="t", workflow_id="not-an-id"),
        lambda: CeleryDirectorWorkflowSensor(task_id="t", workflow_id="not-an-id"),
        lambda: CeleryDirectorWorkflowSensor(task_id="t", workflow_id="not-an-id", deferrable=True),
    ],
)
def test_an_id_that_is_none_fails_before_anything_is_sent(server: CeleryDirectorSandbox, made: Any) -> None:
    with pytest.raises(InvalidInputError, match="workflow_id must be a UUID"):
        made().execute(context_of(FakeTaskInstance()))

    assert server.ledger.requests == []


def test_what_users_template_is_templated() -> None:
    assert set(CeleryDirectorRunWorkflowOperator.template_fields) >= {"project", "name", "payload", "comment"}
    assert "workflow_id" in CeleryDirectorRelaunchWorkflowOperator.template_fields
    assert "workflow_id" in CeleryDirectorWorkflowSensor.template_fields
    for made in (
        CeleryDirectorRunWorkflowOperator(task_id="a", project="p", name="n"),
        CeleryDirectorRelaunchWorkflowOperator(task_id="b", workflow_id="x"),
        CeleryDirectorWorkflowSensor(task_id="c", workflow_id="x"),
    ):
        assert [name for name in made.template_fields if not hasattr(made, name)] == []


@MODES
def test_payload_and_comment_reach_the_run(server: CeleryDirectorSandbox, deferrable: bool) -> None:
    server.plan(Life(duration=0.05))

    def make() -> CeleryDirectorRunWorkflowOperator:
        return CeleryDirectorRunWorkflowOperator(
            task_id="t",
            project="demo",
            name="ETL",
            payload={"day": "2026-11-22"},
            comment="for the auditors",
            poll_interval=0.02,
            deferrable=deferrable,
        )

    manifest = Rehearsal(make).run()

    (run,) = server.ledger.runs
    assert run.request["payload"] == {"day": "2026-11-22"}
    assert run.request["comment"].startswith("for the auditors | airflow dag.t ")
    assert manifest["name"] == "demo.ETL"
    assert {step["name"] for step in manifest["steps"]} == {"EXTRACT", "CLEAN", "ENRICH", "LOAD"}
    assert {step["state"] for step in manifest["steps"]} == {"succeeded"}


@MODES
def test_a_relaunch_starts_a_new_run_with_the_old_payload(server: CeleryDirectorSandbox, deferrable: bool) -> None:
    old = server.seed_run(Life(duration=0), age=60, request={"payload": {"n": 1}})
    server.plan(Life(duration=0.05))

    def make() -> CeleryDirectorRelaunchWorkflowOperator:
        return CeleryDirectorRelaunchWorkflowOperator(
            task_id="t", workflow_id=old.id.upper(), poll_interval=0.02, deferrable=deferrable
        )

    manifest = Rehearsal(make).run()

    (new_id,) = server.ledger.starts
    assert manifest["run_id"] == new_id != old.id
    assert server.runs[new_id].request["payload"] == {"n": 1}


def test_a_relaunch_without_an_answer_is_refused_rather_than_made_twice(
    server: CeleryDirectorSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    old = server.seed_run(Life(duration=0), age=60)
    server.inject(Fault("relaunch", "drop_after"))
    operator = CeleryDirectorRelaunchWorkflowOperator(task_id="t", workflow_id=old.id)

    with pytest.raises(StartLostError, match="candidates"):
        operator.execute(context_of(FakeTaskInstance()))

    assert len(server.ledger.starts) == 1
