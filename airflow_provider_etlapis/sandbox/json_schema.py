"""A small check of JSON against a JSON schema, in the words of the usual Python validator, which vendors pass on.

Written by hand so that the sandbox adds no dependency; a schema with a keyword outside this set is refused at once
rather than half checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
}
_REMARKS = frozenset({"$schema", "$id", "title", "description", "default", "examples"})


def errors(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """Return every fault of ``value`` as text, in the order of the schema's keywords.

    :raises ValueError: if the schema has a keyword that is not known here
    """
    return list(_errors(value, schema))


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse a schema with a keyword that is not known here.

    :raises ValueError: naming the keyword
    """
    if unknown := set(schema) - set(_KEYWORDS) - _REMARKS:
        raise ValueError(f"the sandbox cannot check the schema keyword {sorted(unknown)[0]!r}")
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for child in inner:
        if isinstance(child, Mapping):
            check_schema(child)


def _errors(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    for keyword, wanted in schema.items():
        if keyword in _KEYWORDS:
            yield from _KEYWORDS[keyword](value, wanted, schema)
        elif keyword not in _REMARKS:
            raise ValueError(f"the sandbox cannot check the schema keyword {keyword!r}")


def _type(value: Any, wanted: str | list[str], _: Mapping[str, Any]) -> Iterator[str]:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not any(_TYPES[name](value) for name in names):
        yield f"{value!r} is not of type {', '.join(map(repr, names))}"


def _required(value: Any, wanted: list[str], _: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{name!r} is a required property" for name in wanted if name not in value)


def _additional(value: Any, wanted: bool | Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    extra = [name for name in value if name not in schema.get("properties", {})]
    if isinstance(wanted, Mapping):
        for name in extra:
            yield from _errors(value[name], wanted)
    elif not wanted and extra:
        verb = "was" if len(extra) == 1 else "were"
        yield f"Additional properties are not allowed ({', '.join(map(repr, extra))} {verb} unexpected)"


def _properties(value: Any, wanted: Mapping[str, Any], _: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, dict):
        for name, schema in wanted.items():
            if name in value:
                yield from _errors(value[name], schema)


def _items(value: Any, wanted: Mapping[str, Any], _: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _errors(item, wanted)


def _enum(value: Any, wanted: list[Any], _: Mapping[str, Any]) -> Iterator[str]:
    if value not in wanted:
        yield f"{value!r} is not one of {wanted!r}"


def _minimum(value: Any, wanted: float, _: Mapping[str, Any]) -> Iterator[str]:
    if _TYPES["number"](value) and value < wanted:
        yield f"{value!r} is less than the minimum of {wanted!r}"


def _maximum(value: Any, wanted: float, _: Mapping[str, Any]) -> Iterator[str]:
    if _TYPES["number"](value) and value > wanted:
        yield f"{value!r} is greater than the maximum of {wanted!r}"


def _pattern(value: Any, wanted: str, _: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, str) and not re.search(wanted, value):
        yield f"{value!r} does not match {wanted!r}"


_KEYWORDS: dict[str, Callable[[Any, Any, Mapping[str, Any]], Iterator[str]]] = {
    "type": _type,
    "required": _required,
    "additionalProperties": _additional,
    "properties": _properties,
    "items": _items,
    "enum": _enum,
    "minimum": _minimum,
    "maximum": _maximum,
    "pattern": _pattern,
}
