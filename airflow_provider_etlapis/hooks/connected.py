"""A hook on one connection: what its settings become, both clients, and the time that a caller has left."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.hooks import opening, programs, secrecy
from airflow_provider_etlapis.hooks.connection import ConnectionValues, check_type, read_connection
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.errors import task_error
from airflow_provider_etlapis.hooks.pages import with_pages
from airflow_provider_etlapis.runs.model import Capabilities
from airflow_provider_etlapis.wire import deadline
from airflow_provider_etlapis.wire.auth import Auth
from airflow_provider_etlapis.wire.budget import RequestBudget
from airflow_provider_etlapis.wire.call import Call, Response
from airflow_provider_etlapis.wire.errors import SettingsError
from airflow_provider_etlapis.wire.exchange import Channel, Pause, server_words
from airflow_provider_etlapis.wire.policy import RetryPolicy
from airflow_provider_etlapis.wire.steps import adrive, drive

if TYPE_CHECKING:
    from airflow_provider_etlapis.forms import ConnectionForm
    from airflow_provider_etlapis.wire.aio import AsyncClient
    from airflow_provider_etlapis.wire.settings import WireSettings
    from airflow_provider_etlapis.wire.sync import SyncClient

T = TypeVar("T")

_ODD_ANSWER_RETRIES = 2

_TEST_TIMEOUT = 20.0
_IMPATIENT = RetryPolicy(retries=1, cap=1.0, refused_for=0.0)


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
        self.given_connection: Any = None
        """A connection of Airflow that was read already, used instead of looking one up."""
        self._channel: Channel | None = None
        self._values: ConnectionValues | None = None
        self._async_client: AsyncClient | None = None
        self._ends_at: float | None = None
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

        if self._channel is None:
            self._open_channel(*opening.look_up(self), in_triggerer=False)
        assert self._channel is not None  # noqa: S101 just opened
        try:
            return SyncClient(self._channel)
        except SettingsError as error:
            raise task_error(error, self.conn_id) from None

    async def aclient(self) -> AsyncClient:
        """Return the client for the event loop. Looks up the connection on first use."""
        from airflow_provider_etlapis.wire.aio import AsyncClient

        async with self._opening:
            if self._async_client is None:
                if self._channel is None:
                    connection, extra = await opening.alook_up(self)
                    # Certificates and the environment's proxies are read there, for tens of milliseconds.
                    await asyncio.to_thread(self._open_channel, connection, extra, in_triggerer=True)
                assert self._channel is not None  # noqa: S101 just opened
                self._async_client = AsyncClient(self._channel)
            return self._async_client

    def _open_channel(self, connection: Any, extra: Any, *, in_triggerer: bool) -> None:
        check_type(self.form, connection, (self.form.conn_type, getattr(self, "conn_type", "")))
        self._values = values = read_connection(self.form, connection, extra)
        secrecy.warn_of_unknown(self.log, self.conn_id, self.form.unknown(extra))
        self.capabilities = self.abilities(values)
        self._channel = opening.channel_for(self, values, in_triggerer=in_triggerer)
        if self._earlier_budget is not None:
            self._channel.budget = self._earlier_budget.with_limit(self._channel.settings.requests_per_minute)

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

    def run(self, program: Program[T], *, within: float | None = None) -> T:
        """Carry out a program of calls in a worker.

        :param within: seconds that all of it may take, pauses, retries and waits for the budget included.
        :raises EtlApiError: when a call fails and the program does not handle it, or the time does not suffice.
        """
        with deadline.until(self._ends_at), deadline.within(within):
            client = self.client

            def perform(step: Call[Any] | Pause) -> Any:
                return client.send(step) if isinstance(step, Call) else time.sleep(programs.pause_of(step))

            return self._with_pages(drive(self._steps_of(program), perform))

    async def arun(self, program: Program[T], *, within: float | None = None) -> T:
        """Carry out a program of calls on the event loop.

        :param within: seconds that all of it may take, pauses, retries and waits for the budget included.
        :raises EtlApiError: when a call fails and the program does not handle it, or the time does not suffice.
        """
        with deadline.until(self._ends_at), deadline.within(within):
            client = await self.aclient()

            async def perform(step: Call[Any] | Pause) -> Any:
                if isinstance(step, Call):
                    return await client.send(step)
                return await asyncio.sleep(programs.pause_of(step))

            return self._with_pages(await adrive(self._steps_of(program), perform))

    def _steps_of(self, program: Program[T]) -> Generator[Call[Any] | Pause, Any, T]:
        retries = min(_ODD_ANSWER_RETRIES, self.settings.retry.retries)
        return programs.interpreted(program, self.channel.redact, self.conn_id, retries)

    @staticmethod
    def within(seconds: float | None) -> AbstractContextManager[None]:
        """Let everything that is called inside of a ``with`` block take no longer than this, all in all.

        It holds for all hooks, in both colours: ``with hook.within(8): hook.cancel_run(ref)``.

        :param seconds: ``None`` sets no limit.
        """
        return deadline.within(seconds)

    def _with_pages(self, value: T) -> T:
        """Give the runs in a result the page that the connection names, where the vendor names none."""
        paged: T = with_pages(value, self._values.extras.get("ui_url_template") if self._values else None)
        return paged

    def hasty_copy(self, seconds: float, *, waits_for_restart: bool = True) -> Self:
        """Return a hook on the same connection, without a look-up, for last requests when a task is killed.

        :param seconds: for everything that is done by the copy, from now on; no answer is tried for more than twice.
        :param waits_for_restart: try again for as long as the time lasts while connections are refused.
        """
        channel = self.channel
        copy = type(self)(self.conn_id)
        settings = channel.settings
        hasty = replace(
            settings,
            connect_timeout=min(seconds, settings.connect_timeout),
            read_timeout=min(seconds, settings.read_timeout),
            retry=RetryPolicy(retries=1, cap=1.0, refused_for=seconds if waits_for_restart else 0.0),
        )
        copy._channel = channel.with_settings(hasty)
        copy._values = self._values
        copy._ends_at = time.monotonic() + seconds
        copy.capabilities = self.capabilities
        return copy

    def lose_patience(self) -> None:
        """Try nothing for long from now on: a person waits who will ask again."""
        channel = self.channel
        self._channel = channel.with_settings(replace(channel.settings, retry=_IMPATIENT))
        self._close_client()

    def close(self) -> None:
        """Close the worker's client, if it was opened; the next call looks the connection up anew."""
        self._close_client()
        self._channel = self._values = None

    def _close_client(self) -> None:
        if "client" in self.__dict__:
            self.client.close()
            del self.client

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
            with self.hasty_copy(_TEST_TIMEOUT, waits_for_restart=False) as hook:
                return True, hook.check()
        except EtlApiError as error:
            told = str(error).replace(f"onnection {self.conn_id!r}", "onnection under test")
            return False, told.removeprefix("Connection under test: ")
        except Exception as error:
            self.log.exception("The test of connection %s has failed in a way that nobody thought of", self.conn_id)
            return (
                False,
                f"The test failed with {type(error).__name__}, which is a defect of this provider; see the log",
            )
