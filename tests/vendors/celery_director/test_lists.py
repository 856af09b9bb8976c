"""Celery Director's list: no run is left out or told twice, and it is read only where that is cheaper than by id."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_etlapis.exceptions import NotFoundError, UnrecognizedAnswerError, VendorUnavailableError
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.hooks.celery_director.lists import ListReading, ListWorth
from airflow_provider_etlapis.runs.model import RunRef, RunState
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from tests.vendors.celery_director.kit import ENDED, LONG, given_hook, given_server

__all__ = ["given_hook", "given_server"]

UNKNOWN = "00000000-0000-4000-8000-000000000000"


# Pages


def row(number: int, second: int) -> Any:
    return {"id": f"run-{number}", "created": f"second-{second:09d}"}


@given(
    seconds=st.lists(st.integers(0, 6), max_size=60),
    per_page=st.integers(1, 16),
    new=st.lists(st.integers(0, 3), max_size=40),
    seed=st.integers(0, 1000),
)
def test_each_run_comes_once_although_pages_tie_and_new_runs_push_the_others_down(
    seconds: list[int], per_page: int, new: list[int], seed: int
) -> None:
    chance = random.Random(seed)
    table = [row(number, second) for number, second in enumerate(seconds)]
    there_at_first = {each["id"] for each in table}
    reading, told, pages = ListReading(per_page), list[str](), 0
    while reading.page is not None:
        chance.shuffle(table)  # the order of one second is another at each request
        table.sort(key=lambda each: each["created"], reverse=True)
        page = table[reading.page.offset : reading.page.offset + reading.page.per_page]
        told += [each["id"] for each in reading.take(page)]
        pages += 1
        # Fewer than a quarter of a page come between two pages; of a thousand rows, a few in fact.
        for _ in range(min(new.pop() if new else 0, max(0, per_page // 4 - 1))):
            table.append(row(len(table), 9))
        assert pages < 500

    assert len(told) == len(set(told))
    assert there_at_first <= set(told)
    assert reading.is_whole


def test_pages_without_ties_overlap_by_one_run() -> None:
    table = [row(number, 10_000 - number) for number in range(5000)]
    reading, asked = ListReading(1000), 0
    while reading.page is not None:
        asked += reading.page.per_page
        reading.take(table[reading.page.offset : reading.page.offset + reading.page.per_page])

    assert asked <= 6000, "the last page is not full, and tells the end"


def test_pages_that_repeat_end_the_reading() -> None:
    table = [row(number, 10_000 - number) for number in range(5000)]
    reading, pages = ListReading(1000), 0
    while reading.page is not None:
        reading.take(table[: reading.page.per_page])
        pages += 1

    assert pages <= 4
    assert not reading.is_whole


@pytest.mark.parametrize("per_page", [1, 2, 3, 100])
def test_all_runs_of_one_second_are_listed_once_each(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, per_page: int
) -> None:
    server.database = "mysql"
    runs = [server.seed_run(ENDED, age=int(number > 2) * 5).id for number in range(9)]

    listed = [each["id"] for each in hook.iter_workflows(per_page=per_page)]

    assert sorted(listed) == sorted(runs)


async def test_pages_overlap_in_both_colours(server: CeleryDirectorSandbox, hook: CeleryDirectorHook) -> None:
    server.database = "mysql"
    runs = [server.seed_run(ENDED).id for _ in range(7)]

    here = [each["id"] for each in hook.iter_workflows(per_page=2)]
    on_the_loop = [each["id"] async for each in hook.iter_workflows.aio(per_page=2)]
    await hook.aclose()

    assert sorted(here) == sorted(on_the_loop) == sorted(runs)


# The end of the list


def test_a_page_past_the_end_is_empty(server: CeleryDirectorSandbox, hook: CeleryDirectorHook) -> None:
    server.seed_run(ENDED)

    assert hook.list_workflows(page=7) == []


def test_a_wrong_address_is_not_the_end_of_the_list(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers a page past the end, and a path that it does not know, in the same words."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT",
        f'{{"conn_type": "celery_director", "host": "{server.base_url}/api/wrong"}}',
    )

    with pytest.raises(NotFoundError, match="base URL"):
        hook.list_workflows(page=2)
    with pytest.raises(NotFoundError, match="base URL"):
        list(hook.iter_workflows())


@pytest.mark.parametrize(
    "body",
    ["default backend - 404", "<html>not here</html>", '{"message": "no Route matched with those values"}'],
)
@pytest.mark.parametrize("page", [1, 2])
def test_a_404_that_is_not_the_servers_own_is_no_end_of_the_list(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, body: str, page: int
) -> None:
    server.inject(Fault("list", status=404, body=body))

    with pytest.raises(UnrecognizedAnswerError):
        hook.list_workflows(page=page)


@pytest.mark.parametrize(
    ("status", "body", "own"),
    [
        (404, '{"error": "Workflow x not found"}', True),
        (400, '{"error": "Payload is not valid", "errors": ["1 is not of type"]}', True),
        (401, '{"status": 401, "error": "unauthorized", "message": "Please authenticate to access this API."}', True),
        (404, '{"timestamp": 1, "status": 404, "error": "Not Found", "path": "/api/workflows"}', False),
        (403, '{"status": 403, "error": "forbidden", "message": "blocked"}', False),
        (404, '{"message": "no Route matched"}', False),
        (404, '{"error": {"code": 404}}', False),
        (404, '{"error": ""}', False),
        (404, '["error"]', False),
        (404, "<html>", False),
        (404, "", False),
    ],
)
def test_an_error_is_the_servers_own_by_its_shape(status: int, body: str, own: bool) -> None:
    from airflow_provider_etlapis.wire.call import Response

    assert CeleryDirectorHook.is_own_error(Response(status, {}, body.encode())) is own


def test_an_answer_about_another_run_says_nothing_about_this_one(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    run, other = server.seed_run(LONG), server.seed_run(ENDED, age=10)
    server.inject(Fault("get", status=200, body=json.dumps(hook.get_workflow(other.id))))

    with pytest.raises(VendorUnavailableError, match="another run"):
        hook.read_run(hook.ref(run.id))


# A run that the server cannot show by id


@pytest.mark.parametrize("newer", [0, 250, 2300])
def test_a_run_that_cannot_be_read_is_found_on_the_list_as_deep_as_it_lies(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, newer: int
) -> None:
    run = server.seed_run(ENDED, flow="lab.BYTES", age=4000)
    for number in range(newer):
        server.seed_run(ENDED, age=number)

    read = hook.read_run(RunRef("celery_director", {"workflow_id": run.id}, run.started_at))

    assert read.state is RunState.SUCCEEDED


def test_a_run_that_cannot_be_read_is_looked_for_where_it_lay_before(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    run = server.seed_run(Life(duration=7200), flow="lab.BYTES", age=4000)
    ref = hook.ref(run.id)
    server.inject(Fault("get", status=500, times=None))
    for number in range(2300):
        server.seed_run(ENDED, age=number)
    hook.read_run(ref)
    first = server.ledger.count("list")
    server.seed_run(ENDED)

    assert hook.read_run(ref).state is RunState.RUNNING
    assert (first, server.ledger.count("list") - first) == (3, 1)


def test_the_fault_of_a_run_that_cannot_be_read_is_not_waited_out_at_each_look(
    server: CeleryDirectorSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = server.connection(extra={"retries": 2})
    monkeypatch.setenv("AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT", json.dumps(connection))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    run = server.seed_run(ENDED, flow="lab.BYTES", age=100)
    asked = []
    with CeleryDirectorHook() as hook:
        for _ in range(3):
            before = server.ledger.count("get")
            hook.read_run(hook.ref(run.id))
            asked.append(server.ledger.count("get") - before)

    assert asked == [3, 1, 1]


# Many runs: the list, or each by id


def deep(server: CeleryDirectorSandbox, waits: int, newer: int) -> list[RunRef]:
    runs = [server.seed_run(LONG, age=20_000 + number) for number in range(waits)]
    for number in range(newer):
        server.seed_run(ENDED, age=number)
    return [RunRef("celery_director", {"workflow_id": run.id}, run.started_at) for run in runs]


@pytest.mark.parametrize("waits", [1, 4])
def test_runs_far_below_others_are_read_by_id_once_that_is_known_to_be_cheaper(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook, waits: int
) -> None:
    refs = deep(server, waits, newer=5000)
    looks = []
    for _ in range(4):
        before = len(server.ledger.requests)
        assert set(hook.read_runs(refs)) in ({ref.run_id for ref in refs}, set())
        looks.append([record.operation for record in server.ledger.requests[before:]])

    assert looks[0].count("list") <= 5
    assert looks[1:] == [["get"] * waits] * 3


def test_many_runs_are_read_with_few_requests(server: CeleryDirectorSandbox, hook: CeleryDirectorHook) -> None:
    refs = [hook.ref(server.seed_run(LONG, age=n).id) for n in range(60)]

    assert set(hook.read_runs(refs)) == {ref.run_id for ref in refs}
    assert server.ledger.count() == 1


def test_many_runs_are_looked_for_as_far_down_as_they_lie(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    refs = deep(server, 20, newer=600)

    assert len(hook.read_runs(refs)) == 20
    first = server.ledger.count("list")
    assert len(hook.read_runs(refs)) == 20
    assert server.ledger.count("list") - first == 1, "by then it is known how deep they lie"
    assert server.ledger.count("get") == 0


def test_more_than_a_few_runs_that_are_cheaper_by_id_are_left_to_reads_of_their_own(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    refs = deep(server, 30, newer=5000)
    hook.read_runs(refs)
    before = server.ledger.count()

    assert hook.read_runs(refs) == {}
    assert server.ledger.count() == before


def test_a_run_that_no_page_shows_is_missing_not_finished(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    run = server.seed_run(LONG)
    refs = [hook.ref(UNKNOWN), hook.ref(run.id), hook.ref(server.seed_run(LONG).id)]

    assert UNKNOWN not in hook.read_runs(refs)
    assert hook.read_runs([hook.ref(UNKNOWN)]) == {}


def test_a_run_read_by_id_is_shown_as_the_list_shows_it(
    server: CeleryDirectorSandbox, hook: CeleryDirectorHook
) -> None:
    ref = hook.ref(server.seed_run(LONG).id)

    (shown,) = hook.read_runs([ref]).values()

    assert shown.steps == ()
    assert hook.read_run(ref).steps


def test_one_run_that_fails_to_be_read_hides_no_other(server: CeleryDirectorSandbox, hook: CeleryDirectorHook) -> None:
    refs = deep(server, 2, newer=5000)
    hook.read_runs(refs)
    server.inject(Fault("get", status=502))

    assert set(hook.read_runs(refs)) == {refs[1].run_id}


def test_runs_with_long_answers_are_read_by_the_list() -> None:
    worth = ListWorth()
    assert not worth.choose(["run"]).run_ids
    worth.note_run("run", 2_000_000)

    assert worth.choose(["run"]).run_ids == {"run"}


def test_runs_that_an_answer_left_out_are_looked_for_on_the_list_again_after_a_while() -> None:
    worth, wanted = ListWorth(), [f"other-{number}" for number in range(5)]
    reading = ListReading(1000)
    reading.take([row(number, 5000 - number) for number in range(1000)])
    worth.note_list(worth.choose(wanted).run_ids, reading)
    assert not worth.choose(wanted).run_ids

    assert any(worth.choose(wanted).run_ids for _ in range(60))


@pytest.mark.parametrize("colour", ["sync", "aio"])
async def test_both_colours_choose_alike(server: CeleryDirectorSandbox, hook: CeleryDirectorHook, colour: str) -> None:
    refs = [hook.ref(server.seed_run(LONG).id) for _ in range(2)]

    found = hook.read_runs(refs) if colour == "sync" else await hook.read_runs.aio(refs)
    await hook.aclose()

    assert set(found) == {ref.run_id for ref in refs}
    assert [record.operation for record in server.ledger.requests] == ["list"]
