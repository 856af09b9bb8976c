"""Every way in which a wait can end before its run does: real Airflow, real signals, two vendors and their ledgers.

Each row is played for a real Celery Director and for a sandbox of Meiro. The rows of both classes are played on
Airflow 2.11 as well, by `test_stack_airflow_2.py`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_etlapis.demo.stack import LocalAirflow
from tests.stack.exits import Stage
from tests.stack.sides import Ledger
from tests.support.stack import adding_dags_to

EXAMPLES = Path(__file__).parents[2] / "example_dags"

pytestmark = pytest.mark.exits

# The old try and the new one may both come to cancel the run, at the same moment.
CLEARED = (Ledger(starts=2, cancels=1), Ledger(starts=2, cancels=2))


@pytest.fixture(scope="module")
def airflow(airflow_stack: LocalAirflow) -> LocalAirflow:
    """The Airflow in which the rows are played."""
    return airflow_stack


class Rows:
    """What is alike for a task that is deferred and one that runs on a worker."""

    name: str

    def test_marking_the_task_failed_cancels_its_run(self, stage: Stage) -> None:
        self._mark(stage, "failed")

    def test_marking_the_task_success_cancels_its_run(self, stage: Stage) -> None:
        self._mark(stage, "success")

    def _mark(self, stage: Stage, state: str) -> None:
        places = stage.places(self.name, f"marked_{state}")
        remotes = {place: place.watched() for place in places}

        for place in places:
            place.mark(state)

        for place, remote in remotes.items():
            place.wait_for_cancelled(remote)
            assert place.instance()["state"] == state
            assert place.ledger() == Ledger(starts=1, cancels=1)

    def test_marking_the_dag_run_failed_cancels_the_runs_of_its_tasks(self, stage: Stage) -> None:
        name = f"failed_while_{self.name}"
        remotes = {place: place.watched() for place in stage.places(name, "waits")}

        stage.airflow.api.set_run_state(stage.dag_id(name), stage.runs[name], "failed")

        for place, remote in remotes.items():
            place.wait_for_cancelled(remote)
            assert place.wait_for_state("failed", "skipped")["state"] == "failed"
            assert place.ledger() == Ledger(starts=1, cancels=1)

    def test_clearing_the_task_cancels_its_run_and_starts_anew(self, stage: Stage) -> None:
        places = stage.places(self.name, "cleared")
        remotes = {place: place.watched() for place in places}

        for place in places:
            place.clear()

        for place, remote in remotes.items():
            place.wait_for_cancelled(remote)
            place.wait_for_state("success")
            assert place.xcom()["run_id"] != remote
            assert place.ledger() in CLEARED

    def test_a_wait_that_is_given_up_leaves_the_run_and_a_retry_follows_it_again(self, stage: Stage) -> None:
        places = stage.places(self.name, "given_up")
        for place in places:
            place.wait_for_log("was left alone; a retry of this task attaches to it again")
            assert "(poll_failure_budget=2 s)" in place.log()

        for place in places:
            place.side.line.mend()

        for place in places:
            place.airflow.wait_for(lambda p=place: p.instance()["try_number"] > 1, 60, f"a retry of {place}")
            (remote,) = place.side.started(place.dag_id, place.task_id)
            assert place.watched() == remote
            assert place.side.is_alive(remote)
            assert place.ledger() == Ledger(starts=1, cancels=0)

    @pytest.mark.parametrize("limit", ["timeout", "execution_timeout", "left_alone"])
    def test_a_deadline_cancels_the_run_or_leaves_it_as_asked_and_the_task_says_which(
        self, stage: Stage, limit: str
    ) -> None:
        left_alone = limit == "left_alone"
        for place in stage.places(self.name, limit):
            assert place.wait_for_state("failed", "success")["state"] == "failed"
            remote = str(place.xcom("run_id"))
            assert "did not finish within" in place.log()
            assert ("was left alone" if left_alone else "asked to cancel") in place.log()
            assert place.side.is_alive(remote) is left_alone
            assert place.side.is_cancelled(remote) is not left_alone
            assert place.ledger() == Ledger(starts=1, cancels=0 if left_alone else 1)
            if left_alone:
                place.side.cancel(remote)


class TestDeferred(Rows):
    """The task is deferred."""

    name = "deferred"

    @pytest.fixture(scope="class", autouse=True)
    def _begun(self, stage: Stage) -> None:
        if not stage.airflow.triggerers:
            stage.airflow.start_triggerer()
        stage.start("deferred", "failed_while_deferred")
        stage.cut_lines("deferred")

    def test_marking_one_mapped_task_failed_cancels_its_run_and_no_other(self, stage: Stage) -> None:
        marked, spared = (stage.places("deferred", "mapped_marked", index) for index in (0, 1))
        remotes = {place: place.watched() for place in (*marked, *spared)}

        for place in marked:
            place.mark("failed")

        for place in marked:
            place.wait_for_cancelled(remotes[place])
            assert place.instance()["state"] == "failed"
            assert place.ledger() == Ledger(starts=1, cancels=1)
        for place in spared:
            assert place.instance()["state"] == "deferred"
            assert place.side.is_alive(remotes[place])
            assert place.ledger() == Ledger(starts=1, cancels=0)

    def test_clearing_a_mapped_task_cancels_its_runs_and_starts_anew(self, stage: Stage) -> None:
        places = [place for index in (0, 1) for place in stage.places("deferred", "mapped_cleared", index)]
        remotes = {place: place.watched() for place in places}

        for place in places[:2]:
            place.clear()  # with all its map indices

        for place, remote in remotes.items():
            place.wait_for_cancelled(remote)
            place.wait_for_state("success")
            assert place.xcom()["run_id"] != remote
            assert place.ledger() in CLEARED

    def test_clearing_a_task_that_has_succeeded_starts_anew(self, stage: Stage) -> None:
        places = stage.places("deferred", "ended")
        for place in places:
            place.wait_for_state("success")
        remotes = {place: place.xcom()["run_id"] for place in places}

        for place in places:
            place.clear()

        for place, remote in remotes.items():
            place.wait_for_state("success", try_number=2)
            assert place.xcom()["run_id"] != remote
            assert place.ledger() == Ledger(starts=2, cancels=0)

    def test_a_crashed_trigger_leaves_the_run_and_a_retry_follows_it(self, stage: Stage) -> None:
        for place in stage.places("deferred", "crashed"):
            assert place.wait_for_state("success", "failed")["state"] == "success"
            remote = place.xcom()["run_id"]
            assert (
                f"The trigger failed. Run {remote} was left alone; a retry of this task attaches to it again"
                in place.log()
            )
            assert place.ledger() == Ledger(starts=1, cancels=0)

    def test_a_trigger_that_is_given_to_another_triggerer_leaves_the_run_and_goes_on(self, stage: Stage) -> None:
        remotes = {place: place.watched() for place in stage.places("deferred", "outlives")}
        looks = {place: place.looks(remote) for place, remote in remotes.items()}
        lost = stage.airflow.triggerers[-1]
        stage.airflow.start_triggerer()

        lost.session.signal(signal.SIGSTOP)  # its heartbeats stop, and Airflow gives its triggers away
        try:
            for place, remote in remotes.items():
                place.wait_for_look(remote, looks[place] + 1, timeout=90)
        finally:
            lost.session.signal(signal.SIGCONT)  # it learns that they are its own no more

        for place, remote in remotes.items():
            place.wait_for_log(f"Run {remote} is still waited for, it is left alone")
            assert place.instance()["state"] == "deferred"
            assert place.side.is_alive(remote)
            assert place.ledger() == Ledger(starts=1, cancels=0)

    def test_a_triggerer_that_is_stopped_cancels_nothing_and_the_next_one_goes_on(self, stage: Stage) -> None:
        remotes = {place: place.watched() for place in stage.places("deferred", "outlives")}
        stopped = {place: place.triggerer() for place in remotes}

        stage.airflow.kill_triggerer(signal.SIGTERM)
        if not stage.airflow.triggerers:
            stage.airflow.start_triggerer()

        for place, remote in remotes.items():
            place.airflow.wait_for(
                lambda p=place: p.triggerer() not in (None, stopped[p]), 60, f"another triggerer for {place}"
            )
            place.wait_for_look(remote)
            assert place.instance()["state"] == "deferred"
            assert place.side.is_alive(remote)
            assert place.ledger() == Ledger(starts=1, cancels=0)


class TestRunning(Rows):
    """The task runs on a worker; no triggerer is alive all the while, which the last two rows are about."""

    name = "running"

    @pytest.fixture(scope="class", autouse=True)
    def _begun(self, stage: Stage) -> None:
        stage.start("deferred")
        for place in stage.places("deferred", "outlives"):
            place.watched()
        stage.kill_triggerers()
        stage.start("running", "failed_while_running")
        stage.cut_lines("running")

    def test_a_worker_that_is_stopped_leaves_its_run_and_the_retry_follows_it(self, stage: Stage) -> None:
        places = stage.places("running", "stopped")
        remotes = {place: place.watched() for place in places}

        for place in places:
            place.signal_worker(signal.SIGTERM)

        for place, remote in remotes.items():
            place.wait_for_state("running", try_number=2)
            assert place.watched() == remote
            assert "The worker was stopped, and nobody ended this task" in place.log(1)
            assert place.ledger() == Ledger(starts=1, cancels=0)

    def test_a_retry_after_the_worker_was_killed_follows_the_same_run(self, stage: Stage) -> None:
        places = stage.places("running", "killed")
        remotes = {place: place.watched() for place in places}

        for place in places:
            place.kill()

        for place, remote in remotes.items():
            ended = place.wait_for_state("success", "failed")
            assert (ended["state"], ended["try_number"]) == ("success", 2)
            assert place.xcom()["run_id"] == remote
            assert place.ledger() == Ledger(starts=1, cancels=0)

    def test_a_deadline_holds_when_no_triggerer_is_alive(self, stage: Stage) -> None:
        for place in stage.places("running", "unwatched"):
            assert place.wait_for_state("failed", "success", timeout=150)["state"] == "failed"
            remote = str(place.xcom("run_id"))
            assert "no triggerer ended the wait in time" in place.log()
            assert place.side.is_cancelled(remote)
            assert place.ledger() == Ledger(starts=1, cancels=1)

    def test_a_triggerer_that_is_killed_cancels_nothing_and_the_next_one_goes_on(self, stage: Stage) -> None:
        places = stage.places("deferred", "outlives")
        for place in places:
            assert place.instance()["state"] == "deferred"
            assert place.ledger() == Ledger(starts=1, cancels=0)

        stage.airflow.start_triggerer()

        for place in places:
            assert place.wait_for_state("success", "failed", timeout=180)["state"] == "success"
            assert place.xcom()["run_id"] == str(place.xcom("run_id"))
            assert place.ledger() == Ledger(starts=1, cancels=0)


class TestOrphans:
    """Runs whose task is over while nobody could cancel them; no triggerer is alive."""

    name = "orphaned_while_deferred"
    ORPHANED = ("marked", "cleared", "given_up")

    @pytest.fixture(scope="class", autouse=True)
    def _begun(self, stage: Stage) -> None:
        if not stage.airflow.triggerers:
            stage.airflow.start_triggerer()
        stage.start(self.name)
        for row in ("marked", "cleared", "spared", "left_alone", "swept_by_dag"):
            for place in stage.places(self.name, row):
                place.watched()
        stage.cut_lines(self.name)
        for place in stage.places(self.name, "given_up"):
            place.wait_for_state("failed")
            place.side.line.mend()
        stage.kill_triggerers()
        stage.airflow.api.request("PATCH", f"dags/{stage.dag_id(self.name)}", json={"is_paused": True})
        for row in ("marked", "left_alone"):
            for place in stage.places(self.name, row):
                place.mark("failed")
        for place in stage.places(self.name, "cleared"):
            place.clear()

    def test_each_run_that_nobody_waits_for_is_found_and_cancelled_in_one_sweep_and_no_other(
        self, stage: Stage
    ) -> None:
        orphaned = {
            remote: place.side
            for row in self.ORPHANED
            for place in stage.places(self.name, row)
            for remote in place.side.started(place.dag_id, place.task_id)
        }
        kept = {
            remote: place.side
            for row in ("spared", "left_alone")
            for place in stage.places(self.name, row)
            for remote in place.side.started(place.dag_id, place.task_id)
        }
        time.sleep(1.5)  # the grace

        found = self._runs(stage, "orphans", "--grace", "1s", returns=1)
        named = {row["run_id"]: row for row in found}
        assert set(named) >= set(orphaned)
        assert not set(named) & set(kept)
        assert {row["task"]["dag_id"] for row in named.values() if row["run_id"] in orphaned} == {
            stage.dag_id(self.name)
        }
        assert all(side.is_alive(remote) for remote, side in orphaned.items())

        self._runs(stage, "orphans", "--grace", "1s", "--cancel")

        for remote, side in orphaned.items():
            stage.airflow.wait_for(lambda r=remote, s=side: s.is_cancelled(r), 30, f"{remote} cancelled")
        assert all(side.is_alive(remote) for remote, side in kept.items())
        assert not set(orphaned) & {row["run_id"] for row in self._runs(stage, "orphans", "--grace", "1s")}

    def test_each_run_names_its_task_and_each_task_its_run(self, stage: Stage) -> None:
        for place in stage.places(self.name, "spared"):
            (remote,) = place.side.started(place.dag_id, place.task_id)
            (row,) = self._runs(stage, "of", place.dag_id, place.task_id)
            assert (row["run_id"], row["standing"]) == (remote, "waited for")
            listed = self._runs(stage, "list", "--conn-id", place.side.conn_id, "--limit", "200")
            (same,) = [row for row in listed if row["run_id"] == remote]
            assert (same["task"]["task_id"], same["task"]["try_number"]) == (place.task_id, 1)

    def test_the_maintenance_dag_cancels_orphans(self, stage: Stage) -> None:
        api, dag_id = stage.airflow.api, "etlapis_cancel_orphans"
        places = stage.places(self.name, "swept_by_dag")
        for place in places:
            place.mark("failed")
        time.sleep(1.5)  # the grace

        with adding_dags_to(stage.airflow) as add:
            add(dag_id, (EXAMPLES / f"{dag_id}.py").read_text())
            run_id = api.trigger(dag_id, {"grace": "1s"})
            assert api.wait_for_run(dag_id, run_id, 120) == "success", api.log_text(dag_id, run_id, "cancel_orphans")

        for place in places:
            assert all(place.side.is_cancelled(run) for run in place.side.started(place.dag_id, place.task_id))
            assert place.ledger() == Ledger(starts=1, cancels=1)
        for place in stage.places(self.name, "spared"):
            assert place.ledger() == Ledger(starts=1, cancels=0)

    def _runs(self, stage: Stage, *arguments: str, returns: int = 0) -> list[dict[str, Any]]:
        done = subprocess.run(
            [stage.airflow._python, "-m", "airflow_provider_etlapis.cli", "runs", *arguments, "--json"],
            env=stage.airflow.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == returns, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows
