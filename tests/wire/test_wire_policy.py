"""What is repeated, and when: properties of the retry policy, the request budget and the redaction."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_etlapis.sandbox.messages import Reply
from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.budget import RequestBudget
from airflow_provider_etlapis.wire.call import Call, Response
from airflow_provider_etlapis.wire.errors import status_error_class
from airflow_provider_etlapis.wire.policy import LONGEST_RETRY_AFTER, RetryPolicy, retry_after_seconds
from airflow_provider_etlapis.wire.redact import Redactor
from tests.wire.conftest import GOOD, Client, Server, channel_to, read, start

STATUSES = st.integers(300, 599)


def wire_errors() -> st.SearchStrategy[errors.WireError]:
    asked = st.none() | st.floats(0, 1e6)
    answered = st.builds(
        lambda status, retry_after: status_error_class(status)("told", status=status, retry_after=retry_after),
        STATUSES,
        asked,
    )
    silent = st.builds(lambda sent: errors.UnreachableError("cut", sent=sent), st.booleans())
    return answered | silent | st.just(errors.MalformedAnswerError("html", status=200))


def call(*, repeatable: str | None) -> Call[Any]:
    return Call("POST", "x", Response.json, repeatable=repeatable)


@given(error=wire_errors(), attempt=st.integers(0, 2000), draw=st.floats(0, 1, exclude_max=True))
def test_a_delay_is_between_nothing_and_the_cap_and_never_shorter_than_the_server_asked(
    error: errors.WireError, attempt: int, draw: float
) -> None:
    policy = RetryPolicy(retries=1500)

    delay = policy.delay(call(repeatable="a test says so"), error, attempt, lambda: draw)

    if delay is None:
        assert attempt >= policy.retries or not policy.may_repeat(call(repeatable="a test says so"), error)
    elif error.retry_after is None:
        assert 0 <= delay <= min(policy.cap, policy.base * 2.0 ** min(attempt, 60))
    else:
        assert min(error.retry_after, LONGEST_RETRY_AFTER) <= delay <= LONGEST_RETRY_AFTER + policy.base


@given(error=wire_errors(), attempt=st.integers(0, 10))
def test_a_start_is_repeated_only_if_it_surely_had_no_effect(error: errors.WireError, attempt: int) -> None:
    delay = RetryPolicy(retries=100).delay(call(repeatable=None), error, attempt)

    assert (delay is not None) == (not error.sent or isinstance(error, errors.RateLimitedError))


@given(error=wire_errors(), attempts=st.integers(0, 20), retries=st.integers(0, 10))
def test_nothing_is_tried_more_often_than_allowed(error: errors.WireError, attempts: int, retries: int) -> None:
    delay = RetryPolicy(retries=retries).delay(call(repeatable="a test says so"), error, retries + attempts)

    assert delay is None


def test_a_500_is_repeated_only_where_the_vendor_uses_it_for_passing_faults() -> None:
    error = errors.ServerFaultError("oops", status=500)

    assert not RetryPolicy.may_repeat(Call("GET", "x", Response.json), error)
    assert RetryPolicy.may_repeat(Call("GET", "x", Response.json, passing=frozenset({500})), error)
    assert not RetryPolicy.may_repeat(Call("POST", "x", Response.json, passing=frozenset({500})), error)


@given(
    header=st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d( [A-Z+-]\w{0,6})?")
)
def test_no_retry_after_header_is_an_error_or_negative(header: str) -> None:
    seconds = retry_after_seconds(header, now=1.8e9)

    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 1.5 ", 1.5),
        ("0", 0),
        ("-3", 0),
        ("1e9", 300),
        ("inf", 300),
        ("nan", None),
        ("", None),
        ("tomorrow", None),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Friday, 15-Jan-27 08:01:00 GMT", 60),
        ("Fri Jan 15 08:01:00 2027", 60),
        ("Fri, 15 Jan 2027 09:01:00 +0100", 60),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
    ],
)
def test_retry_after_forms(header: str, seconds: float | None) -> None:
    assert retry_after_seconds(header, now=1_800_000_000.0) == seconds


MOVES = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "ask", "stop"]), st.floats(0, 20), st.floats(0, 30)), max_size=120
)


def sent_at(
    budget: RequestBudget, moves: list[tuple[str, float, float]]
) -> tuple[list[float], list[tuple[float, float]]]:
    """Play moves against a budget as the clients do; return when requests went out, and the times of standstill."""
    now = 1000.0
    waiting: list[tuple[float, int]] = []
    out: list[float] = []
    stops: list[tuple[float, float]] = []

    def take() -> None:
        wait = budget.reserve(now)
        if wait:
            waiting.append((now + wait, budget.pauses))
        else:
            out.append(now)

    def run_until(end: float) -> None:
        nonlocal now
        while waiting and min(waiting)[0] <= end:
            entry = min(waiting)
            waiting.remove(entry)
            now = entry[0]
            if entry[1] == budget.pauses:
                out.append(now)
            else:
                take()
        now = end

    for move, gap, length in moves:
        run_until(now + gap)
        if move == "ask":
            for _ in range(int(length)):
                take()
        else:
            budget.pause(length, now)
            stops.append((now, now + length))
    run_until(now + 1e6)
    assert not waiting, "every request goes out in the end"
    return sorted(out), stops


@given(moves=MOVES, per_minute=st.sampled_from([6.0, 60.0, 600.0]))
def test_a_budget_is_never_exceeded_over_any_window(moves: list[tuple[str, float, float]], per_minute: float) -> None:
    out, _ = sent_at(RequestBudget(per_minute), moves)

    burst = max(1.0, per_minute / 10)
    for i in range(len(out)):
        for j in range(i, min(i + 200, len(out))):
            assert j - i + 1 <= burst + (out[j] - out[i]) * per_minute / 60 + 1 + 1e-6


@given(moves=MOVES, per_minute=st.sampled_from([None, 6.0, 60.0, 600.0]))
def test_nothing_goes_out_while_a_429_stops_everything(
    moves: list[tuple[str, float, float]], per_minute: float | None
) -> None:
    out, stops = sent_at(RequestBudget(per_minute), moves)

    assert [(at, stop) for at in out for stop in stops if stop[0] < at < stop[1] - 1e-6] == []


def test_requests_that_have_to_wait_go_out_in_groups_of_a_second_and_keep_the_pace() -> None:
    budget = RequestBudget(540)
    now, sent = 1000.0, []
    for _ in range(600):  # one after the other, as single reads are
        now += budget.reserve(now)
        sent.append(now)

    gaps = [later - earlier for earlier, later in pairwise(sent[54:])]  # after the burst
    pauses = [gap for gap in gaps if gap]
    assert pauses == pytest.approx([1.0] * len(pauses))
    assert len(gaps) / len(pauses) == pytest.approx(9, abs=0.5)


@given(waiting=st.integers(1, 100), late=st.integers(0, 100), length=st.floats(0.1, 60))
def test_there_is_no_burst_after_a_stop(waiting: int, late: int, length: float) -> None:
    moves = [("ask", 0.0, waiting), ("stop", 0.5, length), ("ask", length / 2, late), ("ask", length, 0.0)]

    out, stops = sent_at(RequestBudget(600), moves)

    end = stops[0][1]
    after = [at for at in out if at >= end - 1e-6]
    assert all(later - earlier >= 0.1 - 1e-6 for earlier, later in pairwise(after))


def test_a_429_holds_back_the_requests_that_already_wait_for_their_place(server: Server) -> None:
    import asyncio

    client = Client("aio")
    server.script(Reply(429, b"", None, {"Retry-After": "30"}), GOOD)
    channel = channel_to(server.url, requests_per_minute=60.0)
    clock = [0.0]
    channel.monotonic = lambda: clock[0]

    async def pause(seconds: float) -> None:
        client.pauses.append(seconds)
        clock[0] += seconds
        await asyncio.sleep(0)

    client._pause = pause  # type: ignore[method-assign]
    client.send(channel, *(read() for _ in range(6)), read())

    assert sum(client.pauses) >= 30


def test_a_429_without_a_delay_of_the_servers_stops_everything_for_a_while(client: Client, server: Server) -> None:
    server.script(Reply(429), GOOD)

    client.send(channel_to(server.url), read())

    assert max(client.pauses) == pytest.approx(5, abs=0.5)


def test_a_retry_after_of_nothing_asks_for_nothing(client: Client, server: Server) -> None:
    server.script(Reply(429, b"", None, {"Retry-After": "0"}), GOOD)

    client.send(channel_to(server.url), read())

    assert max(client.pauses) <= 0.5


def test_a_channel_counts_its_requests_and_keeps_to_its_budget(client: Client, server: Server) -> None:
    channel = channel_to(server.url, requests_per_minute=60.0)
    stands_still = 5.0
    channel.monotonic = lambda: stands_still

    client.send(channel, *(read() for _ in range(9)))

    assert channel.requests_sent == 9
    assert [round(pause) for pause in client.pauses] == [1, 2, 3], "six at once, the others a second apart"


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        RequestBudget(0)


SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=8, max_size=40)


@given(secret=SECRETS, before=st.text(max_size=30), after=st.text(max_size=30))
def test_a_known_secret_is_never_shown(secret: str, before: str, after: str) -> None:
    redact = Redactor((secret,))

    assert secret not in redact(f"{before}{secret}{after}").replace("***", "")
    assert secret not in redact.excerpt(f"{before}{secret}{after}".encode())


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef123456.xyz",
        "authorization: basic dXNlcjpwYXNz",
        '{"access_token": "abcdef123456"}',
        "token=abcdef123456&x=1",
        "password='abcdef123456'",
        "my_api_key: abcdef123456",
        "Authorization: ApiKey abcdef123456",
    ],
)
def test_what_looks_like_a_credential_is_hidden_though_nobody_told(text: str) -> None:
    shown = Redactor()(text)

    assert "abcdef" not in shown
    assert "dXNlcjpwYXNz" not in shown
    assert "***" in shown


def test_plain_words_are_left_alone() -> None:
    text = "The token has expired; basic checks passed; see https://etl.example/secrets"

    assert Redactor()(text) == text


@given(st.randoms(use_true_random=False))
def test_redaction_is_the_same_in_any_order_of_secrets(shuffled: random.Random) -> None:
    secrets = ["abcd1234", "abcd", "1234abcd", "xabcd1234x"]
    shuffled.shuffle(secrets)

    assert Redactor(tuple(secrets))("xabcd1234x abcd1234 1234abcd") == "*** *** ***"


def test_a_start_without_an_answer_is_not_followed_by_a_second_one(client: Client, server: Server) -> None:
    server.script(Reply.nothing(), GOOD)

    with pytest.raises(errors.UnreachableError):
        client.send(channel_to(server.url), start())

    assert len(server.received) == 1
    assert client.pauses == []
