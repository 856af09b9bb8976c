"""The client of a local Airflow, where it meets a busy database."""

from __future__ import annotations

import pytest
import requests
import requests_mock

from airflow_provider_etlapis.demo import client as room
from airflow_provider_etlapis.demo.client import AirflowClient
from airflow_provider_etlapis.demo.releases import Airflow3

URL = "http://127.0.0.1:1"
BUSY = {"status_code": 500, "json": {"detail": {"reason": "Database error"}}}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> AirflowClient:
    monkeypatch.setattr(room, "BUSY_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(Airflow3, "log_in", lambda *_: None)
    return AirflowClient(URL, Airflow3())


def test_what_the_database_had_no_time_for_is_sent_again(client: AirflowClient) -> None:
    with requests_mock.Mocker() as server:
        server.patch(f"{URL}/api/v2/dags/x", [BUSY, {"json": {"is_paused": False}}])
        client.unpause("x")

        assert server.call_count == 2


@pytest.mark.parametrize(("answer", "requests_sent"), [(BUSY, 3), ({"status_code": 500, "text": "a defect"}, 1)])
def test_a_fault_that_stays_is_told(client: AirflowClient, answer: dict[str, object], requests_sent: int) -> None:
    with requests_mock.Mocker() as server:
        server.get(f"{URL}/api/v2/dags/x", **answer)
        with pytest.raises(requests.HTTPError, match="500"):
            client.get("dags/x")

        assert server.call_count == requests_sent
