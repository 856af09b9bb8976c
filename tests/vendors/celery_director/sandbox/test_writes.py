"""Celery Director's fact sheet, row by row: what starts, cancels and lets in."""

from __future__ import annotations

import base64
import json

import pytest
import requests

from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.lives import Life

UNKNOWN = "29e7ef80-fa1b-4b91-8ccb-ef01a91601db"
START = {"project": "lab", "name": "ETL", "payload": {}}


# -- start --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, ["'project' is a required property", "'name' is a required property", "'payload' is a required property"]),
        ({"project": "lab", "payload": {}}, ["'name' is a required property"]),
        ({**START, "name": 7}, ["7 is not of type 'string'"]),
        ({**START, "payload": None}, ["None is not of type 'object'"]),
        ({**START, "payload": [1]}, ["[1] is not of type 'object'"]),
        ({**START, "comment": None}, ["None is not of type 'string'"]),
        ({**START, "color": "red"}, ["Additional properties are not allowed ('color' was unexpected)"]),
    ],
)
def test_a_wrong_envelope_is_a_400_that_lists_every_fault(director, ask, body, errors):
    answer = ask("POST", "/api/workflows", json=body)

    assert answer.status_code == 400
    assert answer.json() == {"error": "Error validating against schema", "errors": errors}
    assert director.ledger.starts == []


def test_a_payload_against_the_definitions_schema_is_a_400_that_lists_every_fault(ask):
    answer = ask("POST", "/api/workflows", json={**START, "name": "TYPED", "payload": {"n": "john", "name": 1}})

    assert answer.status_code == 400
    assert answer.json() == {
        "error": "Payload is not valid",
        "errors": ["'john' is not of type 'integer'", "1 is not of type 'string'"],
    }


@pytest.mark.parametrize("where", [{"name": "NOPE"}, {"project": "nope"}])
def test_no_such_definition_is_a_404_that_names_it(ask, where):
    body = {**START, **where}
    answer = ask("POST", "/api/workflows", json=body)

    assert (answer.status_code, answer.json()) == (
        404,
        {"error": f"Workflow {body['project']}.{body['name']} not found"},
    )


@pytest.mark.parametrize("data", [b"", b"{not json", b"\xff\xfe"])
def test_a_body_that_is_no_json_is_a_400_without_errors(ask, data):
    answer = ask("POST", "/api/workflows", data=data, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert answer.json() == {"error": "The browser (or proxy) sent a request that this server could not understand."}


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_another_content_type_is_a_415(ask, kind):
    answer = ask("POST", "/api/workflows", data=b"{}", headers={"Content-Type": kind} if kind else {})

    assert answer.status_code == 415
    assert answer.json()["error"].startswith("Did not attempt to load JSON data because")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/vnd.team+json"])
def test_every_kind_of_json_is_fine(ask, kind):
    data = b'{"project": "lab", "name": "ETL", "payload": {}}'

    assert ask("POST", "/api/workflows", data=data, headers={"Content-Type": kind}).status_code == 201


@pytest.mark.parametrize("body", [[], "text", None, 7])
def test_json_that_is_no_object_is_a_500(ask, body):
    answer = ask("POST", "/api/workflows", data=json.dumps(body), headers={"Content-Type": "application/json"})

    assert answer.status_code == 500


def test_a_long_comment_is_accepted_by_sqlite_and_a_500_on_postgresql(director, ask):
    body = {**START, "comment": "x" * 256}
    assert ask("POST", "/api/workflows", json=body).status_code == 201

    director.database = "postgresql"
    assert ask("POST", "/api/workflows", json=body).status_code == 500
    assert ask("POST", "/api/workflows", json={**START, "comment": "x" * 255}).status_code == 201


def test_five_megabytes_of_payload_are_accepted(ask):
    answer = ask("POST", "/api/workflows", json={**START, "payload": {"blob": "x" * 5_000_000}})

    assert answer.status_code == 201
    assert len(answer.json()["payload"]["blob"]) == 5_000_000


def test_an_old_server_refuses_a_comment_and_starts_without(director, ask):
    director.comments = False
    answer = ask("POST", "/api/workflows", json={**START, "comment": "x"})

    assert answer.status_code == 400
    assert answer.json()["errors"] == ["Additional properties are not allowed ('comment' was unexpected)"]
    assert ask("POST", "/api/workflows", json=START).status_code == 201


def test_a_task_that_no_file_defines_is_a_500_and_leaves_a_pending_run(ask, clock):
    assert ask("POST", "/api/workflows", json={**START, "name": "LOST"}).status_code == 500

    clock.advance(1_000_000)
    (row,) = ask("GET", "/api/workflows").json()
    tasks = ask("GET", f"/api/workflows/{row['id']}").json()["tasks"]
    assert row["status"] == "pending"
    assert [task["key"] for task in tasks] == ["EXTRACT"], "the making of its tasks ended at the unknown one"


def test_a_start_that_names_no_definition_tells_whether_comments_are_kept(director, ask):
    body = {"project": "", "name": "", "payload": {}, "comment": "?"}
    kept = ask("POST", "/api/workflows", json=body)
    assert (kept.status_code, kept.json()) == (404, {"error": "Workflow . not found"})

    director.comments = False
    assert ask("POST", "/api/workflows", json=body).status_code == 400


def test_a_group_without_chords_is_a_500_and_leaves_a_run_in_error(director, ask):
    director.chords = False
    assert ask("POST", "/api/workflows", json={**START, "name": "PAIR"}).status_code == 500

    (row,) = ask("GET", "/api/workflows").json()
    tasks = ask("GET", f"/api/workflows/{row['id']}").json()["tasks"]
    assert (row["status"], {task["status"] for task in tasks}) == ("error", {"pending"})


def test_a_broker_that_refuses_is_a_500_after_a_while_and_leaves_a_run_in_error(director, ask, clock):
    director.broker, director.broker_seconds = "refuses", 0.1
    answer = ask("POST", "/api/workflows", json=START)

    assert (answer.status_code, answer.elapsed.total_seconds() >= 0.1) == (500, True)
    clock.advance(1)
    (row,) = ask("GET", "/api/workflows").json()
    tasks = ask("GET", f"/api/workflows/{row['id']}").json()["tasks"]
    assert row["status"] == "error"
    assert {(task["status"], task["result"]) for task in tasks} == {("pending", None)}


def test_a_broker_that_never_answers_closes_the_connection_and_leaves_a_pending_run(director, ask):
    director.broker, director.broker_seconds = "silent", 0.1
    with pytest.raises(requests.ConnectionError):
        ask("POST", "/api/workflows", json=START)

    assert [row["status"] for row in ask("GET", "/api/workflows").json()] == ["pending"]


# -- relaunch -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 100])
def test_a_relaunch_is_a_new_run_with_the_same_payload_and_comment(director, ask, clock, start, seconds):
    director.plan(Life(duration=50))
    old = start(payload={"n": 1}, comment="mine")
    clock.advance(seconds)
    before = ask("GET", f"/api/workflows/{old['id']}").json()
    answer = ask("POST", f"/api/workflows/{old['id']}/relaunch", data=b"ignored")
    new = answer.json()

    assert answer.status_code == 201
    assert new["id"] != old["id"]
    assert (new["payload"], new["comment"], new["status"]) == ({"n": 1}, "mine", "pending")
    assert ask("GET", f"/api/workflows/{old['id']}").json() == before
    assert director.ledger.starts == [old["id"], new["id"]]


def test_a_run_whose_definition_is_gone_is_read_not_relaunched_and_not_canceled(director, ask, start):
    run_id = start()["id"]
    director.undefine("lab.ETL")

    assert ask("GET", f"/api/workflows/{run_id}").status_code == 200
    relaunch = ask("POST", f"/api/workflows/{run_id}/relaunch")
    assert (relaunch.status_code, relaunch.json()) == (404, {"error": "Workflow lab.ETL not found"})
    assert ask("POST", f"/api/workflows/{run_id}/cancel").status_code == 500
    assert director.ledger.cancels == []


# -- cancel -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("life", "before"),
    [
        (Life(queued=100), "pending"),
        (Life(duration=100), "progress"),
        (Life(duration=1), "success"),
        (Life(duration=1, outcome="error"), "error"),
    ],
)
def test_a_cancel_is_a_201_in_every_state_and_rewrites_it(director, ask, clock, start, life, before):
    director.plan(life)
    path = f"/api/workflows/{start()['id']}"
    clock.advance(10)
    assert ask("GET", path).json()["status"] == before

    answer = ask("POST", f"{path}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (201, "canceled")
    clock.advance(1000)
    assert ask("GET", path).json()["status"] == "canceled"
    again = ask("POST", f"{path}/cancel")
    assert (again.status_code, again.json()["updated"]) == (201, answer.json()["updated"])


def test_a_cancel_marks_pending_and_running_tasks(director, ask, clock, start):
    director.plan(Life(duration=30))
    path = f"/api/workflows/{start()['id']}"
    clock.advance(15)
    ask("POST", f"{path}/cancel")

    assert [t["status"] for t in ask("GET", path).json()["tasks"]] == ["success", "canceled", "canceled"]


def test_on_0_10_0_a_canceled_run_works_on_and_says_success_later(director, ask, clock, start):
    director.cancel_stops_work = False
    director.plan(Life(duration=30))
    path = f"/api/workflows/{start()['id']}"
    clock.advance(15)
    assert ask("POST", f"{path}/cancel").json()["status"] == "canceled"

    clock.advance(10)
    assert ask("GET", path).json()["status"] == "canceled"
    clock.advance(10)
    detail = ask("GET", path).json()
    assert detail["status"] == "success"
    assert {task["status"] for task in detail["tasks"]} == {"success"}


def test_on_0_10_0_a_run_canceled_in_the_queue_is_in_progress_again(director, ask, clock, start):
    director.cancel_stops_work = False
    director.plan(Life(duration=30, queued=10))
    path = f"/api/workflows/{start()['id']}"
    assert ask("POST", f"{path}/cancel").json()["status"] == "canceled"

    clock.advance(11)
    assert ask("GET", path).json()["status"] == "progress"


def test_a_cancel_without_a_broker_is_a_500_and_changes_nothing(director, ask, start):
    director.plan(Life(duration=30))
    path = f"/api/workflows/{start()['id']}"
    director.broker, director.broker_seconds = "refuses", 0.05

    assert ask("POST", f"{path}/cancel").status_code == 500
    assert ask("GET", path).json()["status"] == "progress"


# -- authentication -----------------------------------------------------------------------------------------------

BEARER = {"Authorization": "Bearer abc"}
NO_BASE64 = {"Authorization": "Basic ???"}


@pytest.fixture
def locked(director) -> CeleryDirectorSandbox:
    director.auth = ("airflow", "pass:word")
    return director


@pytest.mark.parametrize(
    "credentials",
    [{}, {"auth": ("airflow", "wrong")}, {"auth": ("who", "pass:word")}, {"headers": BEARER}, {"headers": NO_BASE64}],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/workflows"),
        ("GET", "/api/workflows/not-a-uuid"),
        ("POST", "/api/workflows"),
        ("POST", f"/api/workflows/{UNKNOWN}/cancel"),
        ("POST", f"/api/workflows/{UNKNOWN}/relaunch"),
        ("GET", "/api/definitions"),
    ],
)
def test_without_the_right_credentials_every_operation_but_ping_is_a_401(locked, ask, method, path, credentials):
    answer = ask(method, path, **credentials)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Basic")
    assert answer.json() == {
        "status": 401,
        "error": "unauthorized",
        "message": "Please authenticate to access this API.",
    }


def test_the_right_credentials_open_it_also_with_a_colon_in_the_password(locked, ask):
    assert ask("GET", "/api/workflows", auth=("airflow", "pass:word")).status_code == 200
    assert locked.connection()["password"] == "pass:word"


def test_ping_needs_no_login(locked, ask):
    assert ask("GET", "/api/ping").status_code == 200


def test_a_wrong_method_is_a_405_before_any_login(locked, ask):
    assert ask("DELETE", "/api/workflows").status_code == 405


@pytest.mark.parametrize("header", ["Bearer abc", "Basic ???", "Basic " + base64.b64encode(b"a:b").decode()])
def test_with_authentication_off_any_credentials_will_do(ask, header):
    assert ask("GET", "/api/workflows", headers={"Authorization": header}).status_code == 200
