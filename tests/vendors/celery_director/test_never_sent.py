"""A run that the server makes and then cannot send to a worker: its start fails, and it is not waited for."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import EtlApiError, RequestRefusedError, VendorUnavailableError
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.runs.evidence import Evidence
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from tests.vendors.celery_director.kit import ENDED, MARKER, found, given_hook, given_server, intent, spec

__all__ = ["given_hook", "given_server"]


def test_a_start_that_the_server_fails_to_send_fails_with_its_500_and_names_the_dead_run(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    with pytest.raises(RequestRefusedError, match="HTTP 500") as refused:
        hook.start_run(spec("LOST"), MARKER)

    (dead,) = server.ledger.starts
    assert dead in str(refused.value)
    assert "lacks NOWHERE of its definition" in str(refused.value)
    assert "clear this task" in str(refused.value)
    assert refused.value.may_have_acted is False, "nothing is to be looked for, and nothing adopted"
    assert refused.value.by_vendor


@pytest.mark.parametrize("comments", [True, False])
def test_a_relaunch_or_a_start_without_comment_that_is_never_sent_is_told_alike(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, comments: bool
) -> None:
    old = server.seed_run(ENDED, flow="lab.LOST", age=60, request={"payload": {"n": 1}})
    server.comments = comments
    asked = {"relaunch": old.id} if comments else spec("LOST", payload={"n": 1})

    with pytest.raises(RequestRefusedError) as refused:
        hook.start_run(asked, MARKER)

    assert server.ledger.starts[0] in str(refused.value)


@pytest.mark.parametrize("broker", ["refuses", "silent"])
def test_a_run_with_all_its_tasks_is_not_taken_for_one_that_was_never_sent(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, broker: Any
) -> None:
    server.broker, server.broker_seconds = broker, 0.01

    with pytest.raises(VendorUnavailableError) as lost:
        hook.start_run(spec(), MARKER)

    assert lost.value.may_have_acted
    assert hook.find_started(spec(), intent()).sighting is Evidence.FOUND


def test_a_500_that_is_not_the_servers_own_is_a_lost_answer(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    server.inject(Fault("start", "html", status=500, applied=True))

    with pytest.raises(VendorUnavailableError) as lost:
        hook.start_run(spec("LOST"), MARKER)

    assert lost.value.may_have_acted
    assert server.ledger.count() == 1


def test_a_run_of_ours_that_was_probably_never_sent_is_left_to_a_person(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    server.inject(Fault("start", "html", status=500, applied=True))
    with pytest.raises(VendorUnavailableError):
        hook.start_run(spec("LOST"), MARKER)

    search = hook.find_started(spec("LOST"), intent())

    assert search.sighting is Evidence.UNSURE
    assert found(search) == server.ledger.starts
    assert "lacks NOWHERE, so it was probably never sent" in search.looked_for


@pytest.mark.parametrize("status", [408, 429, 499, 502, 504])
def test_an_own_looking_error_of_another_status_is_no_failed_build(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, status: int
) -> None:
    server.inject(Fault("start", status=status, body='{"error": "busy"}'))

    with pytest.raises(EtlApiError):
        hook.start_run(spec(), MARKER)

    assert server.ledger.count() == 1
