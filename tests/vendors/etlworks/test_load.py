"""A thousand deferred runs of Etlworks in one triggerer, against a limit that polling each would break tenfold."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from functools import partial

import pytest

from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.sandbox.etlworks import EtlworksSandbox
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.triggers.run import RemoteRunTrigger
from airflow_provider_etlapis.wire import exchange
from airflow_provider_etlapis.wire.budget import RequestBudget
from tests.vendors.etlworks.kit import CONN_ID

FASTER = 20
"""A minute of the vendor's takes three seconds here: 600 requests a minute, a budget of 300, looks every 10 s."""


@pytest.mark.parametrize(("role", "count"), [("operator", 1000), ("administrator", 300)])
def test_a_thousand_deferred_runs_meet_no_429_and_are_all_seen_to_their_end(monkeypatch, caplog, role, count):
    with EtlworksSandbox(role=role, rate_limit=600, rate_window=60 / FASTER) as etlworks:
        connection = {**etlworks.connection(), "extra": {"requests_per_minute": 300 * FASTER, "retries": 0}}
        monkeypatch.setenv("AIRFLOW_CONN_ETLWORKS_DEFAULT", json.dumps(connection))
        # What may go at once after a quiet time is a tenth of a minute's worth: of these short minutes as well.
        monkeypatch.setattr(exchange, "RequestBudget", partial(RequestBudget, burst=300 / 10))
        runs = [etlworks.seed_run(Life(0.5 + number % 2, "success")) for number in range(count)]

        began = time.monotonic()
        states = asyncio.run(_ends([{"flow_id": run.flow, "audit_id": run.id} for run in runs], 10 / FASTER))
        took = time.monotonic() - began

        answers = Counter(record.status for record in etlworks.ledger.requests)
    assert states == Counter({"succeeded": count})
    assert set(answers) <= {200, 403}
    assert answers[403] == (role == "operator")
    if role == "operator":
        (told,) = [line for line in caplog.messages if "every interval is stretched" in line]
        assert "stretched 20.0 times, so an end is seen up to 10 s later" in told
        assert took < 25
    else:
        singly = etlworks.ledger.count("get")
        assert singly <= count * 1.1, "each ended run costs one read of its own, and going ones none"


async def _ends(refs: list[dict[str, str]], interval: float) -> Counter[str]:
    hook = f"{EtlworksHook.__module__}.{EtlworksHook.__qualname__}"
    now = time.time()

    async def state_of(ids: dict[str, str]) -> str:
        ref = {"vendor": "etlworks", "ids": ids, "since": now}
        event = await anext(RemoteRunTrigger(hook=hook, conn_id=CONN_ID, ref=ref, poll_interval=interval).run())
        return str(event.payload["state"])

    return Counter(await asyncio.gather(*map(state_of, refs)))
