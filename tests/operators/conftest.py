"""Fixtures of the operators' tests."""

from tests.support.airflow_context import task_log
from tests.support.fake_vendor import vendor

__all__ = ["task_log", "vendor"]
