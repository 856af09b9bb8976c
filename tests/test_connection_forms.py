"""The tables of connection fields, without a browser: what Airflow masks, what is read, and pages of runs."""

from __future__ import annotations

import json

import pytest

from airflow_provider_etlapis.connection_forms import ETLWORKS, FORMS
from airflow_provider_etlapis.forms import ConnectionForm, Field
from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.hooks.pages import with_pages
from airflow_provider_etlapis.runs.evidence import Evidence as Sighting
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState
from airflow_provider_etlapis.sandbox.pytest_plugin import SandboxFactory

MASKED = ("password", "secret", "token", "api_key")  # by every Airflow from 2.11 on
PAGE = "https://etl.example.com/flows/{flow_id}/{audit_id}"


def _run(url: str | None = None, **ids: str) -> RemoteRun:
    return RemoteRun(RunRef("etlworks", ids), RunState.RUNNING, "running", url=url)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.conn_type)
def test_airflow_masks_every_secret_by_its_name(form: ConnectionForm) -> None:
    secrets = [field.name for field in form.fields if field.kind in {"password", "object"}]
    assert secrets
    assert [name for name in secrets if not any(word in name for word in MASKED)] == []


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.conn_type)
def test_no_field_is_required_and_every_default_can_be_read(form: ConnectionForm) -> None:
    declared = form.provider_info()["conn-fields"]
    assert all("null" in each["schema"]["type"] for each in declared.values())
    defaults = {field.name: field.default for field in form.fields}
    assert form.read({}) == form.read(defaults) == form.read(dict.fromkeys(defaults)) == defaults


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.conn_type)
def test_the_port_is_shown_because_some_releases_test_nothing_without_it(form: ConnectionForm) -> None:
    assert "port" not in form.provider_info()["ui-field-behaviour"]["hidden-fields"]
    assert "port" not in form.behaviour()["hidden_fields"]


@pytest.mark.parametrize(("stored", "read"), [(8, 8), ("8", 8), (8.0, 8), ("8.0", 8), (None, 4), ("", 4)])
def test_a_whole_number_is_read_from_whatever_a_form_stores(stored: object, read: int) -> None:
    value = Field("retries", "Retries", "", "integer", 4, minimum=0).read(stored)
    assert (value, type(value)) == (read, int)


@pytest.mark.parametrize("stored", [3.5, "3.5", "many", "nan", -1, "1e3"])
def test_what_is_no_whole_number_is_refused(stored: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        Field("retries", "Retries", "", "integer", 4, minimum=0).read(stored)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("https://etl.example.com/{run_id}", "may hold {flow_id}, {audit_id}, not {run_id}"),
        ("https://etl.example.com/{flow_id.__class__}", "not {flow_id.__class__}"),
        ("https://etl.example.com/{flow_id!r}", "may hold"),
        ("https://etl.example.com/{flow_id:>9}", "may hold"),
        ("https://etl.example.com/{}", "may hold"),
        ("https://etl.example.com/{flow_id", "pairs of braces"),
        ("etl.example.com/{flow_id}", "starts with https://"),
        ("javascript:alert({flow_id})", "starts with https://"),
    ],
)
def test_a_page_with_anything_but_the_ids_of_a_run_is_refused(template: str, reason: str) -> None:
    with pytest.raises(ValueError, match="ui_url_template") as raised:
        ETLWORKS.read({"ui_url_template": template})
    assert reason in str(raised.value)


def test_a_run_gets_the_page_that_the_connection_names() -> None:
    run = _run(flow_id="7", audit_id="a/b")
    assert with_pages(run, PAGE).url == "https://etl.example.com/flows/7/a%2Fb"


def test_a_page_that_the_vendor_names_is_kept() -> None:
    assert with_pages(_run("https://vendor/1", flow_id="7", audit_id="1"), PAGE).url == "https://vendor/1"


def test_no_page_where_an_id_is_missing_or_no_address_is_set() -> None:
    assert with_pages(_run(flow_id="7"), PAGE).url is None
    assert with_pages(_run(flow_id="7", audit_id="1"), None).url is None


def test_runs_inside_of_results_get_their_pages_too() -> None:
    run = _run(flow_id="7", audit_id="1")
    with_page = with_pages(run, PAGE)
    assert with_pages([run], PAGE) == [with_page]
    assert with_pages({"7/1": run}, PAGE) == {"7/1": with_page}
    found = with_pages(Search(Sighting.FOUND, "", (run,)), PAGE)
    assert found.candidates == (with_page,)
    for other in ("text", [], {}, None, 5, {"a": 1}):
        assert with_pages(other, PAGE) == other


async def test_a_hook_gives_its_runs_the_page_in_both_colours(
    etlapis_sandbox: SandboxFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = etlapis_sandbox.dataworq()
    seeded = vendor.seed_run()
    fields = vendor.connection()
    extra = {**fields["extra"], "ui_url_template": "https://dataworq.example.com/jobs/{job_id}"}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({**fields, "extra": extra}))
    ref = DataworqHook.ref_of(seeded.id)
    page = f"https://dataworq.example.com/jobs/{seeded.id}"
    with DataworqHook("shop") as hook:
        assert hook.read_run(ref).url == page
    async with DataworqHook("shop") as hook:
        assert (await hook.read_run.aio(ref)).url == page
