"""Meiro's cancel: asked is what the vendor has acknowledged, and the wait for the job's end is patient."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import (
    EtlApiError,
    InvalidInputError,
    PollingGaveUpError,
    RemoteRunTimeoutError,
    RequestRefusedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.operators.meiro import MeiroCancelWorkspaceJobOperator, MeiroRunWorkspaceOperator
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from tests.support.rehearsal import Rehearsal

NOT_ACKNOWLEDGED = {
    "a page": Fault("cancel", "html"),
    "success false": Fault("cancel", "status", status=200, body='{"success": false}'),
    "other words": Fault("cancel", "status", status=200, body='{"message": "The job cannot be canceled"}'),
    "a list": Fault("cancel", "status", status=200, body="[]"),
    "nothing": Fault("cancel", "empty"),
}


@pytest.fixture
def meiro(etlapis_sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> MeiroSandbox:
    """The vendor on localhost, in real time; no request is repeated by the wire."""
    sandbox: MeiroSandbox = etlapis_sandbox.meiro(conn_id="meiro_default")
    connection = sandbox.connection()
    connection["extra"] = {**connection["extra"], "retries": 0, "requests_per_minute": 60_000}
    monkeypatch.setenv("AIRFLOW_CONN_MEIRO_DEFAULT", json.dumps(connection))
    return sandbox


def cancelling(run_id: str, **arguments: Any) -> Rehearsal:
    workspace_id, job_id = run_id.split("/")
    wanted = {"task_id": "cancel", "workspace_id": workspace_id, "job_id": job_id, "poll_interval": 0.05, **arguments}
    return Rehearsal(lambda: MeiroCancelWorkspaceJobOperator(**wanted))


# -- what is asked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", NOT_ACKNOWLEDGED)
def test_an_answer_that_does_not_acknowledge_a_cancel_is_not_one_that_was_asked(
    meiro: MeiroSandbox, answer: str
) -> None:
    job = meiro.seed_run(Life(60.0), flow="100")
    meiro.inject(NOT_ACKNOWLEDGED[answer])

    with pytest.raises(EtlApiError) as refused:
        MeiroHook().cancel_run(MeiroHook.ref(*job.id.split("/")))

    assert not refused.value.may_have_acted, "so it is not remembered as cancelled"
    assert "acknowledge" in str(refused.value)


@pytest.mark.parametrize("words", ["OK", "ok"])
def test_the_documents_two_spellings_acknowledge(meiro: MeiroSandbox, words: str) -> None:
    job = meiro.seed_run(Life(60.0), flow="100")
    meiro.inject(Fault("cancel", "status", status=200, body=json.dumps({"message": words})))

    assert MeiroHook().cancel_run(MeiroHook.ref(*job.id.split("/"))).asked


def test_a_job_that_ended_although_its_cancel_was_not_acknowledged_has_ended(meiro: MeiroSandbox) -> None:
    job = meiro.seed_run(Life(60.0), flow="100")
    meiro.inject(Fault("cancel", "html", applied=True))

    report = MeiroHook().cancel_run(MeiroHook.ref(*job.id.split("/")))

    assert not report.asked
    assert "canceled" in report.note


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_good_end_after_a_cancel_that_was_not_acknowledged_is_not_thrown_away(
    meiro: MeiroSandbox, deferrable: bool
) -> None:
    meiro.plan(Life(3600.0))
    rehearsal = Rehearsal(
        lambda: MeiroRunWorkspaceOperator(
            task_id="run", workspace_id=100, poll_interval=0.05, timeout=0.4, retries=2, deferrable=deferrable
        )
    )
    meiro.inject(Fault("cancel", "status", status=200, body='{"success": false}', times=None))
    with pytest.raises(RemoteRunTimeoutError):
        rehearsal.run()
    meiro.clock.advance(7200.0)

    manifest = rehearsal.retry().run()

    assert manifest["state"] == "succeeded"
    assert len(meiro.ledger.starts) == 1


def test_a_cancel_that_was_acknowledged_is_remembered(meiro: MeiroSandbox) -> None:
    meiro.plan(Life(3600.0), Life(0.05))
    meiro.cancel_seconds = 0.2
    rehearsal = Rehearsal(
        lambda: MeiroRunWorkspaceOperator(
            task_id="run", workspace_id=100, poll_interval=0.05, timeout=0.4, retries=2, deferrable=False
        )
    )
    with pytest.raises(RemoteRunTimeoutError):
        rehearsal.run()
    time.sleep(0.3)

    assert rehearsal.retry().run()["state"] == "succeeded"
    assert len(meiro.ledger.starts) == 2


# -- the operator -------------------------------------------------------------------------------------------------


def test_cancelling_waits_until_the_job_has_stopped(meiro: MeiroSandbox) -> None:
    meiro.cancel_seconds = 0.4
    job = meiro.seed_run(Life(60.0), flow="100")

    manifest = cancelling(job.id).run()

    assert manifest["vendor_status"] == "canceled"
    assert meiro.ledger.cancels == [job.id]


def test_cancelling_a_job_that_has_ended_returns_how_it_ended(meiro: MeiroSandbox) -> None:
    job = meiro.seed_run(Life(1.0), flow="100", age=60.0)

    assert cancelling(job.id).run()["vendor_status"] == "finished"
    assert meiro.ledger.cancels == []


def test_cancelling_need_not_wait_or_not_for_ever(meiro: MeiroSandbox) -> None:
    meiro.cancel_seconds = 60.0
    job = meiro.seed_run(Life(600.0), flow="100")

    assert cancelling(job.id, wait_for_completion=False).run()["vendor_status"] == "running"
    with pytest.raises(RemoteRunTimeoutError, match=r"was asked to stop\. .* within timeout=0\.3 s"):
        cancelling(job.id, timeout=0.3).run()


@pytest.mark.parametrize("status", [400, 403, 404, 405, 425])
@pytest.mark.parametrize("kind", ["status", "html"])
@pytest.mark.parametrize("good_reads", [2, 3])
def test_odd_answers_after_good_reads_are_waited_out(
    meiro: MeiroSandbox, status: int, kind: Any, good_reads: int
) -> None:
    meiro.cancel_seconds = 0.6
    job = meiro.seed_run(Life(60.0), flow="100")
    meiro.inject(Fault("get", kind, status=status, skip=good_reads, times=4))

    assert cancelling(job.id).run()["vendor_status"] == "canceled"


@pytest.mark.parametrize("status", [400, 403])
def test_a_job_that_cannot_be_read_at_the_deadline_is_not_one_that_did_not_stop(
    meiro: MeiroSandbox, status: int
) -> None:
    meiro.cancel_seconds = 60.0
    job = meiro.seed_run(Life(600.0), flow="100")
    meiro.inject(Fault("get", status=status, skip=3, times=None))
    begun = time.monotonic()

    with pytest.raises(PollingGaveUpError, match=f"could not be asked at the deadline.*{status}"):
        cancelling(job.id, timeout=1.0).run()

    assert time.monotonic() - begun >= 1.0, "not before its time"


def test_a_cancel_whose_answer_is_lost_is_settled_by_the_job(meiro: MeiroSandbox) -> None:
    meiro.cancel_seconds = 0.3
    job = meiro.seed_run(Life(60.0), flow="100")
    meiro.inject(Fault("cancel", "drop_after"))

    assert cancelling(job.id).run()["vendor_status"] == "canceled"


def test_a_cancel_that_never_arrived_says_so_at_the_deadline(meiro: MeiroSandbox) -> None:
    job = meiro.seed_run(Life(60.0), flow="100")
    meiro.inject(Fault("cancel", "drop_before"))

    with pytest.raises(RemoteRunTimeoutError, match="may not have been asked to stop"):
        cancelling(job.id, timeout=0.3).run()


def test_a_cancel_that_never_arrived_and_is_not_waited_for_fails_and_a_retry_asks_again(meiro: MeiroSandbox) -> None:
    job = meiro.seed_run(Life(60.0), flow="100")
    meiro.inject(Fault("cancel", "drop_before"))
    rehearsal = cancelling(job.id, wait_for_completion=False, retries=1)
    with pytest.raises(VendorUnavailableError):
        rehearsal.run()

    rehearsal.retry().run()

    assert meiro.ledger.cancels == [job.id]


def test_a_refused_cancel_is_refused(meiro: MeiroSandbox) -> None:
    job = meiro.seed_run(Life(60.0), flow="100")
    meiro.inject(Fault("cancel", status=409))

    with pytest.raises(RequestRefusedError):
        cancelling(job.id).run()


def test_a_failure_to_read_the_job_afterwards_does_not_undo_the_cancel(meiro: MeiroSandbox) -> None:
    meiro.cancel_seconds = 60.0
    job = meiro.seed_run(Life(600.0), flow="100")
    meiro.inject(Fault("get", status=500, skip=2, times=None))

    assert cancelling(job.id, wait_for_completion=False).run()["vendor_status"] == "running"


def test_durations_may_be_timedeltas_and_are_checked_at_parse() -> None:
    def make(**arguments: Any) -> MeiroCancelWorkspaceJobOperator:
        return MeiroCancelWorkspaceJobOperator(task_id="x", workspace_id=1, job_id=2, **arguments)

    made = make(poll_interval=timedelta(seconds=7), timeout=timedelta(minutes=2))

    assert (made.poll_interval, made.timeout) == (7.0, 120.0)
    assert make(timeout=None).timeout is None
    wrong: list[Callable[[], Any]] = [
        lambda: make(poll_interval=0),
        lambda: make(poll_interval=None),
        lambda: make(timeout=-1),
    ]
    for each in wrong:
        with pytest.raises(ValueError, match=r"poll_interval|timeout"):
            each()


@pytest.mark.parametrize("wrong", ["", "trash", "9" * 5000, 10**5000, "\ud800", "1\0"], ids=range(6))
def test_wrong_ids_are_refused_in_words_before_anything_is_sent(meiro: MeiroSandbox, wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match="job_id must be a whole number") as refused:
        Rehearsal(lambda: MeiroCancelWorkspaceJobOperator(task_id="x", workspace_id=100, job_id=wrong)).run()

    assert len(str(refused.value)) < 300
    assert meiro.ledger.requests == []
