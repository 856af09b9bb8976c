"""Celery Director: starts, follows and cancels workflows.

A "workflow" in the API is one run; the YAML entry that it was made from is a definition.
Source: the project's API page, and what 0.9.0 and 0.10.0 servers were seen to do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_etlapis.connection_forms import CELERY_DIRECTOR
from airflow_provider_etlapis.exceptions import EtlApiError, NotFoundError, VendorUnavailableError
from airflow_provider_etlapis.hooks.base import CancelReport
from airflow_provider_etlapis.hooks.celery_director.answers import VENDOR, Workflow, waits_for_all_tasks
from airflow_provider_etlapis.hooks.celery_director.inputs import workflow_id_text
from airflow_provider_etlapis.hooks.celery_director.lists import (
    LARGEST_PAGE,
    SMALLEST_PAGE,
    ListChoice,
    ListReading,
)
from airflow_provider_etlapis.hooks.celery_director.start import CeleryDirectorStart
from airflow_provider_etlapis.hooks.celery_director.times import surely_before
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.values import named
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, RunRef

_MOST_PAGES = 20
"""Pages of 1,000 runs in which the runs of one definition are looked for."""
_FEW = 10
"""Runs that one look reads by id itself."""


class CeleryDirectorHook(CeleryDirectorStart):
    """Celery Director's HTTP API and its runs.

    The connection (type ``celery_director``): host is the server's address, with or without a trailing slash or
    ``/api``; login and password for HTTP Basic, both empty where authentication is off.

    :param celery_director_conn_id: id of the Airflow connection.
    """

    conn_name_attr = "celery_director_conn_id"
    default_conn_name = "celery_director_default"
    conn_type = VENDOR
    hook_name = CELERY_DIRECTOR.hook_name
    form = CELERY_DIRECTOR
    capabilities = Capabilities(
        cancel=True,
        bulk=True,
        steps=True,
        finds_lost_starts=True,
        cancel_note="Celery Director 0.10.0 marks the run as canceled without stopping its work, and may call it "
        "success later; other versions stop it only if a worker listens",
    )

    def __init__(self, celery_director_conn_id: str = default_conn_name) -> None:
        super().__init__(celery_director_conn_id)
        self._shown: Mapping[str, RemoteRun] = {}
        self._top: tuple[float, frozenset[str]] | None = None

    @staticmethod
    def ref(workflow_id: str) -> RunRef:
        """Return the reference of a run.

        :raises InvalidInputError: if the id is no UUID; the server would answer that with a fault of its own.
        """
        return RunRef(VENDOR, {"workflow_id": workflow_id_text(workflow_id)})

    @endpoint
    def check(self) -> Program[str]:
        """Prove the address and the credential with the cheapest call that asks for one (ping does not)."""
        newest = yield from self.list_workflows.plan(per_page=1, with_payload=False)
        definitions = yield from self.list_definitions.plan()
        last = f"its newest run is from {newest[0]['created']}" if newest else "it has no runs yet"
        return f"Celery Director at {self.settings.base_url} answered: {len(definitions)} definitions, {last}"

    @endpoint
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Return a run with its steps; from the list, without them, if the server cannot show it.

        A task that returned bytes makes the detail of its run a server fault for ever. That is tried again at each
        look, but only once.
        """
        is_fault_known = ref.run_id in self._positions
        try:
            if is_fault_known:
                workflow: Workflow = yield self._get(ref.run_id)
            else:
                workflow = yield from self.get_workflow.plan(ref.run_id)
        except VendorUnavailableError as error:
            listed = (yield from self._listed_row(ref)) if error.status == 500 else None
            if listed is None:
                raise
            workflow = listed
        return self._run_of(workflow, ref)

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        """Return the runs that the newest pages of the list show, as far down as that is cheaper than reads by id.

        How deep they lie and how long the answers are is learned from one look to the next. A few that are cheaper by
        id are read so here; of more, each is left to a read of its own.
        """
        wanted = {ref.run_id: ref for ref in refs}
        choice = self._worth.choose(wanted)
        found = (yield from self._listed_runs(wanted, choice)) if choice.run_ids else {}
        self._shown = dict(found)
        # Whether all tasks of an ended run have ended is not on the list.
        unclear = [run_id for run_id, run in found.items() if run.state.is_terminal and waits_for_all_tasks(run.ref)]
        by_id = [*unclear, *(run_id for run_id in wanted if run_id not in choice.run_ids)]
        for run_id in unclear:
            del found[run_id]
        if len(by_id) <= _FEW:
            yield from self._read_by_id([wanted[run_id] for run_id in by_id], found)
        return found

    def _listed_runs(self, wanted: Mapping[str, RunRef], choice: ListChoice) -> Program[dict[str, RemoteRun]]:
        missing = set(choice.run_ids)
        oldest = min(wanted[run_id].since or 0.0 for run_id in missing)
        reading, found = ListReading(choice.per_page), dict[str, RemoteRun]()
        while missing and reading.page is not None and reading.rows_read < choice.most_rows:
            rows = yield self._list(reading.page.per_page, reading.page.number, False)
            for row in reading.take(rows):
                if (ref := wanted.get(row["id"])) is not None:
                    missing.discard(row["id"])
                    found[row["id"]] = self._as_shown(row, ref)
            is_deep = bool(rows) and surely_before(rows[-1]["created"], oldest, self.clock_ahead)
            if is_deep or choice.per_page > self._worth.rows_for(missing):
                break
        self._worth.note_list(choice.run_ids, reading)
        return found

    def _read_by_id(self, refs: Collection[RunRef], found: dict[str, RemoteRun]) -> Program[None]:
        """Add runs to those found on the list, alike: without their steps.

        A read that fails is that run's alone; if nothing at all can be read, it is the connection's.
        """
        failure: EtlApiError | None = None
        for ref in refs:
            try:
                run = yield from self.read_run.plan(ref)
            except NotFoundError:
                continue
            except EtlApiError as error:
                failure = error
                if error.status is None:
                    break  # nobody answers: the others would fare no better
            else:
                found[ref.run_id] = replace(run, steps=())
        if failure is not None and not found:
            raise failure

    def _as_shown(self, row: Workflow, ref: RunRef) -> RemoteRun:
        """Return the run of a row; the same object as at the last look, if nothing has changed."""
        run = self._shown.get(row["id"])
        if run is None or run.vendor_status != row["status"] or run.ref is not ref:
            return self._run_of(row, ref)
        return run

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        """Return the newest runs, without their steps; of one definition by the server's newest 20,000 runs.

        :param of: ``{"project", "name"}``.
        """
        if of is None:
            rows = yield from self.list_workflows.plan(per_page=limit, with_payload=False)
            return [self._run_of(row) for row in rows]
        fullname = "{project}.{name}".format_map(named(of, ("project", "name")))
        reading, found = ListReading(LARGEST_PAGE), list[RemoteRun]()
        for _ in range(_MOST_PAGES):
            if reading.page is None or len(found) >= limit:
                break
            rows = yield self._list(reading.page.per_page, reading.page.number, False)
            found += [self._run_of(row) for row in reading.take(rows) if row["fullname"] == fullname]
        return found[:limit]

    @endpoint
    def list_shared(self, since: float) -> Program[list[Workflow]]:
        """Return the runs of all definitions that were created since: the server's list knows no filter."""
        asked_at = self._server_now()
        rows = yield from self.list_workflows.plan(SMALLEST_PAGE, with_payload=False)
        self._learn_zone(rows, asked_at)
        if len(rows) < SMALLEST_PAGE or self._is_before(rows[-1], since):
            return rows
        reading, found = ListReading(LARGEST_PAGE), list[Workflow]()
        for _ in range(_MOST_PAGES):
            if reading.page is None:
                break
            rows = yield self._list(reading.page.per_page, reading.page.number, False)
            found += reading.take(rows)
            if rows and self._is_before(rows[-1], since):
                break
        return [row for row in found if not self._is_before(row, since)]

    def _is_before(self, row: Workflow, since: float) -> bool:
        created = self._zone.moment(row["created"])
        return created is not None and created.timestamp() < since - evidence.CLOCK_SKEW

    def _learn_zone(self, rows: list[Workflow], asked_at: float) -> None:
        """Learn the zone of the server's times from runs that have come since the last look."""
        if self._top is not None:
            last_at, known = self._top
            for row in rows:
                if row["id"] in known:
                    break
                self._zone = self._zone.learned(row["created"], last_at, self._server_now())
        self._top = asked_at, frozenset(row["id"] for row in rows)

    @endpoint
    def runs_of(
        self, what: Mapping[str, Any], since: float, shared: list[Workflow] | None = None
    ) -> Program[list[RemoteRun]]:
        """Return the runs of a definition that were created since.

        Only the newest 20,000 runs of the server are looked through. A run whose status changes after its end (a
        hook that fails, a late cancel) is shown again with another end.

        :param what: ``{"project", "name"}``.
        """
        fullname = "{project}.{name}".format_map(named(what, ("project", "name")))
        rows = (yield from self.list_shared.plan(since)) if shared is None else shared
        return [self._run_of(row) for row in rows if row["fullname"] == fullname]

    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        """Cancel a run that has not ended; a finished one would be rewritten as canceled.

        The server marks the run before it answers, so an answer that is not the run is settled by reading it again.
        """
        workflow = yield from self.get_workflow.plan(ref.run_id)
        if self._run_of(workflow, ref).state.is_terminal:
            return CancelReport(False, f"run {ref.run_id} had ended already: {workflow['status']}")
        failure: EtlApiError | None = None
        try:
            workflow = yield from self.cancel_workflow.plan(ref.run_id)
        except VendorUnavailableError as error:
            if not error.may_have_acted:
                raise
            failure = error
        if failure is not None or workflow["status"] != "canceled":
            try:
                workflow = yield from self.get_workflow.plan(ref.run_id)
            except EtlApiError as error:
                raise failure or error from None
        if workflow["status"] != "canceled":
            if failure is not None and (failure.status is None or failure.acts_for > evidence.ACTS_AFTER_CLOSE):
                raise failure  # it may still be carried out
            note = f"run {ref.run_id} was not canceled and may go on; it is {workflow['status']}"
            return CancelReport(False, f"{note}: {failure}" if failure else note, try_again=failure is not None)
        return CancelReport(True, f"asked to cancel run {ref.run_id}. {self.capabilities.cancel_note}")
