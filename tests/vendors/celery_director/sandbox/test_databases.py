"""What a Celery Director sandbox answers depends on its database, as with the real one."""

from __future__ import annotations

import pytest

START = {"project": "lab", "name": "ETL", "payload": {}}


def test_postgresql_timestamps_have_microseconds_and_the_sessions_offset(director, clock, start):
    director.database = "postgresql"
    clock.advance(0.2457)
    assert start()["created"] == "2026-11-22T12:00:00.245700+00:00"

    director.utc_offset = 9
    assert start()["created"] == "2026-11-22T21:00:00.245700+09:00"


def test_mysql_timestamps_are_local_and_have_no_offset(director, clock, start):
    director.database, director.utc_offset = "mysql", -5
    clock.advance(0.7)

    assert start()["created"] == "2026-11-22T07:00:00"


def test_runs_of_one_second_change_places_between_two_lists_on_mysql(director, ask, clock):
    director.database = "mysql"
    older = director.seed_run(flow="lab.ETL", age=5).id
    tied = {director.seed_run(flow="lab.ETL").id for _ in range(7)}

    lists = [[row["id"] for row in ask("GET", "/api/workflows").json()] for _ in range(10)]

    assert {each[-1] for each in lists} == {older}
    assert {frozenset(each[:-1]) for each in lists} == {frozenset(tied)}
    assert len({tuple(each) for each in lists}) > 1


def test_postgresql_gives_tasks_in_any_order(director, ask, start):
    director.database = "postgresql"
    orders = {
        tuple(task["key"] for task in ask("GET", f"/api/workflows/{start()['id']}").json()["tasks"]) for _ in range(20)
    }

    assert len(orders) > 1


@pytest.mark.parametrize("text", ["a\0b", "half \ud800 of a pair"])
@pytest.mark.parametrize("where", ["payload", "comment"])
def test_a_text_that_postgresql_cannot_keep_is_a_500_there_and_leaves_no_run(director, ask, where, text):
    body = {**START, where: {"text": text} if where == "payload" else text}
    assert ask("POST", "/api/workflows", json=body).status_code == 201

    director.database = "postgresql"
    assert ask("POST", "/api/workflows", json=body).status_code == 500
    assert ask("POST", "/api/workflows", json={**START, "payload": {"text": "\N{TURTLE}\x01"}}).status_code == 201
    assert len(ask("GET", "/api/workflows").json()) == 2
