"""A demo is a success only if every task came out as its DAG intends, failures with the vendor's reason."""

from __future__ import annotations

import pytest

from airflow_provider_etlapis.demo.verdict import Outcome, expectations

FAILED = Outcome(
    task="d.fails",
    expected="failed",
    state="failed",
    reason="RemoteRunFailedError: step CHECK failed",
    vendor_reason="amount is null",
    log="step CHECK failed\namount is null",
)


def test_a_dag_names_the_tasks_that_are_not_to_succeed() -> None:
    tags = ["etlapis-demo", "expect:fails=failed", "expect:after=upstream_failed", "finance"]

    assert expectations(tags) == {"fails": "failed", "after": "upstream_failed"}


def test_success_and_an_intended_failure_with_its_reason_are_as_intended() -> None:
    assert Outcome(task="d.etl", expected="success", state="success").problem is None
    assert FAILED.problem is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"state": "success"}, "is success, should be failed"),
        ({"expected": "success"}, "is failed, should be success: RemoteRunFailedError"),
        ({"state": "not reached"}, "is not reached, should be failed"),
        ({"reason": None}, "its log holds no exception"),
        ({"vendor_reason": None}, "not for a reason of the vendor's: RemoteRunFailedError"),
        ({"log": "it failed"}, "its log lacks the vendor's reason: amount is null"),
    ],
)
def test_anything_else_is_a_problem_that_says_what(change: dict[str, str | None], problem: str) -> None:
    outcome = Outcome(**{**vars(FAILED), **change})

    assert problem in (outcome.problem or "")
