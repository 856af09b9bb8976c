"""Celery Director on localhost."""

from __future__ import annotations

from airflow_provider_etlapis.sandbox.celery_director.sandbox import CeleryDirectorSandbox
from airflow_provider_etlapis.sandbox.celery_director.work import Definition

__all__ = ["CeleryDirectorSandbox", "Definition"]
