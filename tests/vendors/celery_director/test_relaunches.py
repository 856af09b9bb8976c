"""Whose a relaunch is: it carries the comment of the run that it was made from, so the list before it counts."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.runs.evidence import Evidence, Search
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.lives import Life
from tests.vendors.celery_director.kit import ENDED, LONG, ZONES, found, given_hook, given_server, intent, spec

__all__ = ["given_hook", "given_server"]


def relaunch(hook: CeleryDirectorHook, run_id: str, **more: Any) -> Search:
    asked = {"relaunch": run_id}
    return hook.find_started(asked, intent(watermark=hook.before_start(asked), **more))


def test_a_lost_relaunch_may_be_the_run_that_came_after_the_list(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    request = {"comment": "c", "payload": {"n": 1}}
    old = server.seed_run(ENDED, age=50, request=request)
    server.seed_run(ENDED, age=20, request=request)
    asked = {"relaunch": old.id}
    before = hook.before_start(asked)
    new = server.seed_run(Life(duration=0), request=request)

    search = hook.find_started(asked, intent(watermark=before))

    assert search.sighting is Evidence.UNSURE
    assert found(search) == [new.id]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"comment": "c", "payload": {"n": 2}}, id="another payload"),
        pytest.param({"comment": "d", "payload": {"n": 1}}, id="another comment"),
        pytest.param({"payload": {"n": 1}}, id="no comment"),
        pytest.param({"comment": "c", "payload": {"n": 1}, "periodic": True}, id="a periodic run"),
    ],
)
def test_a_run_that_is_no_relaunch_of_this_run_is_not_ours(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, other: Any
) -> None:
    old = server.seed_run(ENDED, age=50, request={"comment": "c", "payload": {"n": 1}})
    asked = {"relaunch": old.id}
    before = hook.before_start(asked)
    server.seed_run(LONG, request=other)

    assert hook.find_started(asked, intent(watermark=before)).sighting is Evidence.ABSENT


@ZONES
def test_a_relaunch_that_never_arrived_is_absent_whatever_ran_before(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, offset: float
) -> None:
    server.database, server.utc_offset = "mysql", offset
    request = {"comment": "c", "payload": {}}
    runs = [server.seed_run(life, age=age, request=request) for age, life in enumerate([LONG, ENDED, LONG, ENDED])]

    assert relaunch(hook, runs[-1].id).sighting is Evidence.ABSENT


def test_a_run_that_is_older_than_all_that_was_listed_is_not_ours(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    request = {"comment": "c", "payload": {}}
    old = server.seed_run(ENDED, age=7200, request=request)
    server.seed_run(ENDED, age=7100, request=request)
    for age in range(60):
        server.seed_run(ENDED, flow="lab.PAIR", age=age)

    assert relaunch(hook, old.id).sighting is Evidence.ABSENT


def test_a_relaunch_of_a_run_that_cannot_be_read_is_looked_for_by_the_list(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    old = server.seed_run(ENDED, flow="lab.BYTES", age=50, request={"payload": {"n": 1}})
    asked = {"relaunch": old.id}
    before = hook.before_start(asked)
    new = server.seed_run(LONG, flow="lab.BYTES", request={"payload": {"n": 1}})

    assert found(hook.find_started(asked, intent(watermark=before))) == [new.id]


def test_a_relaunch_of_a_run_that_is_gone_is_left_open_for_good(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    search = hook.find_started({"relaunch": "00000000-0000-4000-8000-000000000000"}, intent())

    assert search.sighting is Evidence.UNSURE
    assert search.is_final


def test_only_a_relaunch_costs_a_request_before_its_start(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    assert hook.before_start(spec()) is None
    assert server.ledger.count() == 0

    assert hook.before_start({"relaunch": server.seed_run(LONG).id}) is not None
    assert server.ledger.count() == 1
