"""What comes back, in both colours: an answer, or a typed error that says what it is and shows no secret."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from airflow_provider_etlapis.sandbox.messages import Reply
from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.auth import BasicAuth, HeaderAuth
from airflow_provider_etlapis.wire.call import Call, json_array, segment
from airflow_provider_etlapis.wire.policy import RetryPolicy
from tests.wire.conftest import GOOD, Client, Server, channel_to, read, start

NO_RETRY = RetryPolicy(retries=0)
PAGE = Reply.html(200, "<html><body>Please sign in</body></html>")


def test_a_good_answer_comes_back_parsed(client: Client, server: Server) -> None:
    assert client.send(channel_to(server.url), read()) == {"answer": 42}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        pytest.param(PAGE, "expected JSON, got an HTML page", id="html"),
        pytest.param(Reply(200, b""), "expected JSON, got an empty response body", id="empty"),
        pytest.param(Reply(204, b"", None), "expected JSON, got an empty response body", id="204"),
        pytest.param(Reply(200, b'{"answer": 4'), "cut off or damaged", id="cut"),
        pytest.param(Reply(200, b"\xff\xfe\xff"), "cut off or damaged", id="bytes"),
        pytest.param(Reply(200, b"[1, 2]"), "where an object was due", id="array"),
        pytest.param(Reply(200, b"null"), "where an object was due", id="null"),
    ],
)
def test_an_answer_that_is_not_what_the_api_promises_is_told_and_asked_for_again(
    client: Client, server: Server, reply: Reply, words: str
) -> None:
    server.script(reply, reply, GOOD)
    assert client.send(channel_to(server.url), read()) == {"answer": 42}

    server.script(reply)
    with pytest.raises(errors.MalformedAnswerError, match=words) as failure:
        client.send(channel_to(server.url), read())

    assert "GET /thing" in str(failure.value)
    assert f"status {reply.status}" in str(failure.value)
    assert failure.value.transient


def test_an_array_must_hold_objects_only(client: Client, server: Server) -> None:
    server.script(Reply(200, b'[{"a": 1}, 2]'))

    with pytest.raises(errors.MalformedAnswerError, match="no array of objects"):
        client.send(channel_to(server.url), read(parse=json_array))


def test_the_first_200_characters_of_a_strange_body_are_shown_on_one_line(client: Client, server: Server) -> None:
    server.script(Reply.html(200, "<p>" + "word\n" * 500))

    with pytest.raises(errors.MalformedAnswerError) as failure:
        client.send(channel_to(server.url, retry=NO_RETRY), read())

    _, _, shown = str(failure.value).partition("the body begins: ")
    assert shown.startswith("<p>word word word")
    assert "\n" not in shown
    assert len(shown) == 203


@pytest.mark.parametrize(
    ("status", "error_class", "transient"),
    [
        (301, errors.RedirectedError, False),
        (307, errors.RedirectedError, False),
        (400, errors.BadRequestError, False),
        (401, errors.UnauthorizedError, False),
        (403, errors.ForbiddenError, False),
        (404, errors.NotFoundError, False),
        (409, errors.ConflictError, False),
        (410, errors.NotFoundError, False),
        (422, errors.BadRequestError, False),
        (429, errors.RateLimitedError, True),
        (500, errors.ServerFaultError, True),
        (502, errors.ServerFaultError, True),
        (503, errors.ServerFaultError, True),
    ],
)
def test_every_status_has_its_class(
    client: Client, server: Server, status: int, error_class: type[errors.WireError], transient: bool
) -> None:
    server.script(Reply.json(status, {"error": "told by the server", "errors": ["one", "two"]}))

    with pytest.raises(error_class, match=f"HTTP {status}: told by the server; one; two") as failure:
        client.send(channel_to(server.url, retry=NO_RETRY), read())

    assert failure.value.status == status
    assert failure.value.transient is transient


def test_a_redirect_is_refused_and_its_target_named(client: Client, server: Server) -> None:
    server.script(Reply(302, b"", None, {"Location": "https://elsewhere.example/login?next=1"}), GOOD)

    with pytest.raises(errors.RedirectedError, match=r"https://elsewhere\.example/login"):
        client.send(channel_to(server.url), read())

    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        pytest.param("7", 7, 7, id="seconds"),
        pytest.param(+90.0, 60, 91, id="date"),
        pytest.param(-90.0, 0, 0, id="past"),
        pytest.param("86400", 300, 300, id="capped"),
    ],
)
def test_retry_after_is_told_in_both_forms(
    client: Client, server: Server, header: str | float, low: float, high: float
) -> None:
    if isinstance(header, float):  # a date so many seconds from now
        header = formatdate(time.time() + header, usegmt=True)
    server.script(Reply(429, b"slow down", "text/plain", {"Retry-After": header}))

    with pytest.raises(errors.RateLimitedError) as failure:
        client.send(channel_to(server.url, retry=NO_RETRY), read())

    assert failure.value.retry_after is not None
    assert low <= failure.value.retry_after <= high


def test_a_retry_after_that_nobody_can_read_counts_as_absent(client: Client, server: Server) -> None:
    server.script(Reply(429, b"", None, {"Retry-After": "soon, my friend"}))

    with pytest.raises(errors.RateLimitedError) as failure:
        client.send(channel_to(server.url, retry=NO_RETRY), read())

    assert failure.value.retry_after is None


def test_statuses_that_a_call_accepts_go_to_its_parser(client: Client, server: Server) -> None:
    server.script(Reply.json(404, {"error": "past the end"}))

    def parse(response: Any) -> str:
        return f"parsed {response.status}"

    assert client.send(channel_to(server.url), read(parse=parse, accepted=frozenset({404}))) == "parsed 404"


def test_a_status_that_a_call_accepts_is_an_error_unless_the_vendor_itself_says_it(
    client: Client, server: Server
) -> None:
    server.script(Reply(404, b"default backend - 404", "text/plain"))

    with pytest.raises(errors.NotFoundError) as failure:
        client.send(channel_to(server.url), read(parse=lambda response: "parsed", accepted=frozenset({404})))
    assert not failure.value.by_vendor


@pytest.mark.parametrize("body", [b'{"error": "denied for %s"}', b"<p>%s</p>", b"Authorization: Basic %s"])
def test_a_server_that_echoes_the_credential_does_not_get_it_into_an_error(
    client: Client, server: Server, body: bytes
) -> None:
    auth = BasicAuth("airflow", 'pa"ss word/7')
    (_, header) = auth.secrets()[:2]
    spellings = ['pa"ss word/7', 'pa\\"ss word/7', "pa%22ss%20word%2F7", header, header.partition(" ")[2]]
    server.script(*(Reply(400, body % spelling.encode(), "text/html") for spelling in spellings))
    channel = channel_to(server.url, auth)

    for spelling in spellings:
        with pytest.raises(errors.BadRequestError) as failure:
            client.send(channel, read())
        assert spelling not in str(failure.value)


def test_an_api_key_is_hidden_also_without_the_scheme_before_it(client: Client, server: Server) -> None:
    server.script(Reply.json(400, {"message": "unknown: k3y-0f-th3-h0use"}))

    with pytest.raises(errors.BadRequestError) as failure:
        client.send(channel_to(server.url, HeaderAuth({"Authorization": "ApiKey k3y-0f-th3-h0use"})), read())

    assert "k3y-0f" not in str(failure.value)


def test_reprs_show_no_secret() -> None:
    auth = BasicAuth("airflow", "hunter2-and-more")
    channel = channel_to(
        "https://etl.example", auth, proxy="http://u:proxypass@p:3128", headers={"X-Key": "extra-secret"}
    )
    request = next(auth.flow(read().request("https://etl.example", {"X-Key": "extra-secret"})))

    for shown in (repr(channel), repr(channel.settings), repr(request), repr(channel.redact), repr(auth)):
        assert "hunter2" not in shown
        assert "proxypass" not in shown
        assert "extra-secret" not in shown


@pytest.mark.parametrize("value", ["key\nX-Evil: 1", "key\r\n", "ключ-от-дома"])
def test_a_header_that_http_cannot_carry_is_a_typed_error_that_hides_it(
    client: Client, server: Server, value: str
) -> None:
    with pytest.raises(errors.BadRequestError, match="X-API-Key") as failure:
        client.send(channel_to(server.url, HeaderAuth({"X-API-Key": value})), read())

    assert value.strip() not in str(failure.value)
    assert not failure.value.transient
    assert server.received == []


def test_path_segments_and_queries_arrive_as_they_were_encoded(client: Client, server: Server) -> None:
    call = read(f"flows/{segment('a/b c%2F?#é')}/runs", query={"q": "a b+c&d", "on": True, "ids": [1, 2], "none": None})

    client.send(channel_to(server.url + "/prefix/"), call)

    (received,) = server.received
    assert received.path == "/prefix/flows/a%2Fb%20c%252F%3F%23%C3%A9/runs"
    assert received.query == (("q", "a b+c&d"), ("on", "true"), ("ids", "1"), ("ids", "2"))


@pytest.mark.parametrize("bad", ["", " ", ".", ".."])
def test_an_empty_or_relative_path_segment_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="is needed for the path"):
        segment(bad)


def test_headers_of_the_connection_and_of_the_call_are_sent(client: Client, server: Server) -> None:
    channel = channel_to(server.url, BasicAuth("u", "p:w"), headers={"X-Gateway": "g", "X-Both": "connection"})

    client.send(channel, Call("POST", "x", lambda response: None, json={"a": None}, headers={"X-Both": "call"}))

    (received,) = server.received
    assert received.header("X-Gateway") == "g"
    assert received.header("X-Both") == "call"
    assert received.header("Accept") == "application/json"
    assert received.header("Content-Type") == "application/json"
    assert received.header("Authorization") == "Basic dTpwOnc="
    assert received.body == b'{"a": null}'


def test_a_call_without_a_body_sends_none_and_json_null_is_a_body(client: Client, server: Server) -> None:
    bare = Call("POST", "x", lambda response: None)
    null = Call("POST", "x", lambda response: None, json=None)

    client.send(channel_to(server.url), bare, null)

    assert [received.body for received in server.received] == [b"", b"null"]
    assert server.received[0].header("Content-Type") in (None, "application/octet-stream")


def test_netrc_does_not_replace_the_credential(
    client: Client, server: Server, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password stolen\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    client.send(channel_to(server.url), read())
    client.send(channel_to(server.url, BasicAuth("me", "mine")), read())

    assert server.received[0].header("Authorization") is None
    assert server.received[1].header("Authorization") == "Basic bWU6bWluZQ=="


def test_cookies_are_not_kept(client: Client, server: Server) -> None:
    server.script(Reply.json(200, {}, headers={"Set-Cookie": "session=abc; Path=/"}))

    client.send(channel_to(server.url), read(), read())

    assert server.received[1].header("Cookie") is None


def test_one_connection_serves_many_requests(client: Client, server: Server) -> None:
    client.send(channel_to(server.url), read(), read(), read())

    assert server.connections == 1


def test_a_charset_that_nobody_knows_does_not_break_the_error_text() -> None:
    from airflow_provider_etlapis.wire.call import Response

    for charset in ("klingon", "idna", "hex", "undefined", "utf-8\0"):
        assert Response(200, {"content-type": f"text/html; charset={charset}"}, b"hello").text == "hello"


def test_a_start_is_sent_once_whatever_comes_back(client: Client, server: Server) -> None:
    for reply in (PAGE, Reply(500), Reply(502), Reply(503), Reply(200, b"{"), Reply.nothing(), Reply(400), Reply(401)):
        server.script(reply)
        before = len(server.received)

        with pytest.raises(errors.WireError) as failure:
            client.send(channel_to(server.url), start())

        assert len(server.received) - before == 1, reply
        assert failure.value.sent


def test_a_start_that_the_rate_limit_refused_is_made_again(client: Client, server: Server) -> None:
    server.script(Reply(429, b"", None, {"Retry-After": "1"}), GOOD)

    assert client.send(channel_to(server.url), start()) == {"answer": 42}
    assert len(server.received) == 2
    assert max(client.pauses) >= 1
