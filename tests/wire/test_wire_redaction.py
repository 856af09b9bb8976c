"""What is shown of secrets: nothing, in whatever spelling a server echoes them, wherever a text was cut."""

from __future__ import annotations

import base64
import html
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_etlapis.sandbox.messages import Reply
from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.auth import BasicAuth, HeaderAuth, NoAuth, Token, TokenAuth
from airflow_provider_etlapis.wire.call import Call, Response, json_object
from airflow_provider_etlapis.wire.policy import RetryPolicy
from airflow_provider_etlapis.wire.redact import Redactor
from tests.wire.conftest import Client, Server, channel_to, read
from tests.wire.hostile import HostileServer, answer

NO_RETRY = RetryPolicy(retries=0)
SECRET = "Pa\"ss w&or+d/7é\\x<y>'&Z9"
KEY = "k3yABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789q"


def _entities(pattern: str) -> str:
    return "".join(each if each.isalnum() and each.isascii() else pattern.format(ord(each)) for each in SECRET)


SPELLINGS: dict[str, str] = {
    "plain": SECRET,
    "HTML": html.escape(SECRET),
    "HTML, decimal": _entities("&#{};"),
    "HTML, decimal with zeros": _entities("&#0{};"),
    "HTML, hexadecimal": _entities("&#x{:x};"),
    "HTML, upper hexadecimal": _entities("&#X{:X};"),
    "HTML, twice": html.escape(html.escape(SECRET)),
    "percent": quote(SECRET, safe=""),
    "percent, slash kept": quote(SECRET),
    "percent, lower case": quote(SECRET, safe="")
    .replace("%C3%A9", "%c3%a9")
    .replace("%2B", "%2b")
    .replace("%2F", "%2f"),
    "form": quote_plus(SECRET),
    "form, read": SECRET.replace("+", " "),
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON, upper hexadecimal": json.dumps(SECRET)[1:-1].replace("\\u00e9", "\\u00E9"),
    "JSON, not escaped to ASCII": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "JSON with slashes": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "JSON in JSON": json.dumps(json.dumps(SECRET))[3:-3],
    "JSON, all as numbers": "".join(
        each if each.isalnum() and each.isascii() else f"\\u{ord(each):04x}" for each in SECRET
    ),
    "repr": repr(SECRET)[1:-1],
    "repr of bytes": repr(SECRET.encode())[2:-1],
    "UTF-8 read as Latin-1": SECRET.encode().decode("latin-1"),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
    "base64 of the pair": base64.b64encode(f"jane:{SECRET}".encode()).decode(),
    "base64 of the pair, percent": quote(base64.b64encode(f"jane:{SECRET}".encode()).decode(), safe=""),
}


@pytest.mark.parametrize("way", SPELLINGS)
def test_a_secret_is_hidden_in_each_of_its_spellings(client: Client, server: Server, way: str) -> None:
    spelling = SPELLINGS[way]
    server.script(Reply(400, f"<p>denied for [{spelling}] today".encode(), "text/html"))

    with pytest.raises(errors.BadRequestError) as failure:
        client.send(channel_to(server.url, BasicAuth("jane", SECRET), retry=NO_RETRY), read())

    assert spelling not in str(failure.value)
    assert "[***" in str(failure.value).partition("denied for ")[2]
    assert "] today" in str(failure.value)


@pytest.mark.parametrize(
    "text", ["token", "password", "token=", "tokens-", "secret_", "Bearer ", "://a:", "&#3", "\\", "'"]
)
@pytest.mark.parametrize("size", [4_000, 64_000, 10_000_000])
def test_redaction_takes_no_longer_for_what_is_hard_to_read(text: str, size: int) -> None:
    redact = Redactor((SECRET, KEY, "token-of-mine", "aaaaaaaaaaaaaaaaaaaaaaab"))
    hard = (text * (size // len(text) + 1))[:size]
    began = time.perf_counter()

    redact(hard)
    redact.excerpt(hard[:100_000].encode())

    assert time.perf_counter() - began < 0.5


def test_a_text_is_cut_before_it_is_worked_on_and_after() -> None:
    redact = Redactor((KEY,))

    assert len(redact("x" * 10_000_000)) <= 4_003
    assert len(redact(KEY + "x" * 500, 200)) <= 203
    assert len(redact("\0" * 500, 200)) <= 203


@given(before=st.integers(0, 400), limit=st.integers(0, 300), cut=st.integers(0, 500), other=st.integers(0, 8))
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(before: int, limit: int, cut: int, other: int) -> None:
    text = f"{'password=abcdefgh ' * other}{'x' * before} {KEY} {KEY} {'y' * 300}"

    shown = Redactor((KEY,))(text[: max(cut, 20)], limit)

    for size in range(len(KEY) // 2, len(KEY)):
        assert KEY[:size] not in shown
        assert KEY[-size:] not in shown


@pytest.mark.parametrize(
    "text",
    [
        f"unknown key {KEY[:39]}",
        f"{KEY[1:]} is not known",
        f"unknown key {KEY[:30]}... (400)",
        f"in {quote(SECRET)[:30]}",
    ],
)
def test_what_somebody_else_has_cut_is_hidden_too(text: str) -> None:
    shown = Redactor((KEY, SECRET))(text)

    assert KEY[:20] not in shown
    assert KEY[-20:] not in shown
    assert quote(SECRET)[:20] not in shown
    assert "***" in shown


@pytest.mark.parametrize("size", [900, 995, 1_000])
def test_words_of_a_server_that_are_cut_show_no_part_of_the_key(client: Client, server: Server, size: int) -> None:
    server.script(Reply.json(400, {"error": "x" * size + KEY + "y" * 200}))

    with pytest.raises(errors.BadRequestError) as failure:
        client.send(channel_to(server.url, HeaderAuth({"X-Api-Key": KEY}), retry=NO_RETRY), read())

    for length in range(5, len(KEY)):
        assert KEY[:length] not in str(failure.value)
    assert len(str(failure.value)) < 1_200


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"pin": "ab"}', '{"pin": "***"}'),
        ("pin=ab&x=1", "pin=***&x=1"),
        ("pin: ab, and so on", "pin: ***, and so on"),
        ("http://jane:ab@host/", "http://***@host/"),
        ("about ab in a cabin", "about ab in a cabin"),
        ("(ab)", "(ab)"),
    ],
)
def test_a_secret_of_few_characters_is_hidden_where_it_stands_as_a_value(text: str, shown: str) -> None:
    assert Redactor(("ab",))(text) == shown


def test_a_secret_of_few_characters_does_not_show_in_the_pair_either() -> None:
    redact = Redactor(("ab",))
    redact.add_pair("jane", "ab")

    assert base64.b64encode(b"jane:ab").decode().rstrip("=") not in redact("Basic amFuZTphYg== and amFuZTphYg")


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("https://jane:pass-word-7@etl.example/x", "pass-word-7"),
        ("see https://etl.example/x?key=abcdef&y=1", "abcdef"),
        ("https://etl.example/x?y=1&sig=abcdef", "abcdef"),
        ('{"password": "two words"}', "words"),
        ('"{\\"token\\": \\"abcdef12\\"}"', "abcdef12"),
        ("passwd=abcdef12", "abcdef12"),
    ],
)
def test_what_looks_like_a_credential_is_hidden_though_nobody_named_it(text: str, gone: str) -> None:
    assert gone not in Redactor()(text)


@pytest.mark.parametrize(
    "text",
    ["This instance takes no passwords: put a ready token there", "token: expired", "the key=value pairs", "1 secret"],
)
def test_sentences_stay_as_they_are(text: str) -> None:
    assert Redactor()(text) == text


def test_control_characters_of_a_server_are_made_visible(client: Client, server: Server) -> None:
    server.script(Reply.json(400, {"error": "\x1b[2J\x1b[31mred\r\x00 \u202ecod.exe \ud83d end"}))

    with pytest.raises(errors.BadRequestError) as failure:
        client.send(channel_to(server.url, retry=NO_RETRY), read())

    text = str(failure.value)
    assert "\\x1b[2J\\x1b[31mred\\r\\x00 \\u202ecod.exe \\ud83d end" in text
    assert not set("\x1b\r\0\u202e\ud83d") & set(text)
    text.encode()


# Secrets that come to be known in this process


class Login(TokenAuth):
    """Tokens from a login."""

    def __init__(self, url: str, tokens: list[str]) -> None:
        super().__init__()
        self._url, self._tokens = url, tokens

    def login(self) -> Any:
        response = yield Call("POST", "login", json_object).request(self._url, {})
        return Token(Response.json(response)["token"], issued=0.0)

    def refresh(self, token: Token) -> Any:
        raise AssertionError("not refreshable")

    def signed(self, request: Any, token: Token) -> Any:
        return request.with_headers({"Authorization": f"Bearer {token.value}"})


def _learning(channel: Any, told: list[tuple[str, int]], requests: Callable[[], int]) -> None:
    def learn(secrets: tuple[str, ...]) -> None:
        told.extend((secret, requests()) for secret in secrets)

    async def alearn(secrets: tuple[str, ...]) -> None:
        learn(secrets)

    channel.learn, channel.alearn = learn, alearn


def test_a_login_token_is_told_and_hidden_before_the_first_request_that_carries_it(
    client: Client, server: Server
) -> None:
    server.script(Reply.json(200, {"token": KEY}), Reply(400, f"bad {KEY}".encode(), "text/plain"))
    channel = channel_to(server.url, Login(server.url, [KEY]), retry=NO_RETRY)
    told: list[tuple[str, int]] = []
    _learning(channel, told, lambda: len(server.received))

    with pytest.raises(errors.BadRequestError) as failure:
        client.send(channel, read())

    assert told == [(KEY, 1)], "told after the login, before anything was sent with it, and once"
    assert KEY not in str(failure.value)


def test_a_fresh_token_that_an_error_of_the_library_quotes_is_hidden(client: Client) -> None:
    """The first answer to a request with the token never comes: its error is the first place to show it."""
    body = answer(json.dumps({"token": KEY}).encode())
    answers = [body, f"HTTP/1.1 {KEY} what\r\nContent-Length: 5\r\n{KEY} no header\r\n\r\n".encode()]

    with (
        HostileServer(lambda connection: connection.sendall(answers.pop(0))) as server,
        pytest.raises(errors.WireError) as failure,
    ):
        client.send(channel_to(server.url, Login(server.url, [KEY]), retry=NO_RETRY), read())

    assert KEY not in str(failure.value)


def test_tokens_of_long_ago_are_forgotten_and_the_connections_own_secrets_are_not() -> None:
    redact = Redactor((KEY,))
    tokens = [f"token-number-{number:06d}" for number in range(1_000)]

    for token in tokens:
        assert redact.learn(token)
        assert not redact.learn(token)

    assert tokens[-1] not in redact(f"x {tokens[-1]} y")
    assert KEY not in redact(KEY)
    assert int(repr(redact).removeprefix("Redactor(").partition(" ")[0]) < 100


def test_the_password_of_the_environments_proxy_is_told_and_hidden(
    client: Client, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://jane:pr0xy%2Fpass@127.0.0.1:{unused_port}")
    channel = channel_to("http://api.vendor.example", NoAuth(), retry=NO_RETRY)
    told: list[tuple[str, int]] = []
    _learning(channel, told, lambda: channel.requests_sent)

    with pytest.raises(errors.UnreachableError) as failure:
        client.send(channel, read())

    assert {secret for secret, _ in told} >= {"pr0xy/pass", "pr0xy%2Fpass"}
    assert {before for _, before in told} == {0}
    assert "pr0xy" not in str(failure.value)


def test_the_password_of_the_environments_proxy_is_hidden_in_the_errors_of_the_library(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HostileServer(b"HTTP/1.1 407 Who are you http://jane:pr0xypass@proxy\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.replace("http://", "http://jane:pr0xypass@"))
        with pytest.raises(errors.WireError) as failure:
            client.send(channel_to("https://api.vendor.example", retry=NO_RETRY), read())

    assert "pr0xypass" not in str(failure.value)
    assert failure.value.sent is False
