"""Meiro Integrations on localhost."""

from __future__ import annotations

from airflow_provider_etlapis.sandbox.meiro.sandbox import MeiroSandbox

__all__ = ["MeiroSandbox"]
