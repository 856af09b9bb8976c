"""The link to the remote run on the real page of its task: while it waits, mapped or not, and after it failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.celery_director.work import Definition
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.dataworq.work import DEMO_FLOWS
from airflow_provider_etlapis.sandbox.lives import Life
from tests.stack.dags import dag, run
from tests.support.browser import Browser
from tests.support.stack import AddDag

DAG_ID = "browser_links"
CONN_ID = "browser_director"
PAGE = "https://dataworq.example.com/jobs/{job_id}"
LINK = "Remote run"


@pytest.fixture
def director(airflow_stack: LocalAirflow) -> Iterator[CeleryDirectorSandbox]:
    with CeleryDirectorSandbox() as running:
        running.define(Definition("demo.LONG", ("EXTRACT", "LOAD"), life=Life(duration=3600)))
        running.define(Definition("demo.BROKEN", ("EXTRACT",), life=Life(duration=0.5, outcome="error")))
        airflow_stack.api.add_connection(CONN_ID, running.connection())
        yield running


@pytest.fixture
def dataworq(airflow_stack: LocalAirflow) -> Iterator[DataworqSandbox]:
    with DataworqSandbox() as running:
        fields = running.connection()
        with_page = {**fields["extra"], "ui_url_template": PAGE}
        airflow_stack.api.add_connection("browser_pageless", fields)
        airflow_stack.api.add_connection("browser_with_page", {**fields, "extra": with_page})
        yield running


@pytest.mark.usefixtures("dataworq")
def test_the_link_is_on_the_page_of_a_deferred_a_mapped_and_a_failed_task_and_only_where_there_is_one(
    chromium: Browser, airflow_stack: LocalAirflow, add_dag: AddDag, director: CeleryDirectorSandbox
) -> None:
    often = {"deferrable": True, "poll_interval": 1.0}
    mapped = (
        f"Run.partial(task_id='mapped', project='demo', name='LONG', celery_director_conn_id={CONN_ID!r}, "
        "deferrable=True).expand(payload=[{'shop': 'north'}, {'shop': 'south'}])"
    )
    started = [
        f"Execute(task_id={conn_id!r}, dataworq_conn_id='browser_{conn_id}', flow_id={DEMO_FLOWS[0].flow_id!r}, "
        "wait_for_completion=False)"
        for conn_id in ("pageless", "with_page")
    ]
    tasks = (run("waits", "LONG", CONN_ID, **often), mapped, run("breaks", "BROKEN", CONN_ID, **often), *started)
    add_dag(
        DAG_ID,
        "from airflow_provider_etlapis.operators.dataworq import DataworqExecuteJobOperator as Execute\n"
        + dag(DAG_ID, *tasks),
    )
    api = airflow_stack.api
    run_id = api.trigger(DAG_ID)

    def open_details(task_id: str, state: str, index: int = -1) -> str:
        api.wait_for_state(DAG_ID, run_id, task_id, state, timeout=90, map_index=index)
        part = "" if index < 0 else f"/mapped/{index}"
        chromium.open(f"{airflow_stack.base_url}/dags/{DAG_ID}/runs/{run_id}/tasks/{task_id}{part}/details")
        chromium.one("td", text="Task ID")
        return str(api.xcom(DAG_ID, run_id, task_id, "run_id", map_index=index))

    for task_id, state, index in (("waits", "deferred", -1), ("mapped", "deferred", 1), ("breaks", "failed", -1)):
        remote = open_details(task_id, state, index)
        link = chromium.one(f"a[href='{director.base_url}/{remote}']", text=LINK)
        assert link.get_attribute("target") == "_blank"
        if task_id == "waits":
            chromium.screenshot("task_link", 620)
    job_id = open_details("with_page", "success")
    chromium.one(f"a[href='{PAGE.format(job_id=job_id)}']", text=LINK)
    open_details("pageless", "success")
    links = api.get(f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/pageless/links")["extra_links"]
    assert not links[LINK]
    assert not [
        each for each in chromium.all("a[target='_blank']") if LINK in each.text
    ]  # the tab stays within Airflow

    api.set_run_state(DAG_ID, run_id, "failed")  # nothing goes on beside the tests after this one
