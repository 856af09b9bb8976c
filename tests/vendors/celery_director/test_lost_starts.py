"""Whose a run is: what Celery Director's list proves about a start call that got no answer."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import VendorUnavailableError
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.hooks.celery_director.proof import is_same_json
from airflow_provider_etlapis.runs.evidence import Evidence
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from tests.vendors.celery_director.kit import ENDED, LONG, MARKER, ZONES, found, given_hook, given_server, intent, spec

__all__ = ["given_hook", "given_server"]

OURS = {"comment": MARKER, "payload": {}}


# The comment


@ZONES
@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mysql"])
def test_a_run_is_found_by_its_comment_whatever_the_servers_zone(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, database: Any, offset: float
) -> None:
    server.database, server.utc_offset = database, offset
    ours = server.seed_run(LONG, request=OURS)
    server.seed_run(LONG, request={"comment": "airflow lab.other 4567", "payload": {}})

    search = hook.find_started(spec(), intent())

    assert search.sighting is Evidence.FOUND
    assert found(search) == [ours.id]


def test_a_run_is_found_by_its_comment_although_the_clocks_are_an_hour_apart(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    ours = server.seed_run(LONG, request=OURS, age=3600)

    assert found(hook.find_started(spec(), intent())) == [ours.id]


def test_a_run_is_found_by_its_comment_behind_users_text_that_has_changed(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    ours = server.seed_run(LONG, request={"comment": f"at 10:00 | {MARKER}", "payload": {}})

    assert found(hook.find_started(spec(comment="at 10:05"), intent())) == [ours.id]


def test_a_run_of_this_task_is_found_although_its_definition_is_another_by_now(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    ours = server.seed_run(LONG, flow="lab.PAIR", request=OURS)

    assert found(hook.find_started(spec("ETL"), intent())) == [ours.id]


def test_a_good_run_comes_before_one_that_ended_badly(server: CeleryDirectorSandbox, hook: CeleryDirectorHook) -> None:
    good = server.seed_run(LONG, age=2, request=OURS)
    server.seed_run(Life(duration=0, outcome="error"), age=1, request=OURS)

    assert found(hook.find_started(spec(), intent()))[0] == good.id


@pytest.mark.parametrize("life", [ENDED, LONG])
def test_our_own_run_comes_before_a_relaunch_of_it_by_a_person(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, life: Life
) -> None:
    ours = server.seed_run(life, age=60, request=OURS)
    server.seed_run(LONG, request=OURS)

    assert found(hook.find_started(spec(), intent()))[0] == ours.id


def test_a_lost_start_is_found_on_the_first_page_without_reading_further(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    for age in range(1100):
        server.seed_run(ENDED, age=60 + age)
    server.inject(Fault("start", "drop_after"))
    with pytest.raises(VendorUnavailableError):
        hook.start_run(spec(), MARKER)

    search = hook.find_started(spec(), intent())

    assert found(search) == server.ledger.starts
    assert server.ledger.count("list") == 1


def test_one_look_is_one_look(server: CeleryDirectorSandbox, hook: CeleryDirectorHook) -> None:
    assert hook.find_started(spec(), intent()).sighting is Evidence.ABSENT
    assert server.ledger.count() == 1


# What is not ours on a server that keeps comments


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"payload": {}}, id="a run without a comment"),
        pytest.param({"payload": {}, "periodic": True}, id="a periodic run"),
        pytest.param({"payload": {}, "comment": "by hand"}, id="a run with another comment"),
    ],
)
@pytest.mark.parametrize("shows_a_comment", [True, False])
def test_a_run_that_somebody_else_started_is_not_ours(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, other: Any, shows_a_comment: bool
) -> None:
    if shows_a_comment:
        server.seed_run(ENDED, flow="lab.PAIR", age=4000, request={"comment": "an old one"})
    server.seed_run(LONG, request=other)

    assert hook.find_started(spec(), intent()).sighting is Evidence.ABSENT
    assert server.ledger.starts == [], "asking whether the server keeps comments starts nothing"


def test_whether_comments_are_kept_is_asked_only_where_it_decides(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    server.seed_run(LONG, flow="lab.PAIR", request={"payload": {}})
    hook.find_started(spec(), intent())
    assert server.ledger.count("start") == 0, "no run of this definition"

    server.seed_run(LONG, request={"payload": {}})
    hook.find_started(spec(), intent())
    assert server.ledger.count("start") == 1


@pytest.mark.parametrize("fault", [{"status": 403}, {"status": 503}, {"kind": "html", "status": 404}])
def test_a_server_that_does_not_say_whether_it_keeps_comments_leaves_it_open(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, fault: Any
) -> None:
    other = server.seed_run(LONG, request={"payload": {}})
    server.inject(Fault("start", **fault))

    search = hook.find_started(spec(), intent())

    assert search.sighting is Evidence.UNSURE
    assert found(search) == [other.id]


# Servers that keep no comments


@pytest.fixture
def old_server(server: CeleryDirectorSandbox) -> CeleryDirectorSandbox:
    """A server before 0.8.0."""
    server.comments = False
    return server


def test_a_run_with_the_same_payload_may_be_ours_where_nothing_tells(
    old_server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    alike = old_server.seed_run(LONG, request={"payload": {"n": 1}})

    search = hook.find_started(spec(payload={"n": 1}), intent())

    assert search.sighting is Evidence.UNSURE
    assert found(search) == [alike.id]


@pytest.mark.parametrize(
    ("flow", "request_"),
    [
        pytest.param("lab.ETL", {"payload": {"n": 2}}, id="another payload"),
        pytest.param("lab.ETL", {"payload": {"n": True}}, id="true is not 1"),
        pytest.param("lab.ETL", {"payload": {"n": 1}, "periodic": True}, id="a periodic run"),
        pytest.param("lab.PAIR", {"payload": {"n": 1}}, id="another definition"),
    ],
)
def test_a_run_that_was_asked_for_something_else_is_not_ours(
    old_server: CeleryDirectorSandbox, hook: CeleryDirectorHook, flow: str, request_: Any
) -> None:
    old_server.seed_run(LONG, flow=flow, request=request_)

    assert hook.find_started(spec(payload={"n": 1}), intent()).sighting is Evidence.ABSENT


def test_what_was_listed_before_the_call_is_not_ours_although_no_clock_says_so(
    old_server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    before = old_server.seed_run(ENDED, age=5, request={"payload": {}})
    old_server.inject(Fault("start", "drop_before", skip=1))  # the first one is refused for its comment
    with pytest.raises(VendorUnavailableError):
        hook.start_run(spec(), MARKER)

    assert hook.find_started(spec(), intent()).sighting is Evidence.ABSENT
    assert hook.find_started(spec(), intent(marker="another start")).sighting is Evidence.UNSURE
    assert before.id not in old_server.ledger.starts


def test_what_came_after_the_call_is_a_candidate_also_if_it_has_ended(
    old_server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    old_server.inject(Fault("start", "drop_after", skip=1))
    with pytest.raises(VendorUnavailableError):
        hook.start_run(spec(), MARKER)
    old_server.clock.advance(60)

    search = hook.find_started(spec(), intent())

    assert search.sighting is Evidence.UNSURE, "who started it is shown nowhere"
    assert found(search) == old_server.ledger.starts


def test_a_good_end_that_may_be_older_than_the_call_is_no_candidate_and_no_absence(
    old_server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    ended = old_server.seed_run(ENDED, age=90, request={"payload": {}})

    search = hook.find_started(spec(), intent())

    assert search.sighting is Evidence.UNSURE
    assert found(search) == []
    assert ended.id in search.looked_for


@pytest.mark.parametrize(("database", "age"), [("postgresql", 120), ("sqlite", 13 * 3600)])
def test_a_run_that_surely_began_before_the_call_is_not_ours(
    old_server: CeleryDirectorSandbox, hook: CeleryDirectorHook, database: Any, age: float
) -> None:
    old_server.database = database
    old_server.seed_run(LONG, age=age, request={"payload": {}})

    assert hook.find_started(spec(), intent()).sighting is Evidence.ABSENT


def test_without_a_written_intent_nothing_counts_as_begun_after_the_call(
    old_server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    ended = old_server.seed_run(ENDED, age=10, request={"payload": {}})
    nothing_listed = {"seen": [], "oldest": None}

    written = hook.find_started(spec(), intent(60, watermark=nothing_listed))
    rebuilt = hook.find_started(spec(), intent(60, watermark=nothing_listed, is_reconstructed=True))

    assert found(written) == [ended.id]
    assert found(rebuilt) == []
    assert rebuilt.sighting is Evidence.UNSURE


# Complete, or said to be incomplete


@ZONES
def test_the_list_is_read_down_to_runs_that_are_surely_older_than_the_call(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, offset: float
) -> None:
    server.database, server.utc_offset = "mysql", offset
    ours = server.seed_run(LONG, age=3600, request=OURS)
    for number in range(2200):
        server.seed_run(ENDED, flow="lab.PAIR", age=number)

    assert found(hook.find_started(spec(), intent(3605))) == [ours.id]


def test_runs_that_lie_too_deep_to_be_read_are_no_absence(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_etlapis.hooks.celery_director.start.MOST_PAGES", 2)
    server.seed_run(LONG, age=4000, request=OURS)
    for number in range(2200):
        server.seed_run(ENDED, flow="lab.PAIR", age=number)

    search = hook.find_started(spec(), intent(4005))

    assert search.sighting is Evidence.UNSURE
    assert "only the newest" in search.looked_for


def test_a_list_whose_pages_repeat_is_no_absence(server: CeleryDirectorSandbox, hook: CeleryDirectorHook) -> None:
    for number in range(1000):
        server.seed_run(ENDED, flow="lab.PAIR", age=number)
    page = server.list_runs
    first = server.runs.newest_first(0, 1000)
    server._newest_first = lambda offset, limit: (first * 3)[:limit]  # type: ignore[method-assign]

    search = hook.find_started(spec(), intent(4005))

    assert page
    assert search.sighting is Evidence.UNSURE
    assert server.ledger.count("list") <= 5


# The comparison of payloads


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": [1, {"c": None}]}, {"b": [1, {"c": None}], "a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 0}, {"a": False}, False),
        ({"a": None}, {}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": [1]}, {"a": [1, 1]}, False),
        ({"a": "1"}, {"a": 1}, False),
        ([], {}, False),
    ],
)
def test_payloads_are_the_same_as_databases_have_it(one: Any, other: Any, same: bool) -> None:
    assert is_same_json(one, other) is same
    assert is_same_json(other, one) is same
