"""The time that a caller gives a hook is for all of it: requests, pauses, retries, waits for the budget."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import airflow_provider_etlapis.wire.sync  # noqa: F401 before any sleep is replaced: its clients keep the real one
from airflow_provider_etlapis import exceptions
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint, listing
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.wire.call import Call, Page, Response, json_object
from airflow_provider_etlapis.wire.exchange import Pause


class Hook(CeleryDirectorHook):
    """A hook with programs that take their time, and note how they end."""

    ended: list[str]

    @endpoint
    def rest(self, seconds: float) -> Program[str]:
        """Rest between two requests."""
        try:
            yield Call("GET", "api/ping", json_object)
            yield Pause(seconds)
            yield Call("GET", "api/ping", json_object)
        finally:
            self.ended.append("rest")
        return "rested"

    @endpoint
    def settle(self) -> Program[str]:
        """Handle that the time does not suffice."""
        try:
            yield Pause(60)
        except exceptions.VendorUnavailableError as error:
            return f"handled: {error.may_have_acted}"
        return "rested"

    @endpoint
    def quote(self, secret: str) -> Program[str]:
        """Quote an answer with status 200 in an error."""
        yield Call("GET", "api/ping", json_object)
        raise exceptions.RequestRefusedError(f"refused: {secret} {'x' * 100_000}")

    @listing
    def iter_endless(self, rows: Callable[[int], list[Any]]) -> Call[Page[Any]]:
        """List pages, each of which names a next one."""

        def page(number: int) -> Call[Page[Any]]:
            def parse(response: Response) -> Page[Any]:
                return Page(rows(number), page(number + 1))

            return Call("GET", "api/ping", parse, query={"page": number})

        return page(0)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[CeleryDirectorSandbox]:
    with CeleryDirectorSandbox(auth=("jane", "pass-word-7")) as running:
        monkeypatch.setenv("AIRFLOW_CONN_HERE", json.dumps(running.connection()))
        yield running


@pytest.fixture
def hook(sandbox: CeleryDirectorSandbox) -> Iterator[Hook]:
    made = Hook("here")
    made.ended = []
    yield made
    made.close()


@pytest.fixture(params=["sync", "aio"])
def do(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Call an endpoint in one of the two colours."""

    def call(bound: Any, *arguments: Any, within: float | None = None) -> Any:
        if request.param == "sync":
            return bound._owner.run(bound.plan(*arguments), within=within)

        async def ask() -> Any:
            try:
                return await bound._owner.arun(bound.plan(*arguments), within=within)
            finally:
                await bound._owner.aclose()

        return asyncio.run(ask())

    return call


def test_a_program_within_its_time_is_carried_out(hook: Hook, do: Callable[..., Any]) -> None:
    assert do(hook.rest, 0.05, within=20) == "rested"


def test_a_pause_that_is_longer_than_what_is_left_is_not_begun(hook: Hook, do: Callable[..., Any]) -> None:
    began = time.monotonic()

    with pytest.raises(exceptions.VendorUnavailableError, match="Not enough time left") as failure:
        do(hook.rest, 60, within=5)

    assert time.monotonic() - began < 4
    assert failure.value.may_have_acted is False
    assert hook.ended == ["rest"], "and the program is told"


def test_a_program_may_handle_that_its_time_does_not_suffice(hook: Hook, do: Callable[..., Any]) -> None:
    assert do(hook.settle, within=1) == "handled: False"


def test_retries_and_the_delays_that_a_vendor_asks_for_end_with_the_time(
    hook: Hook, sandbox: CeleryDirectorSandbox, do: Callable[..., Any]
) -> None:
    sandbox.inject(Fault("*", status=503, times=None, retry_after=200))
    began = time.monotonic()

    with pytest.raises(exceptions.VendorUnavailableError, match=r"HTTP 503.*after the deadline") as failure:
        do(hook.rest, 0, within=5)

    assert time.monotonic() - began < 4
    assert failure.value.status == 503


def test_a_block_holds_for_all_that_is_called_in_it(hook: Hook, sandbox: CeleryDirectorSandbox) -> None:
    sandbox.inject(Fault("*", "delay", seconds=5, times=None))
    began = time.monotonic()

    with hook.within(0.5):
        for _ in range(3):
            with pytest.raises(exceptions.VendorUnavailableError):
                hook.list_definitions()

    assert time.monotonic() - began < 2


async def test_a_block_holds_on_the_event_loop_for_its_own_task_only(
    hook: Hook, sandbox: CeleryDirectorSandbox
) -> None:
    async def other() -> Any:
        return await hook.rest.aio(0.3)

    running = asyncio.create_task(other())
    with hook.within(0.1), pytest.raises(exceptions.VendorUnavailableError):
        await hook.rest.aio(5)

    assert await running == "rested"
    await hook.aclose()


def test_a_hasty_copy_has_its_seconds_for_everything(hook: Hook, sandbox: CeleryDirectorSandbox) -> None:
    hook.list_definitions()
    sandbox.inject(Fault("*", "delay", seconds=5, times=None))
    began = time.monotonic()

    with hook.hasty_copy(0.6) as copy:
        for _ in range(4):
            with pytest.raises(exceptions.VendorUnavailableError):
                copy.list_definitions()

    assert time.monotonic() - began < 2


def test_a_hasty_copy_waits_for_a_server_that_restarts(hook: Hook, sandbox: CeleryDirectorSandbox) -> None:
    hook.list_definitions()
    sandbox.stop()
    began = time.monotonic()

    with hook.hasty_copy(1.5) as copy, pytest.raises(exceptions.VendorUnavailableError):
        copy.list_definitions()

    assert 0.7 < time.monotonic() - began < 3


# A program is closed whatever happens


async def test_a_program_is_closed_when_its_task_is_cancelled(hook: Hook) -> None:
    running = asyncio.create_task(hook.rest.aio(30))
    await asyncio.sleep(1)
    assert hook.channel.requests_sent == 1

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert hook.ended == ["rest"], "at once, and not when the garbage collector finds it"
    await hook.aclose()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit, RuntimeError])
def test_a_program_is_closed_when_the_task_is_ended_in_a_pause(
    hook: Hook, interruption: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = hook.rest.plan(30)

    def end(seconds: float) -> None:
        raise interruption

    monkeypatch.setattr(time, "sleep", end)
    with pytest.raises(interruption):
        hook.run(program)

    assert hook.ended == ["rest"]


def test_the_login_is_free_for_others_when_one_is_interrupted_in_it() -> None:
    """The turn to log in is given back, whatever ends the call that has it."""
    from airflow_provider_etlapis.wire.auth import Turn
    from airflow_provider_etlapis.wire.sync import SyncClient
    from tests.wire.conftest import channel_to, read

    class Stuck:
        def flow(self, request: Any) -> Any:
            yield Turn.TAKE
            raise KeyboardInterrupt

        def secrets(self) -> tuple[str, ...]:
            return ()

    client = SyncClient(channel_to("http://127.0.0.1:9", Stuck()))  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            client.send(read())
    client.close()


# What leaves a program


def test_an_error_of_a_program_shows_no_secret_and_is_bounded(hook: Hook, do: Callable[..., Any]) -> None:
    with pytest.raises(exceptions.RequestRefusedError) as failure:
        do(hook.quote, "Basic amFuZTpwYXNzLXdvcmQtNw== or pass-word-7 or pass%2Dword-7 \x1b[2J")

    assert "amFuZTpwYXNz" not in str(failure.value)
    assert "word-7" not in str(failure.value)
    assert "\\x1b[2J" in str(failure.value)
    assert len(str(failure.value)) < 11_000


# Lists end


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(lambda number: [1, 2], [1, 2], id="the same page again"),
        pytest.param(lambda number: [number % 3], [0, 1, 2], id="a circle of three"),
        pytest.param(lambda number: [], [], id="empty pages"),
        pytest.param(lambda number: [number] if number % 3 == 0 and number < 10 else [], [0, 3, 6, 9], id="some empty"),
    ],
)
def test_a_list_ends_when_a_page_brings_nothing_new(hook: Hook, rows: Any, expected: list[int]) -> None:
    assert list(hook.iter_endless(rows)) == expected

    async def all_of_them() -> list[Any]:
        found = [item async for item in hook.iter_endless.aio(rows)]
        await hook.aclose()
        return found

    hook.close()
    assert asyncio.run(all_of_them()) == expected


def test_a_list_without_end_ends_in_an_error(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_etlapis.hooks import paging

    monkeypatch.setattr(paging, "MOST_PAGES", 20)
    seen: list[int] = []

    with pytest.raises(exceptions.VendorUnavailableError, match="does not end: 20 pages"):
        seen.extend(hook.iter_endless(lambda number: [number]))
