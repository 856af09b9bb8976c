"""What a retry finds of the try before: an odd answer or a state store that is away is no reason for a second run."""

from __future__ import annotations

import math
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.sandbox.faults import ArmedFault
from tests.contract.between import FORMS, Form, odd
from tests.contract.conftest import LONG, Stage
from tests.contract.test_patience import what_breaks
from tests.support.airflow_context import FakeStateStore
from tests.support.rehearsal import Rehearsal


def look_back(stage: Stage, task: Rehearsal, status: int, form: Form) -> ArmedFault:
    """Let one odd answer meet the first request by which a retry reads the run of the try before."""
    ref = stage.row.ref_of(task.ti.xcoms["remote_run"])
    read = stage.ops_of(lambda hook: hook.read_run(ref))[0]
    return stage.sandbox.inject(odd(status, form, read))


@pytest.mark.parametrize("form", [*FORMS, "own"])
def test_one_404_at_a_retrys_look_back_does_not_start_a_second_run(stage: Stage, form: Form) -> None:
    stage.sandbox.plan(LONG, LONG)
    task = stage.task()
    task.lose_process()
    run_id = task.ti.xcoms["run_id"]
    armed = look_back(stage, task, 404, form)

    manifest = task.retry().run(when_known=stage.end_all)

    assert armed.hits == 1
    assert (manifest["run_id"], manifest["state"]) == (run_id, "succeeded")
    assert len(stage.sandbox.ledger.starts) == 1


def test_one_odd_answer_at_a_retrys_look_back_does_not_end_the_task(stage: Stage) -> None:
    def play(status: int, form: Form) -> None:
        stage.sandbox.plan(LONG)
        before = len(stage.sandbox.ledger.starts)
        task = stage.task()
        task.lose_process()
        look_back(stage, task, status, form)

        assert task.retry().run(when_known=stage.end_all)["state"] == "succeeded"
        assert len(stage.sandbox.ledger.starts) == before + 1

    assert what_breaks(stage, 2, play) == {}


class AwayStore(FakeStateStore):
    """A state store whose server is away for a number of reads."""

    def __init__(self) -> None:
        super().__init__()
        self.away = 0.0

    def get(self, key: str, default: Any = None) -> Any:
        if self.away > 0:
            self.away -= 1
            raise ConnectionError("the API server is away")
        return super().get(key, default)


def test_a_retry_waits_for_a_state_store_that_is_away_for_a_moment(stage: Stage) -> None:
    store = AwayStore()
    stage.sandbox.plan(LONG, LONG)
    task = Rehearsal(stage.operator(), store=store)
    task.lose_process()
    run_id = task.ti.xcoms["run_id"]
    store.away = 3

    manifest = task.retry().run(when_known=stage.end_all)

    assert manifest["run_id"] == run_id
    assert len(stage.sandbox.ledger.starts) == 1


def test_a_retry_that_cannot_read_the_state_store_starts_nothing_and_may_be_tried_again(stage: Stage) -> None:
    store = AwayStore()
    stage.sandbox.plan(LONG, LONG)
    task = Rehearsal(stage.operator(), store=store)
    task.lose_process()
    store.away = math.inf

    with pytest.raises(EtlApiError, match="state store") as failure:
        task.retry().run(when_known=stage.end_all)

    assert not isinstance(failure.value, AirflowFailException), "another try may be able to read it"
    assert len(stage.sandbox.ledger.starts) == 1
    assert stage.sandbox.ledger.cancels == []

    store.away = 0
    assert task.retry().run(when_known=stage.end_all)["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 1
