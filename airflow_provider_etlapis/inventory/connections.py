"""Hooks for connections of the user's Airflow, from a shell or an API server."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow_provider_etlapis.connection_forms import FORMS
from airflow_provider_etlapis.exceptions import ConnectionSettingsError
from airflow_provider_etlapis.hooks.base import RemoteRunHook


def read_connection(conn_id: str) -> Any:
    """Return a connection of the user's Airflow: from a secrets backend, the environment or the database.

    :raises ConnectionSettingsError: if there is none.
    """
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    try:
        return Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException as error:
        raise ConnectionSettingsError(
            f"There is no connection {conn_id!r}, neither as AIRFLOW_CONN_{conn_id.upper()} nor in this Airflow"
        ) from error


def hook_of(conn_id: str, connection: Any = None) -> RemoteRunHook:
    """Return the hook for a connection of the user's Airflow, its settings checked.

    :param connection: the connection, if it was read already.
    :raises ConnectionSettingsError: if there is no such connection, it is of a type that is not ours, or a field of it
        cannot work.
    """
    connection = connection or read_connection(conn_id)
    forms = {form.conn_type: form for form in FORMS}
    if connection.conn_type not in forms:
        raise ConnectionSettingsError(
            f"Connection {conn_id!r} is of the type {connection.conn_type!r}; these can be asked for runs: "
            f"{', '.join(sorted(forms))}"
        )
    module, _, name = forms[connection.conn_type].hook_class.rpartition(".")
    hook: RemoteRunHook = getattr(import_module(module), name)(conn_id)
    # Outside a task, Airflow 3's hooks search environment variables and secrets backends, not the database.
    hook.given_connection = connection
    _ = hook.values
    return hook
