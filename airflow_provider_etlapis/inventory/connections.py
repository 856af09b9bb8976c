"""Hooks for connections of the user's Airflow, from a shell or an API server."""

from __future__ import annotations

from importlib import import_module

from airflow_provider_etlapis.connection_forms import FORMS
from airflow_provider_etlapis.exceptions import ConnectionSettingsError
from airflow_provider_etlapis.hooks.base import RemoteRunHook


def hook_of(conn_id: str) -> RemoteRunHook:
    """Return the hook for a connection of the user's Airflow, its connection read.

    :raises ConnectionSettingsError: if there is no such connection, or it is of a type that is not ours.
    """
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    try:
        connection = Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException as error:
        raise ConnectionSettingsError(
            f"There is no connection {conn_id!r}, neither as AIRFLOW_CONN_{conn_id.upper()} nor in the Airflow of "
            "this shell"
        ) from error
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
    _ = hook.values  # a fault of the connection is reported before anything else is done
    return hook
