"""One odd answer says nothing about a run that was answered well a moment ago: the wait goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from airflow_provider_etlapis.exceptions import EtlApiError, RemoteRunTimeoutError
from airflow_provider_etlapis.sandbox.faults import Fault
from tests.contract.between import Form, in_turn, odd
from tests.contract.conftest import LONG, Stage


def what_breaks(stage: Stage, first: int, play: Callable[[int, Form], object]) -> dict[str, str]:
    """Play something for each odd answer, and return those that it did not survive.

    :param first: which form of answer the first status has.
    """
    broken: dict[str, str] = {}
    for status, form in in_turn(first):
        stage.sandbox.clear_faults()
        stage.end_all()
        try:
            play(status, form)
        except (EtlApiError, AssertionError) as error:
            broken[f"{status} {form}"] = f"{type(error).__name__}: {error}"[:300]
    return broken


@pytest.mark.parametrize("good_answers", [3, 0], ids=["after_a_good_look", "at_the_first_look_after_the_start"])
def test_one_odd_answer_does_not_end_a_wait(stage: Stage, good_answers: int) -> None:
    def play(status: int, form: Form) -> None:
        stage.sandbox.plan(LONG)
        before = len(stage.sandbox.ledger.starts)
        fault = odd(status, form, skip=good_answers)

        manifest = stage.task().run(when_known=lambda: stage.sandbox.inject(fault, when_hit=stage.end_all))

        assert manifest["state"] == "succeeded"
        assert len(stage.sandbox.ledger.starts) == before + 1

    assert what_breaks(stage, good_answers, play) == {}


def test_one_odd_answer_does_not_end_a_sensors_wait(stage: Stage) -> None:
    def play(status: int, form: Form) -> None:
        ref = stage.somebody_elses_run(LONG)
        stage.sandbox.inject(odd(status, form, skip=3), when_hit=stage.end_all)

        assert stage.sensor(ref).run()["state"] == "succeeded"

    assert what_breaks(stage, 1, play) == {}


@pytest.mark.parametrize("form", ["own", "html"])
@pytest.mark.parametrize("status", [302, 400, 401, 403, 503])
def test_a_task_that_is_resumed_after_the_end_was_seen_outlasts_a_few_refusals(
    deferred_stage: Stage, status: int, form: Form
) -> None:
    deferred_stage.sandbox.plan(LONG)
    refused = odd(status, form, times=4)

    manifest = deferred_stage.task().run(when_known=deferred_stage.end_all, when_told=deferred_stage.strike(refused))

    assert manifest["state"] == "succeeded"
    assert len(deferred_stage.sandbox.ledger.starts) == 1


@pytest.mark.claims("cancel")
@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(Fault(kind="status", status=200, body='{"success": false}', times=None), id="no_success"),
        pytest.param(Fault(kind="html", times=None), id="html"),
    ],
)
def test_a_cancel_that_was_refused_does_not_spoil_a_good_end(stage: Stage, refusal: Fault) -> None:
    stage.sandbox.plan(LONG, LONG)
    for operation in stage.acts() - {"start"}:  # a vendor may have several ways to stop a run
        stage.sandbox.inject(replace(refusal, operation=operation))
    task = stage.task(timeout=0.25)
    with pytest.raises(RemoteRunTimeoutError):
        task.run()
    if stage.sandbox.ledger.cancels:
        assert stage.sandbox.ledger.live_runs() == [], "the vendor has another way to stop a run, which was taken"
        return
    stage.end_all()

    manifest = task.retry().run()

    assert manifest["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 1
