"""Celery Director: its hook, which is loaded when it is first used, since it takes the HTTP libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_etlapis.faces import load_on_use

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.celery_director.hook import CeleryDirectorHook

__all__ = ["CeleryDirectorHook"]
__getattr__ = load_on_use(__name__, CeleryDirectorHook="hook")
