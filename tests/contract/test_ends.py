"""How a wait ends, and what the task says then: the same in both modes, for every vendor."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_etlapis.exceptions import (
    RemoteRunCancelledError,
    RemoteRunFailedError,
    RemoteRunTimeoutError,
)
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from tests.contract.conftest import BAD, LONG, SHORT, Stage, connect
from tests.contract.row import Row
from tests.support.airflow_context import TaskLog


def comparable(value: Any, ref_ids: dict[str, str]) -> Any:
    """Return plain JSON with what differs from run to run taken out: its ids and its times."""
    text = json.dumps(value, sort_keys=True)
    for name, run_id in sorted(ref_ids.items(), key=lambda item: -len(item[1])):
        text = re.sub(rf"(?<![\w-]){re.escape(run_id)}(?![\w-])", f"<{name}>", text)
    text = re.sub(r"(\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:\d\d)?", "<time>", text)
    return json.loads(re.sub(r'("(?:duration|since|\w*[mM]illis|\w*[sS]econds)": )[\d.e+-]+', r'\1"<number>"', text))


def test_a_run_that_succeeds_returns_its_manifest(stage: Stage) -> None:
    stage.sandbox.plan(SHORT)
    task = stage.task()

    manifest = task.run()

    assert manifest["vendor"] == stage.row.vendor
    assert manifest["state"] == "succeeded"
    assert manifest["vendor_status"] == stage.row.good
    assert manifest["started"] is not None
    assert manifest["ended"] is not None
    assert manifest["duration"] == pytest.approx(SHORT.duration, abs=2)
    assert json.loads(json.dumps(manifest)) == manifest
    assert len(stage.sandbox.ledger.starts) == 1
    assert stage.sandbox.ledger.cancels == []


def test_the_end_of_each_step_is_told_once(stage: Stage, task_log: TaskLog) -> None:
    stage.sandbox.plan(SHORT)

    manifest = stage.task().run()

    for step in manifest["steps"]:
        ends = [
            text
            for _, text in task_log.lines
            if text.startswith(f"Step {step['name']} ") and step["vendor_status"] in text.split()
        ]
        assert len(ends) == 1, ends


def test_run_id_and_url_are_known_the_moment_the_run_is_started(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task()

    task.lose_process()

    assert len(stage.sandbox.ledger.live_runs()) == 1
    assert task.ti.xcoms["run_id"]
    assert task.ti.xcoms["remote_run"]["vendor"] == stage.row.vendor
    url = task.ti.xcoms.get("run_url")
    assert url is None or url.startswith("http")


def test_both_modes_return_the_same_manifest_and_xcoms(row: Row, sandbox: VendorSandbox) -> None:
    told = []
    for deferrable in (False, True):
        sandbox.plan(SHORT)
        task = Stage(row, sandbox, deferrable).task()
        manifest = task.run()
        assert task.ti.xcoms["remote_run"].pop("deadline") > time.time()
        told.append(comparable({"returned": manifest, "xcoms": task.ti.xcoms}, manifest["ids"]))

    assert told[0] == told[1]


def test_both_modes_fail_with_the_same_text(row: Row, sandbox: VendorSandbox) -> None:
    texts = []
    for deferrable in (False, True):
        sandbox.plan(BAD)
        task = Stage(row, sandbox, deferrable).task()
        with pytest.raises(RemoteRunFailedError) as failure:
            task.run()
        texts.append(comparable(str(failure.value), failure.value.manifest["ids"]))

    assert texts[0] == texts[1]


def test_a_run_that_ends_badly_fails_the_task_with_status_error_text_and_link(stage: Stage) -> None:
    stage.sandbox.plan(BAD)
    task = stage.task()

    with pytest.raises(RemoteRunFailedError) as failure:
        task.run()

    text = str(failure.value)
    assert stage.row.bad in text
    assert BAD.error_text in text
    assert task.ti.xcoms["run_id"] in text
    assert task.ti.xcoms.get("run_url", "") in text
    assert failure.value.manifest["vendor_status"] == stage.row.bad
    assert not isinstance(failure.value, AirflowFailException), "a retry starts a new run, so retries are spent"


def test_a_run_that_somebody_cancelled_is_never_a_success(stage: Stage) -> None:
    stage.sandbox.plan(Life(duration=0.1, outcome="canceled"))

    with pytest.raises(RemoteRunCancelledError, match=re.escape(stage.row.cancelled)):
        stage.task().run()


def test_a_status_word_that_nobody_knows_goes_on_and_warns_once(stage: Stage, task_log: TaskLog) -> None:
    stage.sandbox.plan(Life(duration=0.25))
    strange = Fault("*", "unknown_status", times=4, word="hibernating")

    manifest = stage.task().run(when_known=stage.strike(strange))

    assert manifest["vendor_status"] == stage.row.good
    assert len([line for line in task_log.warnings() if "hibernating" in line]) == 1


def test_a_deadline_cancels_the_run_where_the_vendor_can_and_says_so_where_it_cannot(stage: Stage) -> None:
    stage.sandbox.plan(LONG)
    task = stage.task(timeout=0.25)

    with pytest.raises(RemoteRunTimeoutError) as failure:
        task.run()

    if stage.row.hook.capabilities.cancel:
        assert len(stage.sandbox.ledger.cancels) == 1
        assert stage.sandbox.ledger.live_runs() == []
        assert "Cancelling" in str(failure.value)
    else:
        assert len(stage.sandbox.ledger.live_runs()) == 1
        assert stage.row.hook.capabilities.cancel_note in str(failure.value)
    assert task.ti.xcoms["run_id"] in str(failure.value)


def test_a_deadline_leaves_the_run_alone_if_told_so(stage: Stage) -> None:
    stage.sandbox.plan(LONG)

    with pytest.raises(RemoteRunTimeoutError, match="left alone"):
        stage.task(timeout=0.2, cancel_on_timeout=False).run()

    assert len(stage.sandbox.ledger.live_runs()) == 1
    assert stage.sandbox.ledger.cancels == []


def test_no_triggerer_alive_at_the_deadline_ends_the_wait_the_same_way(deferred_stage: Stage) -> None:
    deferred_stage.sandbox.plan(LONG)
    task = deferred_stage.task(timeout=60.0)

    with pytest.raises(RemoteRunTimeoutError, match="no triggerer"):
        task.fail_deferral("Trigger timeout")

    assert task.backstop is not None
    assert task.backstop.total_seconds() > 60
    assert len(deferred_stage.sandbox.ledger.cancels) == int(deferred_stage.row.hook.capabilities.cancel)


def test_a_blip_when_the_task_takes_the_result_up_is_absorbed_by_the_retries_of_a_request(
    deferred_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, deferred_stage.row, deferred_stage.sandbox, retries=2)
    deferred_stage.sandbox.plan(SHORT)
    blip = Fault("*", "status", status=503, times=1)

    manifest = deferred_stage.task().run(when_told=deferred_stage.strike(blip))

    assert manifest["state"] == "succeeded"


def test_a_blip_when_a_sensor_takes_the_result_up_is_waited_out(deferred_stage: Stage) -> None:
    ref = deferred_stage.somebody_elses_run(SHORT)
    blip = Fault("*", "status", status=503, times=1)

    manifest = deferred_stage.sensor(ref).run(when_told=deferred_stage.strike(blip))

    assert manifest["state"] == "succeeded"


def test_without_waiting_the_task_succeeds_as_soon_as_the_run_is_started(stage: Stage) -> None:
    stage.sandbox.plan(LONG)

    manifest = stage.task(wait_for_completion=False).run()

    assert manifest["run_id"]
    assert manifest["state"] in {"queued", "running"}
    assert len(stage.sandbox.ledger.live_runs()) == 1


def test_a_sensor_takes_the_result_of_somebody_elses_run(stage: Stage) -> None:
    ref = stage.somebody_elses_run(SHORT)

    manifest = stage.sensor(ref).run()

    assert manifest["vendor_status"] == stage.row.good
    assert manifest["run_id"] == ref.run_id
    assert len(stage.sandbox.ledger.starts) == 1


def test_a_sensor_fails_at_once_if_somebody_elses_run_ends_badly(stage: Stage) -> None:
    ref = stage.somebody_elses_run(BAD)

    with pytest.raises(AirflowFailException, match=BAD.error_text):
        stage.sensor(ref).run()


def test_a_sensor_never_cancels(stage: Stage) -> None:
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    ref = stage.somebody_elses_run(LONG)

    with pytest.raises(AirflowSensorTimeout):
        stage.sensor(ref, timeout=0.2).run()
    stage.sensor(ref).kill()

    assert stage.sandbox.ledger.cancels == []
    assert len(stage.sandbox.ledger.live_runs()) == 1


def test_soft_fail_skips_in_both_modes(stage: Stage) -> None:
    from airflow.providers.common.compat.sdk import AirflowSkipException

    ref = stage.somebody_elses_run(BAD)

    with pytest.raises(AirflowSkipException):
        stage.sensor(ref, soft_fail=True).run()
