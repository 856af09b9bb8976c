"""Every connection type of ours in the real form of Airflow 3.3: seen, filled in, saved, reopened and tested."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_etlapis.connection_forms import FORMS
from airflow_provider_etlapis.demo.processes import free_port
from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.forms import ConnectionForm, Field
from airflow_provider_etlapis.sandbox import sandbox_class
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from tests.browser import connection_pages as pages
from tests.browser.connection_pages import ConnectionList, element
from tests.support.browser import Browser

MASK = "***"
STANDARD = ("host", "login", "password", "port")
EVERY_FORM = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.conn_type)
OPTIONS: dict[str, dict[str, Any]] = {"celery_director": {"auth": ("airflow", "pass:word")}}


@pytest.fixture
def connections(chromium: Browser, airflow_stack: LocalAirflow) -> ConnectionList:
    return ConnectionList(chromium, airflow_stack)


@EVERY_FORM
def test_every_field_has_its_label_description_widget_and_default(
    form: ConnectionForm, connections: ConnectionList
) -> None:
    dialog = connections.add()
    dialog.choose_type(f"shown_{form.conn_type}", form.hook_name)
    shown = [name for name in STANDARD if dialog.browser.all(f"[name={name}]", dialog.dialog)]
    assert shown == [name for name in STANDARD if name not in form.hidden]
    assert dialog.input("password").get_attribute("type") == "password"
    for name, label in form.relabeling.items():
        assert label in dialog.group(name).text
    for name, placeholder in form.placeholders.items():
        assert dialog.input(name).get_attribute("placeholder") == placeholder

    dialog.unfold(pages.EXTRA)
    order = [each.get_attribute("name") for each in dialog.browser.all("[name^=element_]", dialog.dialog)]
    assert order == [element(field) for field in form.fields]
    for field in form.fields:
        text = dialog.group(element(field)).text
        assert field.label in text
        assert field.description in text
        assert "*" not in text.replace(field.description, ""), f"{field.name} must not be required"
        assert _widget(dialog, field) == _expected_widget(field), field.name
    dialog.browser.screenshot(f"connection_{form.conn_type}", dialog.dialog.size["height"] + 80)


@EVERY_FORM
def test_what_is_typed_is_stored_in_its_type_and_secrets_survive_a_second_save(
    form: ConnectionForm, connections: ConnectionList, airflow_stack: LocalAirflow
) -> None:
    conn_id = f"typed_{form.conn_type}"
    standard = {"host": "https://etl.example", "login": "ann", "password": "stored-pass:word", "port": "8443"}
    standard = {name: text for name, text in standard.items() if name not in form.hidden}
    extra = {field.name: _entry(field) for field in form.fields}
    dialog = connections.add()
    dialog.choose_type(conn_id, form.hook_name)
    for name, text in standard.items():
        dialog.type(name, text)
    dialog.unfold(pages.EXTRA)
    for field in form.fields:
        if field.kind == "boolean":
            dialog.browser.click("[data-scope=switch][data-part=control]", dialog.group(element(field)))
        elif field.choices:
            dialog.choose(field, extra[field.name])
        else:
            dialog.type(element(field), str(extra[field.name]))
    dialog.save()

    first = pages.stored(airflow_stack, conn_id)
    assert first["conn_type"] == form.conn_type
    assert {name: str(first[name]) for name in standard} == standard
    assert first["extra"] == extra
    assert {name: type(value) for name, value in first["extra"].items()} == {n: type(v) for n, v in extra.items()}
    assert form.read(first["extra"])

    dialog = connections.edit(conn_id)
    assert dialog.value("password") == MASK
    dialog.unfold(pages.EXTRA)
    for field in form.fields:
        if field.kind in {"password", "object"}:
            assert dialog.value(element(field)) == MASK, field.name
    seen = [dialog.browser.driver.page_source, *dialog.values()]
    assert not [secret for secret in _secrets(form, first) if any(secret in text for text in seen)]
    dialog.unfold(pages.STANDARD)
    dialog.type("description", "edited")
    dialog.save()
    assert pages.stored(airflow_stack, conn_id) == {**first, "description": "edited"}


@pytest.fixture(scope="module")
def tested(airflow_stack: LocalAirflow, chromium: Browser) -> Iterator[dict[str, VendorSandbox]]:
    """Every vendor on localhost, and four connections to each: good, wrong, dead and bare."""
    nobody = free_port()
    with ExitStack() as running:
        vendors: dict[str, VendorSandbox] = {}
        for form in FORMS:
            options = OPTIONS.get(form.conn_type, {})
            vendor = vendors[form.conn_type] = running.enter_context(sandbox_class(form.conn_type)(**options))
            # Without a port, 3.3.2 refuses every test.
            good = {**vendor.connection(), "port": urlsplit(vendor.base_url).port}
            for name, fields in {
                "good": good,
                "wrong": pages.different(good),
                "dead": {**good, "host": f"http://127.0.0.1:{nobody}", "port": nobody},
                "bare": {**good, "host": "etl.example.com/?x=1"},
            }.items():
                airflow_stack.api.add_connection(f"{name}_{form.conn_type}", fields)
        ConnectionList(chromium, airflow_stack)
        yield vendors


@EVERY_FORM
def test_the_test_button_tells_in_our_words_what_is_right_or_wrong(
    form: ConnectionForm, tested: dict[str, VendorSandbox], chromium: Browser, airflow_stack: LocalAirflow
) -> None:
    vendor = tested[form.conn_type]
    page = ConnectionList(chromium, airflow_stack, opened=True)
    said = {name: page.test(f"{name}_{form.conn_type}") for name in ("good", "wrong", "dead", "bare")}
    assert "Success" in said["good"]
    assert f"at {vendor.base_url}" in said["good"]
    assert "answered" in said["good"]
    assert "Fail" in said["wrong"]
    assert "credential of connection under test" in said["wrong"]
    assert "Connection refused" in said["dead"]
    assert "the host must be the server's address" in said["bare"]
    assert all(vendor.connection()["password"] not in text for text in said.values())


def _expected_widget(field: Field) -> tuple[str | None, ...]:
    if field.kind in {"password", "object"}:
        return ("password", "")
    if field.kind == "boolean":
        return ("switch", str(field.default))
    if field.choices:
        return ("list", field.default)
    if field.kind in {"integer", "number"}:
        return ("number", "" if field.default is None else f"{field.default:g}")
    return ("text", field.default or "")


def _widget(dialog: pages.ConnectionForm, field: Field) -> tuple[str | None, ...]:
    shown = dialog.input(element(field))
    group = dialog.group(element(field))
    if dialog.browser.all("input[role=combobox]", group):
        return ("list", shown.get_attribute("value"))
    if shown.get_attribute("type") == "checkbox":
        return ("switch", str(shown.is_selected()))
    kind = "number" if shown.get_attribute("role") == "spinbutton" else shown.get_attribute("type")
    return (kind, shown.get_attribute("value"))


def _entry(field: Field) -> Any:
    """Return something for a field that is not its default."""
    if field.kind == "boolean":
        return not field.default
    if field.choices:
        return next(choice for choice in field.choices if choice != field.default)
    if field.kind == "integer":
        return int(field.minimum or 0) + 3
    if field.kind == "number":
        return 2.5
    if field.kind == "object":
        return '{"X-Key": "stored-of-headers"}'
    if field.kind == "page":
        return "https://e.example/" + "/".join(f"{{{name}}}" for name in field.ids)
    return f"stored-{field.name}"


def _secrets(form: ConnectionForm, row: dict[str, Any]) -> list[str]:
    return [row["password"], *(row["extra"][field.name] for field in form.fields if field.kind == "password")]
