"""What every sensor does: waits for what it did not start, judges it alike in both modes, and never cancels."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_etlapis.exceptions import (
    CredentialsRejectedError,
    EtlApiError,
    PollingGaveUpError,
    RemoteRunGoneError,
    SensedRunFailedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.runs.model import RunState
from tests.support.airflow_context import FakeTaskInstance, context_of
from tests.support.fake_vendor import FakeVendor, sensor
from tests.support.rehearsal import Rehearsal
from tests.support.releases import AIRFLOW, AirflowRescheduleException

GOOD, BAD, ALIVE = RunState.SUCCEEDED, RunState.FAILED, RunState.RUNNING
MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
AWAY = VendorUnavailableError("503")

ENDS: list[Any] = [
    pytest.param([ALIVE, BAD], {}, SensedRunFailedError, id="bad"),
    pytest.param([BAD], {}, SensedRunFailedError, id="bad_from_the_start"),
    pytest.param([ALIVE], {"timeout": 0.2}, AirflowSensorTimeout, id="timeout"),
    pytest.param([ALIVE, AWAY], {"poll_failure_budget": 0.2}, PollingGaveUpError, id="outage"),
]


@MODES
def test_a_good_end_gives_the_manifest(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.looks["r"] = [ALIVE, ALIVE, GOOD]

    assert Rehearsal(sensor("r", deferrable=deferrable)).run()["state"] == "succeeded"


@MODES
def test_a_run_that_has_ended_already_is_not_waited_for(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.looks["r"] = [GOOD]
    task = Rehearsal(sensor("r", deferrable=deferrable))

    task.run()

    assert task.deferrals == []
    assert len(vendor.looked) == 1


@MODES
@pytest.mark.parametrize(("looks", "arguments", "error"), ENDS)
def test_ends_are_alike_in_both_modes(
    vendor: FakeVendor, looks: list[Any], arguments: dict[str, Any], error: type[Exception], deferrable: bool
) -> None:
    vendor.looks["r"] = list(looks)

    with pytest.raises(error):
        Rehearsal(sensor("r", deferrable=deferrable, **arguments)).run()

    assert vendor.cancels == []


@MODES
@pytest.mark.parametrize(("looks", "arguments", "error"), ENDS)
def test_soft_fail_skips_on_each_of_them(
    vendor: FakeVendor, looks: list[Any], arguments: dict[str, Any], error: type[Exception], deferrable: bool
) -> None:
    vendor.looks["r"] = list(looks)

    with pytest.raises(AirflowSkipException):
        Rehearsal(sensor("r", deferrable=deferrable, soft_fail=True, **arguments)).run()


@MODES
@pytest.mark.parametrize(("looks", "arguments", "error"), [end for end in ENDS if end.id != "timeout"])
def test_never_fail_skips_on_every_end_but_airflows_own_timeout(
    vendor: FakeVendor, looks: list[Any], arguments: dict[str, Any], error: type[Exception], deferrable: bool
) -> None:
    vendor.looks["r"] = list(looks)

    with pytest.raises(AirflowSkipException):
        Rehearsal(sensor("r", deferrable=deferrable, never_fail=True, **arguments)).run()


@MODES
def test_a_bad_end_spends_no_retries(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.looks["r"] = [ALIVE, BAD]

    with pytest.raises(AirflowFailException, match="out of disk"):
        Rehearsal(sensor("r", deferrable=deferrable)).run()


@MODES
def test_a_credential_that_never_worked_fails_at_once(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.looks["r"] = [CredentialsRejectedError("401")]

    with pytest.raises(AirflowFailException):
        Rehearsal(sensor("r", deferrable=deferrable)).run()


@MODES
def test_a_run_that_nobody_knows_is_gone_after_a_while(
    vendor: FakeVendor, deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_etlapis.runs import waiting

    monkeypatch.setattr(waiting.WaitPolicy.__init__, "__defaults__", (None, waiting.DEFAULT_PATIENCE, 0.2))

    with pytest.raises(RemoteRunGoneError, match="no run r"):
        Rehearsal(sensor("r", deferrable=deferrable)).run()


@MODES
def test_a_kill_leaves_the_run(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.looks["r"] = [ALIVE]

    Rehearsal(sensor("r", deferrable=deferrable)).kill()

    assert vendor.cancels == []


@pytest.mark.parametrize(("error", "expected"), [("Trigger timeout", AirflowSensorTimeout), ("Trigger failure", None)])
def test_a_deferral_that_ends_without_an_event(vendor: FakeVendor, error: str, expected: Any) -> None:
    vendor.looks["r"] = [ALIVE]

    with pytest.raises(expected or Exception) as failure:
        Rehearsal(sensor("r", deferrable=True)).fail_deferral(error)

    assert expected or type(failure.value).__name__ == "TaskDeferralError"
    assert vendor.cancels == []


@pytest.mark.parametrize("event", [None, {}, {"status": "done"}])
def test_an_event_that_is_none_fails_loudly(vendor: FakeVendor, event: Any) -> None:
    with pytest.raises(EtlApiError, match="no usable event"):
        sensor("r")().execute_complete(context_of(FakeTaskInstance()), event)


def test_the_url_is_known_as_soon_as_the_run_is_seen(vendor: FakeVendor) -> None:
    vendor.looks["r"] = [ALIVE]
    task = Rehearsal(sensor("r"))

    task.lose_process()

    assert task.ti.xcoms == {"run_url": "https://vendor.example/runs/r"}


@pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 asks its database here: see tests/releases/test_dag.py")
def test_reschedule_mode_gives_the_slot_back_between_two_looks(vendor: FakeVendor) -> None:
    vendor.looks["r"] = [ALIVE, GOOD]
    ti = FakeTaskInstance()
    ti.get_first_reschedule_date = lambda context: None  # type: ignore[attr-defined]

    with pytest.raises(AirflowRescheduleException):
        sensor("r", mode="reschedule")().execute(context_of(ti))

    assert sensor("r", mode="reschedule")().execute(context_of(ti))["state"] == "succeeded"
