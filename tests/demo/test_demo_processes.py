"""Child processes end when they should, and never later than their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from airflow_provider_etlapis.demo.errors import ChildDiedError, CommandFailedError, NotReadyError
from airflow_provider_etlapis.demo.processes import (
    ChildProcess,
    ChildProcesses,
    Interrupted,
    free_port,
    termination_raises,
    wait_until,
    without_proxy,
)

# Starts a grandchild in a process group of its own, as Airflow does with tasks; `{}` is what both do about SIGTERM.
FAMILY = """
import os, signal, sys, time
{}
if os.fork() == 0:
    os.setpgid(0, 0)
print("up", flush=True)
time.sleep(60)
"""
IGNORES = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ChildProcesses]:
    with ChildProcesses(tmp_path / "logs", grace=1.0) as started:
        yield started


def start_family(processes: ChildProcesses, on_sigterm: str = "") -> ChildProcess:
    child = processes.start("family", [sys.executable, "-c", FAMILY.format(on_sigterm)], env=os.environ)
    wait_until(lambda: child.log.read_text().count("up") == 2, 20, "the family")
    return child


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_stop_reaches_a_descendant_in_another_process_group(processes: ChildProcesses) -> None:
    child = start_family(processes)
    pids = child.members()
    assert len(pids) == 2

    processes.stop(child)

    assert alive(pids) == []


def test_what_ignores_sigterm_is_killed_after_the_grace(processes: ChildProcesses) -> None:
    child = start_family(processes, IGNORES)
    pids = child.members()

    began = time.monotonic()
    processes.stop(child)

    assert alive(pids) == []
    assert child.returncode == -signal.SIGKILL
    assert 1.0 <= time.monotonic() - began < 4.0


def test_a_descendant_that_outlives_its_leader_is_stopped(processes: ChildProcesses) -> None:
    child = start_family(processes)
    pids = child.members()
    child.signal(signal.SIGKILL)
    child.wait(5)
    assert len(alive(pids)) == 1

    processes.stop(child)

    assert alive(pids) == []


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_when_the_parent_is_killed(tmp_path: Path, signum: int) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                import os, sys, time
                from pathlib import Path
                from airflow_provider_etlapis.demo.processes import ChildProcesses
                children = ChildProcesses(Path({str(tmp_path)!r}), grace=1.0)
                child = children.start("family", [sys.executable, "-c", {FAMILY.format(IGNORES)!r}], env=os.environ)
                while child.log.read_text().count("up") < 2:
                    time.sleep(0.05)
                print(*child.members(), flush=True)
                time.sleep(60)
            """),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(alive(pids)) == 2

    parent.send_signal(signum)
    parent.wait(10)

    wait_until(lambda: alive(pids) == [], 10, "the end of the children")


def test_check_names_the_child_that_died_and_shows_its_log(processes: ChildProcesses) -> None:
    child = processes.start("sad", [sys.executable, "-c", "print('port in use'); raise SystemExit(3)"], env=os.environ)
    child.wait(20)

    with pytest.raises(ChildDiedError, match="sad ended by itself with code 3") as caught:
        processes.check()

    assert "port in use" in str(caught.value)


def test_a_failing_command_is_reported_with_its_log(processes: ChildProcesses) -> None:
    with pytest.raises(CommandFailedError, match=r"returned 1.*\n.*no such package"):
        processes.run("install", [sys.executable, "-c", "raise SystemExit('no such package')"], env=os.environ)


def test_a_command_that_hangs_is_ended(processes: ChildProcesses) -> None:
    with pytest.raises(NotReadyError, match="still running after"):
        processes.run("hang", [sys.executable, "-c", "import time; time.sleep(60)"], env=os.environ, timeout=0.5)

    assert processes.children == []


def test_each_start_has_a_log_of_its_own(processes: ChildProcesses) -> None:
    for _ in range(2):
        processes.run("say", [sys.executable, "-c", "print('once')"], env=os.environ)

    assert [(processes.logs / name).read_text() for name in ("say.log", "say-2.log")] == ["once\n", "once\n"]


def test_children_cannot_read_the_terminal(processes: ChildProcesses) -> None:
    processes.run("read", [sys.executable, "-c", "import sys; sys.exit(len(sys.stdin.read()))"], env=os.environ)


def test_sigterm_unwinds_like_ctrl_c_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(Interrupted) as caught, termination_raises():
        signal.raise_signal(signal.SIGTERM)

    assert caught.value.signum == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_ports_stay_clear_of_those_for_outgoing_connections_and_of_airflows_log_servers() -> None:
    assert all(20_000 <= free_port() < 31_000 for _ in range(50))


def test_localhost_is_excepted_from_the_users_proxy() -> None:
    env = without_proxy({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "intranet"})

    assert env["NO_PROXY"] == "intranet,localhost,127.0.0.1"
    assert env["no_proxy"] == "localhost,127.0.0.1"
