"""Tasks whose start of a Meiro workspace was not answered, over HTTP, on a worker and deferred."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import EtlApiError, StartLostError
from airflow_provider_etlapis.hooks.endpoints import endpoint
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.operators.meiro import MeiroRunWorkspaceOperator
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.meiro.work import USER
from tests.support.rehearsal import Rehearsal

STRANGER = 999
LONG = Life(3600.0)


def by(meiro: MeiroSandbox, user_id: int | None, life: Life = LONG, age: float = 0.0) -> str:
    return meiro.seed_run(life, flow="100", age=age, request={"user_id": user_id}).id


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(name="live")
def given_live(etlapis_sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., MeiroSandbox]:
    """A sandbox in real time, with a connection whose extra a test changes."""

    def start(**extra: Any) -> MeiroSandbox:
        sandbox: MeiroSandbox = etlapis_sandbox.meiro(conn_id="meiro_default")
        connection = sandbox.connection()
        connection["extra"] = {**connection["extra"], "retries": 0, "requests_per_minute": 60_000, **extra}
        monkeypatch.setenv("AIRFLOW_CONN_MEIRO_DEFAULT", json.dumps(connection))
        return sandbox

    return start


def task(deferrable: bool, **arguments: Any) -> Rehearsal:
    keeps_state = arguments.pop("keeps_state", True)
    wanted = {"task_id": "run", "workspace_id": 100, "poll_interval": 0.05, "retries": 3, **arguments}
    return Rehearsal(lambda: MeiroRunWorkspaceOperator(deferrable=deferrable, **wanted), keeps_state=keeps_state)


def last_tries(rehearsal: Rehearsal, most: int = 3, **arguments: Any) -> Any:
    """Play retries until one returns; errors that spend a retry are allowed on the way, others are not."""
    for _ in range(most):
        with contextlib.suppress(EtlApiError):
            return rehearsal.retry().run(**arguments)
    raise AssertionError(f"no try of {most} came to an end")


def test_a_start_that_takes_effect_two_seconds_after_we_gave_up_is_found_and_not_made_twice(
    live: Callable[..., MeiroSandbox], deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "ACTS_AFTER_TIMEOUT", 5.0)
    meiro = live(read_timeout=1)
    meiro.plan(Life(0.2))
    meiro.inject(Fault("start", "delay", seconds=3.0))
    begun = time.monotonic()

    manifest = task(deferrable).run()

    time.sleep(max(0.0, begun + 3.5 - time.monotonic()))  # by then, what was sent first has surely taken effect
    assert manifest["state"] == "succeeded"
    assert meiro.ledger.starts == [manifest["run_id"]]


def somebody_starts_as_we_do(meiro: MeiroSandbox, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let another user start the workspace between our last look at it and our own start."""
    begin, theirs = MeiroHook.start_run, list[str]()

    def after_somebody(hook: MeiroHook, spec: Any, marker: str) -> Any:
        theirs.append(by(meiro, STRANGER))
        return (yield from begin.__get__(hook, MeiroHook).plan(spec, marker))

    monkeypatch.setattr(MeiroHook, "start_run", endpoint(after_somebody))
    return theirs


def test_another_users_job_at_the_moment_of_our_lost_start_is_not_taken_for_ours(
    live: Callable[..., MeiroSandbox], deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    meiro = live()
    meiro.plan(Life(0.2))
    meiro.inject(Fault("start", "drop_after"))
    somebody_starts_as_we_do(meiro, monkeypatch)

    manifest = task(deferrable).run()

    assert manifest["details"]["user_id"] == USER
    assert meiro.ledger.starts == [manifest["run_id"]]


def test_another_users_job_is_not_taken_when_our_start_never_arrived(
    live: Callable[..., MeiroSandbox], deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    meiro = live()
    meiro.inject(Fault("start", "drop_before"))
    theirs = somebody_starts_as_we_do(meiro, monkeypatch)

    with pytest.raises(StartLostError) as lost:
        task(deferrable).run()

    assert theirs[0] in str(lost.value), "the message names the job to check"
    assert meiro.ledger.starts == []


def test_with_a_wrong_user_id_a_lost_start_is_not_made_twice(
    live: Callable[..., MeiroSandbox], deferrable: bool
) -> None:
    meiro = live(user_id=12345)
    meiro.plan(Life(0.2), Life(0.2))
    meiro.inject(Fault("start", "drop_after"))

    with pytest.raises(StartLostError, match="100/5001"):
        task(deferrable).run()

    assert len(meiro.ledger.starts) == 1


@pytest.mark.parametrize("status", [408, 413, 460, 499, 504])
def test_a_start_behind_a_proxys_status_is_found_and_not_forgotten(
    live: Callable[..., MeiroSandbox], deferrable: bool, status: int
) -> None:
    meiro = live()
    meiro.plan(Life(0.2))
    meiro.inject(Fault("start", "html", status=status, applied=True))

    manifest = task(deferrable).run()

    assert meiro.ledger.starts == [manifest["run_id"]]


def since_a_minute(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the DAG run have begun a minute ago."""
    context = rehearsal._context

    def earlier() -> Any:
        began = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 60, UTC)
        return {**context(), "dag_run": SimpleNamespace(start_date=began)}

    monkeypatch.setattr(rehearsal, "_context", earlier)


def test_without_a_store_another_tasks_job_since_the_dag_runs_start_is_never_taken(
    live: Callable[..., MeiroSandbox], deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    meiro = live()
    rehearsal = task(deferrable, keeps_state=False)
    since_a_minute(rehearsal, monkeypatch)
    refused = meiro.inject(Fault("jobs", "status", status=503, times=None))
    with pytest.raises(EtlApiError):
        rehearsal.run()
    refused.remove()
    theirs = by(meiro, USER, age=30.0)

    with pytest.raises(StartLostError, match=theirs):
        rehearsal.retry().run()

    assert meiro.ledger.starts == []


def test_without_a_store_another_tasks_good_job_is_not_our_result(
    live: Callable[..., MeiroSandbox], deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    meiro = live()
    meiro.plan(Life(0.05, outcome="error"))
    rehearsal = task(deferrable, keeps_state=False)
    since_a_minute(rehearsal, monkeypatch)
    with pytest.raises(EtlApiError):
        rehearsal.run()
    by(meiro, USER, Life(1.0), age=30.0)

    with pytest.raises(StartLostError):
        rehearsal.retry().run()

    assert len(meiro.ledger.starts) == 1


@pytest.mark.parametrize("kind", ["text", "html"])
def test_one_404_of_a_default_backend_at_the_look_back_starts_no_second_job(
    live: Callable[..., MeiroSandbox], deferrable: bool, kind: str
) -> None:
    meiro = live()
    meiro.plan(LONG)
    rehearsal = task(deferrable)
    rehearsal.lose_process()
    run_id = rehearsal.ti.xcoms["run_id"]
    odd = {
        "text": Fault("get", "status", status=404, body="default backend - 404"),
        "html": Fault("get", "html", status=404),
    }
    meiro.inject(odd[kind])

    manifest = last_tries(rehearsal, when_known=lambda: meiro.clock.advance(7200.0))

    assert manifest["run_id"] == run_id
    assert len(meiro.ledger.starts) == 1
