"""What failed decides whether a task is tried again, and when: as Airflow itself asks the policy."""

from __future__ import annotations

from datetime import timedelta
from inspect import signature
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowOptionalProviderFeatureException

from airflow_provider_etlapis import exceptions
from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator
from airflow_provider_etlapis.retry_policy import ARE_OFFERED, vendor_retry_policy


def _all_errors(base: type[exceptions.EtlApiError] = exceptions.EtlApiError) -> list[type[exceptions.EtlApiError]]:
    return [found for kind in base.__subclasses__() for found in (kind, *_all_errors(kind))]


@pytest.mark.parametrize("error", _all_errors(), ids=lambda error: error.__name__)
def test_an_error_spends_retries_only_if_another_try_may_help(error: type[exceptions.EtlApiError]) -> None:
    assert issubclass(error, AirflowFailException) is not error.retry_helps


if not ARE_OFFERED:

    def test_an_airflow_without_retry_policies_is_told_plainly() -> None:
        with pytest.raises(AirflowOptionalProviderFeatureException, match=r"need Airflow 3\.3"):
            vendor_retry_policy()

else:
    import structlog
    from airflow.sdk.definitions.retry_policy import RetryAction
    from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout
    from airflow.sdk.execution_time.task_runner import _evaluate_retry_policy, _handle_current_task_failed

    def _ti(error_free_retries: int = 3, **settings: Any) -> Any:
        task = CeleryDirectorRunWorkflowOperator(
            task_id="run",
            project="demo",
            name="ETL",
            retries=error_free_retries,
            retry_policy=vendor_retry_policy(**settings),
        )
        server = SimpleNamespace(max_tries=error_free_retries, should_retry=True)
        return SimpleNamespace(
            task=task,
            try_number=1,
            _ti_context_from_server=server,
            rendered_map_index=None,
            end_date=None,
            stats_tags={},
            _failure_metrics_emitted=True,
        )

    def _decided(error: BaseException, **settings: Any) -> Any:
        return _evaluate_retry_policy(_ti(**settings), error, structlog.get_logger())

    def test_the_vendors_own_delay_is_kept() -> None:
        decision = _decided(exceptions.VendorUnavailableError("down", status=503, retry_after=42.0))

        assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(seconds=42))

    def test_the_vendors_own_delay_reaches_the_scheduler() -> None:
        error = exceptions.RateLimitedError("slow down", status=429, retry_after=120.0)

        # Since Airflow 3.4 it takes the context as well.
        further = {"context": {}} if "context" in signature(_handle_current_task_failed).parameters else {}
        message, state = _handle_current_task_failed(_ti(), error, structlog.get_logger(), **further)

        assert state == "up_for_retry"
        assert message.retry_delay_seconds == 120.0
        assert "asked to wait 120 s" in message.retry_reason

    def test_a_rate_limit_without_a_delay_has_one_of_its_own() -> None:
        error = exceptions.RateLimitedError("slow down", status=429)

        assert _decided(error).retry_delay == timedelta(minutes=1)
        assert _decided(error, rate_limit_delay=timedelta(seconds=9)).retry_delay == timedelta(seconds=9)

    @pytest.mark.parametrize(
        "error", [exceptions.PollingGaveUpError("an outage"), TaskDeferralError("Trigger failure")], ids=repr
    )
    def test_a_retry_that_only_follows_the_run_comes_soon(error: BaseException) -> None:
        decision = _decided(error, follow_delay=timedelta(seconds=5))

        assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(seconds=5))

    @pytest.mark.parametrize("error", [found for found in _all_errors() if not found.retry_helps], ids=str)
    def test_a_permanent_error_is_not_retried(error: type[exceptions.EtlApiError]) -> None:
        assert _decided(error("wrong")).action is RetryAction.FAIL

    @pytest.mark.parametrize(
        "error",
        [
            exceptions.RemoteRunFailedError("bad end"),
            exceptions.RemoteRunCancelledError("cancelled"),
            exceptions.RemoteRunTimeoutError("late"),
            exceptions.VendorUnavailableError("down"),
            TaskDeferralTimeout("Trigger timeout"),
            ValueError("somebody else's"),
        ],
        ids=repr,
    )
    def test_everything_else_is_left_to_the_tasks_own_settings(error: BaseException) -> None:
        assert _decided(error).action is RetryAction.DEFAULT

    def test_runs_that_ended_badly_are_not_started_again_if_told_so() -> None:
        failed, cancelled = exceptions.RemoteRunFailedError("bad end"), exceptions.RemoteRunCancelledError("cancelled")

        assert _decided(failed, on_failed_run="fail").action is RetryAction.FAIL
        assert _decided(cancelled, on_failed_run="fail").action is RetryAction.DEFAULT
        assert _decided(cancelled, on_cancelled_run="fail").action is RetryAction.FAIL
        assert _decided(failed, on_cancelled_run="fail").action is RetryAction.DEFAULT

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"on_failed_run": "again"}, "on_failed_run must be one of 'retry', 'fail'"),
            ({"on_cancelled_run": False}, "on_cancelled_run must be one of"),
            ({"follow_delay": timedelta(seconds=-1)}, "follow_delay must not be negative"),
        ],
    )
    def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            vendor_retry_policy(**settings)

    def test_a_policy_comes_back_from_json_as_it_was() -> None:
        policy = vendor_retry_policy(follow_delay=timedelta(seconds=7), on_failed_run="fail")

        assert type(policy).deserialize(policy.serialize()).serialize() == policy.serialize()

    def test_a_dag_with_the_policy_can_be_serialised() -> None:
        from airflow.sdk import DAG
        from airflow.serialization.serialized_objects import DagSerialization

        with DAG("d", schedule=None) as dag:
            CeleryDirectorRunWorkflowOperator(
                task_id="run", project="demo", name="ETL", retries=2, retry_policy=vendor_retry_policy()
            )

        read = DagSerialization.from_dict(DagSerialization.to_dict(dag))

        assert read.get_task("run").has_retry_policy
