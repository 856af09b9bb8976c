"""Three hundred deferred Meiro jobs in one event loop: a few lists, whatever their number."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from airflow_provider_etlapis.hooks.meiro import MeiroHook
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro import MeiroSandbox
from airflow_provider_etlapis.sandbox.meiro.work import Workspace
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger

JOBS = 300
INTERVAL = 1.0
HOOK = "airflow_provider_etlapis.hooks.meiro.MeiroHook"


async def test_three_hundred_jobs_take_at_most_three_lists_an_interval(etlapis_sandbox: Any) -> None:
    meiro: MeiroSandbox = etlapis_sandbox.meiro(conn_id="meiro_default")
    for number in range(JOBS):
        meiro.define(Workspace(1000 + number, f"workspace {number}"))
    jobs = [meiro.seed_run(Life(3600.0), flow=str(1000 + number)) for number in range(JOBS)]

    async def wait_for(run_id: str) -> Any:
        ref = MeiroHook.ref(*run_id.split("/"))
        trigger = RemoteRunTrigger(
            hook=HOOK, conn_id="meiro_default", ref=ref.to_json(), poll_interval=INTERVAL, deadline=time.time() + 30
        )
        return (await anext(trigger.run())).payload

    waits = [asyncio.create_task(wait_for(job.id)) for job in jobs]
    await asyncio.sleep(4.5 * INTERVAL)
    quiet = [record for record in meiro.ledger.requests if record.operation != "login"]
    meiro.clock.advance(7200.0)
    events = await asyncio.gather(*waits)

    assert {record.operation for record in quiet} == {"list"}
    assert 4 <= len(quiet) <= 3 * 4
    assert meiro.ledger.peak(0.95 * INTERVAL, "list") <= 3
    assert {event["state"] for event in events} == {"succeeded"}
    assert {event["ref"]["ids"]["job_id"] for event in events} == {job.id.split("/")[1] for job in jobs}
    assert meiro.ledger.logins == 1
