"""Fixtures that are there for every test; what starts processes does so on first use only."""

from __future__ import annotations

import pytest
from hypothesis import settings

from airflow_provider_etlapis.runs import evidence

# These machines are noisy: no property is about time.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _calls_settle_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for a minute until a start call without an answer can no longer take effect."""
    for name, seconds in (("ACTS_AFTER_ANSWER", 0.05), ("ACTS_AFTER_CLOSE", 0.1), ("ACTS_AFTER_TIMEOUT", 0.2)):
        monkeypatch.setattr(evidence, name, seconds)


@pytest.fixture(autouse=True)
def _cancels_are_tried_again_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for minutes until a cancel is given up."""
    monkeypatch.setattr("airflow_provider_etlapis.triggers.cancel_queue.PERSISTENCE", 2.0)
    monkeypatch.setattr("airflow_provider_etlapis.triggers.cancel_queue.PAUSE", 0.1)


@pytest.fixture(autouse=True)
def _idle_connections_close_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no session outlive the event loop of its test."""
    monkeypatch.setattr("airflow_provider_etlapis.triggers.runtime.LINGER", 0.0)


pytest_plugins = ["tests.support.stack", "tests.support.director", "tests.support.airflow_2"]

# Two workers run the tests. What a group shares, such as a real Airflow, is made once; each group has one of its own.
# The first group that a test needs a fixture of is the test's.
GROUPS = {
    "airflow with a real director": {"director", "director_as_published"},
    "airflow": {"airflow_stack", "browser", "chromium"},
}


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one stack in one worker, and those that start a whole demo together."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        found = [group for group, shared in GROUPS.items() if fixtures & shared]
        if found:
            item.add_marker(pytest.mark.xdist_group(found[0]))
        elif item.path.name == "test_demo_command.py":
            item.add_marker(pytest.mark.xdist_group("demo"))
