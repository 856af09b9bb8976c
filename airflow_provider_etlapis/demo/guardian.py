"""Ends process sessions: as a library for the process that started them, as a script when that process has died.

A session, not a process group, is the unit: Airflow puts each task into a process group of its own, and all of
them stay in the session of the component that we started. The script is what keeps a killed test run (SIGKILL, a
closed terminal) from leaving servers behind, on every platform and with no thread-bound kernel feature.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]  # a dependency of Airflow that ships no type hints

KILL_WAIT = 5.0
POLL = 0.05
PARENT_CHECK = 0.5
# A process's start time is computed from the wall clock, which may be set while we run; a pid is not recycled so soon.
SAME_START = 120.0


@dataclass(frozen=True)
class Session:
    """A session that we opened: the pid of its leader, and when that started, against a recycled pid."""

    leader: int
    created: float

    def is_ours(self) -> bool:
        """Tell whether the leader's pid still means our leader (alive, ended, or not yet collected)."""
        try:
            return bool(abs(psutil.Process(self.leader).create_time() - self.created) < SAME_START)
        except psutil.NoSuchProcess:
            return True  # the kernel keeps the number reserved while the session has a member

    def members(self) -> list[int]:
        """Pids of all live processes of the session, wherever they are in the process tree."""
        if not self.is_ours():
            return []
        return [pid for pid in psutil.pids() if _session_of(pid) == self.leader and not _is_zombie(pid)]

    def signal(self, signum: int) -> None:
        """Send one signal to every member."""
        for pid in self.members():
            send(pid, signum)


def send(pid: int, signum: int) -> None:
    """Signal one process; that it has just ended is no error."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return


def end_sessions(sessions: Iterable[Session], grace: float, collect: Callable[[], object] = lambda: None) -> None:
    """SIGTERM to all members of all sessions at once, SIGKILL to what is left after `grace` seconds.

    `collect` is called while waiting, so that a parent can reap its direct children.
    """
    remaining = list(sessions)
    for signum, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, KILL_WAIT)):
        for session in remaining:
            session.signal(signum)
        give_up = time.monotonic() + patience
        while remaining and time.monotonic() < give_up:
            collect()
            remaining = [session for session in remaining if session.members()]
            if remaining:
                time.sleep(POLL)
        if not remaining:
            return


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):  # ended meanwhile, or of another user: not ours
        return -1


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def watch(grace: float) -> None:
    """Read `+pid created` and `-pid created` lines from stdin; when the parent is gone, end what is on the list."""
    parent = os.getppid()
    watched: set[Session] = set()
    pending = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], PARENT_CHECK)[0]:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            leader, created = line[1:].split()
            session = Session(int(leader), float(created))
            (watched.add if line.startswith(b"+") else watched.discard)(session)
    end_sessions(watched, grace)


if __name__ == "__main__":
    watch(float(sys.argv[1]))
