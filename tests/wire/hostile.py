"""A server that says whatever bytes a test wants, and instruments for what an answer does to its reader."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

Speak = Callable[[socket.socket], None]

OK = b"HTTP/1.1 200 OK\r\n"
BOMBS = ("gzip", "deflate", "raw deflate")
LONGEST_STALL = 0.05
"""Seconds for which nothing that a server sends may hold up an event loop."""
MOST_MEMORY = 64_000_000
"""Bytes that nothing that a server sends may add to a process."""


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a whole answer with its length."""
    head = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


class HostileServer:
    """Reads each request, and answers with what ``speak`` does to its connection, which it then closes."""

    def __init__(self, speak: Speak | bytes, port: int = 0) -> None:
        self._speak: Speak = (lambda connection: connection.sendall(speak)) if isinstance(speak, bytes) else speak
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            self.requests.append(head)
            self._speak(connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bomb(encoding: str) -> bytes:
    """Return about a megabyte that becomes a gigabyte."""
    bits = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS, "raw deflate": -zlib.MAX_WBITS}[encoding]
    squeeze = zlib.compressobj(9, zlib.DEFLATED, bits)
    block = b"[" * 1_000_000
    made = b"".join(squeeze.compress(block) for _ in range(1_000)) + squeeze.flush()
    assert len(made) < 2_000_000
    return made


@cache
def bomb(encoding: str) -> bytes:
    """Return an answer of about a megabyte that becomes a gigabyte.

    :param encoding: one of :data:`BOMBS`.
    """
    return answer(_bomb(encoding), f"Content-Encoding: {encoding.split()[-1]}")


def trickle(start: bytes, drop: bytes = b"x", every: float = 0.05, until: float = 30.0) -> Speak:
    """Say ``start``, and then a drop every so many seconds, for ever."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(start)
        end = time.monotonic() + until
        while time.monotonic() < end:
            time.sleep(every)
            connection.sendall(drop)

    return speak


@contextlib.asynccontextmanager
async def stopwatch() -> AsyncIterator[list[float]]:
    """Note by how much each turn of the event loop comes late: a millisecond's sleep that takes longer."""
    late: list[float] = [0.0]

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - began - 0.001)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.02)
    late.clear()
    try:
        yield late
    finally:
        await asyncio.sleep(0.005)
        watching.cancel()


@contextlib.contextmanager
def memory() -> Iterator[dict[str, int]]:
    """Note by how many bytes this process has grown at the most inside of the block."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from now
    before, found = kilobytes("VmRSS"), {"grown": 0}
    try:
        yield found
    finally:
        found["grown"] = (kilobytes("VmHWM") - before) * 1024


def kilobytes(name: str) -> int:
    """Return a figure of this process that Linux counts in kB, such as ``VmRSS``."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0])


def quietest(measure: Callable[[], Any], good: Callable[[Any], bool], tries: int = 4) -> Any:
    """Measure until the result is good: what others do on this machine may disturb a measurement, never help it."""
    for _ in range(tries):
        result = measure()
        if good(result):
            break
    return result
