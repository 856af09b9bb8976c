"""A ready-made retry policy for Airflow 3.3 and later: what failed decides whether and when a task is tried again.

Permanent errors never use up retries, with or without it: they end a task at once on every Airflow.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

from airflow_provider_etlapis.exceptions import (
    PermanentError,
    PollingGaveUpError,
    RateLimitedError,
    RemoteRunCancelledError,
    RemoteRunFailedError,
    TaskEndedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.operators.deferral import why_no_event

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

    ARE_OFFERED: bool
else:
    try:
        from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

        ARE_OFFERED = True
    except ImportError:  # Airflow before 3.3
        RetryPolicy, ARE_OFFERED = object, False

__all__ = ["VendorRetryPolicy", "vendor_retry_policy"]

OnBadEnd = Literal["retry", "fail"]


class VendorRetryPolicy(RetryPolicy):
    """Tries again as the failure asks for, within the task's own ``retries``.

    =============================================  =================================================================
    what failed                                    what is done
    =============================================  =================================================================
    a permanent error (credential, input, ...)     the task fails at once; retries are kept
    the vendor asked to wait (``Retry-After``)     retried after the vendor's own delay, never sooner
    the vendor's rate limit, with no delay named   retried after ``rate_limit_delay``
    the wait was given up, the trigger crashed,
    or the worker stopped                          retried after ``follow_delay``: the retry follows the same run
    the run failed, or was cancelled               by ``on_failed_run`` and ``on_cancelled_run``: a retry starts anew
    anything else                                  the task's own ``retry_delay`` and its kin
    =============================================  =================================================================

    :param follow_delay: before a retry that only takes up the run which is there, so it need not be long.
    :param rate_limit_delay: after a 429 without a ``Retry-After``.
    :param on_failed_run: ``"fail"`` if another run of the same thing would be of no use, or dear.
    :param on_cancelled_run: ``"fail"`` if whoever cancels a run on the vendor's side means it.
    :raises AirflowOptionalProviderFeatureException: on Airflow before 3.3, which has no retry policies.
    :raises ValueError: on a word that is not one of those above, or a negative delay.
    """

    def __init__(
        self,
        *,
        follow_delay: timedelta = timedelta(seconds=30),
        rate_limit_delay: timedelta = timedelta(minutes=1),
        on_failed_run: OnBadEnd = "retry",
        on_cancelled_run: OnBadEnd = "retry",
    ) -> None:
        if not ARE_OFFERED:
            raise AirflowOptionalProviderFeatureException(
                "Retry policies need Airflow 3.3 or later. Leave retry_policy out: permanent errors do not use up "
                "retries on older releases either"
            )
        for name, word in (("on_failed_run", on_failed_run), ("on_cancelled_run", on_cancelled_run)):
            if word not in get_args(OnBadEnd):
                raise ValueError(f"{name} must be one of {', '.join(map(repr, get_args(OnBadEnd)))}, not {word!r}")
        for name, delay in (("follow_delay", follow_delay), ("rate_limit_delay", rate_limit_delay)):
            if delay < timedelta(0):
                raise ValueError(f"{name} must not be negative, not {delay}")
        self.follow_delay = follow_delay
        self.rate_limit_delay = rate_limit_delay
        self.on_failed_run = on_failed_run
        self.on_cancelled_run = on_cancelled_run

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide about one failure; Airflow's worker calls it."""
        name = type(exception).__name__
        if isinstance(exception, PermanentError):
            return RetryDecision.fail(f"{name}: another try cannot help")
        if isinstance(exception, VendorUnavailableError) and exception.retry_after is not None:
            delay = timedelta(seconds=exception.retry_after)
            return RetryDecision.retry(delay, f"{name}: the vendor asked to wait {exception.retry_after:.0f} s")
        if isinstance(exception, RateLimitedError):
            return RetryDecision.retry(self.rate_limit_delay, f"{name}: the vendor's rate limit is used up")
        if isinstance(exception, (PollingGaveUpError, TaskEndedError)) or why_no_event(exception) == "failure":
            return RetryDecision.retry(self.follow_delay, f"{name}: the retry follows the run that goes on")
        if isinstance(exception, RemoteRunFailedError):
            cancelled = isinstance(exception, RemoteRunCancelledError)
            setting = "on_cancelled_run" if cancelled else "on_failed_run"
            if getattr(self, setting) == "fail":
                return RetryDecision.fail(f"{name}: {setting}='fail'")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the settings as plain JSON."""
        return {
            "follow_delay": self.follow_delay.total_seconds(),
            "rate_limit_delay": self.rate_limit_delay.total_seconds(),
            "on_failed_run": self.on_failed_run,
            "on_cancelled_run": self.on_cancelled_run,
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> VendorRetryPolicy:
        """Return the policy that :meth:`serialize` wrote."""
        return cls(
            follow_delay=timedelta(seconds=data["follow_delay"]),
            rate_limit_delay=timedelta(seconds=data["rate_limit_delay"]),
            on_failed_run=data["on_failed_run"],
            on_cancelled_run=data["on_cancelled_run"],
        )


vendor_retry_policy = VendorRetryPolicy
"""The policy for an operator's ``retry_policy``: ``retry_policy=vendor_retry_policy()``."""
