"""Tells the outlets of a task which run it was: what a DAG that is scheduled by the asset then reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_etlapis.runs.model import RemoteRun

_FACTS = ("run_id", "url", "duration", "vendor_status")


def tell_outlets(context: Context, outlets: Iterable[Any], run: RemoteRun) -> None:
    """Add the facts of a run to the events of a task's assets (datasets on Airflow 2).

    What a DAG's author has put there under the same names stays. Aliases are left alone: which assets they stand for
    is the author's to say.

    :param context: the task's; before Airflow 2.10 it has no events of outlets.
    :param outlets: of the task.
    """
    events = context.get("outlet_events")
    if events is None:
        return
    facts = {name: value for name, value in run.facts().items() if name in _FACTS}
    for asset in outlets:
        if isinstance(asset, Asset):
            events[asset].extra = {**facts, **(events[asset].extra or {})}
