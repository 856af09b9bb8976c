"""WebRobot: its hook, which is loaded when it is first used, since it takes the HTTP libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_etlapis.faces import load_on_use

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.webrobot.hook import WebRobotHook

__all__ = ["WebRobotHook"]
__getattr__ = load_on_use(__name__, WebRobotHook="hook")
