"""What a generator of steps asks of a client, and the two loops that carry such a generator out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from airflow_provider_etlapis.wire.auth import Turn
from airflow_provider_etlapis.wire.call import Request
from airflow_provider_etlapis.wire.errors import WireError

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Asked of the client: wait that many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Learned:
    """Tells the client which secrets have come to be known, before a request carries them for the first time."""

    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Work:
    """Asked of the client: do this where it keeps nobody waiting."""

    do: Callable[[], object]


Step: TypeAlias = Request | Turn | Pause | Learned | Work


def drive(steps: Generator[S, Any, T], perform: Callable[[S], Any]) -> T:
    """Carry out the steps of a generator, and return its result; it is closed whatever happens.

    :param perform: does one step; what it returns is the step's result, a ``WireError`` is thrown into the generator.
    """
    with closing(steps):
        try:
            step = next(steps)
            while True:
                try:
                    result = perform(step)
                except WireError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value


async def adrive(steps: Generator[S, Any, T], perform: Callable[[S], Awaitable[Any]]) -> T:
    """Carry out the steps of a generator on the event loop: :func:`drive` in the other colour."""
    with closing(steps):
        try:
            step = next(steps)
            while True:
                try:
                    result = await perform(step)
                except WireError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value
