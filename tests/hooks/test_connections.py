"""What Airflow's connection holds becomes an address, a credential and settings; what cannot work names its field."""

from __future__ import annotations

import json
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Connection

from airflow_provider_etlapis.connection_forms import CELERY_DIRECTOR, FORMS
from airflow_provider_etlapis.exceptions import ConnectionSettingsError
from airflow_provider_etlapis.get_provider_info import get_provider_info
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.hooks.connection import ConnectionValues, read_connection, wire_settings
from airflow_provider_etlapis.sandbox.celery_director import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.faults import Fault


def values(extra: dict[str, Any] | None = None, **fields: Any) -> ConnectionValues:
    connection = Connection(conn_id="c", conn_type="celery_director", **fields)
    return read_connection(CELERY_DIRECTOR, connection, extra or {})


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "https://etl.example.com"}, "https://etl.example.com"),
        ({"host": "https://etl.example.com/"}, "https://etl.example.com"),
        ({"host": " https://etl.example.com/api/ "}, "https://etl.example.com"),
        ({"host": "https://etl.example.com/behind/a/proxy/api"}, "https://etl.example.com/behind/a/proxy"),
        ({"host": "etl.example.com"}, "https://etl.example.com"),
        ({"host": "etl.example.com", "schema": "http"}, "http://etl.example.com"),
        ({"host": "etl.example.com", "port": 8000}, "https://etl.example.com:8000"),
        ({"host": "http://etl.example.com", "port": 8000}, "http://etl.example.com:8000"),
        ({"host": "http://etl.example.com:9000", "port": 8000}, "http://etl.example.com:9000"),
        ({"host": "http://etl.example.com", "port": 0}, "http://etl.example.com"),
        ({"host": "http://etl.example.com/prefix", "port": 8000}, "http://etl.example.com:8000/prefix"),
        ({"host": "http://[::1]", "port": 8000}, "http://[::1]:8000"),
        ({"host": "http://[::1]:9000", "port": 8000}, "http://[::1]:9000"),
    ],
)
def test_the_address_is_read_however_it_was_typed(fields: dict[str, Any], url: str) -> None:
    assert values(**fields).base_url(strip=("/api",)) == url


@pytest.mark.parametrize(
    "host",
    [
        "",
        "ftp://etl.example.com",
        "https://",
        "https://etl.example.com?x=1",
        "https://etl.example.com:port",
        "https://etl.example.com:99999",
        "//",
        "http://a..b",
        "http://[::1",
        "http://[bad]",
        "http://" + "a" * 64 + ".example",
        "http://etl example.com",
        "http://etl\x1b[31m.example",
        "http://\u00e9" + "\u00e9" * 80,
    ],
)
def test_an_address_that_cannot_work_is_said_with_an_example(host: str) -> None:
    with pytest.raises(ConnectionSettingsError, match=r"Connection 'c': the host must be .*https://etl\.example\.com"):
        values(host=host).base_url()


@pytest.mark.parametrize(
    "host", ["https://etl_1.example.com", "https://b\u00fccher.example", "http://[fe80::1]:80", "http://x."]
)
def test_unusual_names_of_hosts_are_taken(host: str) -> None:
    assert values(host=host).base_url() == host


@pytest.mark.parametrize(
    "host",
    [
        "https://jane:pass-word-7@etl.example.com:port",
        "https://jane:pass-word-7/x@etl.example.com",
        "https://jane:pass-word-7?@[::1",
        "ftp://jane:pass-word-7@etl.example.com",
        "jane:pass-word-7@etl..example.com",
        "https://etl.example.com/?key=pass-word-7",
        "https://etl.example.com/#pass-word-7",
        "https://pass-word-7@etl.example.com?",
        "https://a..b/?u=https://x@y&key=pass-word-7",
        "pass-word-7://etl.example.com",
    ],
)
def test_an_address_that_cannot_work_is_shown_without_what_may_be_secret(host: str) -> None:
    with pytest.raises(ConnectionSettingsError) as failure:
        values(host=host, password="pass-word-7").base_url()

    assert "pass-word-7" not in str(failure.value)


def test_a_credential_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConnectionSettingsError, match="into login and password") as failure:
        values(host="https://jane:pass-word-7@etl.example.com").base_url()

    assert "pass-word-7" not in str(failure.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("requests_per_minute", "many", "must be a whole number"),
        ("requests_per_minute", 0, "must be at least 1"),
        ("max_in_flight", -1, "must be at least 1"),
        ("retries", "1.5", "must be a whole number"),
        ("read_timeout", "soon", "must be a number"),
        ("read_timeout", "nan", "must be a finite number"),
        ("read_timeout", "inf", "must be a finite number"),
        ("read_timeout", "-1", "must be at least 0.1"),
        ("read_timeout", "1e300", "must be at most 86,400"),
        ("total_timeout", "Infinity", "must be a finite number"),
        ("connect_timeout", "-inf", "must be a finite number"),
        ("max_response_mb", 0, "must be at least 0.1"),
        ("requests_per_minute", "9" * 5000, "must be"),
        ("max_in_flight", 10**400, "must be at most"),
        ("connect_timeout", 0, "must be at least 0.1"),
        ("verify_tls", "perhaps", "must be true or false"),
        ("secret_headers", "X: y", "must be a JSON object"),
        ("secret_headers", "[1]", "must be a JSON object"),
    ],
)
def test_a_bad_extra_names_its_field_and_what_it_takes(name: str, value: Any, words: str) -> None:
    with pytest.raises(ConnectionSettingsError, match=f"Connection 'c'.*'{name}'.*{words}") as failure:
        values({name: value}, host="https://x")

    assert len(str(failure.value)) < 300


@pytest.mark.parametrize("field", ["host", "login", "password"])
def test_texts_that_cannot_be_sent_name_their_field(field: str) -> None:
    if field == "password" and airflow.__version__.startswith("2."):
        pytest.skip("Airflow 2 itself cannot hold such a password")
    with pytest.raises(ConnectionSettingsError, match=f"Connection 'c': {field} holds characters") as failure:
        values(**{"host": "https://x", field: "https://a\ud800b"})

    str(failure.value).encode()


def test_an_extra_that_is_no_object_is_said() -> None:
    with pytest.raises(ConnectionSettingsError, match="Connection 'c': the extra must be a JSON object"):
        read_connection(CELERY_DIRECTOR, Connection(conn_id="c", conn_type="celery_director", host="https://x"), [1])  # type: ignore[arg-type]


def test_a_fault_in_the_connection_spends_no_retries() -> None:
    assert issubclass(ConnectionSettingsError, AirflowFailException)


@pytest.mark.parametrize(("typed", "meant"), [("true", True), (True, True), ("False", False), (0, False), ("", True)])
def test_switches_are_read_as_forms_and_files_write_them(typed: Any, meant: bool) -> None:
    assert values({"verify_tls": typed}, host="https://x").extras["verify_tls"] is meant


def test_every_setting_of_the_form_reaches_the_wire() -> None:
    extra = {
        "requests_per_minute": "120",
        "max_in_flight": 3,
        "retries": 1,
        "connect_timeout": "2.5",
        "read_timeout": 7,
        "total_timeout": "33.5",
        "max_response_mb": 2,
        "verify_tls": False,
        "ca_file": "/ca.pem",
        "client_certificate": "/c.pem",
        "client_key_file": "/k.pem",
        "proxy": "proxy.example:3128",
        "proxy_login": "jane@corp",
        "proxy_password": "p:w/7",
        "secret_headers": '{"X-Gateway-Key": "g", "X-Number": 7}',
    }

    read = values(extra, host="https://x")
    settings = wire_settings(read, read.base_url())

    assert (settings.requests_per_minute, settings.max_in_flight, settings.retry.retries) == (120, 3, 1)
    assert (settings.connect_timeout, settings.read_timeout, settings.total_timeout) == (2.5, 7.0, 33.5)
    assert settings.most_bytes == 2_000_000
    assert settings.verify is False
    assert (settings.ca_file, settings.client_certificate, settings.client_key) == ("/ca.pem", "/c.pem", "/k.pem")
    assert settings.proxy == "http://jane%40corp:p%3Aw%2F7@proxy.example:3128"
    assert settings.headers == {"X-Gateway-Key": "g", "X-Number": "7"}


def test_the_prefixed_extras_of_airflow_2_are_understood() -> None:
    assert values({"extra__celery_director__retries": 2}, host="https://x").extras["retries"] == 2


def test_a_proxy_with_a_credential_in_its_address_is_refused() -> None:
    with pytest.raises(ConnectionSettingsError, match="proxy_login") as failure:
        wire_settings(values({"proxy": "http://jane:pass-word-7@p:1"}, host="https://x"), "https://x")

    assert "pass-word-7" not in str(failure.value)


def test_connection_values_show_no_secret() -> None:
    shown = repr(values({"proxy_password": "hidden-one"}, host="https://x", login="u", password="hidden-two"))

    assert "hidden" not in shown


def test_the_provider_info_fits_airflows_schema() -> None:
    import airflow

    schema = json.loads((__import__("pathlib").Path(airflow.__path__[0]) / "provider_info.schema.json").read_text())

    jsonschema.validate(get_provider_info(), schema)


def test_the_provider_info_names_things_that_exist() -> None:
    from importlib import import_module

    info = get_provider_info()
    modules = [
        module
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in info[kind]
        for module in entry["python-modules"]
    ]
    classes = [entry["hook-class-name"] for entry in info["connection-types"]] + info["extra-links"]

    assert [module for module in modules if import_module(module) is None] == []
    for path in classes:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name), path


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.conn_type)
def test_a_form_declares_each_field_with_type_label_and_help(form: Any) -> None:
    (declared,) = [
        entry for entry in get_provider_info()["connection-types"] if entry["connection-type"] == form.conn_type
    ]

    assert "__" not in form.conn_type, "Airflow splits the names of extras there"
    assert declared["conn-fields"].keys() == {field.name for field in form.fields}
    for name, field in declared["conn-fields"].items():
        assert field["label"], name
        assert field["description"], name
        assert "null" in field["schema"]["type"], "a field without it blocks the form while it is empty"
        jsonschema.Draft7Validator.check_schema(field["schema"])
        if "default" in field["schema"]:
            jsonschema.validate(field["schema"]["default"], field["schema"])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.conn_type)
def test_every_hidden_field_has_a_name_that_airflow_masks(form: Any) -> None:
    from airflow.providers.common.compat.sdk import redact

    hidden = [field.name for field in form.fields if field.kind in {"password", "object"}]

    assert hidden
    assert [name for name in hidden if redact({name: "not to be seen"}) != {name: "***"}] == []


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.conn_type)
def test_an_empty_connection_has_all_defaults(form: Any) -> None:
    read = form.read({})

    assert read == {field.name: field.default for field in form.fields}


@pytest.fixture
def director(monkeypatch: pytest.MonkeyPatch) -> Any:
    with CeleryDirectorSandbox(auth=("airflow", "pass:word")) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BY_JSON", json.dumps(sandbox.connection(extra={"retries": 0})))
        monkeypatch.setenv("AIRFLOW_CONN_BY_URI", sandbox.connection_uri(extra={"retries": 0}))
        yield sandbox


@pytest.mark.parametrize("conn_id", ["by_json", "by_uri"])
def test_connections_are_read_from_json_and_from_uris(director: CeleryDirectorSandbox, conn_id: str) -> None:
    with CeleryDirectorHook(conn_id) as hook:
        assert hook.list_definitions()
        assert hook.settings.retry.retries == 0


@pytest.mark.parametrize("conn_id", ["by_json", "by_uri"])
async def test_connections_are_read_alike_on_the_event_loop(director: CeleryDirectorSandbox, conn_id: str) -> None:
    async with CeleryDirectorHook(conn_id) as hook:
        assert await hook.list_definitions.aio()
        assert hook.settings.retry.retries == 0


def test_the_test_button_says_what_answered(director: CeleryDirectorSandbox) -> None:
    ok, said = CeleryDirectorHook("by_json").test_connection()

    assert ok
    assert director.base_url in said
    assert "3 definitions" in said


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        pytest.param(lambda sandbox: setattr(sandbox, "auth", ("airflow", "other")), "credential", id="password"),
        pytest.param(lambda sandbox: sandbox.inject(Fault("*", "html", times=None)), "HTML page", id="html"),
        pytest.param(lambda sandbox: sandbox.inject(Fault("*", status=403, times=None)), "lacks a right", id="right"),
        pytest.param(lambda sandbox: sandbox.stop(), "127.0.0.1", id="away"),
    ],
)
def test_the_test_button_says_what_is_wrong(director: CeleryDirectorSandbox, break_it: Any, words: str) -> None:
    break_it(director)

    ok, said = CeleryDirectorHook("by_json").test_connection()

    assert not ok
    assert words in said


def test_the_test_button_never_raises_for_a_broken_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", json.dumps({"conn_type": "celery_director", "host": "", "extra": {}}))

    ok, said = CeleryDirectorHook("broken").test_connection()

    assert not ok
    assert "the host must be" in said


async def test_a_connection_that_is_not_there_is_named_in_both_colours() -> None:
    with pytest.raises(ConnectionSettingsError, match="There is no connection 'nowhere'"):
        CeleryDirectorHook("nowhere").list_definitions()
    with pytest.raises(ConnectionSettingsError, match="There is no connection 'nowhere'"):
        await CeleryDirectorHook("nowhere").list_definitions.aio()


@pytest.mark.parametrize("fields", [{"login": "u"}, {"password": "p"}])
def test_half_a_credential_is_refused(fields: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_HALF", json.dumps({"conn_type": "celery_director", "host": "http://127.0.0.1:1", **fields})
    )

    with pytest.raises(ConnectionSettingsError, match="both user and password"):
        CeleryDirectorHook("half").list_definitions()


def test_a_changed_connection_is_read_after_close(
    director: CeleryDirectorSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = CeleryDirectorHook("by_json")
    hook.list_definitions()
    director.auth = ("airflow", "changed-one")
    monkeypatch.setenv("AIRFLOW_CONN_BY_JSON", json.dumps(director.connection()))

    hook.close()

    assert hook.list_definitions()


def test_a_hasty_copy_asks_in_a_hurry_and_looks_nothing_up(
    director: CeleryDirectorSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = CeleryDirectorHook("by_json")
    hook.list_definitions()
    monkeypatch.delenv("AIRFLOW_CONN_BY_JSON")

    with hook.hasty_copy(1.5) as copy:
        assert copy.list_definitions()
        assert (copy.settings.connect_timeout, copy.settings.read_timeout) == (1.5, 1.5)
        assert copy.settings.retry.retries == 1
