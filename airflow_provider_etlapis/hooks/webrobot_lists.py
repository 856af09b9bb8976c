"""What WebRobot's lists of jobs tell about executions, from look to look."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from airflow_provider_etlapis.hooks.webrobot_runs import is_documented_end, is_going, job_name, state_of
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, RunState

CHECKED_EVERY = 4
"""At each so manieth look, one run of a project is left out, in turn."""


class JobLists:
    """Judges executions by the status of their jobs.

    A list shows a job's last execution and not whose it is, but a job runs once at a time. So while it is going, ours
    is; and if it has ended since a look that saw it going, so has ours. Whether well or badly is then most likely,
    and not sure: the job may have run once more meanwhile. Whoever is told an end here reads the run itself. What
    nothing can be told about is left out.
    """

    def __init__(self) -> None:
        self._looks = 0
        self._seen: Mapping[str, RunState] = {}
        self._going: dict[str, RunState] = {}

    def begin(self) -> None:
        """Begin a look."""
        self._looks += 1
        self._seen, self._going = self._going, {}

    def judge(self, refs: Sequence[RunRef], jobs: Collection[Mapping[str, Any]]) -> dict[str, RemoteRun]:
        """Return what the list of a project's jobs tells about executions in it, by run id."""
        statuses = {str(job.get("id")): str(job.get("executionStatus") or "") for job in jobs}
        found = {}
        for ref in refs:
            shown = statuses.get(ref.ids["job_id"])
            state = state_of(shown)
            before = self._seen.get(ref.run_id)
            if is_going(shown):
                self._going[ref.run_id] = state
                is_told = not (before is RunState.RUNNING and state is RunState.QUEUED)  # it begins anew for another
            else:
                is_told = before is not None and is_documented_end(shown)
            if is_told and shown:
                found[ref.run_id] = RemoteRun(ref, state, shown, job_name(ref.ids))
        turn, is_left = divmod(self._looks, CHECKED_EVERY)
        if not is_left:
            # Its job may run again, for somebody else, and for long.
            found.pop(refs[turn % len(refs)].run_id, None)
        return found
