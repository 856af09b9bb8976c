"""`etlapis doctor` on the real Celery Director."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.doctor.examination import examine, report_of
from airflow_provider_etlapis.doctor.patient import Patient
from airflow_provider_etlapis.inventory.connections import read_connection


def test_every_assumption_holds_on_a_real_director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RealDirector(tmp_path, auth=("airflow", "pass:word")) as director:
        monkeypatch.setenv("AIRFLOW_CONN_REAL", json.dumps(director.connection()))
        patient = Patient("real", read_connection("real"))
        patient.hook.start_workflow("demo", "ETL", {}, comment="a comment")
        try:
            report = report_of("celery_director", list(examine(patient)))
        finally:
            patient.close()

    verdicts = {check["id"]: check["verdict"] for check in report["checks"]}
    assert verdicts.pop("cancel-stops") == "needs a run"
    assert set(verdicts.values()) == {"holds"}, report
    assert len(verdicts) == 6
