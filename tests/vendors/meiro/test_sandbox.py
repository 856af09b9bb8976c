"""Meiro's sandbox is as strict as a server might be, and carries thousands of jobs."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests

from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from tests.vendors.meiro.stage import given_clock, given_connect, given_hook, given_meiro  # noqa: F401 fixtures


def ask(meiro: MeiroSandbox, method: str, path: str, **options: Any) -> requests.Response:
    headers = {"X-Access-Token": meiro.issue_token(), **options.pop("headers", {})}
    return requests.request(method, f"{meiro.base_url}{path}", headers=headers, timeout=5, **options)


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/workspaces", {"headers": {"X-Access-Token": "made-up"}}, 401),
        ("GET", "/workspaces?status=running", {}, 400),
        ("GET", "/workspaces?limit=0", {}, 400),
        ("GET", "/workspaces?limit=ten", {}, 400),
        ("GET", "/workspaces?order_by=status", {}, 400),
        ("GET", "/workspaces?order_dir=down", {}, 400),
        ("GET", "/workspaces?load_full_structure=true", {}, 400),
        ("GET", "/workspace_jobs?include_deleted_workspace_jobs=1", {}, 400),
        ("GET", "/dawgs/10/workspace_jobs?include_deleted_workspaces_jobs=1", {}, 400),
        ("GET", "/workspaces/999", {}, 404),
        ("GET", "/workspaces/abc", {}, 404),
        ("GET", "/nowhere", {}, 404),
        ("PUT", "/workspaces/100", {}, 405),
        ("POST", "/workspaces", {"json": {}}, 400),
        ("POST", "/workspaces", {"json": {"name": 7}}, 400),
        ("POST", "/workspaces", {"json": {"name": "x", "color": "red"}}, 400),
        ("POST", "/workspaces", {"json": {"name": "x", "disabled": True}}, 400),
        ("POST", "/workspaces", {"data": b'{"name": "x"}'}, 415),
        ("POST", "/workspaces", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("PATCH", "/workspaces", {"json": {"id": 100}}, 400),
        ("PATCH", "/workspaces", {"json": [{"name": "x"}]}, 400),
        ("POST", "/workspaces/100/jobs", {"json": {}}, 400),
        ("PATCH", "/workspaces/100/owner", {"json": {}}, 400),
    ],
)
def test_what_the_document_does_not_know_is_refused_with_a_message(
    meiro: MeiroSandbox, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = ask(meiro, method, path, **options)

    assert (answer.status_code, list(answer.json())) == (status, ["message"])
    assert meiro.ledger.starts == []


def test_the_echo_shows_what_was_understood(meiro: MeiroSandbox) -> None:
    meiro.max_limit = 2

    answer = ask(meiro, "GET", "/workspaces?limit=50&offset=1&order_dir=DESC&tag_ids[]=4").json()

    assert answer == {
        "workspaces": [],
        "selection_settings": {
            "limit": 2,
            "offset": 1,
            "order_by": "id",
            "order_dir": "DESC",
            "name_filter": None,
            "tag_ids": [4],
            "show_enabled": True,
            "show_disabled": True,
        },
    }


def test_switches_for_what_the_document_does_not_say(meiro: MeiroSandbox) -> None:
    meiro.workspaces[100].disabled = 1
    assert ask(meiro, "POST", "/workspaces/100/jobs").status_code == 201
    meiro.runs_disabled = False
    assert ask(meiro, "POST", "/workspaces/100/jobs").status_code == 400
    meiro.workspaces[101].hidden = True
    meiro.hidden_status = 403
    assert ask(meiro, "GET", "/workspaces/101").status_code == 403


def test_a_body_of_a_login_is_in_no_ledger(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    hook.create_workspace("new")

    assert meiro.password not in repr([(record, record.body) for record in meiro.ledger.requests])
    assert json.loads(meiro.ledger.requests[-1].body) == {"name": "new"}


def test_thousands_of_jobs_cost_little(meiro: MeiroSandbox, hook: MeiroHook) -> None:
    for _ in range(5000):
        meiro.seed_run(Life(60.0), flow="100")
    begun = time.monotonic()

    page = ask(meiro, "GET", "/workspace_jobs?limit=100&order_by=id&order_dir=DESC").json()

    assert page["workspace_jobs"][0]["id"] == 10000
    assert time.monotonic() - begun < 1
