"""Celery Director's fact sheet, row by row: what is read."""

from __future__ import annotations

import uuid

import pytest
import requests

from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.celery_director.work import DEMO_DEFINITIONS, Definition
from airflow_provider_etlapis.sandbox.lives import Life

UNKNOWN = "29e7ef80-fa1b-4b91-8ccb-ef01a91601db"
GENERIC_404 = (
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling "
    "and try again."
)


# -- shapes -------------------------------------------------------------------------------------------------------


def test_ping_answers_pong(ask):
    assert (ask("GET", "/api/ping").status_code, ask("GET", "/api/ping").json()) == (200, {"message": "pong"})


def test_a_start_answers_201_with_the_pending_run(ask):
    answer = ask("POST", "/api/workflows", json={"project": "lab", "name": "ETL", "payload": {"foo": "bar"}})
    row = answer.json()

    assert answer.status_code == 201
    assert uuid.UUID(row.pop("id")).version == 4
    assert row == {
        "created": "2026-11-22T12:00:00",
        "fullname": "lab.ETL",
        "name": "ETL",
        "payload": {"foo": "bar"},
        "periodic": False,
        "project": "lab",
        "status": "pending",
        "updated": "2026-11-22T12:00:00",
    }


def test_a_run_shows_its_tasks_chained_by_previous(director, ask, start):
    director.plan(Life(queued=5))
    run_id = start()["id"]
    detail = ask("GET", f"/api/workflows/{run_id}").json()
    ids = [task["id"] for task in detail["tasks"]]

    assert detail["id"] == run_id
    assert detail["tasks"] == [
        {
            "created": "2026-11-22T12:00:00",
            "id": ids[index],
            "key": key,
            "previous": ids[index - 1 : index] if index else [],
            "status": "pending",
            "task": ids[index],
            "updated": "2026-11-22T12:00:00",
            "result": None,
            "is_hook": False,
        }
        for index, key in enumerate(["EXTRACT", "TRANSFORM", "LOAD"])
    ]


def test_task_ids_stay_the_same(ask, start):
    path = f"/api/workflows/{start()['id']}"

    assert ask("GET", path).json() == ask("GET", path).json()


def test_a_group_shares_its_previous_and_is_all_of_the_next_ones(ask, start):
    tasks = ask("GET", f"/api/workflows/{start('PAIR')['id']}").json()["tasks"]
    extract, first, second, load = tasks

    assert [task["key"] for task in tasks] == ["EXTRACT", "A", "B", "LOAD"]
    assert first["previous"] == second["previous"] == [extract["id"]]
    assert load["previous"] == [first["id"], second["id"]]


@pytest.mark.parametrize("comment", ["dag/run/1", ""])
def test_a_comment_is_kept(ask, start, comment):
    run_id = start(comment=comment)["id"]

    assert ask("GET", f"/api/workflows/{run_id}").json()["comment"] == comment
    assert ask("GET", "/api/workflows").json()[0]["comment"] == comment


def test_definitions_come_sorted_with_whatever_the_entry_holds(director, ask):
    director.define(Definition("a.FIRST", ["X"], more={"periodic": {"interval": 3600, "payload": {"dry_run": False}}}))
    shown = ask("GET", "/api/definitions").json()

    assert shown[0] == {
        "fullname": "a.FIRST",
        "project": "a",
        "name": "FIRST",
        "tasks": ["X"],
        "periodic": {"interval": 3600, "payload": {"dry_run": False}},
    }
    by_name = {entry["fullname"]: entry for entry in shown}
    assert list(by_name) == sorted(by_name)
    assert by_name["lab.PAIR"]["tasks"][1] == {"PAIR": {"type": "group", "tasks": ["A", "B"]}}
    assert by_name["lab.PAIR"]["queue"] == "fast"
    assert by_name["lab.TYPED"]["schema"]["required"] == ["n"]
    assert by_name["lab.HOOKED"]["hooks"] == {"success": "CHEER", "failure": "ALARM"}


def test_a_periodic_run_says_so_and_its_relaunch_does_not(director, ask):
    run = director.seed_run(flow="lab.ETL", request={"periodic": True})

    assert ask("GET", f"/api/workflows/{run.id}").json()["periodic"] is True
    assert ask("POST", f"/api/workflows/{run.id}/relaunch").json()["periodic"] is False


# -- every answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/api/workflows", 405),
        ("PUT", "/api/workflows", 405),
        ("PATCH", f"/api/workflows/{UNKNOWN}", 405),
        ("DELETE", f"/api/workflows/{UNKNOWN}", 405),
        ("GET", f"/api/workflows/{UNKNOWN}/cancel", 405),
        ("POST", "/api/ping", 405),
        ("GET", "/api/workflows/", 404),
        ("GET", "/api/ping/", 404),
        ("GET", f"/api/workflows/{UNKNOWN}/", 404),
        ("GET", "/api/tasks", 404),
        ("GET", "/api/users", 404),
        ("GET", "/api/results", 404),
        ("GET", "/api", 404),
    ],
)
def test_nothing_else_exists(ask, method, path, status):
    answer = ask(method, path)

    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")
    assert set(answer.json()) == {"error"}


def test_every_answer_closes_the_connection(ask):
    assert ask("GET", "/api/ping").headers["Connection"] == "close"
    assert ask("GET", "/api/nope").headers["Connection"] == "close"


@pytest.mark.parametrize("path", ["/", f"/{UNKNOWN}"])
def test_web_pages_need_no_login_and_no_known_run(director, ask, path):
    director.auth = ("airflow", "secret")
    answer = ask("GET", path)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_there_is_no_page_for_what_is_no_uuid(ask):
    answer = ask("GET", "/favicon.ico")

    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


# -- list ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def five(director):
    """Ids of five runs, newest first."""
    return [director.seed_run(flow="lab.ETL", age=age).id for age in range(5)]


@pytest.mark.parametrize(
    ("query", "picked"),
    [
        ("", slice(0, 5)),
        ("per_page=2", slice(0, 2)),
        ("per_page=2&page=2", slice(2, 4)),
        ("per_page=2&page=3", slice(4, 5)),
        ("per_page=20000", slice(0, 5)),
        ("per_page=0", slice(0, 0)),
        ("per_page=two", slice(0, 5)),
        ("per_page=1.5", slice(0, 5)),
        ("page=one&per_page=1", slice(0, 1)),
        ("status=error&name=X&id=1&limit=1", slice(0, 5)),
    ],
)
def test_a_list_is_a_page_of_runs_newest_first(ask, five, query, picked):
    answer = ask("GET", f"/api/workflows?{query}")

    assert (answer.status_code, [row["id"] for row in answer.json()]) == (200, five[picked])


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=2", "per_page=5&page=2", "per_page=-1", "per_page=0&page=2"]
)
def test_a_page_that_is_not_there_is_a_404_with_the_generic_text(ask, five, query):
    answer = ask("GET", f"/api/workflows?{query}")

    assert (answer.status_code, answer.json()) == (404, {"error": GENERIC_404})


def test_a_number_too_large_for_the_database_is_a_500(ask, five):
    assert ask("GET", f"/api/workflows?per_page={'9' * 20}").status_code == 500


def test_page_one_of_an_empty_table_is_an_empty_list(ask):
    assert ask("GET", "/api/workflows").json() == []
    assert ask("GET", "/api/workflows?page=2").status_code == 404


def test_the_servers_own_page_size_holds_by_default(director, ask, five):
    director.per_page = 3

    assert [row["id"] for row in ask("GET", "/api/workflows").json()] == five[:3]


def test_runs_of_one_second_come_newest_first(ask, start):
    ids = [start()["id"] for _ in range(3)]

    assert [row["id"] for row in ask("GET", "/api/workflows").json()] == ids[::-1]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *[(word, False) for word in ("false", "False", "0", "no", "off", "n", "f", "NO")],
        *[(word, True) for word in ("true", "1", "yes", "on", "banana", "")],
    ],
)
def test_with_payload_false_leaves_the_payload_out(ask, five, value, shown):
    rows = ask("GET", f"/api/workflows?with_payload={value}").json()

    assert all(("payload" in row) is shown for row in rows)


def test_a_list_follows_its_runs(director, ask, clock, start):
    director.plan(Life(duration=4, queued=1))
    start()

    def shown() -> tuple[str, str]:
        row = ask("GET", "/api/workflows").json()[0]
        return row["status"], row["updated"]

    assert shown() == ("pending", "2026-11-22T12:00:00")
    clock.advance(2)
    assert shown() == ("progress", "2026-11-22T12:00:01")
    clock.advance(60)
    assert shown() == ("success", "2026-11-22T12:00:05")


def test_a_list_over_a_thousand_runs_is_cheap(director, ask):
    for _ in range(1000):
        director.seed_run(flow="lab.ETL", age=100)
    seconds = min(ask("GET", "/api/workflows?with_payload=false").elapsed.total_seconds() for _ in range(5))

    assert len(ask("GET", "/api/workflows").json()) == 1000
    assert seconds < 0.1  # some ms on an idle machine


# -- one run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["", "/relaunch", "/cancel"])
def test_an_unknown_run_is_a_404_that_names_it(ask, tail):
    answer = ask("POST" if tail else "GET", f"/api/workflows/{UNKNOWN}{tail}")

    assert (answer.status_code, answer.json()) == (404, {"error": f"Workflow {UNKNOWN} not found"})


@pytest.mark.parametrize("tail", ["", "/relaunch", "/cancel"])
def test_a_malformed_id_is_a_500(ask, tail):
    assert ask("POST" if tail else "GET", f"/api/workflows/not-a-uuid{tail}").status_code == 500


@pytest.mark.parametrize("spell", [str.upper, lambda text: text.replace("-", ""), lambda text: "{" + text + "}"])
def test_other_spellings_of_an_id_are_accepted(ask, start, spell):
    run_id = start()["id"]

    assert ask("GET", f"/api/workflows/{spell(run_id)}").json()["id"] == run_id


def test_results_are_null_until_a_task_returned(director, ask, clock, start):
    director.plan(Life(duration=3))
    path = f"/api/workflows/{start()['id']}"
    assert [task["result"] for task in ask("GET", path).json()["tasks"]] == [None, None, None]

    clock.advance(3)
    tasks = ask("GET", path).json()["tasks"]
    assert [(task["status"], task["result"]) for task in tasks] == [("success", {"n": 1})] + [("success", None)] * 2


def test_the_run_is_a_success_half_a_second_after_its_last_task(director, ask, clock, start):
    director.plan(Life(duration=6))
    path = f"/api/workflows/{start()['id']}"
    clock.advance(5.6)
    detail = ask("GET", path).json()

    assert detail["status"] == "progress"
    assert {task["status"] for task in detail["tasks"]} == {"success"}


def test_a_failed_task_tells_its_exception_and_later_tasks_stay_pending(director, ask, clock, start):
    director.plan(Life(duration=2, outcome="error", failing_step="TRANSFORM", error_text="boom"))
    path = f"/api/workflows/{start()['id']}"
    clock.advance(1_000_000)
    detail = ask("GET", path).json()
    failed = detail["tasks"][1]

    assert detail["status"] == "error"
    assert detail["updated"] == "2026-11-22T12:00:02"
    assert [task["status"] for task in detail["tasks"]] == ["success", "error", "pending"]
    assert failed["result"]["exception"] == "boom"
    assert failed["result"]["traceback"].startswith("Traceback (most recent call last):\n")
    assert failed["result"]["traceback"].endswith("ValueError: boom\n")


def test_a_result_that_is_no_json_spoils_the_detail_and_not_the_list(director, ask, clock, start):
    run_id = start("BYTES")["id"]
    assert ask("GET", f"/api/workflows/{run_id}").status_code == 200

    clock.advance(10)
    assert ask("GET", f"/api/workflows/{run_id}").status_code == 500
    assert ask("GET", "/api/workflows").json()[0]["status"] == "success"


def test_not_a_number_is_written_bare(director, ask, clock, start):
    director.define(Definition("lab.NAN", ["X"], results={"X": float("nan")}))
    run_id = start("NAN")["id"]
    clock.advance(10)

    assert '"result": NaN' in ask("GET", f"/api/workflows/{run_id}").text


# -- hooks --------------------------------------------------------------------------------------------------------


def test_the_success_hook_is_there_from_the_start_and_runs_after_the_end(director, ask, clock, start):
    director.plan(Life(duration=2))
    path = f"/api/workflows/{start('HOOKED')['id']}"

    def hook() -> tuple[str, str, bool, list[str]]:
        entry = ask("GET", path).json()["tasks"][-1]
        return entry["key"], entry["status"], entry["is_hook"], entry["previous"]

    assert hook() == ("CHEER", "pending", True, [])
    clock.advance(2.1)
    assert ask("GET", path).json()["status"] == "success"
    assert hook() == ("CHEER", "progress", True, [])
    clock.advance(1)
    assert hook() == ("CHEER", "success", True, [])


def test_a_success_hook_that_raises_turns_the_run_into_an_error(director, ask, clock, start):
    director.plan(Life(duration=2, afterwards=((1, "error"),)))
    path = f"/api/workflows/{start('HOOKED')['id']}"
    clock.advance(2.5)
    assert ask("GET", path).json()["status"] == "success"

    clock.advance(1)
    detail = ask("GET", path).json()
    assert detail["status"] == "error"
    assert [task["key"] for task in detail["tasks"] if task["status"] == "error"] == ["CHEER"]


def test_a_failure_hook_appears_once_launched_and_tidies_up(director, ask, clock, start):
    director.plan(Life(duration=2, outcome="error", failing_step="EXTRACT"))
    path = f"/api/workflows/{start('HOOKED')['id']}"
    assert "ALARM" not in [task["key"] for task in ask("GET", path).json()["tasks"]]

    clock.advance(3)
    statuses = {task["key"]: task["status"] for task in ask("GET", path).json()["tasks"]}
    assert statuses == {"EXTRACT": "error", "LOAD": "canceled", "CHEER": "pending", "ALARM": "success"}


# -- what it ships with -------------------------------------------------------------------------------------------


def test_the_demo_definitions_come_to_their_ends(clock):
    with CeleryDirectorSandbox(clock=clock) as sandbox:
        for definition in DEMO_DEFINITIONS:
            project, _, name = definition.fullname.partition(".")
            body = {"project": project, "name": name, "payload": {}}
            assert requests.post(f"{sandbox.base_url}/api/workflows", json=body, timeout=5).status_code == 201
        clock.advance(3600)
        rows = requests.get(f"{sandbox.base_url}/api/workflows", timeout=5).json()

    assert {row["fullname"]: row["status"] for row in rows} == {
        "demo.ETL": "success",
        "demo.FAILS": "error",
        "demo.SLOW": "success",
    }


def test_a_definition_may_take_its_life_from_the_payload(director, clock, start):
    director.define(Definition("lab.LONG", ["X"], life=lambda payload: Life(duration=payload["seconds"])))
    run_id = start("LONG", payload={"seconds": 500})["id"]

    assert director.runs[run_id].life.duration == 500


def test_a_definition_has_a_project():
    with pytest.raises(ValueError, match=r"project\.name"):
        Definition("ETL", ["X"])


def test_a_warning_is_no_ending_of_this_vendor(director):
    with pytest.raises(ValueError, match="warning"):
        director.seed_run(Life(outcome="warning"), flow="lab.ETL")
    with pytest.raises(ValueError, match=r"no definition 'lab\.NOPE'"):
        director.seed_run(flow="lab.NOPE")
