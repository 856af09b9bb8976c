"""What a start came to is judged by who answers and by what shows whose a run is: never is there a second run."""

from __future__ import annotations

import time

import pytest

from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from tests.contract.between import FORMS, Form, in_turn, odd
from tests.contract.conftest import LONG, SHORT, Stage, connect
from tests.contract.row import Row

HIDDEN = [*in_turn(), *((status, form) for status in (404, 408) for form in FORMS), (200, "html"), (200, "empty")]
HIDDEN = sorted(set(HIDDEN))

LATER = 0.4
"""Seconds after which a start takes effect whose client has given up."""
GAVE_UP_AFTER = 0.5


@pytest.mark.parametrize(("status", "form"), HIDDEN, ids=[f"{status}-{form}" for status, form in HIDDEN])
def test_a_start_that_took_effect_and_was_answered_by_a_proxy_is_not_made_twice(
    row: Row, sandbox: VendorSandbox, status: int, form: Form
) -> None:
    if (status, form) in row.own_errors:
        pytest.skip("by the vendor's document, it may itself answer so")
    sandbox.plan(SHORT)
    sandbox.inject(odd(status, form, "start", applied=True))
    stage = Stage(row, sandbox, deferrable=status % 2 == 0)  # who waits makes no difference to a start

    stage.settle(stage.task())


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(Fault("start", "apply_late", seconds=LATER), id="connection_closed"),
        pytest.param(Fault("start", "apply_late", seconds=LATER, status=504), id="proxy_gave_up"),
        pytest.param(Fault("start", "delay", seconds=GAVE_UP_AFTER + LATER), id="client_gave_up"),
    ],
)
def test_a_start_that_takes_effect_after_it_was_given_up_is_not_made_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, late: Fault
) -> None:
    for name in ("ACTS_AFTER_ANSWER", "ACTS_AFTER_CLOSE", "ACTS_AFTER_TIMEOUT"):
        monkeypatch.setattr(evidence, name, 3 * LATER)
    connect(monkeypatch, stage.row, stage.sandbox, read_timeout=GAVE_UP_AFTER)
    stage.sandbox.plan(SHORT, SHORT)
    stage.sandbox.inject(late)
    began = time.monotonic()

    stage.settle(stage.task())

    stage.comes_to_one_run(after=began + GAVE_UP_AFTER + 2 * LATER)


def test_a_start_that_takes_effect_while_a_retry_looks_for_it_is_not_made_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is lost during the start call: the retry comes before the vendor has done what was asked."""
    monkeypatch.setattr(evidence, "ACTS_AFTER_TIMEOUT", 5 * LATER)
    stage.sandbox.plan(LONG, LONG)
    armed = stage.sandbox.inject(Fault("start", "apply_late", seconds=2 * LATER))
    task = stage.task()
    task.lose_process_when(lambda: armed.hits > 0)
    assert stage.sandbox.ledger.starts == []
    lost = time.monotonic()

    stage.settle(task.retry(), when_known=stage.end_all)

    stage.comes_to_one_run(after=lost + 3 * LATER)
