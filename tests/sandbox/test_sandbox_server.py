"""The vendor-neutral surface: faults, ledger, rate limit, address, threads. The vendor here is only an example."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest
import requests

from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life

START = {"project": "lab", "name": "ETL", "payload": {}}


def test_planned_lives_are_lived_in_order_then_the_default(director, clock, start):
    director.plan(Life(duration=5, outcome="error"), Life(duration=5))
    runs = [start()["id"] for _ in range(3)]
    clock.advance(2)

    assert [director.runs[run_id].current(clock.now()).phase for run_id in runs] == ["running", "running", "success"]
    clock.advance(3)
    assert [director.runs[run_id].current(clock.now()).phase for run_id in runs] == ["error", "success", "success"]


def test_a_life_can_be_planned_for_one_flow(director, start):
    director.plan(Life(duration=77), flow="lab.PAIR")

    assert director.runs[start("ETL")["id"]].life.duration == 1
    assert director.runs[start("PAIR")["id"]].life.duration == 77


def test_a_seeded_run_is_nobodys_start_and_takes_no_planned_life(director, ask):
    director.plan(Life(duration=5))
    seeded = director.seed_run(
        Life(duration=100),
        flow="lab.ETL",
        age=50,
        request={"comment": "theirs"},
        run_id="9" * 8 + "-1111-4111-8111-" + "1" * 12,
    )

    row = ask("GET", f"/api/workflows/{seeded.id}").json()
    assert (row["status"], row["comment"], row["created"]) == ("progress", "theirs", "2026-11-22T11:59:10")
    assert director.ledger.starts == []
    assert director.ledger.live_runs() == [seeded]


def test_a_wait_of_eight_hours_takes_no_time(director, clock, start, ask):
    director.plan(Life(duration=8 * 3600))
    run_id = start()["id"]
    clock.advance(8 * 3600 - 1)
    assert ask("GET", f"/api/workflows/{run_id}").json()["status"] == "progress"

    clock.advance(1)
    assert ask("GET", f"/api/workflows/{run_id}").json()["status"] == "success"


# -- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "applied"), [("drop_before", 0), ("drop_after", 1)])
def test_a_dropped_connection_hides_whether_the_start_took_effect(director, ask, kind, applied):
    director.inject(Fault("start", kind))

    with pytest.raises(requests.ConnectionError):
        ask("POST", "/api/workflows", json=START)
    assert len(director.ledger.starts) == applied
    assert director.ledger.requests[0].status is None


def test_half_a_body_is_a_broken_answer_to_an_applied_request(director, ask):
    director.inject(Fault("start", "half_body"))

    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        ask("POST", "/api/workflows", json=START)
    assert len(director.ledger.starts) == 1


def test_half_a_body_declares_the_whole(director, ask):
    director.inject(Fault("ping", "half_body"))
    answer = ask("GET", "/api/ping", stream=True)

    assert int(answer.headers["Content-Length"]) == len('{"message": "pong"}')


@pytest.mark.parametrize("applied", [False, True])
def test_a_status_may_hide_that_the_request_took_effect(director, ask, applied):
    director.inject(Fault("start", status=502, applied=applied))

    assert ask("POST", "/api/workflows", json=START).status_code == 502
    assert len(director.ledger.starts) == int(applied)


def test_a_status_carries_headers_and_body(director, ask):
    director.inject(Fault("list", status=503, headers={"X-Why": "deploy"}, retry_after=7, body="be right back"))
    answer = ask("GET", "/api/workflows")

    assert (answer.status_code, answer.text) == (503, "be right back")
    assert (answer.headers["X-Why"], answer.headers["Retry-After"]) == ("deploy", "7")


def test_retry_after_may_be_a_date(director, ask):
    director.inject(Fault("list", status=429, retry_after=30, retry_after_form="date"))
    date = parsedate_to_datetime(ask("GET", "/api/workflows").headers["Retry-After"])

    assert 25 < date.timestamp() - time.time() <= 31


def test_a_proxy_page_comes_with_status_200(director, ask):
    director.inject(Fault("list", "html"))
    answer = ask("GET", "/api/workflows")

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<html>" in answer.text


def test_an_empty_answer_has_no_body(director, ask):
    director.inject(Fault("list", "empty", status=204))

    assert (ask("GET", "/api/workflows").status_code, ask("GET", "/api/workflows").text) == (204, "[]")


def test_a_status_word_nobody_knows_is_in_list_and_detail(director, ask, start):
    run_id = start()["id"]
    director.inject(Fault("*", "unknown_status", word="zombie", times=2))

    assert ask("GET", "/api/workflows").json()[0]["status"] == "zombie"
    assert ask("GET", f"/api/workflows/{run_id}").json()["status"] == "zombie"
    assert ask("GET", f"/api/workflows/{run_id}").json()["status"] == "progress"


@pytest.mark.parametrize("kind", ["delay", "half_body"])
def test_a_delayed_request_takes_effect_although_the_client_gave_up(director, caplog, kind):
    director.inject(Fault("start", kind, seconds=0.3))

    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{director.base_url}/api/workflows", json=START, timeout=0.1)
    assert director.ledger.starts == []
    deadline = time.monotonic() + 5
    while not director.ledger.starts and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(director.ledger.starts) == 1
    director.stop()
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


@pytest.mark.parametrize("status", [None, 504], ids=["no_answer", "proxy"])
def test_a_late_start_takes_effect_after_its_client_was_sent_away(director, ask, status):
    director.inject(Fault("start", "apply_late", seconds=0.3, status=status))
    if status is None:
        with pytest.raises(requests.ConnectionError):
            ask("POST", "/api/workflows", json=START)
    else:
        answer = ask("POST", "/api/workflows", json=START)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert director.ledger.starts == []

    time.sleep(0.6)
    assert len(director.ledger.starts) == 1


def test_a_late_request_must_still_be_one_that_the_vendor_takes(director, ask):
    director.inject(Fault("start", "apply_late", seconds=0.1))
    with pytest.raises(requests.ConnectionError):
        ask("POST", "/api/workflows", json={**START, "name": "NONE"})

    time.sleep(0.3)
    assert director.ledger.starts == []


def test_something_can_happen_at_the_moment_at_which_a_fault_strikes(director, ask):
    director.inject(Fault("start", "drop_before"), when_hit=lambda: director.seed_run(Life(duration=9), flow="lab.ETL"))
    with pytest.raises(requests.ConnectionError):
        ask("POST", "/api/workflows", json=START)

    assert [run.seeded for run in director.ledger.live_runs()] == [True]


def test_a_fault_hits_as_often_as_told_after_those_it_skips(director, ask):
    armed = director.inject(Fault("ping", status=500, skip=1, times=2))
    statuses = [ask("GET", "/api/ping").status_code for _ in range(4)]

    assert statuses == [200, 500, 500, 200]
    assert armed.hits == 2
    assert [record.fault for record in director.ledger.requests] == [None, "status", "status", None]


def test_a_fault_without_end_is_taken_back(director, ask):
    armed = director.inject(Fault("*", status=500, times=None))
    assert ask("GET", "/api/ping").status_code == 500

    armed.remove()
    assert ask("GET", "/api/ping").status_code == 200
    director.inject(Fault("*", status=500, times=None))
    director.clear_faults()
    assert ask("GET", "/api/ping").status_code == 200


@pytest.mark.parametrize("fault", [{"kind": "meteor"}, {"kind": "status"}, {"kind": "delay"}, {"kind": "apply_late"}])
def test_a_fault_that_makes_no_sense_is_refused(fault):
    with pytest.raises(ValueError, match=r"kind must|needs"):
        Fault(**fault)


# -- ledger and rate limit ----------------------------------------------------------------------------------------


def test_the_ledger_tells_what_was_asked_and_keeps_no_secret(director, ask, clock):
    ask("GET", "/api/workflows?per_page=3&token=s3cr3t", auth=("airflow", "s3cr3t"))
    clock.advance(10)
    ask("GET", "/api/ping")
    first, second = director.ledger.requests

    assert (first.operation, first.method, first.path, first.status) == ("list", "GET", "/api/workflows", 200)
    assert first.query == (("per_page", "3"), ("token", "***"))
    assert "authorization" in first.header_names
    assert "s3cr3t" not in repr(first)
    assert (director.ledger.count(), director.ledger.count("list"), director.ledger.count("cancel")) == (2, 1, 0)
    assert director.ledger.requests_between(clock.now() - 5, clock.now() + 5) == [second]
    assert director.ledger.requests_between(0, clock.now(), "list") == [first]


def test_the_ledger_counts_starts_cancels_live_runs_and_connections(director, ask, start):
    director.plan(Life(duration=60), Life(duration=60))
    first, second = start()["id"], start()["id"]
    ask("POST", f"/api/workflows/{first}/cancel")

    assert director.ledger.starts == [first, second]
    assert director.ledger.cancels == [first]
    assert [run.id for run in director.ledger.live_runs()] == [second]
    assert [run.id for run in director.ledger.runs] == [first, second]
    assert director.ledger.connections == 3


def test_the_peak_is_the_busiest_window(director, ask):
    for _ in range(3):
        ask("GET", "/api/ping")
    ask("GET", "/api/workflows")

    assert director.ledger.peak(60) == 4
    assert director.ledger.peak(60, "ping") == 3
    assert director.ledger.peak(1e-9) == 1


def test_beyond_the_rate_limit_there_is_a_429_with_retry_after_until_the_window_passed(director, ask):
    director.rate_limit, director.rate_window = 2, 0.5
    answers = [ask("GET", "/api/ping") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "1"
    time.sleep(0.55)
    assert ask("GET", "/api/ping").status_code == 200


def test_a_limited_start_makes_no_run(director, ask):
    director.rate_limit = 0

    assert ask("POST", "/api/workflows", json=START).status_code == 429
    assert director.ledger.starts == []


# -- address and life ---------------------------------------------------------------------------------------------


def test_it_comes_back_on_the_same_address_with_its_runs(director, ask, start):
    run_id = start()["id"]
    director.stop()
    with pytest.raises(requests.ConnectionError):
        ask("GET", "/api/ping")

    director.start()
    assert ask("GET", f"/api/workflows/{run_id}").status_code == 200


def test_only_this_machine_can_reach_it(director):
    assert director.base_url.startswith("http://127.0.0.1:")


def test_it_has_no_address_before_its_start():
    with pytest.raises(RuntimeError, match="no address"):
        CeleryDirectorSandbox().base_url  # noqa: B018 - reading it is the test


def test_a_taken_port_is_an_error(director):
    with pytest.raises(OSError, match="in use"):
        CeleryDirectorSandbox(port=int(director.base_url.rpartition(":")[2])).start()


def test_a_connection_is_kept_open_when_told_so():
    with CeleryDirectorSandbox(keep_alive=True) as sandbox, requests.Session() as session:
        for _ in range(3):
            session.get(f"{sandbox.base_url}/api/ping", timeout=5)

        assert sandbox.ledger.connections == 1


def test_a_script_that_makes_no_sense_is_told_at_the_end_and_not_only_by_a_500():
    sandbox = CeleryDirectorSandbox().start()
    sandbox.plan(Life(outcome="error", failing_step="NO SUCH STEP"))
    body = {"project": "demo", "name": "ETL", "payload": {}}

    assert requests.post(f"{sandbox.base_url}/api/workflows", json=body, timeout=5).status_code == 500
    with pytest.raises(RuntimeError, match="NO SUCH STEP"):
        sandbox.stop()


def test_it_stops_at_once_while_a_request_is_held(director, caplog):
    director.inject(Fault("ping", "delay", seconds=60))
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(requests.get, f"{director.base_url}/api/ping", timeout=30)
        while not director.ledger.count("ping"):
            time.sleep(0.01)
        began = time.monotonic()
        director.stop()

        assert time.monotonic() - began < 5
        assert isinstance(held.exception(), requests.ConnectionError)
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


def test_it_stops_at_once_although_a_request_is_held_whose_client_is_gone(director):
    director.inject(Fault("ping", "delay", seconds=60))
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{director.base_url}/api/ping", timeout=0.1)

    began = time.monotonic()
    director.stop()
    assert time.monotonic() - began < 5


def test_many_clients_at_once_make_as_many_runs(director):
    def one(_: int) -> int:
        return requests.post(f"{director.base_url}/api/workflows", json=START, timeout=10).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(one, range(200)))

    assert statuses == [201] * 200
    assert len(set(director.ledger.starts)) == 200


def test_the_airflow_connection_is_plain_fields_that_can_be_overridden(director):
    director.auth = ("airflow", "p@ss:/word")

    assert director.connection(extra={"page_size": 50}) == {
        "conn_type": "celery_director",
        "host": director.base_url,
        "login": "airflow",
        "password": "p@ss:/word",
        "extra": {"page_size": 50},
    }


def test_the_connection_uri_is_read_by_airflow_as_the_same_connection(director):
    from airflow.models.connection import Connection

    director.auth = ("airflow", "p@ss:/word")
    read = Connection(uri=director.connection_uri(extra={"page_size": 50}))

    assert (read.conn_type, read.host, read.login, read.password, read.port, read.extra_dejson) == (
        "celery_director",
        director.base_url,
        "airflow",
        "p@ss:/word",
        None,
        {"page_size": 50},
    )
