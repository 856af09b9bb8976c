"""A vendor that fails to answer says nothing about the run: the wait goes on, within a stated budget."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from airflow_provider_etlapis.exceptions import PollingGaveUpError, RemoteRunGoneError
from airflow_provider_etlapis.runs import waiting
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from tests.contract.conftest import LONG, SHORT, Stage
from tests.support.airflow_context import TaskLog

BLIPS = [
    pytest.param(Fault("*", "status", status=500, times=2), id="500"),
    pytest.param(Fault("*", "status", status=503, times=2), id="503"),
    pytest.param(Fault("*", "drop_before", times=2), id="reset"),
    pytest.param(Fault("*", "drop_after", times=2), id="reset_after"),
    pytest.param(Fault("*", "half_body", times=2), id="half_body"),
    pytest.param(Fault("*", "empty", times=2), id="empty"),
    pytest.param(Fault("*", status=200, body="{}", times=2), id="json_of_another_shape"),
    pytest.param(Fault("*", "html", times=2), id="html_200"),
    pytest.param(Fault("*", "html", status=502, times=2), id="html_502"),
]


@pytest.mark.parametrize("blip", BLIPS)
def test_a_blip_while_waiting_does_not_end_the_wait(stage: Stage, blip: Fault, task_log: TaskLog) -> None:
    stage.sandbox.plan(SHORT)

    manifest = stage.task().run(when_known=stage.strike(blip))

    assert manifest["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 1
    assert [line for line in task_log.warnings() if "Polling run" in line], "the log must tell of it"


def test_a_full_rate_limit_pauses_the_wait_for_as_long_as_the_vendor_says(stage: Stage) -> None:
    stage.sandbox.plan(SHORT)
    limited = Fault("*", "status", status=429, retry_after=1)

    manifest = stage.task().run(when_known=stage.strike(limited))

    assert manifest["state"] == "succeeded"
    requests = stage.sandbox.ledger.requests
    struck = next(index for index, record in enumerate(requests) if record.status == 429)
    assert requests[struck + 1].monotonic - requests[struck].monotonic >= 0.9


def test_a_long_outage_ends_the_wait_and_a_retry_follows_the_run_again(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task(poll_failure_budget=0.3)
    outage = Fault("*", "status", status=503, times=None)

    with pytest.raises(PollingGaveUpError, match="left alone; a retry of this task attaches to it again"):
        task.run(when_known=stage.strike(outage))

    assert len(stage.sandbox.ledger.live_runs()) == 1
    assert stage.sandbox.ledger.cancels == []

    stage.sandbox.clear_faults()
    assert task.retry().run(when_known=stage.end_all)["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 1


def test_an_outage_at_the_deadline_ends_in_the_deadline(stage: Stage) -> None:
    from airflow_provider_etlapis.exceptions import RemoteRunTimeoutError

    stage.sandbox.plan(LONG)
    outage = Fault("*", "status", status=503, times=None)

    with pytest.raises(RemoteRunTimeoutError, match=r"may go on|goes on|left alone"):
        stage.task(timeout=0.25).run(when_known=stage.strike(outage))


def test_the_credential_may_be_mended_while_the_task_waits(stage: Stage) -> None:
    """A password that is changed during a long wait must not end it at once."""
    stage.sandbox.plan(Life(duration=0.4))
    refused = Fault("*", "status", status=401, times=3, skip=2)

    assert stage.task().run(when_known=stage.strike(refused))["state"] == "succeeded"


def test_a_credential_that_is_refused_at_the_first_look_is_read_anew_before_the_wait_is_given_up(stage: Stage) -> None:
    stage.sandbox.plan(Life(duration=0.3))
    refused = Fault("*", "status", status=401, times=1)

    assert stage.task().run(when_known=stage.strike(refused))["state"] == "succeeded"


def test_a_sensor_reads_a_refused_credential_anew(stage: Stage) -> None:
    ref = stage.somebody_elses_run(Life(duration=0.3))
    stage.sandbox.inject(Fault("*", "status", status=403, times=1))

    assert stage.sensor(ref).run()["state"] == "succeeded"


def test_a_wait_of_half_a_day_outlives_the_login(stage: Stage) -> None:
    stage.sandbox.plan(Life(duration=12 * 3600.0))
    advance = stage.sandbox.clock.advance
    later = [threading.Timer(delay, advance, (6.1 * 3600,)) for delay in (0.1, 0.25)]

    def begin() -> None:
        for timer in later:
            timer.start()

    manifest = stage.task().run(when_known=begin)

    assert manifest["state"] == "succeeded"
    assert len(stage.sandbox.ledger.starts) == 1


def test_a_run_that_the_vendor_forgot_fails_the_task_and_says_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server takes the vendor's place, with the same users and without any run."""
    stage.sandbox.plan(LONG)
    task = stage.task()
    monkeypatch.setattr(waiting.WaitPolicy.__init__, "__defaults__", (None, waiting.DEFAULT_PATIENCE, 0.3))
    began = time.monotonic()
    with ExitStack() as servers:
        fresh = stage.row.sandbox(port=int(stage.sandbox.base_url.rpartition(":")[2]))

        def forget() -> None:
            stage.sandbox.stop()
            servers.enter_context(fresh)

        with pytest.raises(RemoteRunGoneError, match="does not know"):
            task.run(when_known=forget)

    assert time.monotonic() - began < 5
    assert stage.sandbox.ledger.cancels == fresh.ledger.cancels == []
