"""What acts is sent once: the wire repeats reads, and never a start or a cancel whose effect it cannot know."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import pytest

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.sandbox.faults import Fault
from tests.contract.conftest import LONG, SHORT, Stage, connect

LOST = [
    pytest.param({"kind": "drop_before"}, id="dropped"),
    pytest.param({"kind": "drop_after"}, id="dropped_and_applied"),
    pytest.param({"kind": "status", "status": 503}, id="503"),
    pytest.param({"kind": "status", "status": 503, "applied": True}, id="503_and_applied"),
    pytest.param({"kind": "html", "status": 502, "applied": True}, id="502_and_applied"),
    pytest.param({"kind": "half_body"}, id="half"),
]
IDEMPOTENT = {"PUT", "DELETE"}
"""Methods by which HTTP itself promises that twice is as good as once."""


@pytest.fixture
def eager(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A vendor whose connection asks the wire to try each request again."""
    connect(monkeypatch, stage.row, stage.sandbox, retries=2)
    return stage


@pytest.mark.parametrize("fault", LOST)
def test_a_start_is_not_sent_again_without_a_look_at_what_the_first_has_done(
    eager: Stage, fault: dict[str, object]
) -> None:
    eager.sandbox.plan(SHORT, SHORT, SHORT)
    eager.sandbox.inject(Fault("start", **fault))  # type: ignore[arg-type]  # a fault of the table above

    with contextlib.suppress(EtlApiError):
        eager.task().run()

    asked = [record.operation for record in eager.sandbox.ledger.requests]
    assert "start" in asked
    assert ("start", "start") not in pairwise(asked)


@pytest.mark.claims("cancel")
@pytest.mark.parametrize("fault", LOST)
def test_a_cancel_is_not_sent_again_without_a_read_of_its_run(eager: Stage, fault: dict[str, object]) -> None:
    eager.sandbox.plan(LONG)
    eager.sandbox.inject(Fault("cancel", **fault))  # type: ignore[arg-type]  # a fault of the table above

    eager.task().kill()

    sent = [record for record in eager.sandbox.ledger.requests if record.operation == "cancel"]
    asked = [record.operation for record in eager.sandbox.ledger.requests]
    assert sent
    assert ("cancel", "cancel") not in pairwise(asked) or sent[0].method in IDEMPOTENT
