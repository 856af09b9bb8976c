"""Makes a sandbox behave as a vendor's server does by a report of ``etlapis doctor``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from airflow_provider_etlapis.sandbox import VENDORS, sandbox_class

Options: TypeAlias = dict[str, Any]
Replay: TypeAlias = Callable[[Mapping[str, Any]], Options]
"""Returns options of a sandbox, given the settings that a check proposes for the server."""


def fixed(**options: Any) -> Replay:
    """Return these options, whatever is proposed."""
    return lambda _: dict(options)


def same(setting: str, option: str) -> Replay:
    """Give an option the value of the setting that fits the server."""
    return lambda settings: {option: settings[setting]} if setting in settings else {}


def options_of(report: Mapping[str, Any]) -> Options:
    """Return the options of a sandbox that behaves as the server of a report.

    A check that held, or whose verdict is unknown, leaves the sandbox as it is; so does one that no option stands for.

    :param report: as ``etlapis doctor --json`` prints it.
    :raises ValueError: if it is no such report, or about no vendor of ours.
    """
    vendor, checks = report.get("vendor"), report.get("checks")
    if vendor not in VENDORS or not isinstance(checks, list):
        raise ValueError("not a report of etlapis doctor --json")
    replays = sandbox_class(vendor).replays
    options: Options = {}
    for check in checks:
        if check.get("verdict") == "differs" and check.get("id") in replays:
            options.update(replays[check["id"]](check.get("settings") or {}))
    return options
