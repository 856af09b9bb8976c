"""Copying a Meiro workspace: one copy, whatever fails after it was made."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_etlapis.exceptions import EtlApiError, InvalidInputError, StartLostError, VendorUnavailableError
from airflow_provider_etlapis.operators.action import ActionIncompleteError
from airflow_provider_etlapis.operators.meiro import MeiroCloneWorkspaceOperator
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.meiro.work import Workspace
from tests.support.airflow_context import TaskLog, task_log  # noqa: F401 a fixture
from tests.support.rehearsal import Rehearsal


@pytest.fixture
def meiro(etlapis_sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> MeiroSandbox:
    """The vendor on localhost, in real time; no request is repeated by the wire."""
    sandbox: MeiroSandbox = etlapis_sandbox.meiro(conn_id="meiro_default")
    connection = sandbox.connection()
    connection["extra"] = {**connection["extra"], "retries": 0, "requests_per_minute": 60_000}
    monkeypatch.setenv("AIRFLOW_CONN_MEIRO_DEFAULT", json.dumps(connection))
    return sandbox


def copying(*, keeps_state: bool = True, **arguments: Any) -> Rehearsal:
    wanted = {"task_id": "copy", "workspace_id": "100", "retries": 3, **arguments}
    return Rehearsal(lambda: MeiroCloneWorkspaceOperator(**wanted), keeps_state=keeps_state)


def copies(meiro: MeiroSandbox) -> list[str]:
    return [workspace.name for number, workspace in sorted(meiro.workspaces.items()) if number > 102]


@pytest.mark.parametrize(
    ("name", "given"),
    [(None, "clone_demo ETL"), ("", "clone_demo ETL"), ("orders of today", "orders of today"), (2026, "2026")],
)
def test_a_copy_has_the_vendors_name_or_the_wanted_one(meiro: MeiroSandbox, name: Any, given: str) -> None:
    copy = copying(name=name).run()

    assert copy == {"workspace_id": 103, "name": given, "source_workspace_id": 100}
    assert copies(meiro) == [given]


@pytest.mark.parametrize("fault", [Fault("modify_workspace", status=503), Fault("modify_workspace", "drop_after")])
def test_a_retry_after_the_copy_was_made_names_it_and_makes_no_second_one(meiro: MeiroSandbox, fault: Fault) -> None:
    rehearsal = copying(name="orders")
    meiro.inject(fault)
    with pytest.raises(VendorUnavailableError):
        rehearsal.run()

    copy = rehearsal.retry().run()

    assert copy == {"workspace_id": 103, "name": "orders", "source_workspace_id": 100}
    assert copies(meiro) == ["orders"]


def test_a_retry_after_everything_was_done_returns_the_same_copy(meiro: MeiroSandbox) -> None:
    """As after a worker that died before Airflow knew of the end."""
    rehearsal = copying(name="orders")
    first = rehearsal.run()

    assert rehearsal.retry().run() == first
    assert copies(meiro) == ["orders"]


def test_a_clear_makes_another_copy(meiro: MeiroSandbox) -> None:
    rehearsal = copying(name="orders")
    rehearsal.run()

    assert rehearsal.clear().run()["workspace_id"] == 104


def test_without_a_store_a_failure_after_the_copy_spends_no_retry_and_says_what_is_done_and_left(
    meiro: MeiroSandbox,
) -> None:
    rehearsal = copying(name="orders", keeps_state=False)
    meiro.inject(Fault("modify_workspace", status=503))

    with pytest.raises(ActionIncompleteError) as incomplete:
        rehearsal.run()

    assert isinstance(incomplete.value, AirflowFailException), "a retry would make a second copy"
    assert "Workspace 100 was copied to 103. Naming workspace 103 'orders' failed" in str(incomplete.value)
    assert "left to be done by hand" in str(incomplete.value)


def test_a_name_that_the_vendor_refuses_is_told_with_the_copy_that_was_made(meiro: MeiroSandbox) -> None:
    meiro.inject(Fault("modify_workspace", status=400))

    with pytest.raises(ActionIncompleteError, match="was copied to 103"):
        copying(name="orders").run()


# -- a copy call without an answer --------------------------------------------------------------------------------


def test_a_copy_whose_answer_is_lost_is_not_made_again_and_the_new_workspace_is_named(meiro: MeiroSandbox) -> None:
    meiro.inject(Fault("clone", "drop_after"))
    rehearsal = copying()

    with pytest.raises(StartLostError, match=r"103 \('clone_demo ETL'\)"):
        rehearsal.run()

    assert meiro.ledger.count("clone") == 1


def test_a_copy_call_that_never_arrived_is_made_again(meiro: MeiroSandbox) -> None:
    meiro.inject(Fault("clone", "drop_before"))

    assert copying(name="orders").run()["workspace_id"] == 103
    assert copies(meiro) == ["orders"]


def test_a_copy_call_that_takes_effect_after_we_gave_up_is_not_made_again(
    meiro: MeiroSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "ACTS_AFTER_TIMEOUT", 4.0)
    connection = meiro.connection()
    connection["extra"] = {**connection["extra"], "retries": 0, "requests_per_minute": 60_000, "read_timeout": 0.5}
    monkeypatch.setenv("AIRFLOW_CONN_MEIRO_DEFAULT", json.dumps(connection))
    meiro.inject(Fault("clone", "delay", seconds=2.5))

    with pytest.raises(StartLostError):
        copying().run()

    assert copies(meiro) == ["clone_demo ETL"]


def test_somebody_elses_new_workspace_makes_it_unsure(meiro: MeiroSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    meiro.inject(Fault("clone", "drop_before"))
    monkeypatch.setattr(MeiroCloneWorkspaceOperator, "_copy", _after(lambda: meiro.define(Workspace(103, "theirs"))))

    with pytest.raises(StartLostError, match=r"103 \('theirs'\)"):
        copying().run()

    assert meiro.ledger.count("clone") == 1


def _after(somebody: Callable[[], Any]) -> Any:
    copy = MeiroCloneWorkspaceOperator._copy

    def act(operator: MeiroCloneWorkspaceOperator, source: int) -> Any:
        somebody()
        return copy(operator, source)

    return act


def test_a_retry_of_a_try_that_was_cut_off_in_the_copy_call_does_not_copy_again(meiro: MeiroSandbox) -> None:
    rehearsal = copying()
    copy = MeiroCloneWorkspaceOperator._copy

    class GoneError(BaseException):
        pass

    def then_die(operator: MeiroCloneWorkspaceOperator, source: int) -> Any:
        copy(operator, source)
        raise GoneError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MeiroCloneWorkspaceOperator, "_copy", then_die)
        with pytest.raises(GoneError):
            rehearsal.run()

    with pytest.raises(StartLostError, match="103"):
        rehearsal.retry().run()
    assert meiro.ledger.count("clone") == 1


def test_where_workspaces_cannot_be_listed_a_lost_copy_fails_the_task(meiro: MeiroSandbox) -> None:
    meiro.inject(Fault("workspaces", status=403, times=None))
    assert copying().run()["workspace_id"] == 103

    meiro.inject(Fault("clone", "drop_before"))
    with pytest.raises(StartLostError, match="not known which workspaces were there before"):
        copying().run()


def test_a_copy_that_is_refused_leaves_nothing_behind(meiro: MeiroSandbox) -> None:
    meiro.inject(Fault("clone", status=403))
    rehearsal = copying()
    with pytest.raises(EtlApiError):
        rehearsal.run()

    assert rehearsal.store is not None
    assert rehearsal.store.texts == {}


def test_a_copy_that_is_answered_without_its_id_is_not_made_again(meiro: MeiroSandbox) -> None:
    meiro.inject(Fault("clone", "status", status=200, body='{"workspace": {}}', applied=True))

    with pytest.raises(StartLostError, match="answered without its id"):
        copying().run()

    assert meiro.ledger.count("clone") == 1


@pytest.mark.parametrize(
    "inputs",
    [{"workspace_id": "9" * 5000}, {"workspace_id": ""}, {"name": "a\0b"}, {"name": "\udc00"}, {"name": ["x"]}],
    ids=range(5),
)
def test_wrong_inputs_are_refused_before_anything_is_sent(meiro: MeiroSandbox, inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(inputs))) as refused:
        copying(**inputs).run()

    assert len(str(refused.value)) < 300
    assert meiro.ledger.requests == []


def test_inputs_that_changed_after_the_copy_was_made_are_said(
    meiro: MeiroSandbox,
    task_log: TaskLog,  # noqa: F811 the fixture
) -> None:
    rehearsal = copying(name="orders")
    meiro.inject(Fault("modify_workspace", status=503))
    with pytest.raises(VendorUnavailableError):
        rehearsal.run()
    rehearsal.change(lambda: MeiroCloneWorkspaceOperator(task_id="copy", workspace_id=101, name="others", retries=3))

    assert rehearsal.retry().run() == {"workspace_id": 103, "name": "others", "source_workspace_id": 100}
    assert any("inputs have changed" in text for text in task_log.warnings())
