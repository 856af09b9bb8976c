"""What Airflow reads through the provider entry point: connection types with their forms, modules, links."""

from __future__ import annotations

from typing import Any

from airflow_provider_etlapis import __version__
from airflow_provider_etlapis.connection_forms import FORMS

_NAMES = {form.conn_type: form.hook_name for form in FORMS}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata."""
    return {
        "package-name": "airflow-provider-etlapis",
        "name": "ETL APIs",
        "description": "Runs in Etlworks, Celery Director, QueBIT DataWORQ, Meiro Integrations and WebRobot: "
        "started, followed without holding a worker, and never twice.",
        "versions": [__version__],
        "integrations": [
            {"integration-name": name, "external-doc-url": "", "tags": ["service"]} for name in _NAMES.values()
        ],
        **{
            kind: [
                {
                    "integration-name": name,
                    "python-modules": [f"airflow_provider_etlapis.{kind}.{conn_type}"],
                }
                for conn_type, name in _NAMES.items()
            ]
            for kind in ("hooks", "operators", "sensors")
        },
        "triggers": [
            {"integration-name": name, "python-modules": ["airflow_provider_etlapis.triggers.run"]}
            for name in _NAMES.values()
        ],
        "connection-types": [form.provider_info() for form in FORMS],
        "extra-links": ["airflow_provider_etlapis.links.RemoteRunLink"],
    }
