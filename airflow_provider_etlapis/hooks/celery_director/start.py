"""Starts runs of Celery Director, and looks for the run of a start call that got no answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_etlapis.exceptions import (
    EtlApiError,
    NotFoundError,
    RequestRefusedError,
    VendorUnavailableError,
)
from airflow_provider_etlapis.hooks.celery_director.answers import (
    VENDOR,
    Workflow,
    run_of,
    waiting_for_all_tasks,
)
from airflow_provider_etlapis.hooks.celery_director.api import CeleryDirectorApi
from airflow_provider_etlapis.hooks.celery_director.inputs import comment_text, definition_part, payload_object
from airflow_provider_etlapis.hooks.celery_director.lists import LARGEST_PAGE, MOST_PAGES, SMALLEST_PAGE, ListReading
from airflow_provider_etlapis.hooks.celery_director.proof import (
    START_PROOF,
    Asked,
    ListedBefore,
    began_after,
    carries,
    keeps_comments,
    missing_tasks,
)
from airflow_provider_etlapis.hooks.celery_director.times import DatabaseZone, surely_before
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.runs.evidence import Candidate, Evidence, Search, weigh
from airflow_provider_etlapis.runs.model import RemoteRun, RunRef
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.text import near

_ROWS_BEFORE = 50
"""Rows of the list that are remembered from before a relaunch: 2 kB in the task's state store."""
_ROWS_WITH_PAYLOAD = 250
"""Rows of a page with payloads, whose size nobody knows."""
_BUILD_FAILED = 500
_MOST_POSITIONS = 1000
_DEEPEST_PAGES = 200
"""Pages after which a run that the server cannot show by id is looked for no further down."""


class CeleryDirectorStart(CeleryDirectorApi):
    """Starts runs. What proves that a run is ours: see :data:`START_PROOF`."""

    start_proof = START_PROOF

    def __init__(self, celery_director_conn_id: str) -> None:
        super().__init__(celery_director_conn_id)
        self._zone = DatabaseZone()
        self._before: tuple[str, ListedBefore] | None = None
        self._positions: dict[str, int] = {}

    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start or relaunch a run.

        :param spec: ``{"project", "name", "payload", "comment"}``, or ``{"relaunch": workflow_id}``; with
            ``"wait_for_all_tasks": True`` the run is running until all its tasks have ended.
        :param marker: goes into the comment; left out for servers that refuse comments.
        :raises RequestRefusedError: also if the server has made a run and then failed to send it to a worker.
        """
        called_at = self._server_now()
        try:
            if "relaunch" in spec:
                started = yield from self.relaunch_workflow.plan(spec["relaunch"])
            else:
                started = yield from self._start_definition(spec, marker)
        except VendorUnavailableError as error:
            if error.by_vendor and error.status == _BUILD_FAILED:
                yield from self._refuse_if_never_sent(error, spec, marker)
            raise
        self._zone = self._zone.learned(started["created"], called_at, self._server_now())
        return self._run_for(spec, started)

    def _start_definition(self, spec: Mapping[str, Any], marker: str) -> Program[Workflow]:
        try:
            return (yield from self._start(spec, marker))
        except NotFoundError as error:
            try:
                known = [str(each["fullname"]) for each in (yield from self.list_definitions.plan())]
            except EtlApiError:
                raise error from None  # the list was only to help
            error.args = (f"{error}{near('.'.join((str(spec['project']), str(spec['name']))), known)}",)
            raise

    def _start(self, spec: Mapping[str, Any], marker: str) -> Program[Workflow]:
        wanted = spec["project"], spec["name"], spec["payload"]
        try:
            return (yield from self.start_workflow.plan(*wanted, comment=comment_text(spec.get("comment"), marker)))
        except RequestRefusedError as error:
            if "comment" not in str(error) or "Payload is not valid" in str(error):
                raise
        if self._before is None or self._before[0] != marker:
            self._before = marker, (yield from self._top_of_list())
        return (yield from self.start_workflow.plan(*wanted))

    @endpoint
    def before_start(self, spec: Mapping[str, Any]) -> Program[Any]:
        """Return the top of the list before a relaunch, whose run will carry no marker of its own."""
        return (yield from self._top_of_list()).to_json() if "relaunch" in spec else None

    def _top_of_list(self) -> Program[ListedBefore]:
        rows = yield from self.list_workflows.plan(_ROWS_BEFORE, with_payload=False)
        return ListedBefore.of(rows, _ROWS_BEFORE)

    # A run that was made and never sent

    def _refuse_if_never_sent(self, error: EtlApiError, spec: Mapping[str, Any], marker: str) -> Program[None]:
        """Raise what a server's own 500 means where it has left a run that no worker will ever get."""
        try:
            row = yield from self._newest_of(spec, marker)
            missing = (yield from self._missing_tasks(row)) if row is not None else []
        except EtlApiError:
            return  # then nothing more is known than that the start has failed
        if row is None or not missing:
            return
        reason = str(error).rstrip(".")
        refused = RequestRefusedError(
            f"{reason}. The server has made run {row['id']} of {row['fullname']} and could not send it to a worker: it "
            f"lacks {_listed(missing)} of its definition, most often because a task is defined in no file of the "
            "server. That run stays pending for ever and does nothing; no other was started. Correct the definition "
            "or its tasks, restart the server, then clear this task."
        )
        refused.by_vendor, refused.status = True, error.status
        raise refused

    def _newest_of(self, spec: Mapping[str, Any], marker: str) -> Program[Workflow | None]:
        """Return the newest run that the call may have made, ``None`` if there is none."""
        before = self._before[1].seen if self._before is not None and self._before[0] == marker else None
        if "relaunch" not in spec and before is None:
            rows = yield from self.list_workflows.plan(SMALLEST_PAGE, with_payload=False)
            return next((row for row in rows if carries(row, marker)), None)
        asked = yield from self._asked(spec)
        rows = yield from self.list_workflows.plan(SMALLEST_PAGE)
        alike = (row for row in rows if asked.matches(row) and asked.has_payload(row))
        return next((row for row in alike if row["id"] not in (before or ())), None)

    def _missing_tasks(self, row: Workflow) -> Program[list[str]]:
        """Return the tasks that a pending run lacks, none where that cannot be told."""
        if row["status"] != "pending":
            return []
        try:
            workflow = yield from self.get_workflow.plan(row["id"])
            return missing_tasks(workflow, (yield from self.list_definitions.plan()))
        except EtlApiError:
            return []

    # A start call without an answer

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Look once for the run of a start call that got no answer.

        By its comment, whatever the server's clock and zone say. A relaunch carries the comment of the run that it
        was made from, and servers before 0.8.0 keep none: then runs of the same definition with the same payload
        that were not there before the call may be it.
        """
        since = f"since {datetime.fromtimestamp(intent.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        if "relaunch" in spec:
            try:
                asked = yield from self._asked(spec)
            except NotFoundError as error:
                return Search(Evidence.UNSURE, f"a relaunch of run {spec['relaunch']}: {error}", is_final=True)
            looked_for = f"a run of {asked.fullname} {since} with the payload and comment of run {asked.not_id}"
            return (yield from self._weigh_alike(spec, asked, intent, looked_for))
        marker = intent.marker
        looked_for = f"a run {since} whose comment ends with {marker!r}"
        rows, gap = yield from self._rows_since(intent.at, LARGEST_PAGE, lambda row: _settles(row, marker))
        marked = [row for row in rows if carries(row, marker)]
        if not marked:
            return (yield from self._weigh_unmarked(spec, intent, rows, gap, looked_for))
        if not intent.is_reconstructed:
            made_by = self._server_now()
            self._zone = self._zone.learned(marked[-1]["created"], intent.at + made_by - time.time(), made_by)
        candidates = []
        for row in reversed(marked):  # the first one first: a person's relaunch carries its comment too
            missing = yield from self._missing_tasks(row)
            if missing:
                looked_for += f"; run {row['id']} lacks {_listed(missing)}, so it was probably never sent to a worker"
            run = yield from self._whole(row, spec)
            candidates.append(Candidate(run, has_marker=None if missing else True))
        return weigh(candidates, looked_for, is_complete=not gap, why_incomplete=gap)

    def _weigh_unmarked(
        self, spec: Mapping[str, Any], intent: Intent, rows: list[Workflow], gap: str, looked_for: str
    ) -> Program[Search]:
        """Weigh a list without the comment: decisive where the server keeps comments."""
        asked = yield from self._asked(spec)
        before = self._listed_before(intent)
        bare = [
            row
            for row in rows
            if asked.matches(row) and began_after(row, intent, before, self.clock_ahead) is not False
        ]
        if not bare or keeps_comments(rows) or (yield from self._keeps_comments()):
            return weigh((), looked_for, is_complete=not gap, why_incomplete=gap)
        looked_for += f", or one of {asked.fullname} without a comment and with the same payload"
        return (yield from self._weigh_alike(spec, asked, intent, looked_for))

    def _weigh_alike(self, spec: Mapping[str, Any], asked: Asked, intent: Intent, looked_for: str) -> Program[Search]:
        """Weigh runs that no comment tells apart.

        A run that has ended well and may have been there before the call is no candidate to adopt, and no proof of
        absence.
        """
        before = self._listed_before(intent)
        rows, gap = yield from self._rows_since(intent.at, _ROWS_WITH_PAYLOAD, lambda row: False, with_payload=True)
        surely, perhaps, unclear = [], [], []
        for row in filter(asked.matches, rows):
            after = began_after(row, intent, before, self.clock_ahead)
            candidate = Candidate(self._run_for(spec, row), began_after=after, same_inputs=asked.has_payload(row))
            if candidate.is_ours is False:
                continue
            if after:
                surely.append(candidate)
            elif candidate.run.state.is_good:
                unclear.append(candidate.run.ref.run_id)
            else:
                perhaps.append(candidate)
        if unclear and not gap:
            gap = f"whether {_listed(unclear)}, ended by now, began before the call cannot be told"
        # Of those since the call, the first one is the likeliest.
        return weigh([*reversed(surely), *perhaps], looked_for, is_complete=not gap, why_incomplete=gap)

    def _asked(self, spec: Mapping[str, Any]) -> Program[Asked]:
        if "relaunch" not in spec:
            fullname = f"{definition_part(spec['project'], 'project')}.{definition_part(spec['name'], 'name')}"
            return Asked(fullname, payload_object(spec["payload"]))
        ref = RunRef(VENDOR, {"workflow_id": spec["relaunch"]})
        try:
            old = yield from self.get_workflow.plan(ref.run_id)
        except VendorUnavailableError as error:
            listed = (yield from self._listed_row(ref, with_payload=True)) if error.status == _BUILD_FAILED else None
            if listed is None:
                raise
            old = listed
        return Asked(old["fullname"], old.get("payload"), old.get("comment"), not_id=old["id"])

    def _listed_before(self, intent: Intent) -> ListedBefore | None:
        if self._before is not None and self._before[0] == intent.marker:
            return self._before[1]
        return ListedBefore.from_json(intent.watermark)

    def _keeps_comments(self) -> Program[bool]:
        try:
            keeps: bool = yield self._comment_probe()
        except EtlApiError:
            return False  # then it may keep none
        return keeps

    # The list

    def _rows_since(
        self, at: float, per_page: int, settles: Callable[[Workflow], bool], *, with_payload: bool = False
    ) -> Program[tuple[list[Workflow], str]]:
        """Return the rows down to runs that surely began before a moment, and why some may be missing.

        :param at: seconds since the epoch.
        :param settles: whether a row makes further ones superfluous.
        """
        reading, rows = ListReading(per_page), list[Workflow]()
        for _ in range(MOST_PAGES):
            if reading.page is None:
                break
            part = yield self._list(reading.page.per_page, reading.page.number, with_payload)
            rows += reading.take(part)
            is_deep = bool(part) and surely_before(part[-1]["created"], at, self.clock_ahead)
            if is_deep or reading.is_whole or any(map(settles, part)):
                return rows, ""
        return rows, f"only the newest {len(rows)} runs could be read, back to {rows[-1]['created']} by the server"

    def _listed_row(self, ref: RunRef, *, with_payload: bool = False) -> Program[Workflow | None]:
        """Return the list's row of a run, as far down as it lies; rows only sink, so first where it lay before."""
        for skip in sorted({self._positions.pop(ref.run_id, 0), 0}, reverse=True):
            reading = ListReading(LARGEST_PAGE, skip)
            for _ in range(_DEEPEST_PAGES):
                if reading.page is None:
                    break
                try:
                    part = yield self._list(reading.page.per_page, reading.page.number, with_payload)
                except EtlApiError:
                    return None
                for row in reading.take(part):
                    if row["id"] == ref.run_id:
                        if len(self._positions) >= _MOST_POSITIONS:
                            self._positions.clear()
                        self._positions[ref.run_id] = reading.positions[ref.run_id]
                        return row
                if ref.since is not None and part and surely_before(part[-1]["created"], ref.since, self.clock_ahead):
                    break
        return None

    def _whole(self, row: Workflow, spec: Mapping[str, Any]) -> Program[RemoteRun]:
        """Return the run of a row; with its tasks, where these decide whether it has ended."""
        run = self._run_for(spec, row)
        if not (spec.get("wait_for_all_tasks") and run.state.is_terminal):
            return run
        return (yield from self.read_run.plan(run.ref))

    def _run_of(self, workflow: Workflow, ref: RunRef | None = None) -> RemoteRun:
        return run_of(workflow, self.settings.base_url, self._zone, ref)

    def _run_for(self, spec: Mapping[str, Any], workflow: Workflow) -> RemoteRun:
        """Return a run as a spec waits for it."""
        run = self._run_of(workflow)
        return self._run_of(workflow, waiting_for_all_tasks(run.ref)) if spec.get("wait_for_all_tasks") else run

    def _server_now(self) -> float:
        return time.time() + (self.clock_ahead or 0.0)


def _settles(row: Workflow, marker: str) -> bool:
    """Say whether a run is ours and leaves nothing to look for: of several, one that has not ended badly counts."""
    return carries(row, marker) and row["status"] not in ("error", "canceled")


def _listed(names: list[str]) -> str:
    """Return names for a message, at most five."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"
