"""Texts and values from outside are shown and stored as what they are, and no more of them than fits."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_etlapis.runs.logs import tell_log
from airflow_provider_etlapis.text import clean_json, printable, shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, \u00e9, \u65e5\u672c, \U0001f600, tab\there", "plain, \u00e9, \u65e5\u672c, \U0001f600, tab\there"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("100 %\rdone", "100 %\\rdone"),
        ("a\0b", "a\\x00b"),
        ("\x9b31m", "\\x9b31m"),
        ("\ud83d alone \udc80", "\\ud83d alone \\udc80"),
        ("\u202ecod.exe", "\\u202ecod.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("one\ntwo", "one\\ntwo"),
        ("one\u2028two", "one\\u2028two"),
    ],
)
def test_what_cannot_be_seen_is_made_visible(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_line_breaks_are_kept_where_they_are_wanted() -> None:
    assert printable("one\r\ntwo\nthree\rfour", lines=True) == "one\ntwo\nthree\\rfour"


@given(text=st.text(st.characters(codec=None), max_size=300), limit=st.integers(0, 100), lines=st.booleans())
def test_a_shown_text_is_bounded_and_can_be_written_anywhere(text: str, limit: int, lines: bool) -> None:
    shown = printable(text, limit, lines=lines)

    assert len(shown) <= limit + 3
    shown.encode("utf-8")
    assert not any(character < " " and character not in "\t\n" for character in shown)
    assert lines or "\n" not in shown


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.datetimes(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)) | st.integers(), inner) | st.tuples(inner)
    ),
    max_leaves=40,
)


@given(value=ANYTHING)
def test_a_clean_value_is_json_that_any_database_takes(value: Any) -> None:
    written = json.dumps(clean_json(value), allow_nan=False, ensure_ascii=False)

    assert "\\u0000" not in written
    written.encode("utf-8")  # no half of a surrogate pair
    if "..." not in written:  # else the words about what was left out have made it longer again
        assert clean_json(json.loads(written)) == json.loads(written)


def test_what_is_left_out_is_said_in_its_place() -> None:
    value = {
        "steps": [{"n": n} for n in range(100_000)],
        "text": "x" * 1_000_000,
        "deep": json.loads("[" * 100 + "]" * 100),
        "number": 10**5_000,
        "nan": float("nan"),
        "when": datetime(2026, 11, 22, tzinfo=UTC),
    }

    clean = clean_json(value, most_items=10, longest_text=50, deepest=5)

    assert clean["steps"][:2] == [{"n": 0}, {"n": 1}]
    assert clean["steps"][10:] == ["... (99,990 more items left out)"]
    assert clean["text"] == "x" * 50 + "... (999,950 more characters left out)"
    assert clean["deep"] == [[[["... (left out: nested more than 5 levels)"]]]]
    assert clean["number"] == "... (left out: a number of too many digits)"
    assert clean["nan"] is None
    assert clean["when"] == "2026-11-22 00:00:00+00:00"


@pytest.mark.parametrize(
    "value",
    [
        [["x" * 100] * 100] * 1_000,
        {str(n): {str(m): "y" * 100 for m in range(100)} for n in range(1_000)},
        [[[0] * 900] * 900] * 900,
        ["\0" * 1_000] * 1_000,
    ],
    ids=["lists", "objects", "numbers", "escapes"],
)
def test_a_clean_value_is_bounded_whatever_its_shape(value: Any) -> None:
    assert len(json.dumps(clean_json(value))) < 2_000_000


class Log:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: str, *values: Any) -> None:
        self.lines.append(event % values)

    warning = info


def test_lines_of_a_remote_log_show_what_is_in_them() -> None:
    log = Log()

    tell_log(
        log, ["\x1b[2Jgone\r", "half \ud83d", "a\0b\n", "x" * 10_000_000, " " * 10_000_000, "fake\n[2026] INFO ours"]
    )

    assert log.lines[:3] == ["[remote] \\x1b[2Jgone", "[remote] half \\ud83d", "[remote] a\\x00b"]
    assert log.lines[3] == f"[remote] {'x' * 2_000}..."
    assert log.lines[4].strip() == "[remote]"
    assert log.lines[5] == "[remote] fake\\n[2026] INFO ours"


def test_of_what_holds_other_values_a_refusal_shows_the_type_alone() -> None:
    for value in ({"password": "s3cret-value"}, ["s3cret-value"], ("s3cret-value",), {"s3cret-value"}):
        assert shown(value) == f"a {type(value).__name__}"
