"""Sandboxes behind a proxy that spoils answers at random, in a process of its own, whose time is not the client's."""

from __future__ import annotations

import contextlib
import gzip
import random
import socket
import threading
import time
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_etlapis.sandbox.lives import Life
from tests.faults.campaign import VENDORS
from tests.wire.hostile import bomb

HEALTHY = "healthy"
HONEST_SHARE = 0.55
"""Answers that come through as the vendor gave them: without any, nothing would ever start."""

_HEADERS = (
    b"Retry-After: 0",
    b"Retry-After: 1",
    b"Retry-After: Mon, 20 Nov 2026 00:00:00 +99999999999999999",
    b"Retry-After: soon",
    b"Location: http://[bad",
    b"Location: /\xff\xfe",
    b"Location: https://sign-on.example.com/",
    b"Content-Encoding: gzip",
    b"Content-Encoding: br",
    b"Content-Encoding: nonsense",
    b"Content-Type: text/html; charset=klingon",
    b"Content-Length: 3",
    b"Content-Length: -5",
    b"Content-Length: 99999999999",
    b"Transfer-Encoding: chunked",
    b"Date: Thu, 99 Foo 0000 99:99:99 GMT",
    b"Date: Fri, 31 Dec 9999 23:59:59 GMT",
    b"X-Long: " + b"a" * 7000,
    b"X-Odd\r: 1",
    b"Set-Cookie: a=b; Max-Age=nan",
    b"no colon at all",
)
_TEXTS = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"0",
    b'"success"',
    b"<!DOCTYPE html><h1>Sign in</h1>",
    b"default backend - 404",
    b"token" * 13_000,
    b"password=" * 7_000,
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[NaN, Infinity, 1e999]",
    b'{"id": ' + b"9" * 5_000 + b"}",
    b'{"error": "\\u0000\\ud800\\u001b[2J"}',
    b'{"status": null, "id": null, "jobs": null, "data": [null, 1, "x"]}',
    b'[{"id": "' + b"x" * 3_000_000 + b'"}]',
    b"\xff\xfe\x00bad",
    gzip.compress(b'{"success": true}'),
)
_CHUNKS = (b"-5\r\nabc\r\n0\r\n\r\n", b"zz\r\n", b"3\r\nabc\r\n", b"ffffffffffffffff\r\nabc", b"0\r\n\r\n")


class FuzzProxy:
    """Passes requests on to a server, and spoils what it answers."""

    def __init__(self, behind: str, seed: str) -> None:
        self._behind = (urlsplit(behind).hostname or "", urlsplit(behind).port or 80)
        self._dice = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.spoiled = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            request = _request_of(connection)
            if request is None:
                return
            passed_on = self._dice.random() < 0.85
            answer = self._ask(request) if passed_on else b""
            if answer and self._dice.random() < HONEST_SHARE:
                connection.sendall(answer)
                return
            self.spoiled += 1
            self._spoil(connection, answer)

    def _ask(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        with socket.create_connection(self._behind, timeout=20) as server:
            server.sendall(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
            parts = []
            while piece := server.recv(65536):
                parts.append(piece)
        return b"".join(parts)

    def _spoil(self, connection: socket.socket, answer: bytes) -> None:
        dice = self._dice
        how = dice.randrange(9)
        if how == 0:
            return  # closed without a word
        if how == 1 and answer:
            connection.sendall(answer[: dice.randrange(len(answer))])
            return
        if how == 2 and answer:
            at = dice.randrange(len(answer))
            connection.sendall(answer[:at] + bytes([dice.randrange(256)]) + answer[at + 1 :])
            return
        if how == 3:
            time.sleep(dice.choice((0.05, 0.3, 1.5)))
            connection.sendall(answer)
            return
        if how == 4 and dice.random() < 0.05:
            connection.sendall(bomb(dice.choice(("gzip", "deflate"))))
            return
        status = dice.choice((dice.randrange(100, 600), *[200] * 3, 301, 302, 401, 403, 404, 408, 429, 500, 502, 503))
        headers = dice.sample(_HEADERS, dice.choice((0, 0, 1, 2)))
        body = dice.choice(_TEXTS)
        if how == 5:
            headers, body = [*headers, b"Transfer-Encoding: chunked"], dice.choice(_CHUNKS)
        elif how != 6:
            headers = [*headers, b"Content-Length: %d" % len(body)]
        whole = b"\r\n".join([b"HTTP/1.1 %d Whatever" % status, *headers]) + b"\r\n\r\n" + body
        if how == 7:
            for at in range(0, min(len(whole), 40)):
                connection.sendall(whole[at : at + 1])
                time.sleep(0.05)
            return
        connection.sendall(whole)


def _request_of(connection: socket.socket) -> bytes | None:
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(65536)
        if not piece:
            return None
        request += piece
    head, _, body = request.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            return None
        body += piece
    return head + b"\r\n\r\n" + body


def serve(seed: str, pipe: Connection) -> None:
    """Serve until the pipe is closed: tell the connections first, then answer ``spoiled`` with a count.

    :param pipe: to the process that plays the client.
    """
    with contextlib.ExitStack() as stack:
        connections: dict[str, dict[str, Any]] = {}
        proxies = []
        for vendor, row in VENDORS.items():
            sandbox = stack.enter_context(row.sandbox())
            sandbox.default_life = Life(duration=0.4)
            proxy = FuzzProxy(sandbox.base_url, f"{seed}/{vendor}")
            proxies.append(proxy)
            connections[vendor] = sandbox.connection()
            connections[vendor]["host"] = connections[vendor]["host"].replace(sandbox.base_url, proxy.url)
        healthy = stack.enter_context(VENDORS["celery_director"].sandbox())
        healthy.default_life = Life(duration=0.5)
        connections[HEALTHY] = healthy.connection()
        pipe.send(connections)
        with contextlib.suppress(EOFError):
            while pipe.recv():
                pipe.send(sum(proxy.spoiled for proxy in proxies))
