"""`recent_runs`: what a vendor tells of its newest runs, whoever started them, for all things and for one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import InvalidInputError, NotOfferedError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.hooks.webrobot import WebRobotHook
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState, newest_first
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.pytest_plugin import SandboxFactory
from airflow_provider_etlapis.sandbox.server import VendorSandbox


@dataclass(frozen=True)
class Case:
    """A vendor, two of its things, and how a user names the first."""

    vendor: str
    hook: type[RemoteRunHook]
    flows: tuple[str, str]
    of: dict[str, str]
    named: bool = True
    """Whether the list of all things names single runs."""


_PROFILE = {"flow_name": "SalesLoad", "run_profile_name": "default"}
CASES = [
    Case("celery_director", CeleryDirectorHook, ("demo.ETL", "demo.FAILS"), {"project": "demo", "name": "ETL"}),
    Case("etlworks", EtlworksHook, ("12345", "12346"), {"flow_id": "12345"}),
    Case("dataworq", DataworqHook, ("SalesLoad", "CubeRefresh"), _PROFILE),
    Case("meiro", MeiroHook, ("100", "102"), {"workspace_id": "100"}),
    Case("webrobot", WebRobotHook, ("98/210", "98/220"), {"project_id": "98", "job_id": "210"}, named=False),
]


@pytest.fixture(params=CASES, ids=[case.vendor for case in CASES])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def sandbox(case: Case, etlapis_sandbox: SandboxFactory) -> VendorSandbox:
    return etlapis_sandbox.start(case.vendor, conn_id=case.hook.default_conn_name)


def last(run_id: str) -> str:
    """Return the last part of a run's id: the sandboxes name runs by more or less of it than we do."""
    return run_id.rpartition("/")[2]


def recent(case: Case, limit: int, of: dict[str, str] | None = None) -> list[RemoteRun]:
    with case.hook(case.hook.default_conn_name) as hook:
        return hook.recent_runs(limit, of)


def test_the_newest_runs_of_all_things_come_first_and_no_more_than_asked_for(
    case: Case, sandbox: VendorSandbox
) -> None:
    first, second = case.flows
    old = sandbox.seed_run(Life(duration=1), flow=second, age=40)
    new = sandbox.seed_run(Life(duration=3600), flow=first, age=10)

    found = recent(case, 10)

    assert [run.state for run in found] == [RunState.RUNNING, RunState.SUCCEEDED]
    if case.named:
        assert [last(run.ref.run_id) for run in found] == [last(new.id), last(old.id)]
    else:
        assert [run.ref.run_id for run in found] == list(case.flows)
    assert [run.state for run in recent(case, 1)] == [RunState.RUNNING]


def test_the_newest_runs_of_one_thing_are_its_own(case: Case, sandbox: VendorSandbox) -> None:
    first, second = case.flows
    run = sandbox.seed_run(Life(duration=1), flow=first, age=20)
    sandbox.seed_run(Life(duration=1), flow=second, age=10)

    found = recent(case, 10, case.of)

    assert [last(each.ref.run_id) for each in found] == [last(run.id)]
    # What a list shows can be asked for by its id.
    with case.hook(case.hook.default_conn_name) as hook:
        assert hook.read_run(hook.ref_of(found[0].ref.run_id)).state is RunState.SUCCEEDED


def test_a_vendor_without_runs_has_none(case: Case, sandbox: VendorSandbox) -> None:
    assert recent(case, 10) == recent(case, 10, case.of) == []


def test_a_thing_named_in_a_strangers_words_is_refused_before_anything_is_asked(
    case: Case, sandbox: VendorSandbox
) -> None:
    with pytest.raises(InvalidInputError, match="is named by"):
        recent(case, 10, {"colour": "blue"})
    assert not [record for record in sandbox.ledger.requests if "login" not in record.operation]


@pytest.mark.parametrize(
    ("vendor", "hook", "options", "instead"),
    [
        ("etlworks", EtlworksHook, {"role": "operator"}, "name a flow by flow_id or flow_name"),
        ("webrobot", WebRobotHook, {"missing_scopes": frozenset({"projects:read"})}, "name one by project_id"),
    ],
)
def test_where_the_credential_may_not_list_all_the_error_says_what_to_name(
    etlapis_sandbox: SandboxFactory, vendor: str, hook: type[RemoteRunHook], options: Any, instead: str
) -> None:
    etlapis_sandbox.start(vendor, conn_id=hook.default_conn_name, **options)
    with hook(hook.default_conn_name) as opened, pytest.raises(NotOfferedError, match=instead):
        opened.recent_runs(10)


def test_a_meiro_user_without_the_projects_list_sees_the_last_job_of_each_workspace(
    etlapis_sandbox: SandboxFactory,
) -> None:
    meiro = etlapis_sandbox.start("meiro", conn_id="meiro_default", refused_lists=["workspace_jobs"])
    meiro.seed_run(flow="100", age=60)
    newest = [meiro.seed_run(flow=flow, age=age).id for flow, age in (("100", 40), ("102", 20))]
    with MeiroHook() as hook:
        assert [run.ref.run_id for run in hook.recent_runs(10)] == newest[::-1]


def test_an_etlworks_history_longer_than_a_page_is_read_no_further_than_asked_for(
    etlapis_sandbox: SandboxFactory,
) -> None:
    etlworks = etlapis_sandbox.start("etlworks", conn_id="etlworks_default")
    ids = [etlworks.seed_run(flow="12345", age=1000 - number).id for number in range(230)]
    with EtlworksHook() as hook:
        found = [run.ref.ids["audit_id"] for run in hook.recent_runs(210, {"flow_id": "12345"})]
        assert found == ids[:-211:-1]
        before = len(etlworks.ledger.requests)
        assert len(hook.recent_runs(5, {"flow_id": "12345"})) == 5
    assert len(etlworks.ledger.requests) == before + 1


def test_runs_without_a_time_stand_first_while_they_go_on_and_last_when_they_have_ended() -> None:
    def run(number: int, state: RunState, started: float | None) -> RemoteRun:
        moment = None if started is None else datetime.fromtimestamp(started, UTC)
        return RemoteRun(RunRef("v", {"id": str(number)}), state, state.value, started=moment)

    runs = [
        run(1, RunState.SUCCEEDED, None),
        run(2, RunState.SUCCEEDED, 10.0),
        run(3, RunState.QUEUED, None),
        run(4, RunState.RUNNING, 20.0),
    ]
    assert [each.ref.run_id for each in newest_first(runs, 9)] == ["3", "4", "2", "1"]
