"""Which error answers count as DataWORQ's own, and what a failed start proves by either access mode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_etlapis.exceptions import EtlApiError, NotFoundError, UnrecognizedAnswerError
from airflow_provider_etlapis.hooks.dataworq import DataworqHook
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.faults import PROXY_PAGE, Fault
from airflow_provider_etlapis.wire.call import Response
from tests.vendors.dataworq.support import JOB_ID, SPEC, connect

SPRING = '{"timestamp": 1, "status": 404, "error": "Not Found", "path": "/api/v1/jobs/1"}'


@pytest.fixture
def sandbox() -> Iterator[DataworqSandbox]:
    with DataworqSandbox() as running:
        yield running


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, '{"message": "no such profile"}'),
        (400, '{"fault": {"code": 7}}'),
        (400, '["no such profile"]'),
        (400, '"no such profile"'),
        (400, "Bad Request or Server error"),
        (400, f'{{"message": "{"no such profile, " * 100}"}}'),
        (401, '{"message": "Unauthorized"}'),
        (403, '{"error": "key is disabled"}'),
        (404, '{"message": "Job 1 not found"}'),
        (404, '{"error": "no such thing"}'),
        (409, '{"message": "job is locked"}'),
    ],
)
def test_what_speaks_as_the_vendor_may_is_its_own(status: int, body: str):
    assert DataworqHook.is_own_error(Response(status, {}, body.encode()))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, PROXY_PAGE),
        (400, "Error: <b>bad request</b>"),
        (400, "long words " * 100),
        (400, ""),
        (400, "{}"),
        (400, "null"),
        (400, "400"),
        (400, '{"message": "cut o'),
        (401, "Proxy sign-on"),
        (403, PROXY_PAGE),
        (404, "default backend - 404"),
        (404, "404 page not found"),
        (404, PROXY_PAGE),
        (404, '{"message": "Not Found"}'),
        (404, SPRING),
        (404, ""),
        (408, "Request Timeout"),
        (409, "Conflict"),
        (500, '{"message": "Internal server error"}'),
        (502, PROXY_PAGE),
        (504, '{"message": "Endpoint request timed out"}'),
    ],
)
def test_what_something_in_between_may_have_made_up_is_not(status: int, body: str):
    assert not DataworqHook.is_own_error(Response(status, {}, body.encode()))


@pytest.mark.parametrize("body", ["default backend - 404", SPRING, PROXY_PAGE])
def test_a_404_of_something_in_between_does_not_say_that_a_job_is_not_there(
    sandbox: DataworqSandbox, monkeypatch: pytest.MonkeyPatch, body: str
):
    sandbox.inject(Fault("get", "status", status=404, body=body))

    with connect(monkeypatch, sandbox) as hook:
        with pytest.raises(UnrecognizedAnswerError):
            hook.get_job(JOB_ID)
        with pytest.raises(NotFoundError, match=JOB_ID):
            hook.get_job(JOB_ID)


@pytest.mark.parametrize(
    ("access", "seconds"), [("cloud_connector", "ACTS_AFTER_TIMEOUT"), ("native", "ACTS_AFTER_CLOSE")]
)
@pytest.mark.parametrize("fault", [Fault("start", "drop_before"), Fault("start", "html", status=502)])
def test_behind_the_cloud_connector_a_lost_start_may_take_effect_for_as_long_as_after_a_time_out(
    monkeypatch: pytest.MonkeyPatch, access, seconds: str, fault: Fault
):
    with DataworqSandbox(access=access) as sandbox, connect(monkeypatch, sandbox) as hook:
        sandbox.inject(fault)

        with pytest.raises(EtlApiError) as lost:
            hook.start_run(SPEC, "marker")

    assert lost.value.may_have_acted
    assert lost.value.acts_for == getattr(evidence, seconds)


def test_a_start_that_was_refused_or_never_sent_takes_no_effect_later(
    sandbox: DataworqSandbox, monkeypatch: pytest.MonkeyPatch
):
    sandbox.inject(Fault("start", "status", status=400))
    with connect(monkeypatch, sandbox) as hook:
        with pytest.raises(EtlApiError) as refused:
            hook.start_run(SPEC, "marker")
        sandbox.stop()
        with pytest.raises(EtlApiError) as unsent:
            hook.start_run(SPEC, "marker")

    assert [(error.value.may_have_acted, error.value.acts_for) for error in (refused, unsent)] == [(False, 0.0)] * 2


def test_the_call_that_starts_a_job_may_not_be_repeated():
    call = next(DataworqHook().execute_job.plan(str(SPEC["flow_id"])))

    assert call.starts_run
    assert not call.is_repeatable
