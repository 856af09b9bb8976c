"""Etlworks Integrator on localhost."""

from __future__ import annotations

from airflow_provider_etlapis.sandbox.etlworks.sandbox import EtlworksSandbox

__all__ = ["EtlworksSandbox"]
