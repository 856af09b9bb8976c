"""Endpoints in two colours by one definition each: ``hook.get_x(1)``, and ``await hook.get_x.aio(1)``.

A definition returns a call, or is a generator that yields calls and receives their results. It does no I/O, so
the two colours cannot differ.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeAlias, TypeVar, overload

from airflow_provider_etlapis.hooks.paging import Paging
from airflow_provider_etlapis.wire.call import Call, Page
from airflow_provider_etlapis.wire.exchange import Pause

P = ParamSpec("P")
T = TypeVar("T")

Program: TypeAlias = Generator[Call[Any] | Pause, Any, T]
"""Yields calls and receives their results (or has their errors thrown in); ends with its own result."""


class Caller(Protocol):
    """What carries out calls: a hook."""

    def run(self, program: Program[T]) -> T:
        """Carry out a program in a worker."""

    async def arun(self, program: Program[T]) -> T:
        """Carry out a program on the event loop."""


class BoundEndpoint(Generic[P, T]):
    """An endpoint of one hook."""

    def __init__(self, owner: Caller, define: Callable[Concatenate[Any, P], Call[T] | Program[T]]) -> None:
        self._owner = owner
        self._define = define
        _dress(self, define)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry it out and return the result."""
        return self._owner.run(self.plan(*args, **kwargs))

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry it out on the event loop and return the result."""
        return await self._owner.arun(self.plan(*args, **kwargs))

    def plan(self, *args: P.args, **kwargs: P.kwargs) -> Program[T]:
        """Return it as a program, for use inside another one: ``result = yield from hook.get_x.plan(1)``."""
        defined = self._define(self._owner, *args, **kwargs)
        if isinstance(defined, Call):
            return single(defined)
        return defined


class endpoint(Generic[P, T]):  # noqa: N801 used as a decorator, named like property
    """Makes a method that returns a call, or a generator of calls, callable in both colours."""

    def __init__(self, define: Callable[Concatenate[Any, P], Call[T] | Program[T]]) -> None:
        self._define = define
        _dress(self, define)

    @overload
    def __get__(self, owner: None, owner_class: type) -> Self: ...

    @overload
    def __get__(self, owner: Caller, owner_class: type) -> BoundEndpoint[P, T]: ...

    def __get__(self, owner: Caller | None, owner_class: type) -> Self | BoundEndpoint[P, T]:
        """Bind to a hook."""
        return self if owner is None else BoundEndpoint(owner, self._define)


class BoundListing(Generic[P, T]):
    """A paged listing of one hook."""

    def __init__(self, owner: Caller, define: Callable[Concatenate[Any, P], Call[Page[T]]]) -> None:
        self._owner = owner
        self._define = define
        _dress(self, define)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        """Yield the items of all pages, reading a page when it is needed."""
        return self._items(self.first(*args, **kwargs))

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        """Yield the items of all pages on the event loop, reading a page when it is needed."""
        return self._aio_items(self.first(*args, **kwargs))

    def first(self, *args: P.args, **kwargs: P.kwargs) -> Call[Page[T]]:
        """Return the call for the first page."""
        return self._define(self._owner, *args, **kwargs)

    def _items(self, call: Call[Page[T]] | None) -> Iterator[T]:
        paging = Paging[T]()
        while call is not None:
            page = self._owner.run(single(call))
            if paging.repeats(page):
                return
            yield from page.items
            call = paging.after(page)

    async def _aio_items(self, call: Call[Page[T]] | None) -> AsyncIterator[T]:
        paging = Paging[T]()
        while call is not None:
            page = await self._owner.arun(single(call))
            if paging.repeats(page):
                return
            for item in page.items:
                yield item
            call = paging.after(page)


class listing(Generic[P, T]):  # noqa: N801 used as a decorator, named like property
    """Makes a method that returns the call for a first page a generator over all items, in both colours."""

    def __init__(self, define: Callable[Concatenate[Any, P], Call[Page[T]]]) -> None:
        self._define = define
        _dress(self, define)

    @overload
    def __get__(self, owner: None, owner_class: type) -> Self: ...

    @overload
    def __get__(self, owner: Caller, owner_class: type) -> BoundListing[P, T]: ...

    def __get__(self, owner: Caller | None, owner_class: type) -> Self | BoundListing[P, T]:
        """Bind to a hook."""
        return self if owner is None else BoundListing(owner, self._define)


def checked_calls(program: Program[T], check: Callable[[Call[Any]], None]) -> Program[T]:
    """Carry out a program, each of its calls checked before it is sent."""
    try:
        step = next(program)
        while True:
            if isinstance(step, Call):
                check(step)
            try:
                result = yield step
            except Exception as error:  # noqa: BLE001 the program's to handle, whatever it is
                step = program.throw(error)
            else:
                step = program.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        program.close()


def single(call: Call[T]) -> Program[T]:
    """Return a call as a program."""
    result: T = yield call
    return result


def _dress(wrapper: object, define: Callable[..., Any]) -> None:
    """Give a descriptor the name and the documentation of its definition."""
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__isabstractmethod__"):
        if hasattr(define, name):
            setattr(wrapper, name, getattr(define, name))
    wrapper.__wrapped__ = define  # type: ignore[attr-defined]  # what inspect.signature follows
