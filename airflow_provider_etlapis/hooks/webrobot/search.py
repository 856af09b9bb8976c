"""Collects the facts about the run of a WebRobot start call that got no answer, for ``runs.evidence`` to weigh.

An execution shows neither its inputs nor who started it, so none can be shown to be ours. A task that is started by
itself takes no inputs: whichever run of it began after the call did what was asked.
"""

from __future__ import annotations

from collections.abc import Collection

from airflow_provider_etlapis.hooks.webrobot.marks import CallTime, JobMark, TaskMark
from airflow_provider_etlapis.runs.evidence import Candidate, Search, StartProof, weigh
from airflow_provider_etlapis.runs.model import RemoteRun

EXECUTION_PROOF = StartProof(
    marker="",
    inputs="hidden",
    starter="hidden",
    order="a task of the job names an execution that no task named just before the call",
    source="the job's tasks, each of which names its last execution: complete where they name the same as before and "
    "nothing of the job is running or queued",
)
"""What an execution of a job shows: never enough to tell ours from somebody else's."""

TASK_RUN_PROOF = StartProof(
    marker="",
    inputs="none",
    starter="hidden",
    order="what the task showed just before the call: its execution's reference, the start in its metrics, its status",
    source="the task itself, which shows its last run: complete where it shows what it showed before the call",
)
"""What a run of a task that was started by itself shows."""


def weigh_executions(
    before: JobMark | None, now: JobMark, runs: Collection[RemoteRun], call: CallTime, looked_for: str
) -> Search:
    """Return what a look at a job proves about an execute call that got no answer.

    :param before: the job's mark from just before the call; ``None`` where none was kept (Airflow 3.0 to 3.2).
    :param now: the job's mark now.
    :param runs: the executions that the tasks name now and did not name before.
    :param looked_for: in words, for the log.
    """
    candidates = [
        Candidate(run, began_after=_began_after(run, call, has_mark=before is not None))
        for run in sorted(runs, key=_start_of)
    ]
    why = now.why_it_may_hide_a_run(before, call)
    if not why and before is None:
        why = _why_unclear(candidates, now)
    if why and runs:
        why += f" ({', '.join(f'{run.ref.run_id} is {run.vendor_status}' for run in runs)})"
    return weigh(candidates, looked_for, is_complete=not why, why_incomplete=why)


def weigh_task_run(
    before: TaskMark | None, now: TaskMark, run: RemoteRun, call: CallTime, looked_for: str, *, is_shared: bool
) -> Search:
    """Return what a look at a task proves about a start call that got no answer.

    :param before: the task's mark from just before the call; ``None`` where none was kept (Airflow 3.0 to 3.2).
    :param now: the task's mark now.
    :param run: the task's last run, as it is shown now.
    :param looked_for: in words, for the log.
    :param is_shared: whether another task of the job names the same execution.
    """
    if before is None:
        is_old = now.is_surely_before(call)
        began_after, is_complete = (False if is_old else None), is_old
    else:
        began_after = now.shows_new_run(before, call)
        is_complete = began_after is False and not now.is_going
        if began_after is None and (_is_surely_before(run, call) or now.looks_like(before)):
            began_after = False  # a run that is shown and not ours; ours may be hidden behind it
    candidate = Candidate(
        run,
        began_after=began_after,
        same_inputs=_ran_by_itself(before, now, is_shared=is_shared),
        same_starter=True,  # nobody could have given it inputs, so it did what was asked, for any credential
    )
    return weigh([candidate], looked_for, is_complete=is_complete, why_incomplete=_why_task_unclear(now))


def _ran_by_itself(before: TaskMark | None, now: TaskMark, *, is_shared: bool) -> bool | None:
    """Say whether a task ran without inputs: not as a part of an execution of its job, which may have had some.

    Such an execution shows at the other tasks of the job; where there are none, it does what the task by itself does,
    but for its arguments (c).
    """
    if is_shared or before is None:
        return None
    has_own_reference = bool(now.reference) and now.reference != before.reference
    return True if has_own_reference or (before.others is not None and before.others == now.others) else None


def _began_after(run: RemoteRun, call: CallTime, *, has_mark: bool) -> bool | None:
    """Say whether an execution that was not named just before the call began after it."""
    if _is_surely_before(run, call):
        return False
    return True if has_mark else None


def _is_surely_before(run: RemoteRun, call: CallTime) -> bool:
    return call.is_surely_after(run.started) or (run.state.is_terminal and call.is_surely_after(run.ended))


def _start_of(run: RemoteRun) -> float:
    """Sort the run first that began soonest: it is the likeliest, as a job runs once at a time."""
    return run.started.timestamp() if run.started else float("inf")


def _why_unclear(candidates: Collection[Candidate], now: JobMark) -> str:
    if len(candidates) < len(now.executions):
        return "a task names something that is no execution"
    newer = [each.run for each in candidates if each.began_after is not False or not each.run.state.is_terminal]
    if newer:
        return "a task names an execution that may be newer than the call, and may have replaced one"
    return ""


def _why_task_unclear(now: TaskMark) -> str:
    if now.is_going:
        return f"a run of it goes on ({now.status})"
    return f"what it shows ({now.status or 'no status'}) may be that of a run since then"
