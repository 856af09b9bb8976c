"""`etlapis runs`, as a person at a shell and as a script sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_etlapis.cli import main
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.pytest_plugin import SandboxFactory
from tests.support.releases import AIRFLOW

Runs = Callable[..., tuple[int, str, str]]
LONG = Life(duration=3600)


@pytest.fixture
def runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Carry out `etlapis runs` in this process; returns the exit code and both outputs."""
    monkeypatch.setenv("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")

    def carry_out(action: str, run_id: str | None = None, *more: str, conn_id: str = "shop") -> tuple[int, str, str]:
        named = [] if run_id is None else ["--run-id", run_id]
        code = main(["runs", action, "--conn-id", conn_id, *named, *more])
        return code, *capsys.readouterr()

    return carry_out


@pytest.fixture
def director(etlapis_sandbox: SandboxFactory) -> CeleryDirectorSandbox:
    started = etlapis_sandbox.celery_director(conn_id="shop", auth=("airflow", "pass:word"))
    assert isinstance(started, CeleryDirectorSandbox)
    return started


@pytest.fixture
def dataworq(etlapis_sandbox: SandboxFactory) -> DataworqSandbox:
    started = etlapis_sandbox.dataworq(conn_id="shop")
    assert isinstance(started, DataworqSandbox)
    return started


def test_in_a_shell_of_its_own_standard_output_holds_nothing_but_the_json(tmp_path: Path) -> None:
    with CeleryDirectorSandbox() as director:
        seeded = director.seed_run()
        done = subprocess.run(
            [sys.executable, "-m", "airflow_provider_etlapis.cli", "runs", "list", "--conn-id", "shop", "--json"],
            env={**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW_CONN_SHOP": json.dumps(director.connection())},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    assert [row["run_id"] for row in json.loads(done.stdout)] == [seeded.id]
    assert AIRFLOW < (3, 2) or "database cannot be read" in done.stderr, "there is none here, and the list goes on"
    assert AIRFLOW < (3, 2) or len(done.stderr.splitlines()) == 1, "older releases warn of themselves there"


def test_list_shows_the_newest_runs_first_and_no_more_than_asked_for(
    runs: Runs, director: CeleryDirectorSandbox
) -> None:
    ids = []
    for _ in range(3):
        ids.append(director.seed_run(life=LONG).id)
        director.clock.advance(10)
    code, out, _ = runs("list", None, "--limit", "2")
    heading, *rows = [line for line in out.splitlines() if not line.startswith("  ")]
    assert code == 0
    assert heading.split()[:2] == ["RUN", "ID"]
    assert max(map(len, out.splitlines())) <= 80
    assert [row.split()[:3] for row in rows] == [[run_id, "running", "progress"] for run_id in (ids[2], ids[1])]


def test_show_tells_steps_error_and_page_of_a_failed_run(runs: Runs, director: CeleryDirectorSandbox) -> None:
    failed = director.seed_run(life=Life(duration=1, outcome="error", error_text="no such table"))
    director.clock.advance(60)
    code, out, _ = runs("show", failed.id)
    assert code == 0
    assert f"{director.base_url}/{failed.id}" in out
    assert "failed (the vendor says error)" in out
    assert "no such table" in out
    steps = [line.split()[0] for line in out.splitlines() if line.endswith(("error", "success")) or " 20" in line]
    assert set(steps) >= {"EXTRACT"}
    told = json.loads(runs("show", failed.id, "--json")[1])
    assert (told["state"], "no such table" in told["error"]) == ("failed", True)


def test_show_waits_with_a_line_for_each_change_and_its_exit_code_says_how_it_ended(
    runs: Runs, director: CeleryDirectorSandbox
) -> None:
    codes = {}
    for outcome in ("success", "error"):
        run = director.seed_run(life=Life(duration=1.0, outcome=outcome))  # type: ignore[arg-type]
        codes[outcome], _, progress = runs("show", run.id, "--wait", "--poll-interval", "0.2")
        assert f"Run {run.id} is progress" in progress
        assert f"Run {run.id} is {outcome}" in progress
    assert codes == {"success": 0, "error": 1}


def test_cancel_cancels_and_says_what_the_vendor_may_not_do(runs: Runs, director: CeleryDirectorSandbox) -> None:
    run = director.seed_run(life=LONG)
    code, out, told = runs("cancel", run.id, "--wait", "--json")
    assert (code, json.loads(out)["state"]) == (0, "cancelled")
    assert "without stopping its work" in told
    assert len(director.ledger.cancels) == 1


def test_cancel_where_the_vendor_cannot_says_so_or_that_the_run_has_ended(
    runs: Runs, dataworq: DataworqSandbox
) -> None:
    run = dataworq.seed_run(life=LONG)
    code, out, said = runs("cancel", run.id)
    assert (code, out) == (1, "")
    assert "goes on" in said
    assert "no call that cancels" in said

    over = dataworq.seed_run(life=Life(duration=1.0), age=60)
    code, out, said = runs("cancel", over.id)
    assert (code, out) == (0, "")
    assert f"Run {over.id} has ended already: COMPLETED" in said
    assert {sent.method for sent in dataworq.ledger.requests} == {"GET"}


def test_logs_prints_the_end_of_a_log_or_says_that_there_is_none(
    runs: Runs, dataworq: DataworqSandbox, etlapis_sandbox: SandboxFactory
) -> None:
    run = dataworq.seed_run(life=Life(duration=1))
    dataworq.clock.advance(60)
    code, out, _ = runs("logs", run.id, "--lines", "2")
    assert (code, len(out.splitlines())) == (0, 2)
    followed = runs("logs", run.id, "--follow")[1].splitlines()
    assert followed[-2:] == out.splitlines()
    waiting = dataworq.seed_run(life=LONG)
    code, out, told = runs("logs", waiting.id)
    assert (code, out) == (0, "")
    assert f"no log of run {waiting.id}" in told
    other = etlapis_sandbox.celery_director(conn_id="other")
    code, out, told = runs("logs", other.seed_run().id, conn_id="other")
    assert (code, out) == (1, "")
    assert "no logs" in told


def test_list_of_one_thing_shows_its_runs_alone(runs: Runs, dataworq: DataworqSandbox) -> None:
    dataworq.seed_run(flow="CubeRefresh")
    wanted = dataworq.seed_run(flow="SalesLoad")
    code, out, _ = runs("list", None, "--json", "--of", "flow_name=SalesLoad", "run_profile_name=default")
    assert (code, [row["run_id"] for row in json.loads(out)]) == (0, [wanted.id])
    code, out, told = runs("list", None, "--of", "flow=SalesLoad")
    assert (code, out) == (1, "")
    assert "flow_name and run_profile_name" in told
    with pytest.raises(SystemExit):
        runs("list", None, "--of", "SalesLoad")


def test_list_where_the_credential_may_not_says_what_may_be_named(runs: Runs, etlapis_sandbox: SandboxFactory) -> None:
    etlapis_sandbox.etlworks(conn_id="shop", role="operator")
    code, out, told = runs("list")
    assert (code, out) == (1, "")
    assert "name a flow by flow_id" in told


@pytest.mark.parametrize(
    ("conn_id", "run_id", "reason"),
    [
        ("nowhere", "1", "There is no connection 'nowhere', neither as AIRFLOW_CONN_NOWHERE"),
        ("foreign", "1", "is of the type 'http'"),
        ("shop", "a/b", "a run of Celery Director is named workflow_id, not 'a/b'"),
        ("shop", "00000000-0000-4000-8000-000000000000", "not there"),
    ],
)
def test_what_is_wrong_is_one_line_on_standard_error(
    runs: Runs,
    director: CeleryDirectorSandbox,
    monkeypatch: pytest.MonkeyPatch,
    conn_id: str,
    run_id: str,
    reason: str,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FOREIGN", "http://example.com")
    code, out, told = runs("show", run_id, conn_id=conn_id)
    assert (code, out) == (1, "")
    assert reason in told
    assert "pass:word" not in told


def test_ctrl_c_leaves_the_run_alone(
    runs: Runs, director: CeleryDirectorSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = director.seed_run(life=LONG)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("airflow_provider_etlapis.runs_command.time.sleep", interrupt)
    code, _, told = runs("show", run.id, "--wait")
    assert (code, told.splitlines()[-1]) == (130, "Stopped looking; the run goes on.")
    assert not director.ledger.cancels
