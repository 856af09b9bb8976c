"""`etlapis doctor` notices each switch of the sandboxes, sends no write, and its settings make runs work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_etlapis.cli import main
from airflow_provider_etlapis.doctor.examination import checks_of, examine, report_of
from airflow_provider_etlapis.doctor.findings import Verdict
from airflow_provider_etlapis.doctor.patient import Patient
from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.inventory.connections import read_connection
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.replay import options_of
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from tests.contract.row import Row
from tests.contract.rows import ROWS
from tests.support.rehearsal import Rehearsal

WITH_KEY = {"access": "cloud_connector", "api_key": "DATAWORQ-a-key"}
OLD_LOGIN = "/v1/token-auth/issue"
LOGINS = frozenset({"login", "refresh"})
ROW_OF = {row.vendor: row for row in ROWS}

Seed = Callable[[VendorSandbox], object]


def ended_runs(sandbox: VendorSandbox) -> None:
    sandbox.seed_run(Life(duration=5, outcome="error"), age=500)
    sandbox.seed_run(Life(duration=5), age=300)


def nothing(sandbox: VendorSandbox) -> None:
    """Leave the vendor without runs."""


def just_started(sandbox: VendorSandbox) -> None:
    sandbox.seed_run(Life(duration=600), age=1)


# vendor, options of its sandbox, extra of the connection, runs, the check that must notice, what it proposes
SWITCHES: list[tuple[str, dict[str, Any], dict[str, Any], Seed, str, dict[str, Any]]] = [
    (
        "etlworks",
        {"login_path": "/v1/token-auth/issue"},
        {},
        ended_runs,
        "login-path",
        {"login_path": "/v1/token-auth/issue"},
    ),
    ("etlworks", {"role": "editor"}, {}, ended_runs, "daily-report", {"daily_report": False}),
    ("etlworks", {"tells_ids": False}, {}, ended_runs, "record-ids", {}),
    ("etlworks", {"tells_details": False}, {}, ended_runs, "record-times", {}),
    ("etlworks", {"tells_parameters": False}, {}, ended_runs, "record-inputs", {"run_key_parameter": "true"}),
    ("etlworks", {"log_takes_header": False}, {}, ended_runs, "log-header", {}),
    ("meiro", {"login_path": "/users/login"}, {}, ended_runs, "login-path", {"login_path": "/users/login"}),
    ("meiro", {"array_style": "repeated"}, {}, ended_runs, "array-parameters", {"array_parameters": "repeated"}),
    ("meiro", {"array_style": "brackets"}, {}, ended_runs, "array-parameters", {"array_parameters": "brackets"}),
    ("meiro", {"boolean_style": "1"}, {}, ended_runs, "boolean-parameters", {"boolean_parameters": "1"}),
    ("meiro", {"max_limit": 50}, {}, ended_runs, "page-size", {}),
    ("meiro", {"utc_offset": 2}, {}, just_started, "timezone", {"timezone": "Etc/GMT-2"}),
    ("webrobot", {"base_path": ""}, {}, ended_runs, "base-path", {"base_path": "/"}),
    ("webrobot", {"task_references": False}, {}, ended_runs, "task-references", {}),
    (
        "dataworq",
        {"access": "native"},
        WITH_KEY,
        ended_runs,
        "access",
        {"access": "native"},
    ),
    ("dataworq", {"unknown_job": 400}, {}, ended_runs, "unknown-job", {}),
    ("dataworq", {"newest_first": False}, {}, ended_runs, "newest-first", {}),
]


@contextmanager
def served(row: Row, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], **options: Any) -> Iterator[VendorSandbox]:
    with row.sandbox(**options) as sandbox:
        connect(row, sandbox, monkeypatch, extra)
        yield sandbox


def connect(row: Row, sandbox: VendorSandbox, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any]) -> None:
    fields = sandbox.connection()
    # What the sandbox would set so that the connection fits is for the doctor to find.
    kept = {name: value for name, value in (fields.get("extra") or {}).items() if name in ("api_key", "access")}
    stored = {**fields, "extra": {**kept, "retries": 1, **extra}}
    monkeypatch.setenv(f"AIRFLOW_CONN_{row.vendor.upper()}_DEFAULT", json.dumps(stored))


def examined(vendor: str) -> dict[str, Any]:
    patient = Patient(f"{vendor}_default", read_connection(f"{vendor}_default"))
    try:
        return report_of(vendor, list(examine(patient)))
    finally:
        patient.close()


@pytest.mark.parametrize(
    ("vendor", "options", "extra", "seed", "noticed_by", "settings"),
    SWITCHES,
    ids=[f"{vendor}-{check}-{next(iter(options.values()))}" for vendor, options, _, _, check, _ in SWITCHES],
)
def test_each_switch_is_noticed_by_its_check_and_its_settings_make_a_run_work(
    vendor: str,
    options: dict[str, Any],
    extra: dict[str, Any],
    seed: Seed,
    noticed_by: str,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = ROW_OF[vendor]
    with served(row, monkeypatch, extra, **options) as sandbox:
        seed(sandbox)

        report = examined(vendor)

        (found,) = [check for check in report["checks"] if check["id"] == noticed_by]
        assert found["verdict"] == "differs", report
        assert found["settings"] == settings
        assert settings.items() <= report["proposed"].items()

        connect(row, sandbox, monkeypatch, {**extra, **report["proposed"]})
        sandbox.plan(Life(duration=0.1))
        task = Rehearsal(lambda: row.operator(task_id="run", poll_interval=0.1))
        assert task.run()["vendor_status"].lower() == row.good.lower()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.vendor)
def test_nothing_but_reads_and_logins_is_sent_and_the_report_names_nothing_of_theirs(
    row: Row, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(row, monkeypatch, {}) as sandbox:
        just_started(sandbox)
        ended_runs(sandbox)
        code = main(["doctor", "--conn-id", f"{row.vendor}_default", "--json"])

        printed = capsys.readouterr().out
        report = json.loads(printed)
        assert sandbox.ledger.starts == []
        assert sandbox.ledger.cancels == []
        written = [sent for sent in sandbox.ledger.requests if sent.method != "GET" and sent.operation not in LOGINS]
        assert written == []
        fields = sandbox.connection()
        secrets = {fields.get("password"), fields.get("login"), *map(str, (fields.get("extra") or {}).values())}
        names = {part for run in sandbox.runs for part in (run.id, run.flow)} | {sandbox.base_url, sandbox.default_flow}
        for text in (*secrets, *names):
            assert not text or len(str(text)) < 5 or str(text) not in printed, text
        assert {check["id"] for check in report["checks"]} == {"reach", *(check.id for check in checks_of(row.vendor))}
        assert all(check["verdict"] != "unknown" or check["seen"] for check in report["checks"])
        assert code == (1 if any(check["verdict"] == "differs" for check in report["checks"]) else 0)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.vendor)
def test_a_write_is_refused_before_it_is_sent(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(row, monkeypatch, {}) as sandbox:
        patient = Patient(f"{row.vendor}_default", read_connection(f"{row.vendor}_default"))
        operator = row.operator(task_id="run")

        with pytest.raises((RuntimeError, EtlApiError)) as refusal:
            patient.ask(patient.hook.start_run.plan(operator.spec(), "marker"))

        assert "the doctor sends none" in str(refusal.value)
        assert sandbox.ledger.starts == []
        patient.close()


def test_a_server_that_cannot_be_reached_is_said_once_and_not_asked_for_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = {"conn_type": "celery_director", "host": "http://127.0.0.1:9", "extra": {"retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT", json.dumps(fields))

    checks = examined("celery_director")["checks"]

    assert [check["verdict"] for check in checks if check["id"] == "reach"] == [Verdict.DIFFERS]
    assert {check["seen"] for check in checks if check["id"] != "reach"} == {"the server was not read", "not probed"}


def test_a_report_is_compared_with_a_connection_without_asking_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"vendor": "meiro", "proposed": {"login_path": "/users/login", "timezone": "UTC"}}))
    fields = {"conn_type": "meiro", "host": "https://127.0.0.1:9", "login": "a@b.c", "password": "a-password"}
    monkeypatch.setenv("AIRFLOW_CONN_MEIRO_DEFAULT", json.dumps(fields))

    assert main(["doctor", "--conn-id", "meiro_default", "--from-report", str(report)]) == 1

    assert capsys.readouterr().out == 'login_path: "/login" -> "/users/login"\n'


@pytest.mark.parametrize("args", [["--conn-id", "nowhere"], ["--conn-id", "other"]])
def test_a_connection_that_cannot_be_examined_ends_with_code_2(
    args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "snowflake", "host": "x"}))

    assert main(["doctor", *args]) == 2

    assert repr(args[1]) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("vendor", "options", "extra", "seed"),
    [switch[:4] for switch in SWITCHES],
    ids=[f"{vendor}-{check}-{next(iter(options.values()))}" for vendor, options, _, _, check, _ in SWITCHES],
)
def test_a_report_replayed_by_the_sandbox_gives_the_same_report(
    vendor: str, options: dict[str, Any], extra: dict[str, Any], seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report_with(**given: Any) -> dict[str, Any]:
        with served(ROW_OF[vendor], monkeypatch, extra, **given) as sandbox:
            seed(sandbox)
            return examined(vendor)

    report = report_with(**options)
    replayed = options_of(report)

    assert options.items() <= replayed.items()
    assert differing(report_with(**replayed)) == differing(report)


def differing(report: dict[str, Any]) -> list[str]:
    return [check["id"] for check in report["checks"] if check["verdict"] == "differs"]


def test_the_fixture_replays_a_report_and_its_connection_fits(
    tmp_path: Path, etlapis_sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(ROW_OF["meiro"], monkeypatch, {}, login_path="/users/login", array_style="brackets"):
        (tmp_path / "report.json").write_text(json.dumps(examined("meiro")))

    etlapis_sandbox.like(tmp_path / "report.json", conn_id="meiro_default")

    assert differing(examined("meiro")) == []
