"""A server that answers anything at any time hurts nobody but its own waits: two minutes of the fuzz."""

from __future__ import annotations

from statistics import median

from tests.faults.fuzz import fuzz

LATER = 1.0
"""Seconds by which the healthy runs' events may come later in the median: other tests run on this machine."""


def test_whatever_a_server_answers_errors_are_typed_and_a_healthy_connection_is_as_quick_as_before() -> None:
    report = fuzz("the test command", seconds=110, before=10)

    figures = "\n".join([*report.wrong[:5], *report.lines()])
    assert report.wrong == [], figures
    assert sum(report.ends.values()) > 100, figures
    assert {f"{kind} {end}" for kind in ("sync", "deferred") for end in ("well", "killed")} <= set(report.ends), figures
    assert report.spoiled > 500, figures
    assert len(report.lags) > 10, figures
    assert median(report.lags) < median(report.lags_before) + LATER, figures
