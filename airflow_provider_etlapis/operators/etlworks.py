"""Operator for Etlworks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack
from uuid import UUID

from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.operators.arguments import RunArguments
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.operators.inputs import one_of
from airflow_provider_etlapis.text import shown

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.etlworks import EtlworksHook

OnWarning = Literal["succeed", "fail"]
ON_WARNING: tuple[str, ...] = ("succeed", "fail")


class EtlworksRunFlowOperator(RemoteRunOperator):
    """Starts a run of an Etlworks flow and waits for it.

    A flow runs once at a time unless it is allowed to overlap: what happens to a start while it runs is up to
    ``on_already_running``. Etlworks documents no call that stops a run: without the ``stop_endpoint`` setting of the
    connection, a run goes on when the task is ended, and the log says so.

    :param flow_id: number of the flow; this or ``flow_name``.
    :param flow_name: exact name of the flow, looked up at each run; none and several of that name are errors. Also the
        number that native rendering makes of a name of digits.
    :param parameters: flat map, which the flow has as ``{name}``. Numbers, booleans (``true``, ``false``) and dates
        become text; nested values and ``None`` are refused before anything is sent.
    :param run_key_parameter: name of a further parameter that carries a text by which the run is recognised if the
        answer to its start is lost: ``True`` for ``airflow_run_key``, ``False`` for none, ``None`` for what the
        connection says. Recommended: nothing else shows which run is the task's, so without it a lost answer that a new
        run of the flow may belong to fails the task (``on_lost_start``).
    :param on_warning: whether a run that ends in a warning is a success (``"succeed"``, the log says so) or a failure
        (``"fail"``).
    :param etlworks_conn_id: id of the Airflow connection.

    Further parameters: see :class:`~airflow_provider_etlapis.operators.base.RemoteRunOperator`. Returns the
    manifest of the run (:meth:`~airflow_provider_etlapis.runs.model.RemoteRun.manifest`). Pushes ``run_id`` the moment
    the run is started.
    """

    template_fields: Sequence[str] = ("flow_id", "flow_name", "parameters", "run_key_parameter", "etlworks_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}
    ui_color = "#e3ecf7"
    conn_id_field = "etlworks_conn_id"

    def __init__(
        self,
        *,
        flow_id: int | str | None = None,
        flow_name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        run_key_parameter: str | bool | None = None,
        on_warning: OnWarning = "succeed",
        etlworks_conn_id: str = "etlworks_default",
        **kwargs: Unpack[RunArguments],
    ) -> None:
        super().__init__(**kwargs)
        one_of("on_warning", on_warning, ON_WARNING)
        self.flow_id = flow_id
        self.flow_name = flow_name
        self.parameters = parameters
        self.run_key_parameter = run_key_parameter
        self.on_warning = on_warning
        self.etlworks_conn_id = etlworks_conn_id
        self.warning_is_failure = on_warning == "fail"

    @classmethod
    def hook_class(cls) -> type[EtlworksHook]:
        """Return the vendor's hook class."""
        from airflow_provider_etlapis.hooks.etlworks import EtlworksHook

        return EtlworksHook

    def spec(self) -> dict[str, Any]:
        """Return the checked inputs."""
        run_key = self._run_key()
        parameters = flat(self.parameters)
        if run_key and run_key in parameters:
            raise InvalidInputError(f"parameters must leave {run_key!r} to run_key_parameter")
        return {
            **which_flow(self.flow_id, self.flow_name),
            "parameters": parameters,
            "run_key_parameter": run_key,
        }

    def _run_key(self) -> str | None:
        from airflow_provider_etlapis.hooks.etlworks.inputs import run_key_name

        if self.run_key_parameter == "":
            raise InvalidInputError("run_key_parameter must be the name of a parameter, and is empty; False sends none")
        return run_key_name(self.run_key_parameter)


def which_flow(flow_id: int | str | None, flow_name: str | None) -> dict[str, str]:
    """Return ``{"flow_id": ...}`` or ``{"flow_name": ...}``, checked.

    :raises InvalidInputError: unless exactly one of both is given; an empty text, as templates leave it, is none.
    """
    from airflow_provider_etlapis.hooks.etlworks.inputs import flow_name_text, number_id

    has_id, has_name = (not (value is None or value == "") for value in (flow_id, flow_name))
    if has_id == has_name:
        given = f"{shown(flow_id)} and {shown(flow_name)}"
        raise InvalidInputError(f"give flow_id or flow_name, one of them, not {given}")
    if has_id:
        return {"flow_id": str(number_id(flow_id, "flow_id"))}
    return {"flow_name": flow_name_text(flow_name)}


def flat(parameters: Mapping[str, Any] | None) -> dict[str, str]:
    """Return parameters as the flat map of strings that the vendor takes.

    :raises InvalidInputError: naming those that cannot be text without guessing.
    """
    from airflow_provider_etlapis.hooks.etlworks.inputs import listed, parameter_map, string_map

    checked = parameter_map(parameters)
    made = {name: _as_text(value) for name, value in checked.items()}
    strange = [f"{name} ({_kind(checked[name])})" for name, text in made.items() if text is None]
    if strange:
        raise InvalidInputError(
            f"parameters must be text, finite numbers, booleans or dates; these are not: {listed(strange)}"
        )
    return string_map(made)


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float | Decimal):
        return str(value) if _is_finite(value) else None
    if isinstance(value, int | UUID):
        try:
            return str(value)
        except ValueError:  # more digits than Python writes
            return None
    return None


def _is_finite(value: float | Decimal) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)


def _kind(value: Any) -> str:
    """Name what a value is, for a message; not the value, which may be a secret."""
    if isinstance(value, float | Decimal):
        return "not finite"
    return "too many digits" if isinstance(value, int) else type(value).__name__
