"""What WebRobot's lists of jobs show about executions, from poll to poll."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_etlapis.hooks.webrobot.runs import is_documented_end, is_going, job_name, state_of
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState

CHECKED_EVERY = 10
"""At each so manieth look, one run of a project is left out although nothing speaks against it, in turn."""


@dataclass(frozen=True, slots=True)
class _Sight:
    state: RunState
    updated: str | None


class JobLists:
    """Judges executions by the status of their jobs.

    A list shows a job's last execution and not whose it is, but a job runs once at a time. So while it is going, ours
    is; and if it has ended since a look that saw it going, so has ours. Whether well or badly is then most likely,
    and not sure: the job may have run once more meanwhile. A wait that gets an end from here reads the run itself.

    A job that is going may do so for somebody else by now. It is left out, and so read on its own, if it went from
    running to pending; one of a project at a time, if its ``updatedAt`` has changed (c); and now and then.
    """

    def __init__(self) -> None:
        self._looks = 0
        self._seen: Mapping[str, _Sight] = {}
        self._going: dict[str, _Sight] = {}

    def begin(self) -> None:
        """Begin a look."""
        self._looks += 1
        self._seen, self._going = self._going, {}

    def judge(self, refs: Sequence[RunRef], jobs: Collection[Mapping[str, Any]]) -> dict[str, RemoteRun]:
        """Return what the list of a project's jobs shows about executions in it, by run id."""
        listed = {str(job.get("id")): job for job in jobs}
        found = {}
        doubtful: dict[str, _Sight] = {}
        for ref in refs:
            job = listed.get(ref.ids["job_id"], {})
            shown = str(job.get("executionStatus") or "")
            sight = _Sight(state_of(shown), job.get("updatedAt"))
            before = self._seen.get(ref.run_id)
            if is_going(shown):
                self._going[ref.run_id] = sight
                if before is not None and before.state is RunState.RUNNING and sight.state is RunState.QUEUED:
                    continue
                if before is not None and before.state is sight.state and before.updated != sight.updated:
                    doubtful[ref.run_id] = sight
                    self._going[ref.run_id] = before
            elif before is None or not is_documented_end(shown):
                continue
            found[ref.run_id] = RemoteRun(ref, sight.state, shown, job_name(ref.ids))
        if doubtful:
            chosen = list(doubtful)[self._looks % len(doubtful)]
            self._going[chosen] = doubtful[chosen]
            del found[chosen]
        elif self._looks % CHECKED_EVERY == 0:
            found.pop(refs[self._looks // CHECKED_EVERY % len(refs)].run_id, None)
        return found
