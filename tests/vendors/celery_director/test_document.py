"""Celery Director's own API page: each of its examples is understood, and becomes a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests_mock

from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.runs.model import RunState

LISTED = json.loads("""[{
  "created": "2020-02-06T13:56:51", "fullname": "example.ETL", "id": "29e7ef80-fa1b-4b91-8ccb-ef01a91601db",
  "name": "ETL", "payload": {"foo": "bar"}, "periodic": false, "project": "example", "status": "pending",
  "updated": "2020-02-06T13:56:51"}]""")
DETAIL = {
    **LISTED[0],
    "payload": {},
    "tasks": [
        {
            "created": "2020-02-06T13:56:51",
            "id": task_id,
            "key": key,
            "previous": previous,
            "status": "pending",
            "task": task_id,
            "updated": "2020-02-06T13:56:51",
        }
        for key, task_id, previous in [
            (
                "LOAD",
                "e5a8eb49-0a8c-4063-ad08-a5e9e7bd49d2",
                ["35a2d47b-8105-4d03-becb-7eb48f8c062e"],
            ),
            ("EXTRACT", "c8606f67-9923-4c84-bc41-69efacb0c7cb", []),
            (
                "TRANSFORM",
                "35a2d47b-8105-4d03-becb-7eb48f8c062e",
                ["c8606f67-9923-4c84-bc41-69efacb0c7cb"],
            ),
        ]
    ],
}
STARTED = {
    "created": "2020-02-06T14:01:02",
    "fullname": "example.ETL",
    "id": "43e70707-b661-42e1-a7df-5b98851ae340",
    "name": "ETL",
    "payload": {},
    "periodic": False,
    "project": "example",
    "status": "pending",
    "updated": "2020-02-06T14:01:02",
}
RELAUNCHED = {
    **STARTED,
    "created": "2021-03-04T12:27:11.245700+00:00",
    "id": "5afe0610-2746-413a-83d0-0099483858e6",
    "project": "exemple",
    "updated": "2021-03-04T12:27:11.245700+00:00",
}
DEFINED = [
    {
        "fullname": "example.ETL",
        "name": "ETL",
        "periodic": {"interval": 3600, "payload": {"dry_run": False}},
        "project": "example",
        "tasks": ["EXTRACT", "TRANSFORM", "LOAD"],
    },
    {
        "fullname": "example.RANDOMS",
        "name": "RANDOMS",
        "project": "example",
        "tasks": [{"GROUP_RANDOMS": {"tasks": ["RANDOM", "RANDOM"], "type": "group"}}, "ADD"],
    },
]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[requests_mock.Mocker]:
    """A server that answers as the examples of the project's API page."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_PAGE", json.dumps({"conn_type": "celery_director", "host": "https://example.com/api/"})
    )
    base, run_id = "https://example.com/api", LISTED[0]["id"]
    with requests_mock.Mocker() as mocker:
        mocker.get(f"{base}/workflows", json=LISTED)
        mocker.get(f"{base}/workflows/{run_id}", json=DETAIL)
        mocker.post(f"{base}/workflows", json=STARTED, status_code=201)
        mocker.post(f"{base}/workflows/{run_id}/relaunch", json=RELAUNCHED, status_code=201)
        mocker.get(f"{base}/definitions", json=DEFINED)
        mocker.get(f"{base}/ping", json={"message": "pong"})
        yield mocker


def test_every_example_of_the_api_page_is_understood(page: requests_mock.Mocker) -> None:
    hook, run_id = CeleryDirectorHook("page"), LISTED[0]["id"]

    assert hook.list_workflows() == LISTED
    assert list(hook.iter_workflows()) == LISTED
    assert hook.get_workflow(run_id) == DETAIL
    assert hook.start_workflow("example", "ETL") == STARTED
    assert hook.relaunch_workflow(run_id) == RELAUNCHED
    assert hook.list_definitions() == DEFINED
    assert hook.ping() == {"message": "pong"}
    assert page.request_history[3].json() == {"project": "example", "name": "ETL", "payload": {}}


def test_the_examples_become_runs(page: requests_mock.Mocker) -> None:
    hook, run_id = CeleryDirectorHook("page"), LISTED[0]["id"]

    run = hook.read_run(hook.ref(run_id))
    again = hook.start_run({"relaunch": run_id}, "marker")

    assert [step.name for step in run.steps] == ["EXTRACT", "TRANSFORM", "LOAD"]
    assert run.started == datetime(2020, 2, 6, 13, 56, 51, tzinfo=UTC)
    assert run.ended is None
    assert run.url == f"https://example.com/{run_id}"
    assert again.started == datetime(2021, 3, 4, 12, 27, 11, 245700, tzinfo=UTC)
    assert again.state is RunState.QUEUED
