"""A hook on one connection: what its settings become, both clients, and programs of calls carried out by either."""

from __future__ import annotations

import asyncio
import time
import traceback
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_etlapis.exceptions import ConnectionSettingsError, EtlApiError, VendorUnavailableError
from airflow_provider_etlapis.hooks.connection import ConnectionValues, read_connection, wire_settings
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.errors import task_error
from airflow_provider_etlapis.hooks.pages import with_pages
from airflow_provider_etlapis.metrics import Meter
from airflow_provider_etlapis.runs.model import Capabilities
from airflow_provider_etlapis.wire.auth import Auth
from airflow_provider_etlapis.wire.budget import RequestBudget
from airflow_provider_etlapis.wire.call import Call, Response
from airflow_provider_etlapis.wire.errors import WireError
from airflow_provider_etlapis.wire.exchange import Channel, Pause, server_words
from airflow_provider_etlapis.wire.policy import RetryPolicy
from airflow_provider_etlapis.wire.redact import Redactor

if TYPE_CHECKING:
    from airflow_provider_etlapis.forms import ConnectionForm
    from airflow_provider_etlapis.wire.aio import AsyncClient
    from airflow_provider_etlapis.wire.settings import WireSettings
    from airflow_provider_etlapis.wire.sync import SyncClient

T = TypeVar("T")

_TEST_TIMEOUT = 20.0


class ConnectedHook(BaseHook):
    """A hook that talks to an HTTP API through one Airflow connection, from a worker and from a triggerer.

    A subclass says how the connection becomes an address and a credential, and defines endpoints.
    """

    form: ClassVar[ConnectionForm]
    capabilities: Capabilities
    """Of the class: what every connection can do. Of a hook whose connection is open: what that one can do."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "form" in cls.__dict__:
            # Airflow before 3.2 asks a hook class for what it defines itself, not for what it inherits.
            for name in ("get_connection_form_widgets", "get_ui_field_behaviour"):
                setattr(cls, name, ConnectedHook.__dict__[name])

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id
        self._channel: Channel | None = None
        self._values: ConnectionValues | None = None
        self._async_client: AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._earlier_budget: RequestBudget | None = None

    # The connection and the two clients

    @abstractmethod
    def address(self, values: ConnectionValues) -> str:
        """Return the base URL of the API."""

    @abstractmethod
    def auth(self, values: ConnectionValues) -> Auth:
        """Return how requests get their credential.

        :raises ConnectionSettingsError: if the connection holds none that could work.
        """

    @staticmethod
    def is_own_error(response: Response) -> bool:
        """Say whether an error answer has the vendor's own shape, so that nothing in between has made it up.

        By default JSON with a text that says what is wrong; a vendor whose document states its errors says more.
        """
        return bool(server_words(response))

    @property
    def clock_ahead(self) -> float | None:
        """Seconds by which the server's clock is ahead of ours, by the ``Date`` of its last answer."""
        return None if self._channel is None else self._channel.clock_ahead

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
            is_own_error=self.is_own_error,
        )
        if self._earlier_budget is not None:
            self._channel.budget = self._earlier_budget.with_limit(self._channel.settings.requests_per_minute)
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
        copy._channel = Channel(
            settings, channel.auth, channel.redact, count=channel.count, is_own_error=channel.is_own_error
        )
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

    @endpoint
    @abstractmethod
    def check(self) -> Program[str]:
        """Prove the address and the credential, and say what answered."""

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


def _sleep(seconds: float) -> Any:
    time.sleep(seconds)


def _secrets_in(extras: Mapping[str, Any]) -> Iterator[str]:
    for name, value in extras.items():
        if value and _is_secret(name):
            yield from (value.values() if isinstance(value, Mapping) else (str(value),))


def _is_secret(name: str) -> bool:
    return any(word in name for word in ("password", "secret", "token", "api_key"))
