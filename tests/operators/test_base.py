"""What every operator does, with a vendor of its own: checks, tries, deadlines, kills, and runs in the way."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_etlapis.exceptions import (
    AlreadyRunningError,
    EtlApiError,
    RemoteRunFailedError,
    RemoteRunTimeoutError,
    RequestRefusedError,
    StartLostError,
    TaskStateUnavailableError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.runs.evidence import Evidence as Sighting
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import RunRef, RunState
from tests.support.airflow_context import BrokenStateStore, FakeStateStore, FakeTaskInstance, TaskLog, context_of
from tests.support.fake_vendor import VENDOR, FakeOperator, FakeVendor, operator
from tests.support.rehearsal import Rehearsal

GOOD, BAD, ALIVE = RunState.SUCCEEDED, RunState.FAILED, RunState.RUNNING
MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"poll_interval": 0}, "poll_interval must be above 0 seconds"),
        ({"poll_interval": -1}, "poll_interval must be above 0 seconds"),
        ({"timeout": 0}, "timeout must be above 0 seconds"),
        ({"timeout": timedelta(seconds=-1)}, "timeout must be above 0 seconds"),
        ({"on_lost_start": "maybe"}, "on_lost_start must be one of 'fail', 'adopt', 'restart'"),
        ({"on_already_running": "kill"}, "on_already_running must be one of 'fail', 'wait', 'attach'"),
        ({"log_remote": "always"}, "log_remote must be one of True, False, 'on_failure'"),
    ],
)
def test_a_bad_argument_is_refused_when_the_dag_is_read(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FakeOperator(task_id="t", **arguments)


def test_a_timeout_may_be_a_timedelta_a_number_or_none() -> None:
    assert FakeOperator(task_id="a", timeout=timedelta(minutes=2)).timeout == 120
    assert FakeOperator(task_id="b", timeout=5).timeout == 5
    assert FakeOperator(task_id="c", timeout=None).timeout is None


def test_reading_a_dag_makes_no_hook_and_no_connection() -> None:
    made = FakeOperator(task_id="t", fake_conn_id="not_there")

    assert made._hook is None


def test_xcoms_are_pushed_at_the_start(vendor: FakeVendor) -> None:
    vendor.lives = [[ALIVE]]
    task = Rehearsal(operator())

    task.lose_process()

    assert task.ti.xcoms["run_id"] == "run-1"
    assert task.ti.xcoms["run_url"] == "https://vendor.example/runs/run-1"
    claim = task.ti.xcoms["remote_run"]
    assert RunRef.from_json(claim) == RunRef(VENDOR, {"id": "run-1"})
    assert (claim["owned"], claim["conn_id"], claim["waits"]) == (True, "fake_default", True)
    assert claim["deadline"] > time.time()


@MODES
def test_a_failure_tells_status_reason_last_log_lines_and_link(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.lives = [[BAD]]
    vendor.log_lines = ["first", "second", "disk is full"]

    with pytest.raises(RemoteRunFailedError) as failure:
        Rehearsal(operator(deferrable=deferrable)).run()

    assert str(failure.value) == (
        "Run run-1 of nightly load ended as FAILED: out of disk\n"
        "Last lines of its log:\nfirst\nsecond\ndisk is full\n"
        "See https://vendor.example/runs/run-1"
    )
    assert failure.value.manifest["duration"] == 3600


@MODES
def test_the_log_is_left_out_if_told_so(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.lives = [[BAD]]
    vendor.log_lines = ["disk is full"]

    with pytest.raises(RemoteRunFailedError) as failure:
        Rehearsal(operator(deferrable=deferrable, log_remote=False)).run()

    assert "disk is full" not in str(failure.value)


@MODES
def test_the_remote_log_comes_along_if_asked_for(vendor: FakeVendor, deferrable: bool, task_log: TaskLog) -> None:
    vendor.lives = [[ALIVE, ALIVE, GOOD]]
    vendor.log_lines = ["extracting", "loading"]

    Rehearsal(operator(deferrable=deferrable, log_remote=True)).run()

    lines = [text for _, text in task_log.lines if text.startswith("[remote]")]
    assert lines == ["[remote] extracting", "[remote] loading"]


@MODES
def test_a_warning_is_a_success_unless_the_operator_says_otherwise(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.lives = [[RunState.WARNING], [RunState.WARNING]]

    assert Rehearsal(operator(deferrable=deferrable)).run()["state"] == "warning"

    def strict() -> FakeOperator:
        made = operator(deferrable=deferrable)()
        made.warning_is_failure = True
        return made

    with pytest.raises(RemoteRunFailedError, match="ended as WARNING"):
        Rehearsal(strict).run()


# Deadlines


@MODES
def test_the_earlier_of_both_deadlines_counts(vendor: FakeVendor, deferrable: bool) -> None:
    for arguments in (
        {"timeout": 0.3, "execution_timeout": timedelta(hours=1)},
        {"timeout": 3600, "execution_timeout": timedelta(seconds=0.4)},
    ):
        vendor.lives = [[ALIVE]]
        began = time.monotonic()
        with pytest.raises(RemoteRunTimeoutError, match="asked to cancel"):
            Rehearsal(operator(deferrable=deferrable, **arguments)).run()
        assert time.monotonic() - began < 3

    assert vendor.cancels == vendor.starts


def test_a_try_that_follows_a_run_keeps_its_deadline_unless_that_has_passed(vendor: FakeVendor) -> None:
    vendor.lives = [[ALIVE]]
    task = Rehearsal(operator(deferrable=True, timeout=100.0))
    task.kill(state="deferred")
    first = task.trigger_arguments[-1]["deadline"]
    task.retry().kill(state="deferred")
    assert task.trigger_arguments[-1]["deadline"] == first

    assert task.store is not None
    memory = task.store.get("remote_run")
    task.store.set("remote_run", {**memory, "deadline": time.time() - 1})
    task.retry().kill(state="deferred")
    assert task.trigger_arguments[-1]["deadline"] == pytest.approx(time.time() + 100, abs=5)
    assert vendor.starts == ["run-1"]


def test_without_a_timeout_there_is_no_deadline(vendor: FakeVendor) -> None:
    vendor.lives = [[ALIVE]]
    task = Rehearsal(operator(deferrable=True, timeout=None))

    task.kill(state="deferred")

    assert task.trigger_arguments[-1]["deadline"] is None
    assert task.backstop is None


def test_a_deferral_whose_time_is_up_cancels_the_run(vendor: FakeVendor) -> None:
    vendor.lives = [[ALIVE]]

    with pytest.raises(RemoteRunTimeoutError, match=r"no triggerer ended the wait in time.*asked to cancel run-1"):
        Rehearsal(operator(deferrable=True)).fail_deferral("Trigger timeout")

    assert vendor.cancels == ["run-1"]


def test_a_crashed_trigger_leaves_the_run_and_the_retry_follows_it(vendor: FakeVendor, task_log: TaskLog) -> None:
    vendor.lives = [[ALIVE, ALIVE, GOOD]]
    task = Rehearsal(operator(deferrable=True))

    with pytest.raises(Exception, match="Trigger failure") as failure:
        task.fail_deferral("Trigger failure")

    assert type(failure.value).__name__ == "TaskDeferralError"
    assert vendor.cancels == []
    assert "a retry of this task attaches to it again" in task_log.text
    assert task.retry().run()["run_id"] == "run-1"
    assert vendor.starts == ["run-1"]


@pytest.mark.parametrize("event", [None, {}, {"status": "done"}, {"ref": {}}])
def test_an_event_that_is_none_fails_loudly(vendor: FakeVendor, event: Any) -> None:
    with pytest.raises(EtlApiError, match="no usable event"):
        operator()().execute_complete(context_of(FakeTaskInstance()), event)


def test_a_status_that_nobody_knows_is_no_success(vendor: FakeVendor) -> None:
    event = {"status": "splendid", "ref": RunRef(VENDOR, {"id": "run-1"}).to_json(), "message": "from the future"}

    with pytest.raises(EtlApiError, match="from the future"):
        operator()().execute_complete(context_of(FakeTaskInstance()), event)


@MODES
def test_a_run_that_is_alive_after_all_is_waited_for(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.looks["run-9"] = [ALIVE, ALIVE, GOOD]
    ref = RunRef(VENDOR, {"id": "run-9"})
    event = {"status": "done", "ref": ref.to_json(), "state": "succeeded", "deadline": None}

    manifest = operator(deferrable=deferrable)().execute_complete(context_of(FakeTaskInstance()), event)

    assert manifest["state"] == "succeeded"


def test_a_run_that_the_trigger_saw_cancelled_is_no_success_later(vendor: FakeVendor) -> None:
    vendor.looks["run-9"] = [GOOD]
    ref = RunRef(VENDOR, {"id": "run-9"})
    event = {"status": "done", "ref": ref.to_json(), "state": "cancelled"}

    with pytest.raises(RemoteRunFailedError):
        operator()().execute_complete(context_of(FakeTaskInstance()), event)


# Tries


@MODES
def test_a_store_that_cannot_be_read_is_not_an_empty_one(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.lives = [[ALIVE]]
    task = Rehearsal(operator(deferrable=deferrable), store=BrokenStateStore())
    task.lose_process()
    vendor.search = Search(Sighting.ABSENT, "the newest runs")

    with pytest.raises(TaskStateUnavailableError, match="Nothing was started; a retry of this task") as failure:
        task.retry().run()

    assert not isinstance(failure.value, AirflowFailException), "a later retry may be able to read it"
    assert vendor.starts == ["run-1"]


@MODES
def test_a_store_that_is_away_for_a_moment_is_read_once_it_is_back(vendor: FakeVendor, deferrable: bool) -> None:
    class AwayForAMoment(FakeStateStore):
        away = 0

        def get(self, key: str, default: Any = None) -> Any:
            if self.away > 0:
                self.away -= 1
                raise ConnectionError("no state store for a moment")
            return super().get(key, default)

    vendor.lives = [[ALIVE]]
    store = AwayForAMoment()
    task = Rehearsal(operator(deferrable=deferrable), store=store)
    task.lose_process()
    vendor.looks["run-1"] = [ALIVE, GOOD]
    store.away = 3

    assert task.retry().run()["run_id"] == "run-1"
    assert vendor.starts == ["run-1"]


def test_a_task_that_is_not_durable_starts_anew_each_time(vendor: FakeVendor) -> None:
    vendor.lives = [[ALIVE], [GOOD]]
    task = Rehearsal(operator(durable=False))
    task.lose_process()

    assert task.retry().run()["run_id"] == "run-2"
    assert task.store is not None
    assert task.store.texts == {}


@pytest.mark.parametrize(("policy", "starts"), [("fail", 0), ("adopt", 0), ("restart", 1)])
def test_a_start_that_nobody_can_tell_is_settled_by_policy(vendor: FakeVendor, policy: str, starts: int) -> None:
    vendor.start_faults = [VendorUnavailableError("reset", may_have_acted=True)]
    vendor.looks["theirs"] = [GOOD]
    vendor.search = Search(Sighting.UNSURE, "the newest runs", (vendor.run("theirs", ALIVE),))
    task = Rehearsal(operator(on_lost_start=policy))

    if policy == "fail":
        with pytest.raises(StartLostError, match="candidates: theirs"):
            task.run()
    else:
        assert task.run()["run_id"] == ("theirs" if policy == "adopt" else "run-1")

    assert len(vendor.starts) == starts


def test_a_start_that_surely_did_nothing_leaves_no_intent(vendor: FakeVendor) -> None:
    vendor.start_faults = [VendorUnavailableError("refused", may_have_acted=False)]
    task = Rehearsal(operator())
    with pytest.raises(VendorUnavailableError):
        task.run()

    assert task.store is not None
    assert task.store.texts == {}
    assert task.retry().run()["run_id"] == "run-1"


def test_a_lost_start_that_stays_unsettled_is_looked_for_again_by_the_next_try(vendor: FakeVendor) -> None:
    vendor.start_faults = [VendorUnavailableError("reset", may_have_acted=True)]
    task = Rehearsal(operator())
    with pytest.raises(StartLostError):
        task.run()
    vendor.looks["run-7"] = [GOOD]
    vendor.search = Search(Sighting.FOUND, "the newest runs", (vendor.run("run-7", ALIVE),))

    assert task.retry().run()["run_id"] == "run-7"
    assert vendor.starts == []


def test_mapped_tasks_have_markers_of_their_own(vendor: FakeVendor) -> None:
    markers = set()
    for index in (-1, 0, 1):
        task = Rehearsal(operator())
        task.ti.map_index = index
        task.run()
        assert task.store is not None
        markers.add(task.store.get("remote_run")["marker"])

    assert len(markers) == 3


# Kills


def test_a_kill_before_the_start_cancels_nothing(vendor: FakeVendor) -> None:
    operator()().on_kill()

    assert vendor.cancels == []


def test_a_kill_while_waiting_cancels_once(vendor: FakeVendor) -> None:
    vendor.lives = [[ALIVE]]

    Rehearsal(operator()).kill()

    assert vendor.cancels == ["run-1"]


def test_a_kill_that_cannot_reach_the_vendor_does_not_raise(
    vendor: FakeVendor, task_log: TaskLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.lives = [[ALIVE]]

    def away(self: Any, ref: RunRef) -> Any:
        raise VendorUnavailableError("away")

    from tests.support.fake_vendor import FakeHook

    monkeypatch.setattr(FakeHook, "cancel_run", away)
    Rehearsal(operator()).kill()

    assert "Cancelling run run-1 failed, it may go on: away" in task_log.text


# A run in the way


@MODES
def test_a_run_in_the_way_fails_the_task_by_default(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.busy_with, vendor.looks["theirs"] = "theirs", [ALIVE]

    with pytest.raises(AlreadyRunningError, match="theirs is in the way") as failure:
        Rehearsal(operator(deferrable=deferrable)).run()

    assert "Run theirs is in the way" in str(failure.value)
    assert "Nothing was started. on_already_running='wait' starts once it has ended" in str(failure.value)
    assert isinstance(failure.value, AirflowFailException)
    assert isinstance(failure.value, RequestRefusedError)


@MODES
def test_a_run_in_the_way_is_waited_for_and_the_own_one_started_then(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.busy_with, vendor.looks["theirs"] = "theirs", [ALIVE, ALIVE, ALIVE, BAD]

    manifest = Rehearsal(operator(deferrable=deferrable, on_already_running="wait")).run()

    assert manifest["run_id"] == "run-1"
    assert vendor.starts == ["run-1"]
    assert vendor.cancels == []


@MODES
def test_a_run_in_the_way_can_be_attached_to_and_is_never_cancelled(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.busy_with, vendor.looks["theirs"] = "theirs", [ALIVE]
    task = Rehearsal(operator(deferrable=deferrable, on_already_running="attach", timeout=0.3))

    with pytest.raises(RemoteRunTimeoutError, match="not started by this task and was left alone"):
        task.run()
    task.retry().kill()

    assert vendor.cancels == []
    assert vendor.starts == []


@MODES
def test_an_attached_run_gives_its_result(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.busy_with, vendor.looks["theirs"] = "theirs", [ALIVE, ALIVE, GOOD]

    manifest = Rehearsal(operator(deferrable=deferrable, on_already_running="attach")).run()

    assert manifest["run_id"] == "theirs"
    assert vendor.starts == []


@MODES
def test_a_run_that_stays_in_the_way_ends_in_the_deadline(vendor: FakeVendor, deferrable: bool) -> None:
    vendor.busy_with, vendor.looks["theirs"] = "theirs", [ALIVE]

    with pytest.raises(RemoteRunTimeoutError):
        Rehearsal(operator(deferrable=deferrable, on_already_running="wait", timeout=0.3)).run()

    assert vendor.starts == []
    assert vendor.cancels == []


def test_an_operator_defers_with_plain_arguments_only(vendor: FakeVendor) -> None:
    vendor.lives = [[ALIVE]]
    with pytest.raises(TaskDeferred) as deferred:
        operator(deferrable=True, timeout=60)().execute(context_of(FakeTaskInstance(retries=2)))

    _, arguments = deferred.value.trigger.serialize()
    assert deferred.value.method_name == "execute_complete"
    assert timedelta(seconds=60) < deferred.value.timeout < timedelta(minutes=5)
    assert {type(value) for value in arguments.values()} <= {str, int, float, bool, dict, type(None)}
