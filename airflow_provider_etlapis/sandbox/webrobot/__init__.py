"""WebRobot on localhost."""

from __future__ import annotations

from airflow_provider_etlapis.sandbox.webrobot.runs import execution_of
from airflow_provider_etlapis.sandbox.webrobot.sandbox import WebRobotSandbox

__all__ = ["WebRobotSandbox", "execution_of"]
