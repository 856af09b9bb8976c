"""QueBIT DataWORQ on localhost."""

from __future__ import annotations

from airflow_provider_etlapis.sandbox.dataworq.sandbox import DataworqSandbox

__all__ = ["DataworqSandbox"]
