"""Which hooks can serve events, so that a trigger that would never send one is refused when it is made."""

from __future__ import annotations

from inspect import getattr_static

from airflow_provider_etlapis.exceptions import InvalidInputError, NotOfferedError

_HOOKS = "airflow_provider_etlapis.hooks"
_KNOWN = frozenset(
    f"{_HOOKS}.{name}"
    for name in (
        "etlworks.EtlworksHook",
        "celery_director.CeleryDirectorHook",
        "meiro.MeiroHook",
        "webrobot.WebRobotHook",
        "dataworq.DataworqHook",
    )
)
"""Hooks that are known to have ``runs_of``: a DAG file that makes a trigger for them imports none of them."""


def check_serves_events(hook: str) -> None:
    """Check that a hook reports the runs of a target; one that this package does not know is imported for that.

    :param hook: dotted path of the hook class.
    :raises InvalidInputError: if there is no such hook class.
    :raises NotOfferedError: if it has no ``runs_of`` of its own.
    """
    if hook in _KNOWN:
        return
    from airflow_provider_etlapis.hooks.base import RemoteRunHook
    from airflow_provider_etlapis.triggers.runtime import hook_class

    try:
        found = hook_class(hook)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"hook must be the dotted path of a vendor's hook class, such as {_HOOKS}.meiro.MeiroHook, not "
            f"{hook[:200]!r} ({type(error).__name__}: {str(error)[:200]})"
        ) from error
    if getattr_static(found, "runs_of") is getattr_static(RemoteRunHook, "runs_of"):
        raise NotOfferedError(
            f"{found.form.hook_name}: {found.__name__} has no runs_of, so the ends of its runs cannot be reported as "
            "events. Wait for a run with this vendor's sensor, or add runs_of to the hook."
        )
