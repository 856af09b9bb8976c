"""WebRobot's operators and sensors as Airflow runs them, beyond what the contract suite asks of every vendor."""
# ruff: noqa: F401, F811 - fixtures are imported, and asked for by their names

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_etlapis.exceptions import (
    AlreadyRunningError,
    ConflictError,
    InvalidInputError,
    RemoteRunFailedError,
    SensedRunFailedError,
)
from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.operators.webrobot import (
    WebRobotExecuteJobOperator,
    WebRobotMetricsOperator,
    WebRobotStartTaskOperator,
    WebRobotStopTaskOperator,
)
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.webrobot import WebRobotSandbox, execution_of
from airflow_provider_etlapis.sandbox.webrobot.work import Job, Task, stamp
from airflow_provider_etlapis.sensors.webrobot import (
    WebRobotExecutionSensor,
    WebRobotJobSensor,
    WebRobotTaskSensor,
)
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger
from tests.support.airflow_context import FakeTaskInstance, TaskLog, context_of, task_log
from tests.support.rehearsal import Rehearsal
from tests.vendors.webrobot.stage import TASK_SPEC, connect

IDS = {"project_id": "98", "job_id": "210"}
HOOK = "airflow_provider_etlapis.hooks.webrobot.WebRobotHook"
TASK = {**IDS, "webrobot_task_id": "1"}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebRobotSandbox]:
    """On a clock that runs: these tests wait."""
    with WebRobotSandbox() as running:
        connect(monkeypatch, running)
        yield running


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def later(seconds: float, do: Callable[[], Any]) -> None:
    """Do something from another thread in a moment."""
    threading.Timer(seconds, do).start()


def execute(operator: Any) -> Any:
    return operator.execute(context_of(FakeTaskInstance()))


# -- executing a job ----------------------------------------------------------------------------------------------


def test_the_manifest_of_an_execution_has_the_metrics_of_its_task(sandbox: WebRobotSandbox, deferrable: bool) -> None:
    sandbox.plan(Life(duration=0.2))

    manifest = Rehearsal(
        lambda: WebRobotExecuteJobOperator(task_id="run", **IDS, deferrable=deferrable, poll_interval=0.1)
    ).run()

    assert manifest["details"]["metrics"]["recordsOutput"] == 1187
    assert manifest["ids"]["execution_id"].startswith("spark-")
    assert manifest["run_id"] == f"98/210/{manifest['ids']['execution_id']}"


def test_a_failure_shows_the_ends_of_both_logs(sandbox: WebRobotSandbox, deferrable: bool) -> None:
    sandbox.plan(Life(duration=0.1, outcome="error", error_text="no column price"))

    with pytest.raises(RemoteRunFailedError) as failure:
        Rehearsal(
            lambda: WebRobotExecuteJobOperator(task_id="run", **IDS, deferrable=deferrable, poll_interval=0.1)
        ).run()

    assert "ended as FAILED: no column price" in str(failure.value)
    assert "[executor]" in str(failure.value)
    assert "[driver]" in str(failure.value)
    assert "/spark-ui/spark-" in str(failure.value)


def test_the_log_is_copied_as_it_comes_each_line_once(
    sandbox: WebRobotSandbox, deferrable: bool, task_log: TaskLog
) -> None:
    sandbox.plan(Life(duration=0.6))

    Rehearsal(
        lambda: WebRobotExecuteJobOperator(
            task_id="run", **IDS, deferrable=deferrable, poll_interval=0.1, log_remote=True
        )
    ).run()

    for line in ("read: running", "transform: running", "write: running"):
        assert len([text for _, text in task_log.lines if line in text and "[remote]" in text]) == 1


@pytest.mark.parametrize("policy", ["fail", "wait", "attach"])
def test_a_job_that_runs_already_is_met_by_policy(sandbox: WebRobotSandbox, deferrable: bool, policy: str) -> None:
    seeded = sandbox.seed_run(Life(duration=0.8))
    sandbox.plan(Life(duration=0.2))
    task = Rehearsal(
        lambda: WebRobotExecuteJobOperator(
            task_id="run", **IDS, deferrable=deferrable, poll_interval=0.1, on_already_running=policy
        )
    )

    if policy == "fail":
        with pytest.raises(AlreadyRunningError):
            task.run()
    else:
        manifest = task.run()
        assert manifest["state"] == "succeeded"
        assert (manifest["run_id"] == seeded.id) is (policy == "attach")
    assert len(sandbox.ledger.starts) == int(policy == "wait")
    assert sandbox.ledger.cancels == []


def test_an_attached_run_is_never_stopped_by_us(sandbox: WebRobotSandbox, deferrable: bool) -> None:
    sandbox.seed_run(Life(duration=99))

    Rehearsal(
        lambda: WebRobotExecuteJobOperator(
            task_id="run", **IDS, deferrable=deferrable, poll_interval=0.1, on_already_running="attach"
        )
    ).kill()

    assert sandbox.ledger.cancels == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"project_id": ""},
        {"job_id": None},
        {"job_id": "../1"},
        {"arguments": "--day 1"},
        {"arguments": [["nested"]]},
        {"arguments": [None]},
        {"arguments": {"day": 1}},
        {"cloud_credential_ids": [True]},
        {"body": ["no object"]},
        {"body": {"limit": float("nan")}},
        {"body": {"when": object()}},
        {"arguments": ["a"], "body": {"arguments": ["b"]}},
    ],
)
def test_wrong_inputs_are_refused_before_anything_is_sent(sandbox: WebRobotSandbox, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        execute(WebRobotExecuteJobOperator(task_id="run", **{**IDS, **wrong}))

    assert sandbox.ledger.requests == []


def test_inputs_from_templates_are_taken_as_they_come() -> None:
    operator = WebRobotExecuteJobOperator(task_id="run", project_id=98, job_id=" 210 ", arguments=["--day", 7])  # type: ignore[arg-type, list-item]  # as native templates have them

    assert operator.spec() == {
        "project_id": "98",
        "job_id": "210",
        "arguments": ["--day", "7"],
        "cloud_credential_ids": None,
        "body": {},
    }


def test_an_execution_that_is_not_visible_at_once_is_waited_for(sandbox: WebRobotSandbox, deferrable: bool) -> None:
    sandbox.hidden_for = 0.4
    sandbox.plan(Life(duration=0.6))

    manifest = Rehearsal(
        lambda: WebRobotExecuteJobOperator(task_id="run", **IDS, deferrable=deferrable, poll_interval=0.1)
    ).run()

    assert manifest["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1


async def test_many_deferred_executions_are_followed_by_the_job_list(sandbox: WebRobotSandbox) -> None:
    refs = []
    for number in range(1, 81):
        sandbox.define(Job("600", str(number), f"job {number}", (Task(str(number), "only"),)))
        run = sandbox.seed_run(Life(duration=1.5), flow=f"600/{number}")
        refs.append(WebRobotHook.execution_ref("600", str(number), execution_of(run)))
    triggers = [
        RemoteRunTrigger(hook=HOOK, conn_id="webrobot_default", ref=ref.to_json(), poll_interval=0.25) for ref in refs
    ]

    events = await asyncio.gather(*(anext(trigger.run()) for trigger in triggers))

    assert {event.payload["status"] for event in events} == {"done"}
    assert {event.payload["state"] for event in events} == {"succeeded"}
    assert sandbox.ledger.count("list") >= 4
    assert sandbox.ledger.count("get") <= 2 * len(refs), "while its job goes on, a run is not read singly"


# -- starting a task ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ran_before", [False, True])
def test_a_task_is_started_and_followed_to_its_own_end(
    sandbox: WebRobotSandbox, deferrable: bool, ran_before: bool
) -> None:
    if ran_before:
        sandbox.seed_run(Life(duration=1), age=60)
    sandbox.task_lag = 0.3
    sandbox.plan(Life(duration=0.7))

    manifest = Rehearsal(
        lambda: WebRobotStartTaskOperator(task_id="run", **TASK, deferrable=deferrable, poll_interval=0.1)
    ).run()

    assert manifest["ids"] == TASK_SPEC
    assert manifest["state"] == "succeeded"
    # The row that tells the end may come later than the end itself.
    assert manifest["duration"] in (None, pytest.approx(0.7, abs=0.05))
    assert len(sandbox.ledger.starts) == 1


def test_a_task_that_a_person_ends_stops_the_task_in_webrobot(sandbox: WebRobotSandbox, deferrable: bool) -> None:
    sandbox.plan(Life(duration=99))

    Rehearsal(lambda: WebRobotStartTaskOperator(task_id="run", **TASK, deferrable=deferrable, poll_interval=0.1)).kill()

    assert sandbox.ledger.cancels == sandbox.ledger.starts


def test_a_retry_follows_the_run_of_a_task_and_knows_what_was_there_before(
    sandbox: WebRobotSandbox, deferrable: bool
) -> None:
    sandbox.seed_run(Life(duration=1), age=60)
    sandbox.plan(Life(duration=99))
    task = Rehearsal(
        lambda: WebRobotStartTaskOperator(task_id="run", **TASK, deferrable=deferrable, poll_interval=0.1, retries=1)
    )
    task.lose_process()
    sandbox.task_lag = 9999
    assert task.store is not None
    task.retry()
    later(0.4, lambda: (setattr(sandbox, "task_lag", 0.0), sandbox.clock.advance(200)))

    manifest = task.run()

    assert manifest["duration"] == pytest.approx(99, abs=1)
    assert len(sandbox.ledger.starts) == 1


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_lost_start_of_a_task_is_settled(sandbox: WebRobotSandbox, deferrable: bool, kind: Any) -> None:
    sandbox.seed_run(Life(duration=1), age=60)
    sandbox.plan(Life(duration=0.3))
    sandbox.inject(Fault("start_task", kind))

    manifest = Rehearsal(
        lambda: WebRobotStartTaskOperator(task_id="run", **TASK, deferrable=deferrable, poll_interval=0.1)
    ).run()

    assert manifest["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1


# -- stopping a task, reading metrics -----------------------------------------------------------------------------


def test_a_task_is_stopped(sandbox: WebRobotSandbox) -> None:
    seeded = sandbox.seed_run(Life(duration=99))

    assert execute(WebRobotStopTaskOperator(task_id="stop", **TASK)) is True
    assert sandbox.ledger.cancels == [seeded.id]


def test_a_task_that_does_not_run_counts_as_stopped_unless_told_otherwise(sandbox: WebRobotSandbox) -> None:
    assert execute(WebRobotStopTaskOperator(task_id="stop", **TASK)) is False
    with pytest.raises(ConflictError):
        execute(WebRobotStopTaskOperator(task_id="stop", **TASK, on_not_running="fail"))
    with pytest.raises(ValueError, match="on_not_running"):
        WebRobotStopTaskOperator(task_id="stop", **TASK, on_not_running="ignore")  # type: ignore[arg-type]  # on purpose


def test_metrics_of_a_task_or_a_job_are_returned(sandbox: WebRobotSandbox) -> None:
    sandbox.seed_run(Life(duration=4), age=60)

    assert execute(WebRobotMetricsOperator(task_id="m", **TASK))["durationSeconds"] == 4
    assert execute(WebRobotMetricsOperator(task_id="m", **IDS))["aggregated"]["completedCount"] == 1
    since = {"start_time": "2099-01-01"}
    assert execute(WebRobotMetricsOperator(task_id="m", **IDS, **since))["aggregated"]["totalExecutions"] == 0
    with pytest.raises(InvalidInputError):
        execute(WebRobotMetricsOperator(task_id="m", **TASK, **since))


# -- sensors ------------------------------------------------------------------------------------------------------


def sensor(kind: type, deferrable: bool, **arguments: Any) -> Rehearsal:
    common = {"task_id": "sense", "deferrable": deferrable, "poke_interval": 0.1, "timeout": 5.0}
    return Rehearsal(lambda: kind(**{**common, **arguments}))


KINDS = [pytest.param(WebRobotTaskSensor, TASK, id="task"), pytest.param(WebRobotJobSensor, IDS, id="job")]


@pytest.mark.parametrize(("kind", "ids"), KINDS)
@pytest.mark.parametrize("references", [True, False])
def test_a_sensor_waits_for_an_end_since_its_moment(
    sandbox: WebRobotSandbox, deferrable: bool, kind: type, ids: dict[str, str], references: bool
) -> None:
    sandbox.task_references = references
    sandbox.seed_run(Life(duration=1), age=7200)
    since = sandbox.clock.now()
    task = sensor(kind, deferrable, **ids, since=stamp(since))
    later(0.3, lambda: sandbox.seed_run(Life(duration=0.2)))

    manifest = task.run()

    assert (manifest["state"], manifest["vendor_status"]) == ("succeeded", "COMPLETED")
    assert sandbox.clock.now() - since > 0.4


@pytest.mark.parametrize(("kind", "ids"), KINDS)
def test_a_bad_end_is_not_the_end_of_the_wait(
    sandbox: WebRobotSandbox, deferrable: bool, kind: type, ids: dict[str, str]
) -> None:
    since = stamp(sandbox.clock.now() - 60)
    sandbox.seed_run(Life(duration=1, outcome="error"), age=30)
    later(0.3, lambda: sandbox.seed_run(Life(duration=0.1)))

    assert sensor(kind, deferrable, **ids, since=since).run()["state"] == "succeeded"


@pytest.mark.parametrize(("kind", "ids"), KINDS)
def test_an_old_end_ends_the_wait_in_its_timeout(
    sandbox: WebRobotSandbox, deferrable: bool, kind: type, ids: dict[str, str], task_log: TaskLog
) -> None:
    sandbox.seed_run(Life(duration=1), age=7200)

    with pytest.raises(AirflowSensorTimeout):
        sensor(kind, deferrable, **ids, since=stamp(sandbox.clock.now()), timeout=0.4).run()

    assert "waiting for a run that ends at or after" in task_log.text


@pytest.mark.parametrize(("kind", "ids"), KINDS)
def test_without_a_moment_the_last_run_counts_good_or_bad(
    sandbox: WebRobotSandbox, deferrable: bool, kind: type, ids: dict[str, str]
) -> None:
    sandbox.seed_run(Life(duration=1), age=7200)
    assert sensor(kind, deferrable, **ids, since="").run()["state"] == "succeeded"

    sandbox.seed_run(Life(duration=1, outcome="error"), age=3600)
    with pytest.raises(SensedRunFailedError):
        sensor(kind, deferrable, **ids, since=None).run()


def test_a_good_end_between_two_looks_is_seen_in_the_jobs_counts(sandbox: WebRobotSandbox) -> None:
    since = stamp(sandbox.clock.now() - 60)
    sandbox.seed_run(Life(duration=1), age=30)
    sandbox.seed_run(Life(duration=99), age=5)

    manifest = sensor(WebRobotJobSensor, False, **IDS, since=since).run()

    assert manifest["details"]["completedCount"] == 1


def test_a_sensor_takes_the_result_of_an_execution(sandbox: WebRobotSandbox, deferrable: bool) -> None:
    seeded = sandbox.seed_run(Life(duration=0.4))
    execution_id = seeded.id.rpartition("/")[2]

    manifest = sensor(WebRobotExecutionSensor, deferrable, **IDS, execution_id=execution_id).run()

    assert manifest["run_id"] == seeded.id
    assert sandbox.ledger.cancels == []
