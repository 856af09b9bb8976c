"""Operator for Etlworks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from uuid import UUID

from airflow_provider_etlapis.connection_forms import ETLWORKS_RUN_KEY
from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.operators.base import RemoteRunOperator
from airflow_provider_etlapis.operators.inputs import one_of

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
    :param flow_name: exact name of the flow, looked up at each run; none and several of that name are errors.
    :param parameters: flat map, which the flow has as ``{name}``. Numbers, booleans (``true``, ``false``) and dates
        become text; nested values and ``None`` are refused before anything is sent.
    :param run_key_parameter: name of a further parameter that carries a text by which the run is recognised if the
        answer to its start is lost: ``True`` for ``airflow_run_key``, ``False`` for none, ``None`` for what the
        connection says.
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
        **kwargs: Any,
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
        wanted = self.run_key_parameter
        if isinstance(wanted, bool):
            return ETLWORKS_RUN_KEY if wanted else ""
        if wanted is not None and (not isinstance(wanted, str) or not wanted.strip()):
            raise InvalidInputError(f"run_key_parameter must be the name of a parameter, not {wanted!r}")
        return wanted


def which_flow(flow_id: int | str | None, flow_name: str | None) -> dict[str, str]:
    """Return ``{"flow_id": ...}`` or ``{"flow_name": ...}``, checked.

    :raises InvalidInputError: unless exactly one of both is given; an empty text, as templates leave it, is none.
    """
    from airflow_provider_etlapis.hooks.values import integer_id

    named = [value for value in (flow_id, flow_name) if value is not None and value != ""]
    if len(named) != 1:
        raise InvalidInputError(f"give flow_id or flow_name, one of them, not {flow_id!r} and {flow_name!r}")
    if named[0] is flow_id:
        return {"flow_id": str(integer_id(flow_id, "flow_id"))}
    if not isinstance(flow_name, str) or not flow_name.strip():
        raise InvalidInputError(f"flow_name must be the name of a flow, not {flow_name!r}")
    return {"flow_name": flow_name}


def flat(parameters: Mapping[str, Any] | None) -> dict[str, str]:
    """Return parameters as the flat map of strings that the vendor takes.

    :raises InvalidInputError: naming those that cannot be text without guessing.
    """
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise InvalidInputError(f"parameters must be a flat map (a dict), not {type(parameters).__name__}")
    nameless = [name for name in parameters if not isinstance(name, str) or not name]
    if nameless:
        raise InvalidInputError(f"names of parameters must be text, not {nameless}")
    made = {name: _as_text(value) for name, value in parameters.items()}
    strange = [f"{name} ({type(parameters[name]).__name__})" for name, text in made.items() if text is None]
    if strange:
        raise InvalidInputError(f"parameters must be text, numbers, booleans or dates; these are not: {strange}")
    return {name: text for name, text in made.items() if text is not None}


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | float | Decimal) and math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, UUID) else None
