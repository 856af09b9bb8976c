"""Attention: nothing that a server sends holds up the event loop that others wait on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from airflow_provider_etlapis.wire import errors
from airflow_provider_etlapis.wire.aio import AsyncClient
from airflow_provider_etlapis.wire.policy import RetryPolicy
from tests.wire.conftest import Client, channel_to, failure_of, read
from tests.wire.hostile import (
    BOMBS,
    LONGEST_STALL,
    OK,
    HostileServer,
    answer,
    bomb,
    quietest,
    stopwatch,
)

NO_RETRY = RetryPolicy(retries=0)

NOISE = 20.0
"""Machines are noisy: what costs time by the square of its input takes a hundred times as long."""


# Attention: nothing holds up the event loop


def _page(text: str, size: int) -> bytes:
    return answer((text * (size // len(text) + 1))[:size].encode(), "Content-Type: text/html", status="500 Oops")


TEXTS = ("token", "a", "password=", "Bearer ", "&#34;", "\\", '"', " ", "://u:", "<p>Sorry</p>\n")
HOLDERS: dict[str, Callable[[], bytes]] = {
    **{
        f"error page of {size:,} characters {text!r}": (lambda text=text, size=size: _page(text, size))
        for size in (4_000, 64_000, 10_000_000)
        for text in TEXTS
    },
    **{f"{name} bomb": (lambda name=name: bomb(name)) for name in BOMBS},
    "JSON of 100,000 levels": lambda: answer(b"[" * 100_000 + b"]" * 100_000),
    "objects of 100,000 levels": lambda: answer(b'{"a":' * 100_000),
    "an error of 100,000 levels": lambda: answer(b"[" * 100_000 + b"]" * 100_000, status="400 Bad"),
    "4 MB of numbers": lambda: answer(b"[" + b"1," * 1_900_000 + b"1]"),
    "5 MB of log lines": lambda: answer(json.dumps(["2026-11-22 INFO step, of: [many] {x}"] * 130_000).encode()),
    "20 MB in one text": lambda: answer(b'"' + b"line\\n" * 3_300_000 + b'"'),
    "20 MB of blanks": lambda: answer(b" " * 20_000_000),
    "a 20 MB page": lambda: answer(b"<html>" + b"word " * 4_000_000),
    "1 MB of small chunks": lambda: OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n[\r\n" * 150_000 + b"0\r\n\r\n",
    "a charset that takes its time": lambda: answer(
        b"a" * 60_000, "Content-Type: text/html; charset=punycode", status="500 Oops"
    ),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_no_answer_holds_up_the_event_loop(name: str) -> None:
    assert _held_up_by(HOLDERS[name](), LONGEST_STALL) < NOISE * LONGEST_STALL


MANY_VALUES: dict[str, Callable[[], bytes]] = {
    "a list of 100,000 runs": lambda: answer(
        json.dumps([{"id": n, "status": "running", "payload": {"n": [n]}, "by": "me"} for n in range(100_000)]).encode()
    ),
    "48 MB of empty lists": lambda: answer(b"[" + b"[]," * 16_000_000 + b"[]]"),
}


@pytest.mark.parametrize("name", MANY_VALUES)
def test_an_answer_of_very_many_values_holds_up_the_event_loop_for_moments_only(name: str) -> None:
    """Python's garbage collector goes through all of them at one go, and they are freed at one go."""
    assert _held_up_by(MANY_VALUES[name](), 0.25) < NOISE * 0.25


def _held_up_by(whole: bytes, longest: float) -> float:
    """Return the seconds for which an answer has held up the event loop at one time."""

    async def worst() -> float:
        client = AsyncClient(channel_to(server.url, retry=NO_RETRY, total_timeout=60))
        async with stopwatch() as late:
            outcome = await asyncio.gather(
                client.send(read(parse=lambda response: response.text and response.json() and None)),
                return_exceptions=True,
            )
        await client.aclose()
        assert outcome[0] is None or isinstance(outcome[0], errors.WireError), outcome
        return max(late)

    with HostileServer(whole) as server:
        found: float = quietest(lambda: asyncio.run(worst()), lambda seconds: seconds < longest)
    return found


def test_json_is_nested_at_most_as_deep_as_it_can_be_parsed(client: Client) -> None:
    for body in (b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000, b"[" * 900_000):
        with HostileServer(answer(body)) as server:
            error, _ = failure_of(client, server.url, errors.MalformedAnswerError)
        assert "nested too deep" in str(error)
