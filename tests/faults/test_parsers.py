"""Whatever a server answers, every endpoint of every vendor ends in a result or in a typed error.

The true answers of the sandbox are recorded for every endpoint that can be called there, then spoiled in all ways that
a value of JSON, a header, a status or an encoding can be.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_etlapis.exceptions import EtlApiError, InvalidInputError, VendorUnavailableError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.endpoints import BoundEndpoint, BoundListing, Program, endpoint, listing
from airflow_provider_etlapis.hooks.errors import trouble_of
from airflow_provider_etlapis.runs.model import RunRef, TroubleKind
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.wire.call import Call, Request, Response
from airflow_provider_etlapis.wire.errors import UnreachableError
from airflow_provider_etlapis.wire.sync import SyncClient
from tests.faults.campaign import VENDORS

MOST_ANSWERS = 60
MOST_ITEMS = 50
QUIET = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


class EnoughError(BaseException):
    """A program that goes on asking is left alone after a while: it has met no wrong error so far."""


@dataclass(frozen=True)
class Recorded:
    """An endpoint with arguments that it can be called with, and the sandbox's answers to it."""

    name: str
    arguments: tuple[Any, ...]
    answers: tuple[Response, ...]


class Mouthpiece(SyncClient):
    """The client for workers with somebody else's answers, and without a network."""

    answers: Callable[[Request], Response]

    def _transmit(self, request: Request) -> Response:
        return self.answers(request)


@cache
def recorded(vendor: str) -> tuple[dict[str, Any], tuple[Recorded, ...]]:
    """Call every endpoint of a vendor once, against its sandbox; return the connection and what was answered."""
    row = VENDORS[vendor]
    with row.sandbox() as sandbox:
        connection = sandbox.connection()
        connection["extra"] = {**connection.get("extra", {}), "retries": 1, "requests_per_minute": 10**9}
        with _connected(row.hook, connection):
            sandbox.plan(Life(duration=0.0), Life(duration=900.0))
            starter = row.operator(task_id="run", **row.inputs[0])
            spec = starter.spec()
            run = starter.hook.start_run(spec, "marker")
            starter.hook.start_run(spec, "marker") if vendor != "webrobot" else None
            found = [
                _record(row.hook, name, _arguments(row.hook, name, run.ref, spec, run)) for name in _names(row.hook)
            ]
    return connection, tuple(found)


def _names(hook: type[RemoteRunHook]) -> list[str]:
    kinds = (endpoint, listing)
    names = [name for name in dir(hook) if isinstance(inspect.getattr_static(hook, name, None), kinds)]
    names.remove("read_newest")  # takes a reference of another kind; `look` is how it is asked
    # What deletes or cancels comes last, so that the others have something to tell.
    return sorted(names, key=lambda name: name.startswith(("cancel", "stop", "delete", "update", "set")))


def _arguments(hook: type[RemoteRunHook], name: str, ref: RunRef, spec: Any, run: Any) -> tuple[Any, ...]:
    intent = Intent("marker", "f", 1, 1, 0.0)
    known = {"ref": ref, "refs": [ref], "spec": spec, "marker": "marker", "limit": 5, "run": run, "lines": 5}
    known |= {"intent": intent, **ref.ids}
    definition = inspect.getattr_static(hook, name).__wrapped__
    given_to_it = []
    for parameter in islice(inspect.signature(definition).parameters.values(), 1, None):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
            continue
        if parameter.name in known:
            given_to_it.append(known[parameter.name])
        elif parameter.default is not parameter.empty:
            break
        else:
            given_to_it.append(_simple(str(parameter.annotation)))
    return tuple(given_to_it)


def _simple(annotation: str) -> Any:
    for word, value in (("Mapping", {}), ("dict", {}), ("list", []), ("Sequence", []), ("int", 7), ("bool", True)):
        if word in annotation:
            return value
    return "7"


def _record(hook_class: type[RemoteRunHook], name: str, arguments: tuple[Any, ...]) -> Recorded:
    answers: list[Response] = []
    transmit = SyncClient._transmit

    def listen(client: SyncClient, request: Request) -> Response:
        answers.append(transmit(client, request))
        return answers[-1]

    with (
        mock.patch.object(SyncClient, "_transmit", listen),
        mock.patch("time.sleep"),
        hook_class(_conn_id(hook_class)) as hook,
        # The sandbox refuses what the arguments make no sense for; its refusal is an answer as well.
        contextlib.suppress(EtlApiError, ValueError),
    ):
        _carry_out(getattr(hook, name), arguments)
    return Recorded(name, arguments, tuple(answers))


def _conn_id(hook: type[RemoteRunHook]) -> str:
    return str(hook.default_conn_name)  # type: ignore[attr-defined]


def _connected(hook: type[RemoteRunHook], connection: dict[str, Any]) -> Any:
    return mock.patch.dict(os.environ, {f"AIRFLOW_CONN_{_conn_id(hook).upper()}": json.dumps(connection)})


def _carry_out(bound: BoundEndpoint[Any, Any] | BoundListing[Any, Any], arguments: tuple[Any, ...]) -> None:
    told = bound(*arguments)
    if isinstance(bound, BoundListing):
        list(islice(told, MOST_ITEMS))


# What a server may say

NUMBERS = st.one_of(st.integers(-5, 10**6), st.just(10**400), st.floats(), st.integers(10**12, 10**18))
WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "\x00", "\ud800", "9" * 5000, "2026-13-45T99:99:99Z", "-1", "null", "{}", "<html>", "../.."]),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
STATUSES = st.sampled_from(
    [200, 200, 200, 200, 201, 202, 204, 206, 301, 304, 400, 401, 403, 404, 409, 410, 418, 429, 500, 503, 599]
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            [
                "application/json",
                "text/html; charset=utf-16",
                "application/json; charset=nonsense",
                "charset=hex",
                ";=,",
            ]
        ),
        "retry-after": st.sampled_from(
            ["1", "-7", "1e400", "nan", "soon", "Wed, 99 Foo 2026 99:99:99 GMT", "\xff", ""]
        ),
        "location": WORDS.map(lambda text: text.replace("\n", "")),
        "link": WORDS,
        "content-range": WORDS,
    },
)


@st.composite
def spoiled(draw: Any, answer: Response) -> Response:
    """Return a true answer with something wrong about it."""
    how = draw(
        st.sampled_from(["leaf", "leaf", "leaf", "key", "status", "bytes", "cut", "encoding", "other", "headers"])
    )
    body, status, headers = answer.body, answer.status, dict(answer.headers)
    if how in ("leaf", "key"):
        try:
            value = json.loads(body)
        except ValueError:
            how = "other"
        else:
            body = json.dumps(_changed(draw, value, remove=how == "key")).encode()
    if how == "status":
        status = draw(STATUSES)
    elif how == "bytes":
        body = draw(st.binary(max_size=200))
    elif how == "cut":
        body = body[: draw(st.integers(0, max(0, len(body))))]
    elif how == "encoding":
        body = body.decode("utf-8", "replace").encode(draw(st.sampled_from(["utf-16", "utf-32", "utf-8-sig", "utf-7"])))
    elif how == "other":
        body = json.dumps(draw(VALUES)).encode()
    elif how == "headers":
        headers |= draw(HEADERS)
        status = draw(STATUSES)
    return Response(status, headers, body)


def _changed(draw: Any, value: Any, *, remove: bool) -> Any:
    """Return JSON with one value replaced, or one key gone."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return draw(VALUES)
    holder, key = places[draw(st.integers(0, len(places) - 1))]
    if remove and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = draw(VALUES)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def _answered_by(hook: RemoteRunHook, answers: Callable[[Request], Response]) -> None:
    client = Mouthpiece(hook.channel, sleep=lambda seconds: None)
    client.answers = answers
    hook.__dict__["client"] = client


def _play(vendor: str, data: st.DataObject, choose: Callable[[Recorded, int], Response | None]) -> None:
    connection, calls = recorded(vendor)
    call = data.draw(st.sampled_from(calls), label="endpoint")
    hook_class = VENDORS[vendor].hook
    asked = 0

    def answers(request: Request) -> Response:
        nonlocal asked
        asked += 1
        if asked > MOST_ANSWERS:
            raise EnoughError
        answer = choose(call, asked - 1)
        if answer is None:
            raise UnreachableError("the line is dead", sent=True)
        return answer

    with _connected(hook_class, connection), mock.patch("time.sleep"), hook_class(_conn_id(hook_class)) as hook:
        _answered_by(hook, answers)
        with contextlib.suppress(EtlApiError, EnoughError):
            _carry_out(getattr(hook, call.name), call.arguments)


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_endpoint_is_reached(vendor: str) -> None:
    """The fuzzing below is of what the sandbox has answered: it must have answered nearly everything."""
    _, calls = recorded(vendor)

    answered = [call.name for call in calls if call.answers]
    good = [call.name for call in calls if any(answer.status < 300 for answer in call.answers)]

    assert len(answered) >= 8
    assert len(good) >= 8
    assert {"start_run", "read_run", "find_started"} <= set(answered)


@QUIET
@pytest.mark.parametrize("vendor", VENDORS)
@given(data=st.data())
def test_a_spoiled_answer_ends_in_a_result_or_a_typed_error(vendor: str, data: st.DataObject) -> None:
    worst = data.draw(st.integers(0, 3), label="which answer is spoiled")

    def choose(call: Recorded, number: int) -> Response | None:
        if not call.answers:
            return None
        true = call.answers[min(number, len(call.answers) - 1)]
        return data.draw(spoiled(true)) if number >= min(worst, len(call.answers) - 1) else true

    _play(vendor, data, choose)


@QUIET
@pytest.mark.parametrize("vendor", VENDORS)
@given(data=st.data())
def test_an_answer_out_of_nowhere_ends_in_a_typed_error_or_an_empty_result(vendor: str, data: st.DataObject) -> None:
    def choose(call: Recorded, number: int) -> Response | None:
        if data.draw(st.integers(0, 9)) == 0:
            return None
        body = data.draw(st.one_of(st.binary(max_size=80), VALUES.map(lambda value: json.dumps(value).encode())))
        return Response(data.draw(STATUSES), data.draw(HEADERS), body)

    _play(vendor, data, choose)


@pytest.mark.parametrize("in_parser", [True, False], ids=["in_the_parser", "in_the_program"])
def test_what_nobody_thought_of_in_an_answer_is_a_fault_of_the_vendor_and_passes(in_parser: bool) -> None:
    """A look that stumbles over an answer must not end the wait, as a defect of ours would."""
    vendor = next(iter(VENDORS))
    connection, _ = recorded(vendor)
    hook_class = VENDORS[vendor].hook
    call: Call[Any] = Call("GET", "runs/7", lambda response: response.json()["id"] if in_parser else response.json())

    def program() -> Program[Any]:
        return (yield call)["id"]

    with _connected(hook_class, connection), mock.patch("time.sleep"), hook_class(_conn_id(hook_class)) as hook:
        _answered_by(hook, lambda request: Response(200, {}, b'{"other": 1}'))
        with pytest.raises(VendorUnavailableError, match=r"GET /runs/7.*KeyError") as failure:
            hook.run(program())

    assert trouble_of(failure.value).kind is TroubleKind.PASSING


def test_a_wrong_argument_is_not_blamed_on_the_vendor() -> None:
    vendor = next(iter(VENDORS))
    connection, _ = recorded(vendor)
    hook_class = VENDORS[vendor].hook

    def program() -> Program[Any]:
        yield Call("GET", "runs/7", lambda response: response.json())
        raise InvalidInputError("no such thing")

    with _connected(hook_class, connection), hook_class(_conn_id(hook_class)) as hook:
        _answered_by(hook, lambda request: Response(200, {}, b"{}"))
        with pytest.raises(InvalidInputError, match="no such thing"):
            hook.run(program())
