"""Finds the runs that go on although no task waits for them, and cancels them, guarded as kills are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.inventory.survey import Row, Survey, survey
from airflow_provider_etlapis.runs.claims import GRACE, ClaimingTask, RunStanding, standing


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one orphan.

    :param done: whether nobody needs to do anything about it any more.
    :param note: what was done, for a person.
    """

    done: bool
    note: str


class Sweep:
    """One sweep through the tasks of an Airflow.

    :param open_hook: opens the hook of a connection.
    :param read_tasks: returns the task instances that have a run, as Airflow shows them now.
    :param grace: seconds after its task's last change in which a run is not yet an orphan: the task's own cancel may
        be under way.
    """

    def __init__(
        self,
        open_hook: Callable[[str], AbstractContextManager[RemoteRunHook]],
        read_tasks: Callable[[], Sequence[ClaimingTask]],
        *,
        grace: float = GRACE,
    ) -> None:
        self._open_hook = open_hook
        self._grace = grace
        self._read_tasks = read_tasks

    def find(self, conn_ids: Sequence[str]) -> Survey:
        """Return the orphans alone. The vendors are asked only for runs to which no task will come back.

        :param conn_ids: where the runs are looked for whose claims, by an earlier release, name no connection.
        """
        tasks = self._read_tasks()
        followed = _followed(tasks)
        suspects = [task for task in tasks if _key(task) not in followed and not task.saw_the_end]
        unnamed = any(not task.claim.conn_id for task in suspects)
        found = survey(suspects, conn_ids if unnamed else (), self._open_hook, grace=self._grace)
        return replace(found, rows=tuple(row for row in found.rows if row.standing is RunStanding.ORPHAN))

    def cancel(self, orphan: Row) -> Outcome:
        """Cancel an orphan, if it still is one: a task may follow it by now."""
        assert orphan.task is not None  # noqa: S101 an orphan has a task
        key = _key(orphan.task)
        tasks = self._read_tasks()
        if key in _followed(tasks):
            return Outcome(True, "left: a task waits for it by now")
        same = [task for task in tasks if _key(task) == key and task.claim.started_by_us]
        if not any(standing(task, orphan.run, time.time(), grace=self._grace) is RunStanding.ORPHAN for task in same):
            return Outcome(False, "left: its task has changed meanwhile, and the next sweep sees it again")
        try:
            with self._open_hook(orphan.conn_id) as hook:
                if not hook.capabilities.cancel:
                    return Outcome(False, f"goes on: {hook.form.hook_name} cannot. {hook.capabilities.cancel_note}")
                return Outcome(True, hook.cancel_run(orphan.ref).note)
        except EtlApiError as error:
            return Outcome(False, f"not cancelled, it may go on: {error}")


def _key(task: ClaimingTask) -> tuple[str, str]:
    return task.claim.ref.vendor, task.claim.ref.run_id


def _followed(tasks: Iterable[ClaimingTask]) -> set[tuple[str, str]]:
    """Return the runs for which some task waits, or will: also one that has only attached to the run."""
    return {_key(task) for task in tasks if task.comes_back}
