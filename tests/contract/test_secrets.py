"""Secrets stay in the connection: not in XCom, trigger arguments, events, task state, logs or exceptions."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest

from airflow_provider_etlapis.sandbox.faults import Fault
from tests.contract.conftest import BAD, GATEWAY_SECRET, LONG, SHORT, Stage, connect
from tests.support.airflow_context import TaskLog
from tests.support.rehearsal import Rehearsal

_TELLTALE = ("password", "secret", "token", "api_key", "apikey")


@pytest.fixture
def secrets(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything in the vendor's connection that must not be seen."""
    connection = connect(monkeypatch, stage.row, stage.sandbox)
    hidden = [connection.get("password"), GATEWAY_SECRET]
    hidden += [value for key, value in connection["extra"].items() if any(word in key for word in _TELLTALE)]
    return [value for value in hidden if isinstance(value, str) and len(value) >= 4 and not value.startswith("{")]


def shown_by(task: Rehearsal, log: TaskLog, error: BaseException | None = None) -> str:
    """Return all that a task left where people or Airflow's database can read it."""
    left: list[Any] = [task.ti.xcoms, task.trigger_arguments, task.events, task.returned]
    if task.store is not None:
        left.append(task.store.texts)
    told = "".join(traceback.format_exception(error)) + repr(error) if error else ""
    return json.dumps(left, default=repr) + log.text + told


def test_a_good_run_shows_no_secret(stage: Stage, secrets: list[str], task_log: TaskLog) -> None:
    stage.sandbox.plan(SHORT)
    task = stage.task()

    task.run()

    shown = shown_by(task, task_log)
    assert [secret for secret in secrets if secret in shown] == []


def test_a_bad_run_shows_no_secret(stage: Stage, secrets: list[str], task_log: TaskLog) -> None:
    stage.sandbox.plan(BAD)
    task = stage.task()

    with pytest.raises(Exception, match=BAD.error_text) as failure:
        task.run()

    shown = shown_by(task, task_log, failure.value)
    assert [secret for secret in secrets if secret in shown] == []


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_a_server_that_echoes_secrets_does_not_make_them_seen(
    stage: Stage, secrets: list[str], task_log: TaskLog, status: int
) -> None:
    echo = f"<p>your headers: {' '.join(secrets)}</p>"
    stage.sandbox.inject(Fault("start", "status", status=status, body=echo))
    stage.sandbox.plan(SHORT)
    task = stage.task()

    failure: BaseException | None = None
    try:
        task.run()
    except Exception as error:  # noqa: BLE001 which one is another test's business
        failure = error

    shown = shown_by(task, task_log, failure)
    assert [secret for secret in secrets if secret in shown] == []


def test_a_killed_task_shows_no_secret(stage: Stage, secrets: list[str], task_log: TaskLog) -> None:
    stage.sandbox.plan(LONG)
    echo = f"<p>your headers: {' '.join(secrets)}</p>"
    stage.sandbox.inject(Fault("cancel", "status", status=500, body=echo, times=None))
    task = stage.task()

    task.kill()

    shown = shown_by(task, task_log)
    assert [secret for secret in secrets if secret in shown] == []
