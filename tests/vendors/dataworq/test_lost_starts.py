"""A DataWORQ start that got no usable response: no job of another user is taken, and none is started twice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_etlapis.exceptions import EtlApiError, RequestRefusedError, StartLostError
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.sandbox.dataworq import DataworqSandbox
from airflow_provider_etlapis.sandbox.dataworq.work import DEMO_FLOWS
from airflow_provider_etlapis.sandbox.faults import Fault
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.runs import Run
from tests.support.rehearsal import Rehearsal
from tests.vendors.dataworq.support import another_users_job, connect, maker, region, when_a_start_arrives

LONG = Life(duration=3600)
OVER = Life(duration=0.0)
HELD = 0.2
"""Seconds for which a start request is held back, so that somebody can act meanwhile."""
APPLIED = Fault("start", "drop_after", seconds=HELD)
NOT_APPLIED = Fault("start", "drop_before", seconds=HELD)

Task = Callable[..., Rehearsal]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[DataworqSandbox]:
    with DataworqSandbox() as running, connect(monkeypatch, running):
        yield running


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def task(request: pytest.FixtureRequest) -> Task:
    """Return a task of the flow with REGION=A, on a worker or deferred."""

    def make(*, keeps_state: bool = True, **arguments: object) -> Rehearsal:
        wanted = {"deferrable": request.param, "parameters": {"REGION": "A"}, "retries": 3, **arguments}
        return Rehearsal(maker(**wanted), keeps_state=keeps_state)

    return make


def run_beside(sandbox: DataworqSandbox, task: Rehearsal, fault: Fault, act: Callable[[], Run]) -> tuple[object, Run]:
    """Run a task whose start goes wrong while another user starts a job; return its result or error, and that job."""
    theirs: list[Run] = []
    sandbox.inject(fault)
    with when_a_start_arrives(sandbox, lambda: theirs.append(act())):
        try:
            result: object = task.run()
        except StartLostError as error:
            result = error
    return result, theirs[0]


# Another user starts the same flow and run profile at that moment


def test_another_users_job_is_not_taken_when_our_start_did_not_arrive(sandbox: DataworqSandbox, task: Task):
    result, theirs = run_beside(sandbox, task(), NOT_APPLIED, lambda: another_users_job(sandbox, LONG))

    assert isinstance(result, StartLostError)
    assert theirs.id in str(result)
    assert sandbox.ledger.starts == []


def test_beside_another_users_job_ours_is_named_and_neither_is_taken(sandbox: DataworqSandbox, task: Task):
    sandbox.plan(LONG)

    result, theirs = run_beside(sandbox, task(), APPLIED, lambda: another_users_job(sandbox, LONG))

    assert isinstance(result, StartLostError)
    (ours,) = sandbox.ledger.starts
    assert ours in str(result)
    assert theirs.id in str(result)


def test_a_job_whose_log_shows_other_inputs_does_not_keep_ours_from_starting(sandbox: DataworqSandbox, task: Task):
    sandbox.plan(Life(duration=0.1))

    result, theirs = run_beside(sandbox, task(), NOT_APPLIED, lambda: another_users_job(sandbox, OVER))

    assert isinstance(result, dict)
    assert [result["run_id"]] == sandbox.ledger.starts
    assert result["run_id"] != theirs.id


def test_of_two_ended_jobs_the_one_with_other_inputs_is_ruled_out(sandbox: DataworqSandbox, task: Task):
    sandbox.plan(OVER)

    result, theirs = run_beside(sandbox, task(), APPLIED, lambda: another_users_job(sandbox, OVER))

    assert isinstance(result, StartLostError)
    (ours,) = sandbox.ledger.starts
    assert ours in str(result)
    assert theirs.id not in str(result)


@pytest.mark.parametrize("life", [LONG, OVER], ids=["going on", "ended"])
def test_the_same_inputs_are_no_proof_because_no_job_shows_who_started_it(
    sandbox: DataworqSandbox, task: Task, life: Life
):
    result, theirs = run_beside(sandbox, task(), NOT_APPLIED, lambda: another_users_job(sandbox, life, "A"))

    assert isinstance(result, StartLostError)
    assert theirs.id in str(result)
    assert sandbox.ledger.starts == []


@pytest.mark.parametrize("life", [LONG, OVER], ids=["going on", "ended"])
def test_a_start_without_parameters_does_not_take_a_job_that_may_have_had_some(
    sandbox: DataworqSandbox, task: Task, life: Life
):
    result, theirs = run_beside(sandbox, task(parameters=None), NOT_APPLIED, lambda: another_users_job(sandbox, life))

    assert isinstance(result, StartLostError)
    assert theirs.id in str(result)
    assert sandbox.ledger.starts == []


# Absence


def test_a_start_that_surely_did_not_arrive_is_made_again(sandbox: DataworqSandbox, task: Task):
    another_users_job(sandbox, LONG, age=30)
    another_users_job(sandbox, OVER, age=30)
    sandbox.seed_run(LONG, flow=DEMO_FLOWS[1].name)
    sandbox.plan(Life(duration=0.1))
    sandbox.inject(NOT_APPLIED)

    assert task().run()["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1


def test_a_job_that_ended_badly_makes_no_difference(sandbox: DataworqSandbox, task: Task):
    sandbox.plan(Life(duration=0.0, outcome="error"), Life(duration=0.1))
    sandbox.inject(APPLIED)

    assert task().run()["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 2


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_full_list_proves_no_absence_in_any_order(sandbox: DataworqSandbox, task: Task, newest_first: bool):
    sandbox.newest_first = newest_first
    for number in range(100):
        sandbox.seed_run(Life(duration=1.0), flow=DEMO_FLOWS[1].name, age=10.0 * (number + 1))
    sandbox.plan(OVER)
    sandbox.inject(APPLIED)

    with pytest.raises(StartLostError):
        task().run()

    assert len(sandbox.ledger.starts) == 1


def test_a_start_that_takes_effect_two_seconds_after_we_gave_up_is_not_made_twice(
    sandbox: DataworqSandbox, task: Task, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(evidence, "ACTS_AFTER_TIMEOUT", 3.5)
    connect(monkeypatch, sandbox, read_timeout=0.2)
    sandbox.plan(LONG, LONG)
    sandbox.inject(Fault("start", "delay", seconds=2.2))

    with pytest.raises(StartLostError) as lost:
        task().run()

    (ours,) = sandbox.ledger.starts
    assert ours in str(lost.value)


@pytest.mark.parametrize("status", [404, 408, 413, 499, 502, 504])
def test_a_status_that_a_proxy_can_make_up_after_passing_the_start_on_is_no_refusal(
    sandbox: DataworqSandbox, task: Task, status: int
):
    sandbox.plan(LONG, LONG)
    sandbox.inject(Fault("start", "status", status=status, body="<html>no answer in time</html>", applied=True))

    with pytest.raises(StartLostError) as lost:
        task().run()

    (ours,) = sandbox.ledger.starts
    assert ours in str(lost.value)


def test_without_the_flows_name_a_lost_start_is_refused_and_says_what_to_set(sandbox: DataworqSandbox, task: Task):
    sandbox.plan(LONG)
    sandbox.inject(APPLIED)

    with pytest.raises(StartLostError, match="flow_name"):
        task(flow_name=None).run()

    assert len(sandbox.ledger.starts) == 1
    assert sandbox.ledger.count("list") == 0, "nothing is read that could not help"


@pytest.mark.parametrize("typed", ["SalesLod", "Sales Load"])
def test_a_flow_name_that_was_never_seen_rules_no_job_out(sandbox: DataworqSandbox, task: Task, typed: str):
    sandbox.plan(LONG)
    sandbox.inject(APPLIED)

    with pytest.raises(StartLostError) as lost:
        task(flow_name=typed).run()

    (ours,) = sandbox.ledger.starts
    assert ours in str(lost.value)


# What the user's policy may do


def test_adopt_takes_the_job_that_began_after_the_request(sandbox: DataworqSandbox, task: Task):
    older = another_users_job(sandbox, LONG, age=5)
    sandbox.plan(Life(duration=0.5))
    sandbox.inject(APPLIED)

    manifest = task(on_lost_start="adopt").run()

    assert [manifest["run_id"]] == sandbox.ledger.starts
    assert manifest["run_id"] != older.id


def test_adopt_prefers_the_job_whose_log_shows_our_inputs(sandbox: DataworqSandbox, task: Task):
    sandbox.plan(OVER)

    result, theirs = run_beside(sandbox, task(on_lost_start="adopt"), APPLIED, lambda: another_users_job(sandbox, LONG))

    assert isinstance(result, dict)
    assert [result["run_id"]] == sandbox.ledger.starts
    assert result["run_id"] != theirs.id


@pytest.mark.parametrize("life", [LONG, Life(duration=1.0)], ids=["going on", "ended"])
def test_adopt_never_takes_a_job_that_was_there_before(sandbox: DataworqSandbox, task: Task, life: Life):
    older = another_users_job(sandbox, life, "A", age=5)
    sandbox.plan(Life(duration=0.1))
    sandbox.inject(NOT_APPLIED)

    manifest = task(on_lost_start="adopt").run()

    assert manifest["run_id"] != older.id
    assert [manifest["run_id"]] == sandbox.ledger.starts


def test_adopt_takes_no_job_of_which_the_order_is_unknown(sandbox: DataworqSandbox, task: Task):
    sandbox.newest_first = False
    older = another_users_job(sandbox, Life(duration=1.0), "A", age=5)
    for _ in range(100):
        sandbox.seed_run(Life(duration=1.0), flow=DEMO_FLOWS[1].name, age=600)
    sandbox.inject(Fault("start", "drop_before", seconds=HELD))

    def reorder() -> Run:
        sandbox.newest_first = True  # the older job is shown by now
        return older

    result, _ = run_beside(sandbox, task(on_lost_start="adopt"), NOT_APPLIED, reorder)

    assert isinstance(result, StartLostError)
    assert older.id in str(result)
    assert sandbox.ledger.starts == []


# Without a state store (Airflow 3.0 to 3.2)


def test_without_a_store_another_tasks_job_since_the_dag_runs_start_is_not_taken(sandbox: DataworqSandbox, task: Task):
    theirs = another_users_job(sandbox, LONG)

    with pytest.raises(StartLostError) as lost:
        task(keeps_state=False).retry().run()

    assert theirs.id in str(lost.value)
    assert sandbox.ledger.starts == []


def test_without_a_store_adopt_takes_the_likeliest_because_the_user_says_so(sandbox: DataworqSandbox, task: Task):
    theirs = another_users_job(sandbox, Life(duration=0.2), "A")

    manifest = task(keeps_state=False, on_lost_start="adopt").retry().run()

    assert manifest["run_id"] == theirs.id
    assert sandbox.ledger.starts == []


def test_without_a_store_our_own_job_is_named_and_not_started_twice(sandbox: DataworqSandbox, task: Task):
    sandbox.plan(LONG)
    rehearsal = task(keeps_state=False)
    rehearsal.lose_process()

    with pytest.raises(StartLostError) as lost:
        rehearsal.retry().run()

    (ours,) = sandbox.ledger.starts
    assert ours in str(lost.value)


def test_without_a_store_a_retry_starts_again_if_no_job_is_in_question(sandbox: DataworqSandbox, task: Task):
    another_users_job(sandbox, LONG, age=3600)
    another_users_job(sandbox, Life(duration=0.0, outcome="error"))
    sandbox.plan(Life(duration=0.1))

    assert task(keeps_state=False).retry().run()["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1


# One odd answer when a retry reads the job of the try before


@pytest.mark.parametrize("kind", ["status", "html"])
def test_one_404_of_a_proxy_at_the_look_back_starts_no_second_job(sandbox: DataworqSandbox, task: Task, kind):
    sandbox.plan(LONG, LONG)
    rehearsal = task()
    rehearsal.lose_process()
    body = "default backend - 404" if kind == "status" else None
    sandbox.inject(Fault("get", kind, status=404, body=body))

    with contextlib.suppress(EtlApiError):  # a try may fail over it, as long as a retry helps
        rehearsal.retry().run(when_known=lambda: sandbox.clock.advance(7200) and None)
    sandbox.clock.advance(7200)

    assert rehearsal.retry().run()["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1


# A refusal in the vendor's own words


@pytest.mark.parametrize(
    "body",
    [
        '{"message": "Bad Request: no such run profile"}',
        '"Bad Request: no such run profile"',
        "Bad Request: no such run profile",
    ],
)
def test_a_400_in_the_vendors_own_words_is_a_refusal_that_shows_them(sandbox: DataworqSandbox, task: Task, body: str):
    sandbox.inject(Fault("start", "status", status=400, body=body))

    with pytest.raises(RequestRefusedError, match=r"no such run profile.*check flow_id.*no job was started") as refused:
        task().run()

    assert not refused.value.may_have_acted
    assert refused.value.by_vendor
    assert sandbox.ledger.count("start") == 1


def test_a_400_that_is_a_page_is_settled_as_a_lost_start(sandbox: DataworqSandbox, task: Task):
    sandbox.plan(Life(duration=0.1))
    sandbox.inject(Fault("start", "html", status=400))

    assert task().run()["state"] == "succeeded"
    assert len(sandbox.ledger.starts) == 1
    assert region("A")["parameters"] == sandbox.runs[sandbox.ledger.starts[0]].request["parameters"]
