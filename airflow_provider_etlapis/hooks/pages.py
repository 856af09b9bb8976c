"""Pages for people about runs, where the vendor's API names none: from the connection's ``ui_url_template``."""

from __future__ import annotations

from dataclasses import replace
from string import Formatter
from typing import Any
from urllib.parse import quote

from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import RemoteRun


def with_pages(value: Any, template: str | None) -> Any:
    """Return what an endpoint made, its runs with a page each; anything else as it is.

    :param template: address with ids of a run in braces, checked when the connection was read.
    """
    if template is None:
        return value
    if isinstance(value, RemoteRun):
        return value if value.url else replace(value, url=_page_of(value, template))
    if isinstance(value, Search):
        return replace(value, candidates=tuple(with_pages(run, template) for run in value.candidates))
    if isinstance(value, list | tuple) and value and all(isinstance(item, RemoteRun) for item in value):
        return type(value)(with_pages(run, template) for run in value)
    if isinstance(value, dict) and value and all(isinstance(item, RemoteRun) for item in value.values()):
        return {key: with_pages(run, template) for key, run in value.items()}
    return value


def _page_of(run: RemoteRun, template: str) -> str | None:
    """Return the page of a run; none where the run lacks an id that the address needs."""
    needed = {name for _, name, _, _ in Formatter().parse(template) if name}
    if not needed.issubset(run.ref.ids):
        return None
    return template.format_map({name: quote(value, safe="") for name, value in run.ref.ids.items()})
