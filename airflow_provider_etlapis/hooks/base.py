"""What every vendor's hook has: the connection, both clients, and the few things that a wait needs of a vendor."""

from __future__ import annotations

import asyncio
import time
import traceback
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_etlapis.exceptions import (
    ConnectionSettingsError,
    EtlApiError,
    InvalidInputError,
    NotOfferedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.connection import ConnectionValues, read_connection, wire_settings
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.errors import task_error, trouble_of
from airflow_provider_etlapis.hooks.pages import with_pages
from airflow_provider_etlapis.metrics import Meter
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, RunRef, RunState, Trouble
from airflow_provider_etlapis.runs.resume import Intent, Search, Sighting
from airflow_provider_etlapis.runs.watching import LogLines
from airflow_provider_etlapis.wire.auth import Auth
from airflow_provider_etlapis.wire.call import Call
from airflow_provider_etlapis.wire.errors import WireError
from airflow_provider_etlapis.wire.exchange import Channel, Pause
from airflow_provider_etlapis.wire.policy import RetryPolicy
from airflow_provider_etlapis.wire.redact import Redactor

if TYPE_CHECKING:
    from airflow_provider_etlapis.forms import ConnectionForm
    from airflow_provider_etlapis.wire.aio import AsyncClient
    from airflow_provider_etlapis.wire.settings import WireSettings
    from airflow_provider_etlapis.wire.sync import SyncClient

T = TypeVar("T")

_TEST_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class CancelReport:
    """What came of a request to cancel a run.

    :param asked: whether the vendor was asked to cancel, and may have begun to.
    :param note: for the task's log.
    """

    asked: bool
    note: str


class RemoteRunHook(BaseHook):
    """Base of the vendors' hooks.

    A vendor's hook says how its connection becomes an address and a credential, defines the endpoints of its
    document, and gives the run interface: start, state of one, state of many, cancel, log, lost start.
    """

    form: ClassVar[ConnectionForm]
    capabilities: Capabilities
    """Of the class: what every connection can do. Of a hook whose connection is open: what that one can do."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "form" in cls.__dict__:
            # Airflow before 3.2 asks a hook class for what it defines itself, not for what it inherits.
            for name in ("get_connection_form_widgets", "get_ui_field_behaviour"):
                setattr(cls, name, RemoteRunHook.__dict__[name])

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id
        self._channel: Channel | None = None
        self._values: ConnectionValues | None = None
        self._async_client: AsyncClient | None = None
        self._opening = asyncio.Lock()

    # The connection and the two clients

    @abstractmethod
    def address(self, values: ConnectionValues) -> str:
        """Return the base URL of the API."""

    @abstractmethod
    def auth(self, values: ConnectionValues) -> Auth:
        """Return how requests get their credential.

        :raises ConnectionSettingsError: if the connection holds none that could work.
        """

    def abilities(self, values: ConnectionValues) -> Capabilities:
        """Return what can be done with this connection, where a setting of it decides."""
        return type(self).capabilities

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's fields for Airflow 2.11; Airflow 3 reads them from the provider info."""
        return cls.form.widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the treatment of standard fields for Airflow 2.11; Airflow 3 reads it from the provider info."""
        return cls.form.behaviour()

    @cached_property
    def client(self) -> SyncClient:
        """The client for workers. Looks up the connection on first use."""
        from airflow_provider_etlapis.wire.sync import SyncClient

        if self._channel is not None:
            return SyncClient(self._channel)
        try:
            connection = self.get_connection(self.conn_id)
        except AirflowNotFoundException as error:
            raise self._no_connection() from error
        return SyncClient(self._open_channel(connection, connection.extra_dejson, in_triggerer=False))

    async def aclient(self) -> AsyncClient:
        """Return the client for the event loop. Looks up the connection on first use."""
        from airflow_provider_etlapis.wire.aio import AsyncClient

        async with self._opening:
            if self._async_client is None and self._channel is not None:
                self._async_client = AsyncClient(self._channel)
            if self._async_client is None:
                try:
                    connection = await get_async_connection(self.conn_id)
                except AirflowNotFoundException as error:
                    raise self._no_connection() from error
                extra = await get_async_extra_dejson(connection)
                self._async_client = AsyncClient(self._open_channel(connection, extra, in_triggerer=True))
            return self._async_client

    def _no_connection(self) -> ConnectionSettingsError:
        return ConnectionSettingsError(
            f"There is no connection {self.conn_id!r}; add one of the type {self.form.conn_type!r}"
        )

    def _open_channel(self, connection: Any, extra: Mapping[str, Any], *, in_triggerer: bool) -> Channel:
        values = self._values = read_connection(self.form, connection, extra)
        self.capabilities = self.abilities(values)
        self._channel = Channel(
            wire_settings(values, self.address(values)),
            self.auth(values),
            Redactor((values.password, *_secrets_in(values.extras))),
            count=Meter(self.conn_id, self.form.conn_type, in_triggerer=in_triggerer).count,
        )
        return self._channel

    @property
    def channel(self) -> Channel:
        """What the connection's calls share; known once the connection has been looked up."""
        if self._channel is None:
            return self.client.channel
        return self._channel

    @property
    def values(self) -> ConnectionValues:
        """What the connection holds, for settings of the vendor's own; known once the connection is looked up."""
        if self._values is None:
            _ = self.client
        assert self._values is not None  # noqa: S101 opening the client has read the connection
        return self._values

    @property
    def settings(self) -> WireSettings:
        """The wire's settings of the connection."""
        return self.channel.settings

    def get_conn(self) -> SyncClient:
        """Return the client for workers, as Airflow's hooks do."""
        return self.client

    def run(self, program: Program[T]) -> T:
        """Carry out a program of calls in a worker.

        :raises EtlApiError: when a call fails and the program does not handle it.
        """
        client = self.client
        try:
            step = next(program)
            while True:
                try:
                    result = client.send(step) if isinstance(step, Call) else _sleep(step.seconds)
                except WireError as error:
                    step = program.throw(task_error(error, self.conn_id))
                else:
                    step = self._digested(program, step, result)
        except StopIteration as stop:
            value: T = self._with_pages(stop.value)
            return value

    async def arun(self, program: Program[T]) -> T:
        """Carry out a program of calls on the event loop.

        :raises EtlApiError: when a call fails and the program does not handle it.
        """
        client = await self.aclient()
        try:
            step = next(program)
            while True:
                try:
                    if isinstance(step, Call):
                        result = await client.send(step)
                    else:
                        result = await asyncio.sleep(step.seconds, None)
                except WireError as error:
                    step = program.throw(task_error(error, self.conn_id))
                else:
                    step = self._digested(program, step, result)
        except StopIteration as stop:
            value: T = self._with_pages(stop.value)
            return value

    def _digested(self, program: Program[T], step: Call[Any] | Pause, result: Any) -> Call[Any] | Pause:
        """Give a program the result of its step and return the next one.

        Vendors promise little about what their answers hold. A value of another kind than any of ours expects says
        nothing about the run, as an answer that is cut off does not: it must not end a wait as a defect would.

        :raises VendorUnavailableError: if the program stumbles over the answer.
        """
        try:
            return program.send(result)
        except EtlApiError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            what = step.describe() if isinstance(step, Call) else "the vendor"
            place = traceback.extract_tb(error.__traceback__)[-1]
            told = self.channel.redact(str(error))[:200]
            raise VendorUnavailableError(
                f"An answer to {what} is not what the API promises: {type(error).__name__}: {told} "
                f"({Path(place.filename).name}, line {place.lineno})"
            ) from None  # its text may quote what the server has echoed

    def _with_pages(self, value: Any) -> Any:
        """Give the runs in a result the page that the connection names, where the vendor names none."""
        return with_pages(value, self._values.extras.get("ui_url_template") if self._values else None)

    def hasty_copy(self, seconds: float) -> Self:
        """Return a hook on the same connection, without a look-up, for one last request when a task is killed.

        :param seconds: timeout of each request; nothing is tried more than twice.
        """
        channel = self.channel
        copy = type(self)(self.conn_id)
        settings = replace(
            channel.settings, connect_timeout=seconds, read_timeout=seconds, retry=RetryPolicy(retries=1, cap=1.0)
        )
        copy._channel = Channel(settings, channel.auth, channel.redact, count=channel.count)
        copy._values = self._values
        copy.capabilities = self.capabilities
        return copy

    def close(self) -> None:
        """Close the worker's client, if it was opened; the next call looks the connection up anew."""
        if "client" in self.__dict__:
            self.client.close()
            del self.client
        self._channel = self._values = None

    async def aclose(self) -> None:
        """Close the event loop's client, if it was opened."""
        client, self._async_client = self._async_client, None
        if client is not None:
            await client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def test_connection(self) -> tuple[bool, str]:
        """Prove the address and the credential with one cheap read; Airflow's Test button calls it.

        A person waits for it, so nothing is tried for long. Airflow gives the connection an id of its own for the
        test, which would mislead in a message.
        """
        try:
            with self.hasty_copy(_TEST_TIMEOUT) as hook:
                return True, hook.check()
        except EtlApiError as error:
            told = str(error).replace(f"onnection {self.conn_id!r}", "onnection under test")
            return False, told.removeprefix("Connection under test: ")

    # The run interface

    @classmethod
    def ref_of(cls, run_id: str) -> RunRef:
        """Return the reference of a run from its ids as one text, as logs and the XCom ``run_id`` show it.

        :raises InvalidInputError: if these are not the ids of a run.
        """
        make: Callable[..., RunRef] = cls.ref  # type: ignore[attr-defined]  # each vendor's has ids of its own
        names = tuple(signature(make).parameters)
        parts = run_id.strip().split("/")
        if len(parts) != len(names):
            raise InvalidInputError(f"a run of {cls.form.hook_name} is named {'/'.join(names)}, not {run_id!r}")
        return make(*parts)

    @endpoint
    @abstractmethod
    def check(self) -> Program[str]:
        """Prove the address and the credential, and say what answered."""

    @endpoint
    @abstractmethod
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start a run.

        Raises ``AlreadyRunningError`` where the vendor refuses because the thing runs already.

        :param spec: what to start, as the vendor's operator made it; checked there.
        :param marker: text that recognises the run later, where the vendor can carry one.
        """

    @endpoint
    @abstractmethod
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Return what the vendor says about one run, whole."""

    @endpoint
    def read_newest(self, ref: RunRef) -> Program[RemoteRun]:
        """Return the newest run of a thing that has ended at or after ``ref.since``, whoever started it.

        While there is none, return a run that is not terminal, whose status says what is waited for.
        """
        yield from ()
        raise InvalidInputError(f"runs of {ref.vendor} cannot be waited for by what they run")

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        """Return the newest runs, newest first, whoever started them; without steps and logs.

        :param limit: how many at most.
        :param of: the thing whose runs are wanted, named as for :meth:`runs_of`; ``None`` for all that is seen.
        :raises NotOfferedError: if the vendor's API, or this credential, cannot list them; it says what to use.
        """
        yield from ()
        raise NotOfferedError(f"{self.form.hook_name}: the newest runs cannot be listed; name one by its id")

    @endpoint
    def list_shared(self, since: float) -> Program[Any]:
        """Return what :meth:`runs_of` needs for any thing, where one list of the vendor shows the runs of all.

        :param since: seconds since the epoch; as for :meth:`runs_of`, the earliest of all things.
        """
        yield from ()
        return None

    @endpoint
    def runs_of(self, what: Mapping[str, Any], since: float, shared: Any = None) -> Program[list[RemoteRun]]:
        """Return the runs of a thing, whoever started them, that go on or have ended at or after a moment.

        More may be returned, in any order. Runs that began before ``since`` may be missing, where a list is in the
        order of starts: who asks remembers which ones it has seen going on, and reads those singly.

        :param what: names the thing, in the vendor's words: a flow, workflow definition, workspace or job.
        :param since: seconds since the epoch.
        :param shared: what :meth:`list_shared` has returned.
        :raises NotOfferedError: if the vendor's API does not tell the runs of a thing apart.
        """
        yield from ()
        raise NotOfferedError(f"{self.form.hook_name}: the runs of a thing cannot be told apart")

    @endpoint
    def look(self, ref: RunRef) -> Program[RemoteRun]:
        """Return what the vendor says about what a reference names: one run, or whichever has ended since.

        Waits ask this again and again. A vendor whose whole answer is heavy may return the state alone, and add
        the rest in :meth:`complete_run`.
        """
        if ref.newest is None:
            return (yield from self.read_run.plan(ref))
        run = yield from self.read_newest.plan(ref)
        if ref.newest == "ended_well" and run.state.is_terminal and not run.state.is_good:
            return replace(run, state=RunState.RUNNING, vendor_status=f"{run.vendor_status}, waiting for a good end")
        return run

    @endpoint
    def complete_run(self, run: RemoteRun) -> Program[RemoteRun]:
        """Return an ended run with facts that :meth:`look` leaves out or that take further requests."""
        yield from ()
        return run

    @endpoint
    def find_running(self, spec: Mapping[str, Any]) -> Program[RemoteRun | None]:
        """Return the run because of which a start was refused, ``None`` if there is none any more."""
        yield from ()
        return None

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        """Return what few requests tell about many runs, by run id; only what is sure.

        A run that is missing is not a finished run: it is read singly.
        """
        yield from ()
        return {}

    @endpoint
    @abstractmethod
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        """Ask the vendor to cancel a run, unless it has ended already."""

    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        """Return the run's log lines since a cursor (from the start without one)."""
        yield from ()
        return LogLines((), cursor)

    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        """Return the last lines of the run's log."""
        yield from ()
        return ()

    @endpoint
    def before_start(self, spec: Mapping[str, Any]) -> Program[Any]:
        """Return what must be known before a start call so that a lost answer can be settled, as plain JSON."""
        yield from ()
        return None

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Look for the run of a start call that got no answer."""
        yield from ()
        return Search(Sighting.UNSURE, f"run {intent.marker!r}, which this vendor's API cannot be asked for")

    @property
    def reads_in_bulk(self) -> bool:
        """Whether :meth:`read_runs` serves this connection, now."""
        return self.capabilities.bulk


class HookSource:
    """A hook as the watcher sees it: looks that end in a run or in trouble, and a connection that can be renewed."""

    def __init__(self, hook_class: type[RemoteRunHook], conn_id: str) -> None:
        self._hook_class = hook_class
        self._conn_id = conn_id
        self._hook = hook_class(conn_id)

    @property
    def reads_in_bulk(self) -> bool:
        """Whether one request tells the state of many runs."""
        return self._hook.reads_in_bulk

    @property
    def requests_per_minute(self) -> float | None:
        """The connection's budget; unknown before the first look."""
        channel = self._hook._channel  # not looked up here: that would block
        return channel.settings.requests_per_minute if channel else None

    async def look_at_many(self, refs: Collection[RunRef]) -> Mapping[str, RemoteRun] | Trouble:
        """Return what is sure about these runs."""
        try:
            return await self._hook.read_runs.aio(refs)
        except EtlApiError as error:
            return trouble_of(error)

    async def look_at(self, ref: RunRef) -> RemoteRun | Trouble:
        """Return what the vendor says about one run."""
        try:
            return await self._hook.look.aio(ref)
        except EtlApiError as error:
            return trouble_of(error)

    async def read_log(self, ref: RunRef, cursor: Any) -> LogLines | Trouble:
        """Return the run's log lines since a cursor."""
        try:
            return await self._hook.read_log.aio(ref, cursor)
        except EtlApiError as error:
            return trouble_of(error)

    async def renew(self) -> None:
        """Read the connection anew for the next look."""
        old, self._hook = self._hook, self._hook_class(self._conn_id)
        await old.aclose()

    async def aclose(self) -> None:
        """Close the hook."""
        await self._hook.aclose()


def _sleep(seconds: float) -> Any:
    time.sleep(seconds)


def _secrets_in(extras: Mapping[str, Any]) -> Iterator[str]:
    for name, value in extras.items():
        if value and _is_secret(name):
            yield from (value.values() if isinstance(value, Mapping) else (str(value),))


def _is_secret(name: str) -> bool:
    return any(word in name for word in ("password", "secret", "token", "api_key"))
