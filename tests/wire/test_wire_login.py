"""Logging in, in both colours: once for many, early again, once more on a 401, and never in the way of itself."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from airflow_provider_etlapis.sandbox.messages import Call as Received
from airflow_provider_etlapis.sandbox.messages import Reply
from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.auth import Token, TokenAuth
from airflow_provider_etlapis.wire.call import Request, Response, json_object
from airflow_provider_etlapis.wire.exchange import status_error
from airflow_provider_etlapis.wire.redact import Redactor
from tests.wire.conftest import GOOD, Client, Server, channel_to, read, start

LIFE = 100.0


class VendorAuth(TokenAuth):
    """Tokens that live for 100 s and can be exchanged for 200 s."""

    def __init__(self, url: str) -> None:
        self.time = 1000.0
        self.url = url
        super().__init__(now=lambda: self.time)

    def login(self) -> Generator[Request, Response, Token]:
        return (yield from self._ask("login"))

    def refresh(self, token: Token) -> Generator[Request, Response, Token]:
        return (yield from self._ask("refresh"))

    def signed(self, request: Request, token: Token) -> Request:
        return request.with_headers({"Authorization": f"Bearer {token.value}"})

    def _ask(self, what: str) -> Generator[Request, Response, Token]:
        response = yield Request("POST", f"{self.url}/{what}", {"Accept": "application/json"})
        if response.status != 200:
            raise status_error(f"POST /{what}", response, Redactor(), 0.0)
        value = json_object(response)["token"]
        return Token(value, self.time, self.time + LIFE, self.time + 2 * LIFE)


class TokenServer:
    """Gives out tokens, and answers those who bring the newest one."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.asked: list[str] = []
        self.faults: list[Reply] = []
        self.valid = ""
        self.refreshes = True
        server._answer = self._answer  # type: ignore[method-assign]
        server._served._answer = self._answer  # type: ignore[assignment]

    async def _answer(self, call: Received) -> Reply:
        what = call.path.strip("/")
        self.asked.append(what)
        if what in ("login", "refresh"):
            if self.faults:
                return self.faults.pop(0)
            if what == "refresh" and not self.refreshes:
                return Reply.json(401, {"error": "refresh token expired"})
            self.valid = f"token-number-{len(self.asked)}"
            return Reply.json(200, {"token": self.valid})
        known = call.header("Authorization") == f"Bearer {self.valid}"
        return GOOD if known else Reply.json(401, {"error": "token expired"})


@pytest.fixture
def vendor(server: Server) -> TokenServer:
    return TokenServer(server)


def test_many_calls_at_once_log_in_once(client: Client, vendor: TokenServer) -> None:
    channel = channel_to(vendor.server.url, VendorAuth(vendor.server.url))

    assert client.gather(channel, [read() for _ in range(20)]) == [{"answer": 42}] * 20
    assert vendor.asked.count("login") == 1


def test_many_calls_at_once_renew_a_refused_token_once(client: Client, vendor: TokenServer) -> None:
    channel = channel_to(vendor.server.url, VendorAuth(vendor.server.url))
    client.send(channel, read())
    vendor.valid = "revoked"

    assert client.gather(channel, [read() for _ in range(20)]) == [{"answer": 42}] * 20
    assert vendor.asked.count("login") == 2


def test_a_token_is_exchanged_before_its_end(client: Client, vendor: TokenServer) -> None:
    auth = VendorAuth(vendor.server.url)
    channel = channel_to(vendor.server.url, auth)
    client.send(channel, read())
    auth.time += 0.79 * LIFE
    client.send(channel, read())
    assert vendor.asked == ["login", "thing", "thing"]

    auth.time += 0.02 * LIFE
    client.send(channel, read())

    assert vendor.asked == ["login", "thing", "thing", "refresh", "thing"]


def test_a_token_that_can_no_more_be_exchanged_takes_a_login(client: Client, vendor: TokenServer) -> None:
    auth = VendorAuth(vendor.server.url)
    channel = channel_to(vendor.server.url, auth)
    client.send(channel, read())
    auth.time += 2 * LIFE

    client.send(channel, read())

    assert vendor.asked == ["login", "thing", "login", "thing"]


def test_a_refused_exchange_takes_a_login(client: Client, vendor: TokenServer) -> None:
    auth = VendorAuth(vendor.server.url)
    channel = channel_to(vendor.server.url, auth)
    client.send(channel, read())
    vendor.refreshes = False
    auth.time += LIFE

    assert client.send(channel, read()) == {"answer": 42}
    assert vendor.asked == ["login", "thing", "refresh", "login", "thing"]


def test_a_401_forces_one_login_and_no_more(client: Client, vendor: TokenServer) -> None:
    channel = channel_to(vendor.server.url, VendorAuth(vendor.server.url))
    client.send(channel, read())
    vendor.server.received.clear()

    async def refuse(call: Received) -> Reply:
        vendor.asked.append(call.path.strip("/"))
        return Reply.json(200, {"token": "useless-token"}) if call.path == "/login" else Reply.json(401, {})

    vendor.server._served._answer = refuse  # type: ignore[assignment]
    vendor.asked.clear()
    with pytest.raises(errors.UnauthorizedError):
        client.send(channel, read())

    assert vendor.asked == ["thing", "login", "thing"]


def test_a_start_that_met_a_401_is_sent_again_after_the_login(client: Client, vendor: TokenServer) -> None:
    channel = channel_to(vendor.server.url, VendorAuth(vendor.server.url))
    client.send(channel, read())
    vendor.valid = "revoked"

    assert client.send(channel, start()) == {"answer": 42}
    assert vendor.asked[-3:] == ["runs", "login", "runs"]


@pytest.mark.parametrize("fault", [Reply(503), Reply.nothing(), Reply(429), Reply.html(200, "<p>proxy</p>")])
def test_a_login_that_fails_in_passing_is_tried_again_and_blocks_nobody(
    client: Client, vendor: TokenServer, fault: Reply
) -> None:
    vendor.faults = [fault]
    channel = channel_to(vendor.server.url, VendorAuth(vendor.server.url))

    assert client.gather(channel, [read() for _ in range(3)]) == [{"answer": 42}] * 3


def test_a_start_may_be_repeated_when_only_its_login_was_lost(client: Client, vendor: TokenServer) -> None:
    vendor.faults = [Reply.nothing()]

    assert client.send(channel_to(vendor.server.url, VendorAuth(vendor.server.url)), start()) == {"answer": 42}
    assert vendor.asked == ["login", "login", "runs"]


def test_a_refused_login_is_told_once_and_the_next_call_may_log_in(client: Client, vendor: TokenServer) -> None:
    vendor.faults = [Reply.json(401, {"error": "wrong password"})]
    channel = channel_to(vendor.server.url, VendorAuth(vendor.server.url))

    with pytest.raises(errors.UnauthorizedError, match="wrong password"):
        client.send(channel, read())

    assert vendor.asked == ["login"]
    assert client.send(channel, read()) == {"answer": 42}


def test_tokens_that_were_used_are_hidden_from_then_on(client: Client, vendor: TokenServer) -> None:
    channel = channel_to(vendor.server.url, VendorAuth(vendor.server.url))
    client.send(channel, read())

    assert vendor.valid not in channel.redact(f"your header was {vendor.valid}")


def test_a_token_is_hidden_also_if_its_first_use_fails(client: Client, vendor: TokenServer) -> None:
    async def echo(call: Received) -> Reply:
        if call.path == "/login":
            return Reply.json(200, {"token": "fresh-t0ken-value"})
        return Reply.html(500, f"<p>{call.header('Authorization').rpartition(' ')[2]}</p>")  # type: ignore[union-attr]

    vendor.server._served._answer = echo  # type: ignore[assignment]

    with pytest.raises(errors.ServerFaultError) as failure:
        client.send(channel_to(vendor.server.url, VendorAuth(vendor.server.url)), read())

    assert "fresh-t0ken" not in str(failure.value)
