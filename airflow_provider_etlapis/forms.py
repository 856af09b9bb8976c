"""Connection forms: one table of fields feeds the form of Airflow 3, that of Airflow 2, and the reading of values.

Airflow 3 shows declared fields only; Airflow 2.11 shows what the hook class returns; both come from here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from string import Formatter
from typing import Any, Literal

from airflow_provider_etlapis.text import printable

Kind = Literal["text", "password", "integer", "number", "boolean", "choice", "object", "page"]

# Airflow 3.3.1 and 3.3.2 refuse to test a connection without a port (fixed later: apache/airflow#73298), so the
# field is shown although the base URL may hold the port.
_PORT_PLACEHOLDER = "may be empty; Airflow 3.3.1 and 3.3.2 need one for Test, such as 443"

_JSON_TYPES = {"integer": "integer", "number": "number", "boolean": "boolean"}


@dataclass(frozen=True, slots=True)
class Field:
    """One extra of a connection.

    :param name: key in the connection's extra. A secret's name must contain a word that Airflow masks
        (password, secret, token, api_key).
    :param minimum: smallest number accepted.
    :param maximum: largest number accepted.
    :param ids: of a page's address: the ids of a run that it may hold in braces.
    """

    name: str
    label: str
    description: str
    kind: Kind = "text"
    default: Any = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    ids: tuple[str, ...] = ()

    def declared(self) -> dict[str, Any]:
        """Return the field as Airflow 3 reads it from the provider info."""
        schema: dict[str, Any] = {"type": [_JSON_TYPES.get(self.kind, "string"), "null"]}
        if self.kind in {"password", "object"}:
            # An object may hold secrets, such as headers: typed as JSON text, hidden like a password. Airflow's editor
            # for objects shows what is typed, and rearranges it under the typist's hands.
            schema["format"] = "password"
        if self.choices:
            schema["enum"] = list(self.choices)
        if self.minimum is not None:
            schema["minimum"] = self.minimum
        if self.maximum is not None:
            schema["maximum"] = self.maximum
        if self.default is not None:
            schema["default"] = self.default
        return {"label": self.label, "description": self.description, "schema": schema}

    def read(self, value: Any) -> Any:
        """Return a stored value in its own type; an empty one is the default.

        :raises ValueError: if it cannot be read; the message says what is accepted.
        """
        if value is None or value == "":
            return self.default
        return _READERS[self.kind](self, value)


def _read_text(field: Field, value: Any) -> str:
    return str(value).strip() if field.kind == "text" else str(value)


def _read_number(field: Field, value: Any) -> float | int:
    whole = field.kind == "integer"
    try:
        # The form stores what was typed, so a whole number may come as 8.0.
        number = float(str(value)) if not whole or str(value).strip().endswith(".0") else int(str(value))
    except (ValueError, OverflowError):
        raise ValueError(f"must be {'a whole number' if whole else 'a number'}, not {_shown(value)}") from None
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"must be a finite number, not {_shown(value)}")
    number = int(number) if whole else number
    if field.minimum is not None and number < field.minimum:
        raise ValueError(f"must be at least {field.minimum:,.15g}, not {_shown(value)}")
    if field.maximum is not None and number > field.maximum:
        raise ValueError(f"must be at most {field.maximum:,.15g}, not {_shown(value)}")
    return number


def _read_boolean(field: Field, value: Any) -> bool:
    word = str(value).strip().lower()
    if word in {"true", "1", "yes", "on"}:
        return True
    if word in {"false", "0", "no", "off"}:
        return False
    raise ValueError("must be true or false")


def _read_choice(field: Field, value: Any) -> str:
    if str(value) not in field.choices:
        raise ValueError(f"must be one of {', '.join(field.choices)}")
    return str(value)


def _read_object(field: Field, value: Any) -> dict[str, str]:
    try:
        decoded = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, Mapping):
        raise ValueError('must be a JSON object, such as {"name": "value"}')  # noqa: TRY004 one class for all faults
    return {str(key): str(item) for key, item in decoded.items()}


def _read_page(field: Field, value: Any) -> str:
    text = str(value).strip()
    allowed = ", ".join(f"{{{name}}}" for name in field.ids)
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        raise ValueError(f"must have its ids in pairs of braces ({allowed}), not {_shown(text)}") from None
    for _, name, form, conversion in parts:
        if name is not None and (name not in field.ids or form or conversion):
            raise ValueError(f"may hold {allowed}, not {{{printable(name, 60)}}}")
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"must be an address that starts with https:// or http://, not {_shown(text)}")
    return text


def _shown(value: Any) -> str:
    """Return a value for a message, bounded: it may be anything that somebody has pasted."""
    return printable(repr(value), 60)


_MISSPELT = 0.85
"""How alike an unknown key and a field's name are, from 0 to 1, if the key is taken for a slip."""

_READERS = {
    "text": _read_text,
    "password": _read_text,
    "integer": _read_number,
    "number": _read_number,
    "boolean": _read_boolean,
    "choice": _read_choice,
    "object": _read_object,
    "page": _read_page,
}


@dataclass(frozen=True, slots=True)
class ConnectionForm:
    """The form of one connection type.

    :param relabeling: other labels for the standard fields.
    :param placeholders: examples shown in the standard fields.
    :param hidden: standard fields that this vendor has no use for; never the port, see above.
    """

    conn_type: str
    hook_name: str
    hook_class: str
    fields: tuple[Field, ...]
    relabeling: Mapping[str, str] = field(default_factory=dict)
    placeholders: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ("schema", "extra")

    def provider_info(self) -> dict[str, Any]:
        """Return the connection type as it stands in the provider info."""
        return {
            "connection-type": self.conn_type,
            "hook-class-name": self.hook_class,
            "hook-name": self.hook_name,
            "ui-field-behaviour": {
                "hidden-fields": list(self.hidden),
                "relabeling": dict(self.relabeling),
                "placeholders": {"port": _PORT_PLACEHOLDER, **self.placeholders},
            },
            "conn-fields": {field.name: field.declared() for field in self.fields},
        }

    def behaviour(self) -> dict[str, Any]:
        """Return the treatment of the standard fields as Airflow 2.11 reads it from the hook class."""
        examples = {
            f"extra__{self.conn_type}__{field.name}": str(field.default)
            for field in self.fields
            if field.default is not None
        }
        return {
            "hidden_fields": list(self.hidden),
            "relabeling": dict(self.relabeling),
            "placeholders": {"port": _PORT_PLACEHOLDER, **self.placeholders, **examples},
        }

    def widgets(self) -> dict[str, Any]:
        """Return the form fields as Airflow 2.11 reads them from the hook class."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from wtforms import BooleanField, PasswordField, StringField
        from wtforms.validators import Optional as OptionalValue

        made: dict[str, Any] = {}
        for each in self.fields:
            if each.kind == "boolean":
                made[each.name] = BooleanField(each.label, default=bool(each.default), description=each.description)
            elif each.kind in {"password", "object"}:
                made[each.name] = PasswordField(
                    each.label, widget=BS3PasswordFieldWidget(), description=each.description
                )
            else:
                made[each.name] = StringField(
                    each.label,
                    widget=BS3TextFieldWidget(),
                    validators=[OptionalValue()],
                    description=each.description,
                )
        return made

    def read(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all fields from a connection's extra.

        Keys with the prefix of Airflow 2's form (``extra__<conn_type>__``) are understood as well.

        :raises ValueError: naming the field and what it accepts, or a key that is a field's name misspelt.
        """
        for key in self.unknown(extra):
            near = get_close_matches(key[:60], [each.name for each in self.fields], 1, _MISSPELT)
            if near:
                raise ValueError(f"extra {printable(key, 60)!r} is not known; is it {near[0]!r} misspelt?")
        values: dict[str, Any] = {}
        for each in self.fields:
            stored = extra.get(each.name, extra.get(f"extra__{self.conn_type}__{each.name}"))
            try:
                values[each.name] = each.read(stored)
            except ValueError as error:
                raise ValueError(f"extra {each.name!r} {error}") from None
        return values

    def unknown(self, extra: Mapping[str, Any]) -> list[str]:
        """Return the keys of a connection's extra that are no field of this form."""
        known = {each.name for each in self.fields}
        keys = (str(key).removeprefix(f"extra__{self.conn_type}__") for key in extra)
        return [key for key in keys if key not in known]
