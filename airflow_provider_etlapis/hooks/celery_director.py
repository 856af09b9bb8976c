"""Celery Director: starts, follows and cancels workflows, and reads its definitions.

A "workflow" in the API is one run; the YAML entry that it was made from is a definition.
Source: the project's API page, and what 0.9.0 and 0.10.0 servers were seen to do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from airflow_provider_etlapis.connection_forms import CELERY_DIRECTOR
from airflow_provider_etlapis.exceptions import InvalidInputError, RequestRefusedError, VendorUnavailableError
from airflow_provider_etlapis.hooks.base import CancelReport, RemoteRunHook
from airflow_provider_etlapis.hooks.celery_director_answers import (
    CLOCK_SKEW,
    VENDOR,
    Definition,
    Workflow,
    checked,
    is_before,
    run_of,
    workflow_of,
)
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint, listing
from airflow_provider_etlapis.hooks.values import moment, named, uuid_text
from airflow_provider_etlapis.runs.evidence import Evidence as Sighting
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, RunRef
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.wire.auth import Auth, BasicAuth, NoAuth
from airflow_provider_etlapis.wire.call import Call, Page, Response, json_array, json_object, segment
from airflow_provider_etlapis.wire.exchange import Pause

LONGEST_COMMENT = 255

_LOOKS_FOR_LOST_START = 3
_PAUSE_BETWEEN_LOOKS = 2.0
_PAGE = 1000
_FIRST_ROWS = 100
_MOST_PAGES = 20
_FEWER_SINGLY = 3
_SERVER_FAULT = frozenset({500})


class CeleryDirectorHook(RemoteRunHook):
    """Celery Director's HTTP API.

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
        self.celery_director_conn_id = celery_director_conn_id
        self._depth = 0
        self._shown: Mapping[str, RemoteRun] = {}

    def address(self, values: ConnectionValues) -> str:
        """Return the server's address, above ``/api``."""
        return values.base_url(strip=("/api",))

    def auth(self, values: ConnectionValues) -> Auth:
        """Return HTTP Basic, or nothing where the connection holds no credential."""
        if bool(values.login) != bool(values.password):
            raise values.fault("fill in both user and password, or neither where authentication is off")
        return BasicAuth(values.login, values.password) if values.login else NoAuth()

    @staticmethod
    def ref(workflow_id: str) -> RunRef:
        """Return the reference of a run.

        :raises InvalidInputError: if the id is no UUID; the server would answer that with a fault of its own.
        """
        return RunRef(VENDOR, {"workflow_id": uuid_text(workflow_id, "workflow_id")})

    # Endpoints

    @endpoint
    def ping(self) -> Call[dict[str, Any]]:
        """Return ``{"message": "pong"}``. Proves neither the credential nor the database, broker or workers."""
        return Call("GET", "api/ping", json_object)

    @endpoint
    def list_workflows(self, per_page: int = 1000, page: int = 1, with_payload: bool = True) -> Call[list[Workflow]]:
        """Return one page of runs, newest first; an empty list past the end.

        :param per_page: runs on a page; the server sets no upper limit.
        :param page: page number from 1.
        :param with_payload: include each run's ``payload``.
        :raises InvalidInputError: for numbers below 1, which the server would answer in misleading ways.
        """
        return self._list(per_page, page, with_payload)

    @listing
    def iter_workflows(self, per_page: int = 1000, with_payload: bool = True) -> Call[Page[Workflow]]:
        """Yield all runs, newest first, page by page.

        A run that is started meanwhile pushes the others back, so one may be shown twice; none is skipped.

        :param per_page: runs on a page.
        :param with_payload: include each run's ``payload``.
        """
        return self._page(1, per_page, with_payload)

    def _list(self, per_page: int, page: int, with_payload: bool) -> Call[list[Workflow]]:
        if per_page < 1 or page < 1:
            raise InvalidInputError(f"per_page and page must be at least 1, not {per_page} and {page}")

        def parse(response: Response) -> list[Workflow]:
            # The only end mark: any empty page but the first is a 404, also when the last one is exactly full.
            return [] if response.status == 404 else [checked(row, response) for row in json_array(response)]

        return Call(
            "GET",
            "api/workflows",
            parse,
            query={"per_page": per_page, "page": page, "with_payload": with_payload},
            accepted=frozenset({404}) if page > 1 else frozenset(),
            passing=_SERVER_FAULT,
        )

    def _page(self, number: int, per_page: int, with_payload: bool) -> Call[Page[Workflow]]:
        def page(rows: list[Workflow]) -> Page[Workflow]:
            more = len(rows) >= per_page
            return Page(rows, self._page(number + 1, per_page, with_payload) if more else None)

        return self._list(per_page, number, with_payload).map(page)

    @endpoint
    def get_workflow(self, workflow_id: str) -> Call[Workflow]:
        """Return one run with its tasks and their results.

        :param workflow_id: UUID of the run.
        :raises NotFoundError: if the server does not know it.
        """
        path = f"api/workflows/{segment(uuid_text(workflow_id, 'workflow_id'))}"
        return Call("GET", path, workflow_of, passing=_SERVER_FAULT)

    @endpoint
    def start_workflow(
        self, project: str, name: str, payload: Mapping[str, Any] | None = None, comment: str | None = None
    ) -> Call[Workflow]:
        """Start a run of a definition and return it, ``pending``.

        Never repeated by itself once it may have reached the server: a call that ends in a 500 or without an
        answer may have left a run behind.

        :param project: project of the definition.
        :param name: name of the definition.
        :param payload: JSON object handed to every task of the run.
        :param comment: text kept with the run, at most 255 characters; servers before 0.8.0 refuse one.
        :raises NotFoundError: if there is no such definition.
        :raises RequestRefusedError: if the payload does not fit the definition's schema; every fault is named.
        """
        if comment is not None and len(comment) > LONGEST_COMMENT:
            raise InvalidInputError(f"comment may have {LONGEST_COMMENT} characters, not {len(comment)}")
        body: dict[str, Any] = {"project": project, "name": name, "payload": dict(payload or {})}
        if comment is not None:
            body["comment"] = comment
        return Call("POST", "api/workflows", workflow_of, json=body)

    @endpoint
    def relaunch_workflow(self, workflow_id: str) -> Call[Workflow]:
        """Start a new run with the payload and comment of another one, which stays as it is (and may still run).

        :param workflow_id: UUID of the run to take them from, in any status.
        :raises NotFoundError: if the run or its definition is not there.
        """
        path = f"api/workflows/{segment(uuid_text(workflow_id, 'workflow_id'))}/relaunch"
        return Call("POST", path, workflow_of)

    @endpoint
    def cancel_workflow(self, workflow_id: str) -> Call[Workflow]:
        """Mark a run as canceled and ask the workers to stop it. Not on the project's API page; 0.7.0 and later.

        A finished run is marked as canceled too: :meth:`cancel_run` looks first. 0.10.0 does not stop the work.

        :param workflow_id: UUID of the run.
        """
        path = f"api/workflows/{segment(uuid_text(workflow_id, 'workflow_id'))}/cancel"
        return Call("POST", path, workflow_of)

    @endpoint
    def list_definitions(self) -> Call[list[Definition]]:
        """Return all definitions, by full name, as the server read them when it started."""
        return Call("GET", "api/definitions", lambda response: cast("list[Definition]", json_array(response)))

    # The run interface

    @endpoint
    def check(self) -> Program[str]:
        """Prove the address and the credential with the cheapest call that asks for one (ping does not)."""
        newest = yield from self.list_workflows.plan(per_page=1, with_payload=False)
        definitions = yield from self.list_definitions.plan()
        last = f"its newest run is from {newest[0]['created']}" if newest else "it has no runs yet"
        return f"Celery Director at {self.settings.base_url} answered: {len(definitions)} definitions, {last}"

    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start or relaunch a run.

        :param spec: ``{"project", "name", "payload", "comment"}``, or ``{"relaunch": workflow_id}``.
        :param marker: goes into the comment; left out for servers that refuse comments.
        """
        if "relaunch" in spec:
            started = yield from self.relaunch_workflow.plan(spec["relaunch"])
            return self._run_of(started)
        wanted = spec["project"], spec["name"], spec["payload"]
        try:
            started = yield from self.start_workflow.plan(*wanted, comment=_comment(spec, marker))
        except RequestRefusedError as error:
            if "comment" not in str(error):
                raise
            started = yield from self.start_workflow.plan(*wanted)
        return self._run_of(started)

    @endpoint
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Return a run with its steps; from the list, without them, if the server cannot show it.

        A task that returned bytes makes the detail of its run a server fault for ever.
        """
        try:
            workflow = yield from self.get_workflow.plan(ref.ids["workflow_id"])
        except VendorUnavailableError as error:
            if error.status != 500:
                raise
            listed = yield from self.read_runs.plan([ref])
            if ref.run_id not in listed:
                raise
            return listed[ref.run_id]
        return self._run_of(workflow, ref)

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        """Return the runs that the newest pages of the list show, as far down as the oldest of them lies."""
        wanted = {ref.run_id: ref for ref in refs}
        oldest = min((ref.since or 0.0 for ref in refs), default=0.0)
        # A wait that is left of many lies below the others' runs: as deep as the last look went is one page, not four.
        per_page = _PAGE if len(wanted) > _PAGE // 8 or self._depth > _PAGE // 4 else _PAGE // 4
        found: dict[str, RemoteRun] = {}
        depth = 0
        for page in range(1, _MOST_PAGES + 1):
            rows = yield from self.list_workflows.plan(per_page, page, with_payload=False)
            for number, row in enumerate(rows, (page - 1) * per_page + 1):
                if (ref := wanted.get(row["id"])) is not None:
                    run = self._shown.get(row["id"])
                    if run is None or run.vendor_status != row["status"] or run.ref is not ref:
                        run = self._run_of(row, ref)
                    found[row["id"]] = run
                    depth = number
            missing = len(wanted) - len(found)
            if missing <= _FEWER_SINGLY or len(rows) < per_page or is_before(rows[-1], oldest):
                break
        self._depth, self._shown = depth, found
        return found

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        """Return the newest runs, without their steps; of one definition by the server's newest 20,000 runs.

        :param of: ``{"project", "name"}``.
        """
        if of is None:
            rows = yield from self.list_workflows.plan(per_page=limit, with_payload=False)
            return [self._run_of(row) for row in rows]
        fullname = "{project}.{name}".format_map(named(of, ("project", "name")))
        found: list[RemoteRun] = []
        for page in range(1, _MOST_PAGES + 1):
            rows = yield from self.list_workflows.plan(_PAGE, page, with_payload=False)
            found += [self._run_of(row) for row in rows if row["fullname"] == fullname]
            if len(rows) < _PAGE or len(found) >= limit:
                break
        return found[:limit]

    @endpoint
    def list_shared(self, since: float) -> Program[list[Workflow]]:
        """Return the runs of all definitions that were created since: the server's list knows no filter."""
        rows = yield from self.list_workflows.plan(_FIRST_ROWS, with_payload=False)
        if len(rows) < _FIRST_ROWS or is_before(rows[-1], since):
            return rows
        return (yield from self._rows_since(datetime.fromtimestamp(since, UTC)))

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
        """Cancel a run that has not ended; a finished one would be rewritten as canceled."""
        workflow = yield from self.get_workflow.plan(ref.ids["workflow_id"])
        if self._run_of(workflow, ref).state.is_terminal:
            return CancelReport(False, f"run {ref.run_id} had ended already: {workflow['status']}")
        yield from self.cancel_workflow.plan(ref.ids["workflow_id"])
        return CancelReport(True, f"asked to cancel run {ref.run_id}. {self.capabilities.cancel_note}")

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Look for a run by its comment, a few times: a slow server may write it late.

        A relaunch carries the comment of the run that it was made from, so it cannot be recognised: its
        definition's runs since the call are candidates.
        """
        since = datetime.fromtimestamp(intent.at, UTC) - CLOCK_SKEW
        comment = None if "relaunch" in spec else _comment(spec, intent.marker)
        fullname = None
        if "relaunch" in spec:
            fullname = (yield from self.get_workflow.plan(spec["relaunch"]))["fullname"]
        else:
            fullname = f"{spec['project']}.{spec['name']}"
        looked_for = f"runs of {fullname} since {since:%Y-%m-%d %H:%M:%S} UTC"
        if comment:
            looked_for += f" with the comment {comment!r}"
        nameless: list[RemoteRun] = []
        for look in range(_LOOKS_FOR_LOST_START):
            if look:
                yield Pause(_PAUSE_BETWEEN_LOOKS)
            rows = yield from self._rows_since(since)
            ours = [row for row in rows if row["fullname"] == fullname and row["id"] != spec.get("relaunch")]
            marked = [self._run_of(row) for row in ours if comment and row.get("comment") == comment]
            if marked:
                marked.sort(key=lambda run: run.state.is_terminal and not run.state.is_good)
                return Search(Sighting.FOUND, looked_for, tuple(marked))
            nameless = [self._run_of(row) for row in ours if not comment or "comment" not in row]
        # A server that refuses comments shows none: then ours may be among those without one.
        return Search(Sighting.UNSURE if nameless else Sighting.ABSENT, looked_for, tuple(nameless))

    def _run_of(self, workflow: Workflow, ref: RunRef | None = None) -> RemoteRun:
        return run_of(workflow, self.settings.base_url, ref)

    def _rows_since(self, since: datetime) -> Program[list[Workflow]]:
        rows: list[Workflow] = []
        for page in range(1, _MOST_PAGES + 1):
            part = yield from self.list_workflows.plan(_PAGE, page, with_payload=False)
            rows += part
            if len(part) < _PAGE or is_before(part[-1], since.timestamp()):
                break
        return [row for row in rows if (moment(row["created"]) or since) >= since]


def _comment(spec: Mapping[str, Any], marker: str) -> str:
    own = spec.get("comment")
    if not own:
        return marker
    return f"{str(own)[: LONGEST_COMMENT - len(marker) - 3]} | {marker}"
