"""JSON that is parsed in pieces is the JSON that Python parses, and damaged where Python says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_etlapis.wire import json_text
from airflow_provider_etlapis.wire.call import Response
from airflow_provider_etlapis.wire.errors import AnswerTooLargeError, MalformedAnswerError

TEXTS = st.sampled_from(["", "},{", "],[", '","', 'a"\\\n\t\u00e9\U0001f600' * 5, "x" * 80, ",", "\u2028"]) | st.text(
    max_size=60
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(TEXTS, inner, max_size=7),
    max_leaves=60,
)


@pytest.fixture(autouse=True)
def _tiny_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let texts of a few characters go the way of those of many megabytes; a number fits into a window there too."""
    for name, size in (("SMALL", 0), ("_WINDOWS", (8, 64)), ("_STRING_WINDOW", 30), ("_DECODED_AT_ONCE", 7)):
        monkeypatch.setattr(json_text, name, size)


@given(value=VALUES, indent=st.none() | st.integers(0, 2), ascii_only=st.booleans())
def test_a_value_parsed_in_pieces_is_the_same(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)

    assert repr(json_text.parse(text.encode())) == repr(json.loads(text))


@given(
    value=VALUES,
    at=st.floats(0, 1),
    gone=st.integers(0, 3),
    put=st.sampled_from(["", "}", "]", ",", '"', "x", "\\", "[", "1"]),
)
def test_what_is_damaged_is_damaged_in_pieces_too(value: Any, at: float, gone: int, put: str) -> None:
    text = json.dumps(value)
    place = int(at * len(text))
    damaged = f"{text[:place]}{put}{text[place + gone :]}".encode()

    assert _outcome(json_text.parse, damaged) == _outcome(json.loads, damaged)


def _outcome(parse: Any, text: bytes) -> str:
    try:
        return repr(parse(text))
    except ValueError:
        return "damaged"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_all_encodings_of_json_are_read(encoding: str) -> None:
    value = {"text": "\u00e9\U0001f600" * 20, "rows": [1, 2, {"a": []}]}

    assert json_text.parse(json.dumps(value, ensure_ascii=False).encode(encoding)) == value


@pytest.mark.parametrize("text", ["[NaN, Infinity, -Infinity, 1e999]", "[NaN,\n Infinity ,-Infinity, -1e999]"])
def test_numbers_that_json_does_not_have_are_none_in_pieces_too(text: str) -> None:
    assert json_text.parse(text.encode()) == [None] * 4


@pytest.mark.parametrize("text", ["[" + "1," * 30 + "1]", "[" + "[]," * 30 + "[]]", '{"a":' * 9 + "{}" + "}" * 9])
def test_the_number_of_values_is_limited(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MOST_VALUES", 5)

    with pytest.raises(AnswerTooLargeError, match="more than 5 values"):
        Response(200, {}, text.encode()).json()


def test_commas_in_texts_are_no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MOST_VALUES", 5)

    assert Response(200, {}, json.dumps([",,, [[[ " * 30, "{{{"]).encode()).json()


@pytest.mark.parametrize("opening", ["[", '{"a":', "[[1, 2], "])
def test_nesting_is_limited(opening: str) -> None:
    with pytest.raises(MalformedAnswerError, match="nested too deep"):
        Response(200, {}, opening.encode() * 100_000).json()


def test_a_body_is_parsed_once_and_fails_alike_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = Response(200, {}, b'{"a": [1]}'), Response(200, {}, b"{")

    assert good.json() is good.json()
    for _ in range(2):
        with pytest.raises(MalformedAnswerError, match=r"^JSON that is cut off or damaged$") as failure:
            bad.json()
        failure.value.args = ("changed by whoever caught it",)
