"""The connection form that this Airflow shows has our fields, with secrets hidden."""

from __future__ import annotations

import pytest

from airflow_provider_etlapis.connection_forms import FORMS
from airflow_provider_etlapis.forms import ConnectionForm
from tests.support.releases import AIRFLOW

each_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.conn_type)


@pytest.mark.skipif(AIRFLOW >= (3, 0), reason="Airflow 3 has another form")
@each_form
def test_the_form_of_airflow_2_has_all_fields(form: ConnectionForm) -> None:
    from airflow.providers_manager import ProvidersManager
    from airflow.www.forms import create_connection_form_class
    from wtforms import BooleanField, PasswordField

    form_of_all = create_connection_form_class()

    assert set(form.hidden) <= set(ProvidersManager().field_behaviours[form.conn_type]["hidden_fields"])
    for field in form.fields:
        shown = getattr(form_of_all, f"extra__{form.conn_type}__{field.name}")
        assert shown.args[0] == field.label
        assert (shown.field_class is PasswordField) == (field.kind in {"password", "object"})
        assert (shown.field_class is BooleanField) == (field.kind == "boolean")


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="3.0 shows fields of providers only with Airflow 2's libraries installed")
@each_form
def test_the_form_of_airflow_3_has_all_fields(form: ConnectionForm) -> None:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    shown = next(each for each in HookMetaService.hook_meta_data() if each.connection_type == form.conn_type)

    assert shown.hook_name == form.hook_name
    assert shown.extra_fields is not None
    assert [field.name for field in form.fields if field.name not in shown.extra_fields] == []
    assert shown.standard_fields is not None
    for name, label in form.relabeling.items():
        behaviour = getattr(shown.standard_fields, "url_schema" if name == "schema" else name)
        assert behaviour.title == label


@each_form
def test_the_method_for_airflow_2_and_the_declaration_for_3_agree(form: ConnectionForm) -> None:
    pytest.importorskip("wtforms", reason="Airflow 2's libraries")

    assert list(form.widgets()) == list(form.provider_info()["conn-fields"])
