"""Child processes that never outlive their parent: sessions of their own, output in files, stopped by pid."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import psutil  # type: ignore[import-untyped]  # a dependency of Airflow that ships no type hints

from airflow_provider_etlapis.demo import guardian
from airflow_provider_etlapis.demo.errors import ChildDiedError, CommandFailedError, NotReadyError
from airflow_provider_etlapis.demo.guardian import Session

LOCALHOST = "127.0.0.1"
GRACE = 8.0
# Below the range from which systems give ports to outgoing connections: a port found free there may be taken by
# the time that a slow server binds it.
PORTS = range(20_000, 31_000)


class Interrupted(KeyboardInterrupt):
    """SIGTERM or SIGHUP, raised in the main thread like Ctrl-C so that every context manager unwinds."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@contextlib.contextmanager
def termination_raises() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into `Interrupted` while the block runs (main thread only)."""

    def interrupt(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted(signum)

    # A shell starts background jobs with SIGINT ignored; this command is to be stopped by it all the same.
    before = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Let the signals that end us come only when the block is over (in the main thread, where they arrive)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = {
        signum: signal.signal(signum, lambda caught_one, _frame: caught.append(caught_one))
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    for number in caught:
        signal.raise_signal(number)


def free_port() -> int:
    """Find a port of localhost on which nothing listens."""
    for port in random.sample(PORTS, k=200):
        with socket.socket() as probe:
            try:
                probe.bind((LOCALHOST, port))
            except OSError:
                continue
            return port
    raise NotReadyError(f"no free port on {LOCALHOST} between {PORTS.start} and {PORTS.stop}")


def without_proxy(env: Mapping[str, str]) -> dict[str, str]:
    """Copy an environment, with localhost excepted from whatever proxy it names."""
    result = dict(env)
    for name in ("NO_PROXY", "no_proxy"):
        known = [part for part in result.get(name, "").split(",") if part]
        result[name] = ",".join([*known, "localhost", LOCALHOST])
    return result


def wait_until(predicate: Callable[[], bool], timeout: float, what: str, interval: float = 0.2) -> None:
    """Poll until `predicate` is true; `NotReadyError` naming `what` after `timeout` seconds."""
    give_up = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > give_up:
            raise NotReadyError(f"{what}: not within {timeout:g} s")
        time.sleep(interval)


class Service(ABC):
    """What is started and stopped; as a context manager it is both, also when starting fails half-way."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Start it, and wait until it serves."""

    @abstractmethod
    def stop(self) -> None:
        """End all of it; may be called twice."""


class ChildProcess:
    """One process that we started, leader of a session that holds all its descendants."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self.pid = process.pid
        self._process = process
        self.session = Session(process.pid, psutil.Process(process.pid).create_time())

    def __repr__(self) -> str:
        return f"<{self.name} pid={self.pid} returncode={self.returncode}>"

    @property
    def returncode(self) -> int | None:
        """None while the process runs; reaps it when it has ended."""
        return self._process.poll()

    def is_running(self) -> bool:
        """Tell whether the process itself (not its descendants) is alive."""
        return self.returncode is None

    def signal(self, signum: int) -> None:
        """Signal the process alone, as a container runtime does with its first process."""
        if self.is_running():
            guardian.send(self.pid, signum)

    def members(self) -> list[int]:
        """Pids of the process and of all its live descendants."""
        return self.session.members()

    def find(self, title: str) -> int | None:
        """Pid of the descendant whose command line is `title`, or starts with it and a blank."""
        for pid in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                command = " ".join(psutil.Process(pid).cmdline()).strip()
                if command == title or command.startswith(f"{title} "):
                    return pid
        return None

    def wait(self, timeout: float) -> int:
        """Wait for the process to end; `NotReadyError` if it does not."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise NotReadyError(f"{self.name} (pid {self.pid}): still running after {timeout:g} s") from error

    def log_tail(self, lines: int = 25) -> str:
        """Return the last lines that the process wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class ChildProcesses:
    """The processes of one stack; leaving the context ends them all, and so does the death of this process.

    A guardian process holds the list too and acts on it when we are gone without having cleaned up.
    """

    def __init__(self, logs: Path, grace: float = GRACE) -> None:
        self.logs = logs
        self.grace = grace
        self.children: list[ChildProcess] = []
        self._guardian: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ChildProcesses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()

    def start(self, name: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None) -> ChildProcess:
        """Start a process in a new session, stdin closed, output to `<logs>/<name>.log` (`<name>-2.log` …)."""
        self._tell_guardian(None)
        log = self._new_log(name)
        # Ctrl-C between the start of a process and the note of it would leave it to nobody.
        with log.open("wb") as output, _held_back():
            process = subprocess.Popen(  # noqa: S603 - the argument list is ours, and no shell reads it
                list(argv),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            child = ChildProcess(name, process, log)
            self.children.append(child)
            self._tell_guardian(f"+{child.session.leader} {child.session.created!r}")
        return child

    def run(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        timeout: float = 180.0,
    ) -> None:
        """Run a command that is to end by itself; `CommandFailedError` with the tail of its log when it goes wrong."""
        child = self.start(name, argv, env=env, cwd=cwd)
        try:
            code = child.wait(timeout)
        finally:
            self.stop(child)
        if code != 0:
            raise CommandFailedError(f"{name} returned {code}; the end of {child.log}:\n{child.log_tail()}")

    def check(self) -> None:
        """Raise `ChildDiedError` if any process that we have not stopped has ended."""
        for child in self.children:
            if not child.is_running():
                raise ChildDiedError(
                    f"{child.name} ended by itself with code {child.returncode}; "
                    f"the end of {child.log}:\n{child.log_tail()}"
                )

    def stop(self, *children: ChildProcess, grace: float | None = None) -> None:
        """End these processes and all their descendants: SIGTERM, then SIGKILL after `grace` seconds."""

        def reap() -> None:
            for child in children:
                child.is_running()

        guardian.end_sessions(
            [child.session for child in children], self.grace if grace is None else grace, collect=reap
        )
        reap()
        for child in children:
            if child in self.children:
                self.children.remove(child)
                self._tell_guardian(f"-{child.session.leader} {child.session.created!r}")

    def stop_all(self) -> None:
        """End everything that is still running, and the guardian; may be called twice."""
        self.stop(*self.children)
        if self._guardian and self._guardian.stdin:
            self._guardian.stdin.close()
            self._guardian.wait(self.grace + 2 * guardian.KILL_WAIT)
            self._guardian = None

    def _new_log(self, name: str) -> Path:
        self.logs.mkdir(parents=True, exist_ok=True)
        log, number = self.logs / f"{name}.log", 1
        while log.exists():
            number += 1
            log = self.logs / f"{name}-{number}.log"
        return log

    def _tell_guardian(self, line: str | None) -> None:
        if self._guardian is None:
            self._guardian = subprocess.Popen(  # noqa: S603 - our own script, run by our own interpreter
                [sys.executable, "-I", guardian.__file__, str(self.grace)],
                stdin=subprocess.PIPE,
                start_new_session=True,
                cwd=os.sep,
            )
        if line is not None and self._guardian.stdin:
            self._guardian.stdin.write(f"{line}\n".encode())
            self._guardian.stdin.flush()
