"""Asks the vendors, in few requests, and brings what they say together with what the tasks say."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from airflow_provider_etlapis.exceptions import EtlApiError, NotOfferedError
from airflow_provider_etlapis.hooks.base import RemoteRunHook
from airflow_provider_etlapis.hooks.errors import trouble_of
from airflow_provider_etlapis.runs.claims import GRACE, ClaimingTask, RunStanding, standing
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef, TroubleKind

T = TypeVar("T")

MOST_SINGLE_READS = 200
"""Requests at most for runs that no list shows, a connection and survey; the rest stands as unread."""
_WORTH_A_LIST = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One remote run.

    :param conn_id: the connection through which it was seen, or that its task names.
    :param run: what the vendor says, ``None`` if nothing.
    :param task: the task instance that has it, ``None`` if none is known.
    """

    standing: RunStanding
    conn_id: str
    ref: RunRef
    run: RemoteRun | None = None
    task: ClaimingTask | None = None
    listed: bool = False
    """Whether the vendor's list of its newest runs shows it."""
    can_cancel: bool = False
    """Whether the connection's API has a call that cancels it."""


@dataclass(frozen=True, slots=True)
class Survey:
    """All remote runs of some connections at one moment.

    :param rows: what goes on first, then the newest first.
    :param troubles: by connection, why something could not be read.
    """

    rows: tuple[Row, ...]
    troubles: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Answers:
    """What one connection's vendor says."""

    runs: dict[str, RemoteRun] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    can_cancel: bool = False
    conn_type: str = ""
    server: str = ""


def survey(
    tasks: Sequence[ClaimingTask],
    conn_ids: Iterable[str],
    open_hook: Callable[[str], AbstractContextManager[RemoteRunHook]],
    *,
    newest: int | None = None,
    of: Mapping[str, str] | None = None,
    reads_ended: bool = False,
    grace: float = GRACE,
    single_reads: int = MOST_SINGLE_READS,
    at_once: int = 1,
    now: Callable[[], float] = time.time,
) -> Survey:
    """Ask each connection once, and say of each run how it stands to the tasks.

    A connection costs one list of its newest runs (with ``newest``), one bulk read where its vendor has one, and a
    request for each run that neither shows, first for those without a task that waits. A run whose end its task has
    seen is not asked for.

    :param tasks: the task instances that have a run.
    :param conn_ids: the connections to ask; those that the tasks name are asked besides.
    :param open_hook: opens the hook of a connection; it is closed here.
    :param newest: list so many of each connection's newest runs, whoever started them; ``None`` for none.
    :param reads_ended: ask also for runs whose end their tasks have seen.
    :param grace: seconds after its task's last change in which a run is not yet an orphan.
    :param single_reads: requests for single runs, a connection at most.
    :param at_once: connections that are asked at the same time, each in a thread of its own.
    :param of: of the thing with these names alone, as for :meth:`RemoteRunHook.recent_runs`.
    """
    rows: list[Row] = []
    troubles: dict[str, str] = {}
    known = {*conn_ids, *(task.claim.conn_id for task in tasks if task.claim.conn_id)}
    left = list(tasks)
    listed: list[tuple[str, RemoteRun, bool]] = []
    servers: dict[str, str] = {}

    def ask(conn_id: str) -> tuple[str, _Answers | None, str]:
        try:
            with open_hook(conn_id) as hook:
                mine = [task for task in tasks if _may_be_of(task, conn_id, hook.form.conn_type)]
                wanted = [task for task in mine if reads_ended or not task.saw_the_end]
                answers = _ask(hook, wanted, newest, of, single_reads)
                answers.conn_type, answers.server = hook.form.conn_type, hook.settings.base_url
        except EtlApiError as error:
            return conn_id, None, str(error)
        return conn_id, answers, ""

    for conn_id, answers, trouble in _each(ask, sorted(known), at_once):
        if answers is None:
            troubles[conn_id] = trouble
            continue
        servers[conn_id] = answers.server
        mine = [task for task in left if _may_be_of(task, conn_id, answers.conn_type)]
        if answers.troubles:
            troubles[conn_id] = "; ".join(dict.fromkeys(answers.troubles))
        for task in mine:
            row = _row(task, conn_id, answers, now(), grace)
            if row is not None:
                rows.append(row)
                left.remove(task)
        listed += [(conn_id, run, answers.can_cancel) for run in answers.runs.values()]
    rows += [
        Row(standing(task, None, now()), task.claim.conn_id, task.claim.ref, task=task)
        for task in left
        if not task.saw_the_end
    ]
    claimed = {(servers.get(row.conn_id, ""), row.ref.run_id) for row in rows}
    for conn_id, run, can_cancel in listed:
        key = (servers[conn_id], run.ref.run_id)
        # Several connections may show one server's runs, and a list may name a run by what it is a run of.
        if key not in claimed and not any(_is_of(run.ref, row.ref) for row in rows if row.task is not None):
            claimed.add(key)
            rows.append(Row(standing(None, run, now()), conn_id, run.ref, run, None, True, can_cancel))
    followed = {(task.claim.ref.vendor, task.claim.ref.run_id) for task in tasks if task.comes_back}
    return Survey(tuple(sorted((_followed(row, followed) for row in rows), key=_order)), troubles)


def _followed(row: Row, followed: Collection[tuple[str, str]]) -> Row:
    """Return the row as it is if another task has attached to its run."""
    if row.standing in (RunStanding.ORPHAN, RunStanding.ENDING) and (row.ref.vendor, row.ref.run_id) in followed:
        return replace(row, standing=RunStanding.WAITED_FOR)
    return row


def _is_of(thing: RunRef, run: RunRef) -> bool:
    return thing.vendor == run.vendor and run.run_id.startswith(f"{thing.run_id}/")


def _may_be_of(task: ClaimingTask, conn_id: str, conn_type: str) -> bool:
    claim = task.claim
    return claim.conn_id == conn_id or (not claim.conn_id and claim.ref.vendor == conn_type)


def _each(ask: Callable[[str], T], conn_ids: Sequence[str], at_once: int) -> list[T]:
    if at_once <= 1:
        return [ask(conn_id) for conn_id in conn_ids]
    with ThreadPoolExecutor(at_once, "etlapis-survey") as threads:
        return list(threads.map(ask, conn_ids))


def _ask(
    hook: RemoteRunHook,
    tasks: Sequence[ClaimingTask],
    newest: int | None,
    of: Mapping[str, str] | None,
    single_reads: int,
) -> _Answers:
    answers = _Answers(can_cancel=hook.capabilities.cancel)
    if newest is not None:
        try:
            answers.runs = {run.ref.run_id: run for run in hook.recent_runs(newest, of)}
            answers.listed = set(answers.runs)
        except EtlApiError as error:
            answers.troubles.append(str(error))
    wanted = {task.claim.ref.run_id: task.claim.ref for task in tasks if task.claim.ref.run_id not in answers.runs}
    if len(wanted) >= _WORTH_A_LIST and hook.reads_in_bulk:
        try:
            answers.runs.update(hook.read_runs(list(wanted.values())))
        except EtlApiError as error:
            answers.troubles.append(str(error))
    single = [ref for run_id, ref in wanted.items() if run_id not in answers.runs]
    _read_each(hook, single[:single_reads], answers)
    unread = {ref.run_id for ref in single[single_reads:]}
    if any(task.claim.ref.run_id in unread and not task.comes_back for task in tasks):
        answers.troubles.append(f"{len(unread)} runs were not read: at most {single_reads} are, one by one")
    return answers


def _read_each(hook: RemoteRunHook, refs: Collection[RunRef], answers: _Answers) -> None:
    for ref in refs:
        try:
            answers.runs[ref.run_id] = hook.look(ref)
        except NotOfferedError as error:
            answers.troubles.append(str(error))
        except EtlApiError as error:
            trouble = trouble_of(error)
            if trouble.kind is TroubleKind.MISSING and trouble.is_confirmed:
                answers.missing.add(ref.run_id)
            else:
                answers.troubles.append(f"run {ref.run_id}: {trouble.message}")
                if trouble.kind is TroubleKind.CREDENTIAL:
                    return


def _row(task: ClaimingTask, conn_id: str, answers: _Answers, now: float, grace: float) -> Row | None:
    """Return the row of a task's run, ``None`` if another connection may know more of it."""
    ref = task.claim.ref
    run = answers.runs.get(ref.run_id)
    if run is None and task.saw_the_end:
        return Row(RunStanding.ENDED, conn_id, ref, task=task) if task.claim.conn_id else None
    is_missing = ref.run_id in answers.missing
    if run is None and not task.claim.conn_id:
        return None  # an earlier release wrote no connection: not of this one, as it seems
    found = standing(task, run, now, is_missing=is_missing, grace=grace)
    return Row(found, conn_id, ref, run, task, ref.run_id in answers.listed, answers.can_cancel)


def _order(row: Row) -> tuple[bool, float]:
    goes_on = row.run is None or not row.run.state.is_terminal
    started = row.run.started if row.run is not None else None
    return not goes_on, -(started.timestamp() if started is not None else row.ref.since or 0.0)
