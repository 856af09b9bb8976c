"""A deferred task that Airflow 2 ends for its `execution_timeout` before it calls any code of the task."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_etlapis.operators import deferral
from airflow_provider_etlapis.runs.model import RunRef, RunState
from tests.support.airflow_context import FakeTaskInstance, TaskLog, context_of
from tests.support.fake_vendor import VENDOR, FakeVendor, operator


@pytest.fixture
def late(vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch) -> FakeTaskInstance:
    """A task instance that is taken up after a deferral, whose run goes on."""
    ti = FakeTaskInstance()
    ti.next_method = "execute_complete"
    ti.xcom_push("remote_run", {**RunRef(VENDOR, {"id": "run-1"}).to_json(), "owned": True})
    vendor.looks["run-1"] = [RunState.RUNNING]
    monkeypatch.setattr(deferral, "get_current_context", lambda: context_of(ti))
    return ti


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize("cancels", [True, False])
def test_a_task_taken_up_too_late_cancels_its_run_or_leaves_it_as_asked(
    vendor: FakeVendor, task_log: TaskLog, cancels: bool
) -> None:
    made = operator(cancel_on_timeout=cancels, cancel_on_kill=not cancels)()

    try:
        raise AirflowTaskTimeout
    except AirflowTaskTimeout:
        made.on_kill()

    assert vendor.cancels == (["run-1"] if cancels else [])
    assert "Run run-1 did not finish within execution_timeout" in task_log.text


@pytest.mark.usefixtures("late")
def test_a_task_that_is_killed_while_it_is_taken_up_cancels_its_run(vendor: FakeVendor) -> None:
    operator()().on_kill()

    assert vendor.cancels == ["run-1"]


def test_a_run_of_somebody_else_is_left_alone(vendor: FakeVendor, late: FakeTaskInstance) -> None:
    late.xcom_push("remote_run", {**RunRef(VENDOR, {"id": "run-1"}).to_json(), "owned": False})

    operator()().on_kill()

    assert vendor.cancels == []
