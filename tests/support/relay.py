"""A line to a server on localhost that a test cuts and mends, so that a real server is out of reach for a while."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit


class Relay(socketserver.ThreadingTCPServer):
    """Passes connections on to a server; while cut, each one is closed without an answer.

    :param base_url: address of the server.
    """

    daemon_threads = True

    def __init__(self, base_url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Line)
        parts = urlsplit(base_url)
        self.target = (parts.hostname or "", parts.port or 80)
        self.is_cut = False
        self.ends: set[socket.socket] = set()

    @property
    def base_url(self) -> str:
        """Address to use instead of the server's."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Relay:
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self.shutdown()
        self.server_close()

    def cut(self) -> None:
        """Let nothing through, and end what is open."""
        self.is_cut = True
        for end in list(self.ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let everything through again."""
        self.is_cut = False


class _Line(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        if self.server.is_cut:
            return
        with socket.create_connection(self.server.target) as far, suppress(OSError):
            others = {self.request: far, far: self.request}
            self.server.ends |= set(others)
            try:
                while True:
                    for end in select.select(list(others), [], [])[0]:
                        data = end.recv(65536)
                        if not data:
                            return
                        others[end].sendall(data)
            finally:
                self.server.ends -= set(others)
