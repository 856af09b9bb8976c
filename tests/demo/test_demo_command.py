"""`etlapis demo` from the outside: what it prints, its exit code, and that nothing outlives it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from airflow_provider_etlapis import __version__
from airflow_provider_etlapis.cli import main
from airflow_provider_etlapis.demo.processes import wait_until

DAGS = Path(__file__).parent / "dags"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment whose AIRFLOW_HOME and settings would break any Airflow that obeyed them."""
    (tmp_path / "tmp").mkdir()
    return {
        **os.environ,
        "TMPDIR": str(tmp_path / "tmp"),
        "AIRFLOW_HOME": str(tmp_path / "theirs"),
        "AIRFLOW__CORE__EXECUTOR": "NoSuchExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nowhere/airflow.db",
    }


def demo(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow_provider_etlapis.cli", "demo", "--dags", str(DAGS), *arguments]


def test_the_demo_runs_the_dags_and_says_how_they_came_out(env: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(demo("--director", "sandbox"), env=env, capture_output=True, text=True, timeout=240)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "director_standin.etl: success" in done.stdout
    assert "director_standin.fails failed as intended, because:" in done.stdout
    assert "column 'amount'" in done.stdout
    assert not (tmp_path / "theirs").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def descendants(process: psutil.Process) -> dict[int, psutil.Process]:
    """Everything below a process, also what is in sessions of its own."""
    return {child.pid: child for child in process.children(recursive=True)}


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_stops_everything_that_was_started(env: dict[str, str], tmp_path: Path, signum: int, code: int) -> None:
    running = subprocess.Popen(
        demo("--director", "real"), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seen: dict[int, psutil.Process] = {}

    def all_up() -> bool:
        assert running.poll() is None, running.communicate()
        seen.update(descendants(psutil.Process(running.pid)))
        commands = []
        for child in seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                commands.append(" ".join(child.cmdline()))
        return all(any(word in command for command in commands) for word in ("triggerer", "celery", "guardian"))

    wait_until(all_up, 180, "processes of Airflow and of Celery Director")

    running.send_signal(signum)
    output, _ = running.communicate(timeout=60)

    assert running.returncode == code, output
    left = [child for child in seen.values() if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert left == []
    assert "everything that was started has been stopped" in output
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_folder_without_demo_dags_is_explained_and_leaves_nothing(env: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_provider_etlapis.cli", "demo", "--dags", str(tmp_path)]

    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    assert done.returncode == 2
    assert done.stderr.startswith("etlapis demo: no DAG with the tag etlapis-demo")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert __version__ in capsys.readouterr().out

    assert main([]) == 2
    assert {"demo", "sandbox"} <= set(capsys.readouterr().out.split())


def test_the_command_imports_no_airflow_until_it_is_needed() -> None:
    code = "import sys; from airflow_provider_etlapis.cli import main; main([]); sys.exit('airflow' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode == 0
