"""Makes a sandbox behave as a vendor's server does by a report of ``etlapis doctor``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Options = dict[str, Any]


def _fixed(**options: Any) -> Callable[[Mapping[str, Any]], Options]:
    return lambda _: dict(options)


def _same(setting: str, option: str) -> Callable[[Mapping[str, Any]], Options]:
    """Return what gives a sandbox option the value of the setting that fits the server."""
    return lambda settings: {option: settings[setting]} if setting in settings else {}


def _hours_east(settings: Mapping[str, Any]) -> Options:
    hours = str(settings.get("timezone", "")).removeprefix("Etc/GMT-")
    return {"utc_offset": int(hours)} if hours.isdigit() else {}


def _without_slash(settings: Mapping[str, Any]) -> Options:
    return {"base_path": str(settings["base_path"]).rstrip("/")} if "base_path" in settings else {}


# By vendor and check: the options of the sandbox under which the check differs in the same way.
_OPTIONS: dict[str, dict[str, Callable[[Mapping[str, Any]], Options]]] = {
    "etlworks": {
        "login-path": _same("login_path", "login_path"),
        "daily-report": _fixed(role="editor"),
        "record-ids": _fixed(tells_ids=False),
        "record-times": _fixed(tells_details=False),
        "record-inputs": _fixed(tells_parameters=False),
        "log-header": _fixed(log_takes_header=False),
    },
    "meiro": {
        "login-path": _same("login_path", "login_path"),
        "array-parameters": _same("array_parameters", "array_style"),
        "boolean-parameters": _same("boolean_parameters", "boolean_style"),
        "page-size": _fixed(max_limit=50),
        "timezone": _hours_east,
    },
    "webrobot": {
        "base-path": _without_slash,
        "task-references": _fixed(task_references=False),
    },
    "dataworq": {
        "access": _same("access", "access"),
        "unknown-job": _fixed(unknown_job=400),
        "newest-first": _fixed(newest_first=False),
    },
    "celery_director": {},
}


def options_of(report: Mapping[str, Any]) -> Options:
    """Return the options of a sandbox that behaves as the server of a report.

    A check that held, or whose verdict is unknown, leaves the sandbox as it is; so does one that no option stands for.

    :param report: as ``etlapis doctor --json`` prints it.
    :raises ValueError: if it is no such report, or about no vendor of ours.
    """
    known = _OPTIONS.get(str(report.get("vendor")))
    checks = report.get("checks")
    if known is None or not isinstance(checks, list):
        raise ValueError("not a report of etlapis doctor --json")
    options: Options = {}
    for check in checks:
        if check.get("verdict") == "differs" and check.get("id") in known:
            options.update(known[check["id"]](check.get("settings") or {}))
    return options
