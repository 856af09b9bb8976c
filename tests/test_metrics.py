"""What those who operate Airflow see in its metrics: every name that the documentation has, with its tags."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_etlapis import metrics
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger
from tests.support.rehearsal import Rehearsal

TAGS = {"conn_id": "celery_director_default", "vendor": "celery_director"}


class Recorder:
    """Airflow's metrics, kept."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.gauges: dict[str, list[float]] = {}

    def incr(self, name: str, number: int, *, tags: dict[str, str]) -> None:
        assert tags == TAGS
        self.counts[name] += number

    def gauge(self, name: str, value: float, *, tags: dict[str, str]) -> None:
        assert tags == TAGS
        self.gauges.setdefault(name, []).append(value)


@pytest.fixture
def in_triggerer(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(metrics, "_core_stats", lambda: recorder)
    return recorder


@pytest.fixture
def in_worker(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(metrics, "_task_stats", lambda: recorder)
    return recorder


async def test_a_deferred_wait_counts_its_polls_requests_and_429s(etlapis_sandbox: Any, in_triggerer: Recorder) -> None:
    director = etlapis_sandbox.celery_director(conn_id="celery_director_default")
    run = director.seed_run(Life(1.5))
    director.inject(Fault("*", "status", status=429, retry_after=0.1))
    trigger = RemoteRunTrigger(
        hook=f"{CeleryDirectorHook.__module__}.{CeleryDirectorHook.__qualname__}",
        conn_id="celery_director_default",
        ref=CeleryDirectorHook.ref(run.id).to_json(),
        poll_interval=0.5,
    )

    events = [event async for event in trigger.run()]

    assert len(events) == 1
    requests = director.ledger.count()
    assert in_triggerer.counts["etlapis.requests"] == requests
    assert in_triggerer.counts["etlapis.rate_limited"] == 1
    assert in_triggerer.counts["etlapis.polls"] == requests - 1
    assert in_triggerer.gauges["etlapis.waits"][0] == 1
    assert in_triggerer.gauges["etlapis.budget_stretch"] == [1.0]


def test_a_retry_that_goes_on_with_a_run_and_a_kill_are_counted(etlapis_sandbox: Any, in_worker: Recorder) -> None:
    director = etlapis_sandbox.celery_director(conn_id="celery_director_default")
    director.plan(Life(60.0))
    task = Rehearsal(lambda: CeleryDirectorRunWorkflowOperator(task_id="load", project="demo", name="ETL", retries=2))

    task.lose_process()
    assert (in_worker.counts["etlapis.reattached"], in_worker.counts["etlapis.cancels"]) == (0, 0)
    task.retry().kill()

    assert (in_worker.counts["etlapis.reattached"], in_worker.counts["etlapis.cancels"]) == (1, 1)
    assert in_worker.counts["etlapis.requests"] == director.ledger.count()


def test_a_backend_that_fails_ends_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_task_stats", lambda: None)
    meter = metrics.Meter("conn", "vendor")

    meter.count("requests")
    meter.gauge("waits", 3)


def test_the_documentation_names_every_metric() -> None:
    root = Path(__file__).parent.parent
    told = set(re.findall(r"`(etlapis\.\w+)`", (root / "docs" / "operating.md").read_text()))
    rooms = ("hooks", "operators", "runs", "triggers", "wire")
    files = [file for room in rooms for file in (root / "airflow_provider_etlapis" / room).glob("*.py")]
    sources = "".join(file.read_text() for file in files)
    counted = {f"etlapis.{name}" for name in re.findall(r'\.(?:count|gauge)\("(\w+)"', sources)}

    assert told == counted
