"""What differs between the Airflow releases for a test: the serialiser of trigger arguments, the number."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

try:
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import AirflowRescheduleException  # type: ignore[no-redef]

__all__ = ["AIRFLOW", "AirflowRescheduleException", "through_database", "without_handover"]

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
"""Major and minor number of the Airflow that runs the tests."""


def through_database(value: dict[str, Any]) -> dict[str, Any]:
    """Return trigger arguments, or an event, as they come back from the database of this Airflow."""
    if AIRFLOW >= (3, 2):
        from airflow.sdk.serde import deserialize, serialize

        read: dict[str, Any] = deserialize(serialize(value))
        return read
    import json

    from airflow.serialization.serialized_objects import BaseSerialization

    return dict(BaseSerialization.deserialize(json.loads(json.dumps(BaseSerialization.serialize(value)))))


def without_handover(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a wait as :func:`through_database`, less the time that a real scheduler needs."""
    return {**through_database(arguments), "not_before": None}
