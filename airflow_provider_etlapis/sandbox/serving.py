"""The sandbox's place on the network: an HTTP server on 127.0.0.1 in a thread and event loop of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from aiohttp import web

from airflow_provider_etlapis.sandbox.messages import Call, Reply

#: Only this machine may talk to a sandbox: it has no secrets worth the name and no limits.
ADDRESS = "127.0.0.1"

_START_TIMEOUT = 10.0


class BackgroundServer:
    """Serves until closed; the caller's thread is never used.

    :param answer: turns a request into an answer; runs in the server's loop
    :param on_connection: called at every accepted TCP connection
    :param keep_alive: whether a connection is kept open after an answer; asked at every answer
    :param port: ``0`` takes a free one
    :param tls: context for https
    :raises OSError: if the port is taken
    """

    def __init__(
        self,
        answer: Callable[[Call], Awaitable[Reply]],
        *,
        on_connection: Callable[[], None],
        keep_alive: Callable[[], bool],
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._answer = answer
        self._on_connection = on_connection
        self._keep_alive = keep_alive
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="etlapis-sandbox", daemon=True)
        self._thread.start()
        try:
            self.port = asyncio.run_coroutine_threadsafe(self._listen(port, tls), self._loop).result(_START_TIMEOUT)
        except BaseException:
            self._end_loop()
            raise

    def close(self) -> None:
        """Stop listening, cut every connection, and end the thread."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(_START_TIMEOUT)
        self._end_loop()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _listen(self, port: int, tls: ssl.SSLContext | None) -> int:
        self._http = web.Server(self._serve, access_log=None)

        def accept() -> asyncio.BaseProtocol:
            self._on_connection()
            return self._http()

        self._listener = await self._loop.create_server(accept, ADDRESS, port, ssl=tls, backlog=2048)
        taken: int = self._listener.sockets[0].getsockname()[1]
        return taken

    async def _shut(self) -> None:
        self._listener.close()
        transports = [connection.transport for connection in self._http.connections]
        await self._http.shutdown(timeout=0.01)  # an idle connection takes all of it
        for transport in transports:
            if transport is not None:
                transport.abort()  # a TLS connection would take its time to say goodbye
        await self._listener.wait_closed()
        held = asyncio.all_tasks() - {asyncio.current_task()}  # requests whose client is gone wait on
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        call = Call(
            method=request.method,
            path=request.rel_url.raw_path,
            query=tuple(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.content.read(),  # not request.read(): that refuses more than 1 MiB
        )
        reply = await self._answer(call)
        if reply.delivery == "none" or request.transport is None:
            _hang_up(request)
            return web.Response()
        headers = dict(reply.headers)
        if reply.content_type is not None and reply.body:
            headers["Content-Type"] = reply.content_type
        if reply.delivery == "half":
            return await _send_half(request, reply, headers)
        response = web.Response(status=reply.status, headers=headers, body=reply.body)
        if not self._keep_alive():
            response.force_close()
        return response


async def _send_half(request: web.BaseRequest, reply: Reply, headers: dict[str, str]) -> web.StreamResponse:
    """Declare the whole body, send half of it, and close the connection."""
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    _hang_up(request)
    return response


def _hang_up(request: web.BaseRequest) -> None:
    """Close the connection after what was written; nothing is left to close if the client went first."""
    if request.transport is not None:
        request.transport.close()
