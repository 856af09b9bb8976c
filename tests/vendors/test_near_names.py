"""A name that the vendor does not know is refused with the names that are near it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.sandbox.server import VendorSandbox
from tests.contract.rows import ROWS
from tests.support.rehearsal import Rehearsal

NAMES: dict[str, tuple[dict[str, Any], str]] = {
    "celery_director": ({"name": "ELT"}, "near it: 'demo.ETL'"),
    "etlworks": ({"flow_id": None, "flow_name": "Load order"}, "near it: 'Load orders'"),
    "meiro": ({"workspace_id": None, "workspace_name": "{name} "}, "near it: '{name}'"),
}


def first_name(sandbox: VendorSandbox) -> str:
    return str(next(iter(sandbox.workspaces.values())).name)  # type: ignore[attr-defined]  # Meiro's alone


@pytest.mark.parametrize("vendor", NAMES)
def test_the_refusal_names_what_is_near(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(row for row in ROWS if row.vendor == vendor)
    arguments, words = NAMES[vendor]
    with row.sandbox() as sandbox:
        monkeypatch.setenv(f"AIRFLOW_CONN_{vendor.upper()}_DEFAULT", json.dumps(sandbox.connection()))
        if vendor == "meiro":
            name = first_name(sandbox)
            arguments, words = {**arguments, "workspace_name": f"{name}x"}, words.format(name=name)

        with pytest.raises(EtlApiError) as refusal:
            Rehearsal(lambda: row.operator(task_id="run", **arguments)).run()

        assert words in str(refusal.value)
        assert sandbox.ledger.starts == []
