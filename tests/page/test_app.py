"""Who may see and cancel what on the page of remote runs, by Airflow's own rights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_etlapis.inventory.survey import Row, Survey
from airflow_provider_etlapis.runs.claims import Claim, ClaimingTask, RunStanding
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from tests.support.releases import AIRFLOW

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow has no place for such a page before 3.1")

OURS = {"X-Etlapis": "page", "Sec-Fetch-Site": "same-origin"}


class Manager:
    """An auth manager with rights by name."""

    def __init__(self, *rights: str) -> None:
        self.rights = set(rights)

    def filter_authorized_dag_ids(
        self, *, dag_ids: set[str], user: Any, method: str, team_name: str = "ours"
    ) -> set[str]:
        return {dag_id for dag_id in dag_ids if f"{method} {dag_id}" in self.rights and team_name == "ours"}

    def is_authorized_dag(self, *, method: str, access_entity: Any, details: Any, user: Any) -> bool:
        return f"{method} {details.id}" in self.rights and self._is_ours(details)

    def is_authorized_connection(self, *, method: str, details: Any, user: Any) -> bool:
        return f"{method} {details.conn_id}" in self.rights and self._is_ours(details)

    def _is_ours(self, details: Any) -> bool:
        return getattr(details, "team_name", None) in (None, "ours")


def row(dag_id: str | None, run_id: str) -> Row:
    ref = RunRef("meiro", {"workspace_id": "1", "job_id": run_id})
    run = RemoteRun(ref, RunState.RUNNING, "<b>processing</b>", url="javascript:alert(1)")
    task = None if dag_id is None else ClaimingTask(dag_id, "r", "t", -1, 1, 0, "deferred", Claim(ref, "etl"))
    return Row(RunStanding.WAITED_FOR if task else RunStanding.NOT_OURS, "etl", ref, run, task, True, True)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from fastapi.testclient import TestClient

    from airflow_provider_etlapis.page import app as server

    rows = (row("sales", "1"), row("hr", "2"), row(None, "3"))
    monkeypatch.setattr(server.board, "survey", lambda **_: Survey(rows, {"etl": "away"}))
    with TestClient(server.app) as made:
        yield made
    server.app.dependency_overrides.clear()


def log_in(monkeypatch: pytest.MonkeyPatch, *rights: str) -> None:
    from airflow.api_fastapi.core_api.security import get_user

    from airflow_provider_etlapis.page import access, app

    class User:
        def get_name(self) -> str:
            return "jane"

    app.app.dependency_overrides[get_user] = User
    monkeypatch.setattr(access, "get_auth_manager", lambda: Manager(*rights))


@pytest.mark.parametrize("path", ["/", "/runs", "/run?conn_id=etl&run_id=1/1"])
def test_nobody_who_is_not_logged_in_sees_anything(client: Any, path: str) -> None:
    assert client.get(path).status_code == 401


def test_a_run_is_seen_by_those_who_may_read_its_dag_or_else_its_connection(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(monkeypatch, "GET sales")
    seen = client.get("/runs").json()
    assert [found["run_id"] for found in seen["rows"]] == ["1/1"]
    assert seen["troubles"] == {}
    assert client.get("/run?conn_id=etl&run_id=1/2").status_code == 404

    log_in(monkeypatch, "GET etl")
    seen = client.get("/runs").json()
    assert [found["run_id"] for found in seen["rows"]] == ["1/3"]
    assert seen["troubles"] == {"etl": "away"}


def test_a_cancel_needs_the_right_to_edit_and_comes_from_the_page(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(monkeypatch, "GET sales", "GET hr", "PUT hr")
    name = {"conn_id": "etl", "run_id": "1/1"}
    refused = client.post("/cancel", json=name, headers=OURS)
    assert (refused.status_code, "edit runs of the DAG" in refused.text) == (403, True)
    may = {found["run_id"]: found["can_cancel"] for found in client.get("/runs").json()["rows"]}
    assert may == {"1/1": False, "1/2": True}
    for headers in ({}, {**OURS, "Sec-Fetch-Site": "cross-site"}, {**OURS, "Origin": "https://evil.example"}):
        foreign = client.post("/cancel", json={**name, "run_id": "1/2"}, headers=headers)
        assert (foreign.status_code, "does not come from the page" in foreign.text) == (403, True)


def test_a_link_that_is_no_web_address_does_not_reach_the_browser(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(monkeypatch, "GET sales")
    assert client.get("/runs").json()["rows"][0]["url"] is None


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="Airflow has no teams before 3.2")
def test_what_another_team_owns_is_not_seen(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_etlapis.page import access

    teams = {"sales": "ours", "hr": "theirs", "etl": "theirs"}
    monkeypatch.setattr(access.conf, "getboolean", lambda *_, **__: True)
    for model in (access.DagModel, access.Connection):
        monkeypatch.setattr(model, "get_team_name", staticmethod(teams.get))
    log_in(monkeypatch, "GET sales", "GET hr", "GET etl", "PUT sales")
    seen = client.get("/runs").json()
    assert [(found["run_id"], found["can_cancel"]) for found in seen["rows"]] == [("1/1", True)]
