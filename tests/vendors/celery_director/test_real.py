"""A real Celery Director 0.10.0: what the sandbox imitates about lost starts, dead runs and runs that go on is so."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.exceptions import NotFoundError, RemoteRunFailedError, RequestRefusedError
from airflow_provider_etlapis.hooks.celery_director import CeleryDirectorHook
from airflow_provider_etlapis.operators.celery_director import CeleryDirectorRunWorkflowOperator
from airflow_provider_etlapis.runs.evidence import Evidence
from airflow_provider_etlapis.runs.model import RunState
from tests.support.rehearsal import Rehearsal
from tests.vendors.celery_director.kit import found, intent

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])


@pytest.fixture
def hook(director: RealDirector, monkeypatch: pytest.MonkeyPatch) -> Iterator[CeleryDirectorHook]:
    monkeypatch.setenv("AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT", json.dumps(director.connection()))
    with CeleryDirectorHook() as made:
        yield made


def asked(name: str, project: str = "demo", **payload: Any) -> dict[str, Any]:
    return {"project": project, "name": name, "payload": payload, "comment": "real"}


def task(name: str, project: str, deferrable: bool, **payload: Any) -> Rehearsal:
    inputs: dict[str, Any] = {"project": project, "name": name, "payload": payload, "wait_for_all_tasks": True}
    return Rehearsal(
        lambda: CeleryDirectorRunWorkflowOperator(task_id="t", poll_interval=0.2, deferrable=deferrable, **inputs)
    )


def test_a_run_is_found_by_its_comment_and_others_runs_of_the_same_second_are_not_it(
    hook: CeleryDirectorHook, director: RealDirector
) -> None:
    others = [director.start_run("QUICK") for _ in range(3)]
    marker = f"airflow real {time.time_ns()}"
    assert hook.find_started(asked("QUICK"), intent(marker=marker)).sighting is Evidence.ABSENT

    ours = hook.start_run(asked("QUICK"), marker)
    search = hook.find_started(asked("QUICK"), intent(marker=marker))

    assert search.sighting is Evidence.FOUND
    assert found(search) == [ours.ref.run_id]
    assert ours.ref.run_id not in others


def test_a_server_says_whether_it_keeps_comments_and_starts_nothing(
    hook: CeleryDirectorHook, director: RealDirector
) -> None:
    before = len(director.runs())

    assert hook.client.send(hook._comment_probe()) is True
    assert len(director.runs()) == before


def test_a_definition_with_a_task_that_no_file_defines_fails_at_once(
    hook: CeleryDirectorHook, director: RealDirector
) -> None:
    marker = f"airflow real {time.time_ns()}"

    with pytest.raises(RequestRefusedError, match="lacks LOAD, NOWHERE of its definition") as refused:
        hook.start_run(asked("LOST", "lab"), marker)

    (dead,) = [row["id"] for row in director.runs() if str(row.get("comment", "")).endswith(marker)]
    assert dead in str(refused.value)


def test_a_relaunch_that_never_arrived_is_absent_beside_the_runs_of_before(
    hook: CeleryDirectorHook, director: RealDirector
) -> None:
    runs = [director.start_run("QUICK", {"n": 1}) for _ in range(2)]
    spec = {"relaunch": runs[0]}
    before = hook.before_start(spec)
    lost = intent(watermark=before)
    assert hook.find_started(spec, lost).sighting is Evidence.ABSENT

    again = hook.relaunch_workflow(runs[0])
    director.start_run("QUICK", {"n": 2})

    assert found(hook.find_started(spec, lost)) == [again["id"]]


def test_a_run_whose_result_cannot_be_shown_is_read_from_the_list(hook: CeleryDirectorHook) -> None:
    started = hook.start_run(asked("BYTES", "lab"), f"airflow real {time.time_ns()}")
    end = time.monotonic() + 30
    while (run := hook.read_run(started.ref)).state is not RunState.SUCCEEDED:
        assert time.monotonic() < end
        time.sleep(0.2)

    assert run.steps == ()


def test_pages_overlap_and_leave_nothing_out(hook: CeleryDirectorHook, director: RealDirector) -> None:
    for _ in range(7):
        director.start_run("QUICK")
    every = [row["id"] for row in director.runs()]

    listed = [row["id"] for row in hook.iter_workflows(per_page=2, with_payload=False)]

    assert sorted(listed) == sorted(every)


def test_a_page_past_the_end_is_empty_and_a_wrong_address_is_an_error(
    hook: CeleryDirectorHook, director: RealDirector, monkeypatch: pytest.MonkeyPatch
) -> None:
    director.start_run("QUICK")
    assert hook.list_workflows(page=9999) == []

    wrong = {**director.connection(), "host": f"{director.base_url}/api/wrong"}
    monkeypatch.setenv("AIRFLOW_CONN_CELERY_DIRECTOR_DEFAULT", json.dumps(wrong))
    with CeleryDirectorHook() as elsewhere, pytest.raises(NotFoundError, match="base URL"):
        elsewhere.list_workflows(page=2)


@MODES
def test_a_failed_group_is_waited_for_until_its_last_member_has_ended(
    hook: CeleryDirectorHook, director: RealDirector, deferrable: bool
) -> None:
    with pytest.raises(RemoteRunFailedError, match="one member of the group") as failed:
        task("GROUP", "lab", deferrable, seconds=4).run()

    steps = {step["name"]: step["vendor_status"] for step in failed.value.manifest["steps"]}
    assert steps == {"PING": "success", "FAST_FAILURE": "error", "LONG_STEP": "success", "LOAD": "pending"}


@MODES
def test_a_success_hook_that_raises_is_the_end_of_its_run(
    hook: CeleryDirectorHook, director: RealDirector, deferrable: bool
) -> None:
    with pytest.raises(RemoteRunFailedError, match="the hook raised"):
        task("HOOK", "lab", deferrable).run()
