"""A real Celery Director: what the fixtures promise to the tests that use them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_etlapis.demo import director_env
from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.demo.errors import NoPythonForDirectorError
from airflow_provider_etlapis.demo.processes import wait_until


def ended(director: RealDirector, run_id: str, timeout: float = 30.0) -> dict[str, Any]:
    wait_until(lambda: director.run(run_id)["status"] not in ("pending", "progress"), timeout, f"end of run {run_id}")
    return director.run(run_id)


def results(run: dict[str, Any]) -> dict[str, Any]:
    return {task["key"]: task["result"] for task in run["tasks"]}


def test_etl_runs_its_group_and_loads_what_that_returned(director: RealDirector) -> None:
    run = ended(director, director.start_run("ETL", {"seconds": 0.1}))

    assert run["status"] == "success"
    assert results(run)["LOAD"] == {"loaded": 1265}
    by_key = {task["key"]: task for task in run["tasks"]}
    pair = {by_key["TRANSFORM_ORDERS"]["id"], by_key["TRANSFORM_CUSTOMERS"]["id"]}
    assert set(by_key["LOAD"]["previous"]) == pair


def test_fails_fails_at_its_second_step_with_the_reason(director: RealDirector) -> None:
    run = ended(director, director.start_run("FAILS", {"seconds": 0.1}))

    assert run["status"] == "error"
    assert results(run)["CHECK"]["exception"] == "column 'amount' is null in 3 of 1200 rows"


def test_a_cancelled_run_stays_cancelled_where_cancel_is_fixed(director: RealDirector) -> None:
    run_id = director.start_run("SLOW", {"seconds": 3})
    wait_until(lambda: director.run(run_id)["tasks"][0]["status"] == "progress", 10, "the step at work")

    director.cancel(run_id)

    with pytest.raises(Exception, match="not within"):
        wait_until(lambda: director.run(run_id)["status"] != "canceled", 5, "another status")


def test_release_0_10_0_as_published_ends_a_cancelled_run_in_success(director_as_published: RealDirector) -> None:
    director = director_as_published
    run_id = director.start_run("SLOW", {"seconds": 2})
    wait_until(lambda: director.run(run_id)["tasks"][0]["status"] == "progress", 10, "the step at work")

    assert director.cancel(run_id)["status"] == "canceled"

    wait_until(lambda: director.run(run_id)["status"] == "success", 10, "success after all")


def test_authentication_is_demanded_and_the_connection_carries_it(director_as_published: RealDirector) -> None:
    connection = director_as_published.connection()
    url = f"{connection['host']}/api/workflows"

    assert requests.get(url, timeout=10).status_code == 401
    assert requests.get(url, auth=(connection["login"], connection["password"]), timeout=10).status_code == 200


def test_a_run_waits_for_a_worker_and_the_next_worker_takes_it(director: RealDirector) -> None:
    director.kill_worker()
    run_id = director.start_run("QUICK")
    assert director.run(run_id)["status"] == "pending"

    director.start_worker()

    assert ended(director, run_id)["status"] == "success"


def test_requests_can_be_counted(director: RealDirector) -> None:
    before = sum("GET /api/definitions" in line for line in director.access_log)

    director.call("GET", "definitions")

    wait_until(
        lambda: sum("GET /api/definitions" in line for line in director.access_log) == before + 1, 5, "the log line"
    )


def executable(file: Path, script: str) -> Path:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_a_command_on_path_that_only_prints_an_error_is_not_taken_for_a_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shims, real = tmp_path / "shims", tmp_path / "bin"
    for folder in (shims, real):
        folder.mkdir()
    executable(shims / "python3.11", "echo 'python3.11: command not found' >&2; exit 127")
    good = executable(real / "python3.11", f'exec "{sys.executable}" "$@"')
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{real}")
    monkeypatch.setattr(director_env.sys, "executable", "/nowhere/python3.13")

    # Whichever Python runs this test, ask for its version: what is tested is that the liar is passed over.
    monkeypatch.setattr(director_env, "VERSIONS", (sys.version_info[:2],))
    monkeypatch.setattr(director_env, "NAMES", ("python3.11",))

    assert director_env.find_python(uv=None)[0] == str(good)


def test_no_python_for_the_director_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(director_env.sys, "executable", "/nowhere/python3.13")

    with pytest.raises(NoPythonForDirectorError, match=r"uv python install 3\.11"):
        director_env.find_python(uv=None)
