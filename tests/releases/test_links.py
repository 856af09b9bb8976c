"""The link to the remote run is read from where this Airflow keeps it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

from airflow.providers.common.compat.sdk import XCom

from airflow_provider_etlapis.get_provider_info import get_provider_info
from airflow_provider_etlapis.links import RemoteRunLink

URL = "https://director.example.com/4711"
KEY = SimpleNamespace(dag_id="dag", task_id="task", run_id="run", try_number=1, map_index=-1)


def test_the_link_is_the_address_that_the_task_pushed() -> None:
    def get_value(*, ti_key: Any, key: str) -> str | None:
        return URL if (ti_key, key) == (KEY, "run_url") else None

    with mock.patch.object(XCom, "get_value", get_value):
        assert RemoteRunLink().get_link(mock.Mock(), ti_key=KEY) == URL


def test_without_an_address_there_is_no_link() -> None:
    with mock.patch.object(XCom, "get_value", return_value=None):
        assert RemoteRunLink().get_link(mock.Mock(), ti_key=KEY) == ""


def test_airflow_may_rebuild_the_link_from_its_class_path() -> None:
    from airflow.providers_manager import ProvidersManager

    (path,) = get_provider_info()["extra-links"]

    assert path == f"{RemoteRunLink.__module__}.{RemoteRunLink.__qualname__}"
    assert path in ProvidersManager().extra_links_class_names
