"""Opens an Airflow connection: looks it up, and makes the channel for its calls; what cannot work is found here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_etlapis.exceptions import ConnectionSettingsError
from airflow_provider_etlapis.hooks import secrecy
from airflow_provider_etlapis.hooks.connection import ConnectionValues, wire_settings
from airflow_provider_etlapis.hooks.errors import task_error
from airflow_provider_etlapis.metrics import Meter
from airflow_provider_etlapis.wire.auth import Auth
from airflow_provider_etlapis.wire.call import Response
from airflow_provider_etlapis.wire.errors import SettingsError
from airflow_provider_etlapis.wire.exchange import Channel
from airflow_provider_etlapis.wire.redact import Redactor

if TYPE_CHECKING:
    from airflow_provider_etlapis.forms import ConnectionForm

_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
"""What Airflow raises for a connection that it cannot read, by where and how that is stored."""


class Opener(Protocol):
    """What opening a connection needs of a hook."""

    conn_id: str
    given_connection: Any
    form: ClassVar[ConnectionForm]

    @property
    def log(self) -> Any:
        """Where warnings go."""

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """Return a connection of Airflow."""

    @staticmethod
    def is_own_error(response: Response) -> bool:
        """Say whether an error answer has the vendor's own shape."""

    def address(self, values: ConnectionValues) -> str:
        """Return the base URL of the API."""

    def auth(self, values: ConnectionValues) -> Auth:
        """Return how requests get their credential."""


def look_up(hook: Opener) -> tuple[Any, Any]:
    """Return the connection of a hook and its extra.

    :raises ConnectionSettingsError: if there is none, or it cannot be read.
    """
    try:
        connection = hook.given_connection or hook.get_connection(hook.conn_id)
        extra = connection.extra_dejson
    except AirflowNotFoundException as error:
        raise _missing(hook.conn_id, hook.form) from error
    except _UNREADABLE as error:
        raise _unreadable(hook.conn_id, error) from None
    return connection, extra


async def alook_up(hook: Opener) -> tuple[Any, Any]:
    """Return the connection of a hook and its extra, on the event loop.

    :raises ConnectionSettingsError: if there is none, or it cannot be read.
    """
    try:
        connection = hook.given_connection or await get_async_connection(hook.conn_id)
        return connection, await get_async_extra_dejson(connection)
    except AirflowNotFoundException as error:
        raise _missing(hook.conn_id, hook.form) from error
    except _UNREADABLE as error:
        raise _unreadable(hook.conn_id, error) from None


def channel_for(hook: Opener, values: ConnectionValues, *, in_triggerer: bool) -> Channel:
    """Return the channel for the calls of a connection.

    :raises ConnectionSettingsError: naming the field that cannot work.
    """
    redact = Redactor(values.secrets())
    redact.add_pair(values.login, values.password)
    try:
        channel = Channel(
            wire_settings(values, hook.address(values)),
            hook.auth(values),
            redact,
            count=Meter(hook.conn_id, hook.form.conn_type, in_triggerer=in_triggerer).count,
            is_own_error=hook.is_own_error,
            learn=secrecy.mask,
            alearn=secrecy.amask,
        )
        channel.tls()
    except SettingsError as error:
        raise task_error(error, hook.conn_id) from None
    secrecy.warn_once(hook.log, values, channel.settings, sends_secret=bool(channel.auth.secrets()))
    return channel


def _missing(conn_id: str, form: ConnectionForm) -> ConnectionSettingsError:
    return ConnectionSettingsError(f"There is no connection {conn_id!r}; add one of the type {form.conn_type!r}")


def _unreadable(conn_id: str, error: Exception) -> ConnectionSettingsError:
    # The error's own text may quote the connection, password and all.
    return ConnectionSettingsError(
        f"Connection {conn_id!r} cannot be read ({type(error).__name__}); check how it is stored: as JSON or as a URI, "
        "its extra a JSON object"
    )
