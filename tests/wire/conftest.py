"""One local server and both clients, so that every promise of the wire is shown for the two colours alike."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_etlapis.sandbox.messages import Call as Received
from airflow_provider_etlapis.sandbox.messages import Reply
from airflow_provider_etlapis.sandbox.serving import BackgroundServer
from airflow_provider_etlapis.wire.aio import AsyncClient
from airflow_provider_etlapis.wire.auth import Auth, NoAuth
from airflow_provider_etlapis.wire.call import Call, Response, json_object
from airflow_provider_etlapis.wire.errors import WireError
from airflow_provider_etlapis.wire.exchange import Channel
from airflow_provider_etlapis.wire.policy import RetryPolicy
from airflow_provider_etlapis.wire.settings import WireSettings
from airflow_provider_etlapis.wire.sync import SyncClient

GOOD = Reply.json(200, {"answer": 42})


class Server:
    """Answers with what a test has scripted, in order; after that, with the last answer again and again."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.replies: list[Reply] = [GOOD]
        self.connections = 0
        self._served = BackgroundServer(
            self._answer, on_connection=self._note_connection, keep_alive=lambda: True, tls=tls
        )
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._served.port}"

    def script(self, *replies: Reply) -> None:
        self.replies = list(replies)

    def close(self) -> None:
        self._served.close()

    async def _answer(self, call: Received) -> Reply:
        self.received.append(call)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        await asyncio.sleep(reply.hold)
        return reply

    def _note_connection(self) -> None:
        self.connections += 1


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@dataclass
class Client:
    """A client of one colour. Pauses are noted, not slept."""

    colour: str
    pauses: list[float] = field(default_factory=list)

    def send(self, channel: Channel, *calls: Call[Any]) -> Any:
        """Send calls one after the other; return the last one's result."""
        return (
            self.gather(channel, calls)[-1] if self.colour == "sync" else asyncio.run(self._one_by_one(channel, calls))
        )

    def gather(self, channel: Channel, calls: Any) -> list[Any]:
        """Send calls, at the same time if this colour can."""
        if self.colour == "aio":
            return asyncio.run(self._all(channel, calls))
        client = SyncClient(channel, sleep=self.pauses.append)
        try:
            return [client.send(call) for call in calls]
        finally:
            client.close()

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def _one_by_one(self, channel: Channel, calls: Any) -> Any:
        client = AsyncClient(channel, sleep=self._pause)
        try:
            return [await client.send(call) for call in calls][-1]
        finally:
            await client.aclose()

    async def _all(self, channel: Channel, calls: Any) -> list[Any]:
        client = AsyncClient(channel, sleep=self._pause)
        try:
            return list(await asyncio.gather(*(client.send(call) for call in calls)))
        finally:
            await client.aclose()


@pytest.fixture(params=["sync", "aio"])
def client(request: pytest.FixtureRequest) -> Client:
    return Client(request.param)


def channel_to(url: str, auth: Auth | None = None, **settings: Any) -> Channel:
    """Return a channel that repeats a request twice at most, unless a test says otherwise."""
    wanted = {"retry": RetryPolicy(retries=2), **settings}
    return Channel(WireSettings(url, **wanted), auth or NoAuth())


def read(path: str = "thing", parse: Callable[[Response], Any] = json_object, **more: Any) -> Call[Any]:
    return Call("GET", path, parse, **more)


def start(**more: Any) -> Call[Any]:
    return Call("POST", "runs", json_object, json={"name": "x"}, **more)


def failure_of(client: Client, url: str, error: type[WireError], **settings: Any) -> tuple[Any, float]:
    """Send one read that must fail, once; return the failure and the seconds it took."""
    began = time.monotonic()
    with pytest.raises(error) as failure:
        client.send(channel_to(url, **{"retry": RetryPolicy(retries=0), **settings}), read())
    return failure.value, time.monotonic() - began


def send_with_real_pauses(colour: str, channel: Channel, call: Call[Any]) -> Any:
    """Send a call by a client that does sleep."""

    async def send() -> Any:
        client = AsyncClient(channel)
        try:
            return await client.send(call)
        finally:
            await client.aclose()

    if colour == "aio":
        return asyncio.run(send())
    client = SyncClient(channel)
    try:
        return client.send(call)
    finally:
        client.close()


@pytest.fixture(params=["sync", "aio"])
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)
