"""The page "Remote runs" in a real Airflow: five vendors' runs, an orphan and its cancel, and what each user may do."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from airflow_provider_etlapis.demo.errors import NotReadyError
from airflow_provider_etlapis.demo.processes import free_port, wait_until
from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.sandbox.dataworq.work import DEMO_FLOWS
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from airflow_provider_etlapis.sandbox.webrobot.work import DEMO_JOBS, Job
from tests.contract.rows import ROWS
from tests.stack.dags import dag
from tests.support.browser import Browser
from tests.support.stack import AddDag

DAG_ID = "page_of_runs"
LONG = Life(duration=7200)
TASKS_EACH, SEEDED = 2, 8
# WebRobot lists a job's newest execution alone.
RUNS = 4 * (TASKS_EACH + SEEDED) + TASKS_EACH + 1
OURS = {"X-Etlapis": "page", "Sec-Fetch-Site": "same-origin"}
USERS = {"vera": "viewer", "oscar": "op"}
# A job of WebRobot runs once at a time.
WEBROBOT_JOBS = (*DEMO_JOBS, *(Job("98", number, f"prices-{number}", DEMO_JOBS[0].tasks) for number in ("211", "212")))

IMPORTS = """
from airflow_provider_etlapis.operators.dataworq import DataworqExecuteJobOperator as Dataworq
from airflow_provider_etlapis.operators.etlworks import EtlworksRunFlowOperator as Etlworks
from airflow_provider_etlapis.operators.meiro import MeiroRunWorkspaceOperator as Meiro
from airflow_provider_etlapis.operators.webrobot import WebRobotExecuteJobOperator as WebRobot
"""
OFTEN = "deferrable=True, poll_interval=1.0"


def _task(operator: str, vendor: str, task_id: str, each: str, fixed: str = "") -> str:
    """Return a mapped task of two instances."""
    conn = f"{vendor}_conn_id='page_{vendor}'"
    return f"{operator}.partial(task_id={task_id!r}, {conn}, {OFTEN}, {fixed}).expand({each})"


TASKS = (
    _task("Run", "celery_director", "load", "payload=[{'n': 1}, {'n': 2}]", "project='demo', name='ETL'"),
    _task("Dataworq", "dataworq", "budget", "parameters=[{'N': 1}, {'N': 2}]", f"flow_id={DEMO_FLOWS[0].flow_id!r}"),
    _task("Etlworks", "etlworks", "orders", "parameters=[{'day': '1'}, {'day': '2'}]", "flow_id=12346"),
    _task("Meiro", "meiro", "profiles", "workspace_id=[100, 101]"),
    _task("WebRobot", "webrobot", "prices", "job_id=['211', '212']", "project_id='98'"),
)


@pytest.fixture
def sandboxes(airflow_stack: LocalAirflow) -> Iterator[dict[str, VendorSandbox]]:
    """Every vendor, each with runs that somebody else has started in the last day."""
    with ExitStack() as stack:
        started: dict[str, VendorSandbox] = {}
        for row in ROWS:
            more: dict[str, Any] = {"jobs": WEBROBOT_JOBS} if row.vendor == "webrobot" else {}
            sandbox = started[row.vendor] = stack.enter_context(row.sandbox(**more))
            for number in range(SEEDED):
                over = Life(duration=900.0 * number, outcome="success" if number % 2 else "error")
                sandbox.seed_run(LONG if number < 2 else over, age=3000.0 * number)
            sandbox.plan(*[LONG] * TASKS_EACH)
            airflow_stack.api.add_connection(f"page_{row.vendor}", sandbox.connection())
        yield started


class Page:
    """The page within Airflow's frame."""

    def __init__(self, browser: Browser, airflow: LocalAirflow) -> None:
        self.browser = browser
        browser.driver.switch_to.default_content()
        browser.open(airflow.base_url)  # a first visit logs in, and forgets in 3.1 where it was to lead
        browser.one("a[href*='dags']")
        browser.open(f"{airflow.base_url}/plugin/remote-runs")
        browser.driver.switch_to.frame(browser.one("iframe"))
        browser.until(lambda: " runs" in self.status, "the runs", 60)

    @property
    def status(self) -> str:
        return self.browser.one("#status").text

    @property
    def rows(self) -> list[str]:
        script = "return [...document.querySelectorAll('#rows tr')].map((row) => row.innerText)"
        return list(self.browser.driver.execute_script(script))

    def choose(self, field: str, value: str) -> None:
        """Set a filter as a person does."""
        script = (
            "const field = document.getElementById(arguments[0]);"
            "field.value = arguments[1]; field.dispatchEvent(new Event('input'))"
        )
        self.browser.driver.execute_script(script, field, value)

    def refresh_until(self, condition: Callable[[], bool], what: str) -> None:
        """Press "Refresh" until something is to be seen."""

        def seen() -> bool:
            self.browser.click("#refresh")
            return condition()

        try:
            wait_until(seen, 60, what, 2.0)
        except NotReadyError:
            self.choose("standing", "")
            pytest.fail("\n".join((what, self.status, *self.rows)))


def test_the_page_shows_forty_runs_and_their_tasks_and_cancels_an_orphan(
    request: pytest.FixtureRequest,
    chromium: Browser,
    airflow_stack: LocalAirflow,
    add_dag: AddDag,
    sandboxes: dict[str, VendorSandbox],
) -> None:
    api = airflow_stack.api
    add_dag(DAG_ID, IMPORTS + dag(DAG_ID, *TASKS))
    run_id = api.trigger(DAG_ID)

    def instances() -> list[tuple[str, int]]:
        rows = api.task_instances(DAG_ID, run_id)
        return [(row["task_id"], row["map_index"]) for row in rows if row["state"] == "deferred"]

    airflow_stack.wait_for(lambda: len(instances()) == len(ROWS) * TASKS_EACH, 120, "all tasks deferred")
    request.addfinalizer(airflow_stack.start_triggerer)
    request.addfinalizer(lambda: chromium.open("about:blank"))  # an open page asks the vendors of other tests
    for triggerer in list(airflow_stack.triggerers):
        airflow_stack.kill_triggerer(child=triggerer)
    orphan = str(api.xcom(DAG_ID, run_id, "profiles", "run_id", map_index=1))
    # A triggerer that comes back soon finds the trigger of the task, and cancels the run.
    api.set_state(DAG_ID, run_id, "profiles", "failed", 1)

    page = Page(chromium, airflow_stack)
    page.choose("standing", "")
    page.refresh_until(lambda: len(page.rows) == RUNS, "all runs")
    shown = page.rows
    for task_id, index in instances():
        assert len([row for row in shown if f"{DAG_ID}.{task_id}[{index}]" in row and "waited for" in row]) == 1
    secrets = [sandbox.connection().get("password") for sandbox in sandboxes.values()]
    assert not [secret for secret in secrets if secret and secret in chromium.driver.page_source]
    take_pictures(chromium)
    page.choose("conn_id", "page_meiro")
    assert len(page.rows) == TASKS_EACH + SEEDED
    page.choose("conn_id", "")
    page.choose("text", "budget")
    assert len(page.rows) == TASKS_EACH
    page.choose("text", "")
    marked_long_ago(airflow_stack, run_id)
    page.choose("standing", "orphan")
    page.refresh_until(lambda: len(page.rows) == 1 and orphan in page.rows[0], "the orphan")

    chromium.click("#rows button", text=orphan)
    chromium.click("dialog button", text="Cancel this run")
    chromium.click("dialog button", text="Yes, cancel it")
    meiro = sandboxes["meiro"]
    wait_until(lambda: orphan.endswith(tuple(meiro.ledger.cancels)), 30, "the orphan's cancel")
    assert len(meiro.ledger.cancels) == 1
    chromium.until(lambda: not page.rows, "no orphan left", 60)
    (noted,) = list(api.pages("eventLogs", "event_logs", event="etlapis.cancel_remote_run"))
    assert (noted["dag_id"], noted["task_id"], noted["map_index"]) == (DAG_ID, "profiles", 1)
    assert orphan in noted["extra"]
    assert noted["owner"]

    with_rights(airflow_stack, sandboxes)
    api.set_run_state(DAG_ID, run_id, "failed")  # nothing goes on beside the tests after this one


def marked_long_ago(airflow: LocalAirflow, run_id: str) -> None:
    """Let the mark be older than the grace in which a kill may still be under way."""
    with closing(sqlite3.connect(airflow.plan.database, timeout=30)) as database, database:
        earlier = (datetime.now(UTC) - timedelta(minutes=3)).strftime("%Y-%m-%d %H:%M:%S.%f")
        where = "dag_id = ? AND run_id = ? AND state = 'failed'"
        changed = database.execute(f"UPDATE task_instance SET updated_at = ? WHERE {where}", (earlier, DAG_ID, run_id))
        assert changed.rowcount == 1


def take_pictures(chromium: Browser) -> None:
    """Keep the page as it is in the light, in the dark and on a telephone."""
    chromium.screenshot("remote_runs", 900)
    for name, scheme, width in (("dark", "dark", 1200), ("narrow", "light", 400)):
        chromium.prefer(scheme)
        chromium.screenshot(f"remote_runs_{name}", 900, width)
    chromium.prefer("light")


def with_rights(airflow: LocalAirflow, sandboxes: dict[str, VendorSandbox]) -> None:
    """Ask as users of several roles, in an API server that knows users, on the same database."""
    passwords = airflow.home / "passwords.json"
    passwords.write_text(json.dumps({name: f"{name}s-password" for name in USERS}))
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    env = {
        **airflow.env,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": base_url,
    }
    argv = [sys.executable, "-m", "airflow", "api-server", "--workers", "1"]
    server = airflow.processes.start("api-server-with-users", argv, env=env, cwd=airflow.home)

    def up() -> bool:
        try:
            return requests.get(f"{base_url}/etlapis/runs", timeout=10).status_code == 401
        except requests.ConnectionError:
            return False

    def ask(user: str, method: str, path: str, **options: Any) -> requests.Response:
        login = {"username": user, "password": f"{user}s-password"}
        token = requests.post(f"{base_url}/auth/token", json=login, timeout=30).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return requests.request(method, f"{base_url}/etlapis/{path}", headers=headers, timeout=60, **options)

    try:
        wait_until(up, 90, "an API server that refuses who has not logged in")
        for path in ("", "runs", "run?conn_id=page_meiro&run_id=1"):
            assert requests.get(f"{base_url}/etlapis/{path}", timeout=30).status_code == 401
        assert requests.post(f"{base_url}/etlapis/cancel", json={}, headers=OURS, timeout=30).status_code == 401

        seen = ask("vera", "GET", "runs").json()["rows"]
        assert {row["task"]["dag_id"] for row in seen} == {DAG_ID}, "a viewer may read DAGs, and no connections"
        waited = next(row for row in seen if row["conn_id"] == "page_meiro" and row["standing"] == "waited for")
        assert not waited["can_cancel"]
        name = {"conn_id": "page_meiro", "run_id": waited["run_id"]}
        refused = ask("vera", "POST", "cancel", json=name, headers=OURS)
        assert (refused.status_code, f"To cancel run {waited['run_id']} you need" in refused.text) == (403, True)

        seen = ask("oscar", "GET", "runs").json()["rows"]
        assert len(seen) == RUNS, "an operator of Airflow may read connections"
        assert ask("oscar", "POST", "cancel", json=name).status_code == 403, "not from the page"
        assert len(sandboxes["meiro"].ledger.cancels) == 1
        assert ask("oscar", "POST", "cancel", json=name, headers=OURS).json()["asked"]
        assert len(sandboxes["meiro"].ledger.cancels) == 2
    finally:
        airflow.processes.stop(server)
