"""Checks what users give to Etlworks' operator, sensors and hook methods, before anything is sent.

Messages name the parameter and show what was given only in part; values of flow parameters may be secrets and are never
shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_etlapis.connection_forms import ETLWORKS_RUN_KEY
from airflow_provider_etlapis.exceptions import InvalidInputError
from airflow_provider_etlapis.hooks.values import integer_id
from airflow_provider_etlapis.text import shown, without_value

LARGEST_ID = 10**18 - 1
"""Etlworks' ids are whole numbers (a), of at most 18 digits here: no database keeps much larger ones."""

_MOST_NAMES = 5


def number_id(value: Any, name: str) -> int:
    """Return an id: a whole number, or the text of one.

    :param name: of the parameter, for the message.
    :raises InvalidInputError: if it is none, or too large to be one.
    """
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_ID
    if not is_number and not (isinstance(value, str) and len(value.strip()) <= len(str(LARGEST_ID))):
        raise InvalidInputError(f"{name} must be a whole number of at most 18 digits, not {shown(value)}")
    try:
        return integer_id(value, name)
    except InvalidInputError:
        raise InvalidInputError(f"{name} must be a whole number, not {shown(value)}{without_value(value)}") from None


def whole_number(value: Any, name: str, least: int, most: int | None = None) -> int:
    """Return a number that counts something.

    :raises InvalidInputError: if it is no whole number, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        allowed = f"{least} or more" if most is None else f"{least} to {most}"
        raise InvalidInputError(f"{name} must be a whole number, {allowed}, not {shown(value)}")
    return value


def text(value: Any, name: str) -> str:
    """Return a text that can be sent.

    :raises InvalidInputError: if it is none, or holds half of a surrogate pair, which no encoding knows.
    """
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} must be text, not {shown(value)}")
    if not _is_sendable(value):
        raise InvalidInputError(f"{name} holds half of a surrogate pair, which cannot be sent: {shown(value)}")
    return value


def flow_name_text(value: Any) -> str:
    """Return the name of a flow. Native rendering of templates makes a number of a name of digits: that is taken too.

    :raises InvalidInputError: if it is no name.
    """
    name = str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_ID else value
    if not isinstance(name, str) or not name.strip() or name in {".", ".."}:
        raise InvalidInputError(f"flow_name must be the name of a flow, not {shown(value)}")
    return text(name, "flow_name")


def parameter_map(parameters: Any) -> Mapping[str, Any]:
    """Return the parameters of a flow with checked names; the values are as they were given.

    :raises InvalidInputError: if they are no mapping, or a name is no text.
    """
    if parameters is None:
        return {}
    if isinstance(parameters, str):
        raise InvalidInputError(
            "parameters must be a flat map (a dict), and are text. If a template was to give the map: pass the output "
            "of the other task itself (other_task.output), or set render_template_as_native_obj=True on the DAG"
        )
    if not isinstance(parameters, Mapping):
        raise InvalidInputError(f"parameters must be a flat map (a dict), not a {type(parameters).__name__}")
    strange = [name for name in parameters if not isinstance(name, str) or not name or not _is_sendable(name)]
    if strange:
        raise InvalidInputError(f"names of parameters must be text that can be sent; these are not: {listed(strange)}")
    return parameters


def string_map(parameters: Any) -> dict[str, str]:
    """Return the parameters of a flow as the vendor takes them: strings by their names, (a).

    :raises InvalidInputError: naming those that are none.
    """
    checked = parameter_map(parameters)
    strange = [f"{name} ({type(value).__name__})" for name, value in checked.items() if not isinstance(value, str)]
    if strange:
        raise InvalidInputError(
            f"parameters must be a flat map of strings to strings; these are not: {listed(strange)}"
        )
    if broken := [name for name, value in checked.items() if not _is_sendable(value)]:
        raise InvalidInputError(f"parameters hold half of a surrogate pair, which cannot be sent, in {listed(broken)}")
    return dict(checked)


def run_key_name(value: Any) -> str | None:
    """Return the name of the parameter that carries the run key: empty for none, ``None`` where nothing is said.

    :param value: ``True``, ``False`` or a name; also as the text that a template makes of them.
    :raises InvalidInputError: if it is none of these.
    """
    if value is None or value == "":
        return None if value is None else ""
    name = str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_ID else value
    if isinstance(name, bool) or (isinstance(name, str) and name.strip().lower() in {"true", "false"}):
        return ETLWORKS_RUN_KEY if str(name).strip().lower() == "true" else ""
    if not isinstance(name, str) or not name.strip():
        raise InvalidInputError(f"run_key_parameter must be the name of a parameter, not {shown(value)}")
    return text(name, "run_key_parameter")


def listed(names: Iterable[object]) -> str:
    """Return the first few of what a message is about."""
    every = [name if isinstance(name, str) and name.isprintable() and len(name) < 60 else shown(name) for name in names]
    more = f" and {len(every) - _MOST_NAMES} more" if len(every) > _MOST_NAMES else ""
    return ", ".join(every[:_MOST_NAMES]) + more


def listing_path(path: Any) -> str:
    """Return the path of a listing below ``/rest``, as the vendor writes it.

    :raises InvalidInputError: if it is none, would leave ``/rest``, or holds a query.
    """
    checked = text(path, "path")
    below = checked.strip("/").removeprefix("rest/")
    if not below or any(character in below for character in "?#\\ ") or {".", ".."} & set(below.split("/")):
        raise InvalidInputError(f"path must be that of a listing below /rest, such as /v1/audit, not {shown(path)}")
    return f"rest/{below}"


def _is_sendable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
