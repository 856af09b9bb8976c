"""One connection under examination: it is only read, within its budget, and other settings can be tried on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar

from airflow_provider_etlapis.doctor.findings import Outcome, differs, holds, unknown
from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.hooks.base import READS, RemoteRunHook
from airflow_provider_etlapis.hooks.endpoints import Program, checked_calls
from airflow_provider_etlapis.inventory.connections import hook_of
from airflow_provider_etlapis.wire.call import Call

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that one read may take, its retries included."""


class Patient:
    """A connection and the hooks that read it.

    :param conn_id: id of the connection.
    :param connection: as Airflow holds it.
    """

    def __init__(self, conn_id: str, connection: Any) -> None:
        self.conn_id = conn_id
        self._connection = connection
        self._open = ExitStack()
        self._read: dict[Any, Any] = {}
        self.hook: Any = self._open.enter_context(hook_of(conn_id, connection))
        """The vendor's hook on the connection as it is. Its endpoints are asked by :meth:`ask` alone."""

    @property
    def conn_type(self) -> str:
        """The connection's type."""
        return str(self.hook.form.conn_type)

    @property
    def extras(self) -> Mapping[str, Any]:
        """The settings as they are, defaults included."""
        found: Mapping[str, Any] = self.hook.values.extras
        return found

    def ask(self, program: Program[T], hook: RemoteRunHook | None = None) -> T:
        """Carry out a program of reads and return its result.

        :param hook: another hook than the patient's own.
        :raises EtlApiError: when a read fails.
        :raises RuntimeError: before anything that is no read is sent.
        """
        return (hook or self.hook).run(checked_calls(program, _refuse_writes), within=PATIENCE)

    def answers(self, program: Program[Any], hook: RemoteRunHook | None = None) -> EtlApiError | None:
        """Return why a read fails, ``None`` if it does not."""
        try:
            self.ask(program, hook)
        except EtlApiError as error:
            return error
        return None

    def once(self, read: Callable[[Patient], T]) -> T:
        """Return what a function reads, asking only once however many checks want it."""
        if read not in self._read:
            self._read[read] = read(self)
        found: T = self._read[read]
        return found

    @contextmanager
    def trying(self, **settings: Any) -> Iterator[Any]:
        """Give a hook on the same connection with other settings in its extra; the budget is that of the patient."""
        with hook_of(self.conn_id, self._with(settings)) as hook:
            hook.channel.budget = self.hook.channel.budget
            yield hook

    def adopt(self, settings: Mapping[str, Any]) -> None:
        """Go on with other settings, those that have just been found to fit."""
        self._connection = self._with(settings)
        self._read.clear()
        budget = self.hook.channel.budget
        self.hook = self._open.enter_context(hook_of(self.conn_id, self._connection))
        self.hook.channel.budget = budget

    def _with(self, settings: Mapping[str, Any]) -> Any:
        extra = {**dict(self._connection.extra_dejson), **settings}
        fields = ("conn_type", "host", "login", "password", "schema", "port")
        kept = {name: getattr(self._connection, name) for name in fields}
        return SimpleNamespace(conn_id=self.conn_id, extra=json.dumps(extra), extra_dejson=extra, **kept)

    def close(self) -> None:
        """Close the hook."""
        self._open.close()


def _refuse_writes(call: Call[Any]) -> None:
    if call.method not in READS:
        raise RuntimeError(f"{call.describe()} is no read: the doctor sends none")


def kind_of(error: EtlApiError) -> str:
    """Return in our own words what a failed read came to."""
    whose = "the vendor's own" if error.by_vendor else "not the vendor's own"
    return f"HTTP {error.status}, {whose}" if error.status is not None else type(error).__name__


def not_there(patient: Patient, what: str, program: Program[Any], status: int | None = None) -> Outcome:
    """Say how the server answers about a thing that is not there: an error in the vendor's own shape is assumed.

    :param what: the thing, such as "run".
    :param status: that the error has to have; ``None`` for any.
    """
    error = patient.answers(program)
    if error is None:
        return differs(f"a {what} that is not there is answered as if it were")
    seen = f"a {what} that is not there: {kind_of(error)}"
    if error.by_vendor and status in (None, error.status):
        return holds(seen)
    return differs(seen, advice="Check what stands before the server; a wait for what is gone takes longer to end.")


def fitting(patient: Patient, field: str, *values: str) -> Outcome:
    """Say whether the server answers with a setting as it is, and else with which of the known values it does.

    :param field: the setting, of the connection's extra.
    :param values: that it may have.
    """
    present = patient.extras[field]
    named = repr(present) if present in values else "the connection's own value"
    failure = patient.answers(patient.hook.check.plan())
    if failure is None:
        return holds(f"the server answers with {named}")
    for value in values:
        if value == present:
            continue
        try:
            with patient.trying(**{field: value}) as hook:
                answers = patient.answers(hook.check.plan(), hook) is None
        except EtlApiError:  # the connection lacks what this value needs
            continue
        if answers:
            return differs(f"{kind_of(failure)} with {named}; the server answers with {value!r}", **{field: value})
    return unknown(f"the server answers with none of the known values; with {named}: {kind_of(failure)}")
