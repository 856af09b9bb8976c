"""QueBIT DataWORQ: starts and follows jobs, through the Cloud Connector or at the customer's own server.

A job is one run of a run profile of a flow. Sources: the vendor's Cloud Connector API reference (a), the opening
of its native API reference (b); what neither says is marked as an assumption (c) where it matters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, get_args

from airflow_provider_etlapis.connection_forms import DATAWORQ
from airflow_provider_etlapis.exceptions import InvalidInputError, RequestRefusedError
from airflow_provider_etlapis.hooks.base import CancelReport, RemoteRunHook
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.dataworq_jobs import (
    JobExecutionResponse,
    JobFilter,
    JobStatus,
    Parameters,
    checked_job_id,
    checked_name,
    job_parameters,
    parse_execution_status,
    parse_job,
    parse_jobs,
    parse_started,
)
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.values import moment_of_millis, named
from airflow_provider_etlapis.runs.evidence import Evidence as Sighting
from airflow_provider_etlapis.runs.evidence import Search
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, RunRef, RunState, newest_first
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.runs.watching import LogLines
from airflow_provider_etlapis.wire.auth import Auth, AuthFlow, HeaderAuth
from airflow_provider_etlapis.wire.call import Call, Request, segment
from airflow_provider_etlapis.wire.exchange import Pause

VENDOR = DATAWORQ.conn_type
CLOUD_CONNECTOR = "https://api.quebit.com"
LONGEST_LIST = 100
"""A list call shows at most this many jobs, and there is no second page."""

_FEW = 1
"""Runs that a list may leave out: to read one singly costs no more than another list."""
_HEAVY = 500_000
"""Characters of logs that a list may bring at each look."""

# Our clock and the server's may differ by this much (an assumption) when a start that got no answer is looked for.
_CLOCK_SKEW = timedelta(minutes=2)
_LOOKS_FOR_LOST_START = 3
_PAUSE_BETWEEN_LOOKS = 2.0
_LONGEST_ERROR = 2000

# The vendor answers bad requests and faults of its own alike with 400: a read is worth another try.
_BAD_REQUEST_OR_SERVER_ERROR = frozenset({400})
_JSON = {"Content-Type": "application/json"}  # documented for reads as well
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")

_STATES = {
    "QUEUED": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "COMPLETED": RunState.SUCCEEDED,
    "ERROR": RunState.FAILED,
    "CANCELLED": RunState.CANCELLED,
}


class DataworqHook(RemoteRunHook):
    """DataWORQ's job API, by either of its two ways in.

    The connection (type ``dataworq``): the password is the key of an API user (``user-api-key``). ``access`` is
    ``cloud_connector`` (default), which needs the extra ``api_key`` as well and no host, or ``native``, whose host
    is the customer's own server. ``api_prefix`` is the path in front of all native calls, ``/api/v1`` by default:
    documented for the Cloud Connector, assumed for the native server.

    :param dataworq_conn_id: id of the Airflow connection.
    """

    conn_name_attr = "dataworq_conn_id"
    default_conn_name = "dataworq_default"
    conn_type = VENDOR
    hook_name = DATAWORQ.hook_name
    form = DATAWORQ
    capabilities = Capabilities(
        cancel=False,
        bulk=True,
        logs=True,
        finds_lost_starts=True,
        cancel_note="DataWORQ's API documents no call that cancels a job: stop it in DataWORQ itself if it must not "
        "go on",
    )

    def __init__(self, dataworq_conn_id: str = default_conn_name) -> None:
        super().__init__(dataworq_conn_id)
        self.dataworq_conn_id = dataworq_conn_id
        self._ended: JobStatus | None = None
        self._list_tells_ends = True

    def address(self, values: ConnectionValues) -> str:
        """Return the address of the native API, as it is or as it would be behind the Cloud Connector."""
        server, prefix = _server_and_prefix(values)
        return server + prefix

    def auth(self, values: ConnectionValues) -> Auth:
        """Return the keys as headers; for the Cloud Connector also the packing of each request."""
        keys = {"user-api-key": _key(values, values.password, "the password must be the key of an API user")}
        if values.extras["access"] == "native":
            return HeaderAuth(keys)
        told = "extra 'api_key' must be the key from the Cloud Connector menu of DataWORQ"
        keys["apiKey"] = _key(values, values.extras["api_key"] or "", told)
        server, _ = _server_and_prefix(values)
        return _CloudConnector(server, keys)

    @staticmethod
    def ref(job_id: str) -> RunRef:
        """Return the reference of a job.

        :raises InvalidInputError: if the id could not be one.
        """
        return RunRef(VENDOR, {"job_id": checked_job_id(job_id)})

    # Endpoints

    @endpoint
    def get_job(self, job_id: str) -> Call[JobStatus]:
        """Return one job, whole, with its log (a).

        :param job_id: id from the reply to the start, a UUID in all of the vendor's examples.
        :raises VendorUnavailableError: on a 400 too, which the vendor uses for faults of the server and for bad
            requests alike, so probably also for a job that it does not know.
        """
        return self._read(f"jobs/{segment(checked_job_id(job_id))}", parse_job)

    @endpoint
    def get_job_execution_status(self, job_id: str) -> Call[str | None]:
        """Return the status word of one job, without the download of its log (a).

        How the answer looks is not documented (c): bare text, a JSON text and a JSON object with the key
        ``executionStatus`` are all understood; ``None`` if it is JSON of another shape.

        :param job_id: id from the reply to the start.
        :raises VendorUnavailableError: as :meth:`get_job`.
        """
        path = f"jobs/{segment(checked_job_id(job_id))}"
        return self._read(path, parse_execution_status, {"filter": "executionStatus"})

    @endpoint
    def list_jobs(self, filter: JobFilter | None = None) -> Call[list[JobStatus]]:  # noqa: A002 the vendor's word
        """Return at most 100 jobs, started by whomever; there is no second page (a).

        :param filter: ``"active"`` for running jobs, ``"history"`` for completed ones (with their whole logs);
            without it the first 100 of both.
        :raises InvalidInputError: for any other filter.
        :raises VendorUnavailableError: as :meth:`get_job`.
        """
        if filter is not None and filter not in get_args(JobFilter):
            raise InvalidInputError(f"filter must be 'active', 'history' or None, not {filter!r}")
        return self._read("jobs", parse_jobs, {"filter": filter})

    @endpoint
    def execute_job(
        self,
        flow_id: str,
        run_profile_name: str = "default",
        parameters: Parameters | None = None,
        notification_enabled: bool = False,
    ) -> Call[JobExecutionResponse]:
        """Start a job and return ``{"jobId": str}`` (a). 200 and 202 mean alike that it was accepted, not its end.

        Never repeated by itself once it may have reached the server.

        :param flow_id: id of the flow, a UUID in the vendor's example; the API has no call to look it up.
        :param run_profile_name: run profile of the flow.
        :param parameters: see :func:`job_parameters`.
        :param notification_enabled: let DataWORQ notify people as the flow says.
        :raises InvalidInputError: for parameters of other types; nothing was sent.
        :raises RequestRefusedError: on a 400, which may be a fault of the server as well.
        """
        if not isinstance(notification_enabled, bool):
            raise InvalidInputError(f"notification_enabled must be True or False, not {notification_enabled!r}")
        body = {
            "flowId": checked_name(flow_id, "flow_id"),
            "runProfileName": checked_name(run_profile_name, "run_profile_name"),
            "notificationEnabled": notification_enabled,
            "parameters": job_parameters(parameters),
        }
        return Call("POST", "jobs", parse_started, json=body)

    @staticmethod
    def _read(path: str, parse: Any, query: Mapping[str, str | None] | None = None) -> Call[Any]:
        return Call("GET", path, parse, query=query or {}, headers=_JSON, passing=_BAD_REQUEST_OR_SERVER_ERROR)

    # The run interface

    @endpoint
    def check(self) -> Program[str]:
        """Prove the address and both keys with the list of active jobs; the API has no health call."""
        active = yield from self.list_jobs.plan("active")
        return f"DataWORQ at {self.settings.base_url} answered: {len(active)} active jobs"

    @endpoint
    def start_run(self, spec: Mapping[str, Any], marker: str) -> Program[RemoteRun]:
        """Start a job.

        :param spec: ``{"flow_id", "run_profile_name", "parameters", "notification_enabled", "flow_name"}``; the
            last one may be null.
        :param marker: unused, DataWORQ has no place for one.
        """
        try:
            started = yield from self.execute_job.plan(
                spec["flow_id"], spec["run_profile_name"], spec["parameters"], spec["notification_enabled"]
            )
        except RequestRefusedError as error:
            raise type(error)(
                f"{error} (DataWORQ answers bad requests and faults of its own alike: check flow_id, "
                "run_profile_name and parameters, and in DataWORQ that no job was started, before clearing the task)"
            ) from error
        # The reply has no status: queued is the least that an accepted job is.
        return RemoteRun(self.ref(started["jobId"]), RunState.QUEUED, "QUEUED", _job_name(spec) or spec["flow_id"])

    @endpoint
    def look(self, ref: RunRef) -> Program[RemoteRun]:
        """Return a job's status alone: all that a wait needs, where the whole job would bring its log each time."""
        if ref.newest is not None:
            return (yield from super().look.plan(ref))
        status = yield from self.get_job_execution_status.plan(ref.ids["job_id"])
        if status is None:
            return (yield from self.read_run.plan(ref))
        return RemoteRun(ref, _state_of(status), status)

    @endpoint
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Return a job, whole."""
        job = yield from self.get_job.plan(ref.ids["job_id"])
        run = run_of(job, ref)
        self._ended = job if run.state.is_terminal else None
        return run

    @endpoint
    def complete_run(self, run: RemoteRun) -> Program[RemoteRun]:
        """Return an ended job, whole, if no more than its status is known so far."""
        if run.details:
            return run
        whole = yield from self.read_run.plan(run.ref)
        return whole if whole.state.is_terminal else run

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        """Return those that a list shows.

        The list without a filter tells ends as well. It is left for the list of active jobs once it shows too few of
        these runs (its order is not documented, (c)) or is heavy with the logs of ended ones. A run that the list of
        active jobs does not show has probably ended, or was pushed out of a full list: it is read singly.
        """
        wanted = {ref.run_id: ref for ref in refs}
        found: dict[str, RemoteRun] = {}
        if self._list_tells_ends:
            jobs = yield from self.list_jobs.plan()
            found = _those_in(jobs, wanted)
            is_heavy = sum(len(str(job.get("log") or "")) for job in jobs) > _HEAVY
            shows_all = len(wanted) - len(found) <= _FEW
            self._list_tells_ends = shows_all and not is_heavy
            if shows_all:
                return found
        return found | _those_in((yield from self.list_jobs.plan("active")), wanted)

    @endpoint
    def list_shared(self, since: float) -> Program[list[JobStatus]]:
        """Return all jobs that the two lists show: 100 active ones, and 100 that have ended (with their whole logs).

        The active ones are read first, so that a job that ends in between is in either list.
        """
        active = yield from self.list_jobs.plan("active")
        return active + (yield from self.list_jobs.plan("history"))

    @endpoint
    def runs_of(
        self, what: Mapping[str, Any], since: float, shared: list[JobStatus] | None = None
    ) -> Program[list[RemoteRun]]:
        """Return the jobs of a run profile of a flow, by the name that a job bears.

        A list has no second page: of more than 100 jobs, of all flows, that begin and end between two looks, some
        are missed. Whether the history shows failed and cancelled jobs too is not documented (c).

        :param what: ``{"flow_name", "run_profile_name"}``.
        """
        name = _job_name(named(what, ("flow_name", "run_profile_name")))
        jobs = (yield from self.list_shared.plan(since)) if shared is None else shared
        # One that ended between both lists comes twice, its end last.
        return list({job["id"]: run_of(job) for job in jobs if job.get("jobName") == name}.values())

    @endpoint
    def recent_runs(self, limit: int, of: Mapping[str, Any] | None = None) -> Program[list[RemoteRun]]:
        """Return the newest jobs that the two lists show: 100 active ones, and 100 that have ended.

        :param of: ``{"flow_name", "run_profile_name"}``.
        """
        if of is not None:
            return newest_first((yield from self.runs_of.plan(of, 0.0)), limit)
        jobs = yield from self.list_shared.plan(0.0)
        return newest_first({job["id"]: run_of(job) for job in jobs}.values(), limit)

    @endpoint
    def cancel_run(self, ref: RunRef) -> Program[CancelReport]:
        """Say that the job goes on: no documented call cancels one."""
        yield from ()
        return CancelReport(False, f"job {ref.run_id} goes on. {self.capabilities.cancel_note}")

    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        """Return the lines of a job's log after the first ``cursor`` ones. Downloads the whole log each time.

        The vendor's example of a running job has no log yet (a); one that grows is followed all the same.
        """
        job = yield from self._job_with_log(ref)
        text = str(job.get("log") or "")
        if not _state_of(job["executionStatus"]).is_terminal:
            text = text[: text.rfind("\n") + 1]  # the last line may still be being written
        lines = text.splitlines()
        told = cursor if isinstance(cursor, int) else 0
        return LogLines(tuple(lines[told:]), max(told, len(lines)))

    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        """Return the last lines of a job's log that are not blank."""
        job = yield from self._job_with_log(ref)
        written = [line.rstrip() for line in str(job.get("log") or "").splitlines() if line.strip()]
        return tuple(written[-lines:])

    def _job_with_log(self, ref: RunRef) -> Program[JobStatus]:
        """Return the job, anew unless its end has been read already."""
        if self._ended is not None and self._ended["id"] == ref.ids["job_id"]:
            return self._ended
        return (yield from self.get_job.plan(ref.ids["job_id"]))

    @endpoint
    def before_start(self, spec: Mapping[str, Any]) -> Program[list[str] | None]:
        """Return the ids of active jobs that bear the name ours will have; nothing without a ``flow_name``."""
        name = _job_name(spec)
        if name is None:
            return None
        jobs = yield from self.list_jobs.plan("active")
        return [job["id"] for job in jobs if job.get("jobName") == name]

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Look for a job by its name and its start, a few times: a slow server may register it late.

        Jobs carry no text of ours, so another one of the same name that was started since the call, by a schedule
        for instance, cannot be told from ours: of several, none is taken.
        """
        name = _job_name(spec)
        if name is None:
            return Search(
                Sighting.UNSURE,
                f"a job of flow {spec['flow_id']} in DataWORQ's list, which names no flow ids: give the operator "
                "flow_name to have it found",
            )
        since = datetime.fromtimestamp(intent.at, UTC) - _CLOCK_SKEW
        looked_for = f"jobs with the name {name!r} that were started after {since:%Y-%m-%d %H:%M:%S} UTC"
        known = set(intent.watermark or ())
        whole_story = False
        for look in range(_LOOKS_FOR_LOST_START):
            if look:
                yield Pause(_PAUSE_BETWEEN_LOOKS)
            active = yield from self.list_jobs.plan("active")
            first = yield from self.list_jobs.plan()
            jobs = {job["id"]: job for job in (*active, *first)}
            ours = [
                run_of(job)
                for job in jobs.values()
                if job.get("jobName") == name
                and job["id"] not in known
                and (moment_of_millis(job.get("startTime")) or since) >= since
            ]
            if ours:
                # If all have ended badly, as earlier tries do, it does not matter which one is ours.
                over = all(run.state.is_terminal and not run.state.is_good for run in ours)
                return Search(Sighting.FOUND if over or len(ours) == 1 else Sighting.UNSURE, looked_for, tuple(ours))
            whole_story = len(active) < LONGEST_LIST and _reaches_back(first, since)
        if whole_story:
            return Search(Sighting.ABSENT, looked_for)
        return Search(Sighting.UNSURE, f"{looked_for}; the list is full and may not show all of them")


class _CloudConnector(HeaderAuth):
    """Packs each native request into one to the Cloud Connector: its path and verb travel as headers (a).

    :param server: address of the Cloud Connector.
    :param keys: the headers with both keys.
    """

    def __init__(self, server: str, keys: dict[str, str]) -> None:
        super().__init__(keys)
        self._server = server

    def flow(self, request: Request) -> AuthFlow:
        """Send the request, packed. Its URL is percent-encoded, so it fits a header as it is."""
        outer = "call/status" if request.method == "GET" else "call/execute"
        inner = {"endpoint": request.url.removeprefix(self._server), "method": request.method}
        packed = replace(request, url=f"{self._server}/{outer}").with_headers(inner)
        return (yield from super().flow(packed))


def _state_of(status: str) -> RunState:
    return _STATES.get(status.strip().upper(), RunState.UNKNOWN)


def run_of(job: JobStatus, ref: RunRef | None = None) -> RemoteRun:
    """Return a job as a run."""
    state = _state_of(job["executionStatus"])
    started = moment_of_millis(job.get("startTime"))
    return RemoteRun(
        ref=ref or RunRef(VENDOR, {"job_id": job["id"]}, started.timestamp() if started else None),
        state=state,
        vendor_status=job["executionStatus"],
        name=job.get("jobName") or job.get("runProfile") or "",
        started=started,
        ended=moment_of_millis(job.get("endTime")) if state.is_terminal else None,
        error=_error_of(job.get("error")),
        details={
            "job_type": job.get("jobType"),
            "flow_name": job.get("flowName"),
            "run_profile_name": job.get("runProfileName"),
            "current_step": job.get("currentStepDescription") or job.get("currentStepId"),
        },
    )


def _those_in(jobs: Iterable[JobStatus], wanted: Mapping[str, RunRef]) -> dict[str, RemoteRun]:
    return {job["id"]: run_of(job, wanted[job["id"]]) for job in jobs if job["id"] in wanted}


def _error_of(error: Any) -> str | None:
    """Return the vendor's error as text; it is null in all examples, so its type is not known (c)."""
    if not error:
        return None
    text = error if isinstance(error, str) else json.dumps(error, sort_keys=True)
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}..."


def _job_name(spec: Mapping[str, Any]) -> str | None:
    """Return the name that the job will have, as in all examples (a), if the flow's name is known."""
    flow_name = spec.get("flow_name")
    return f"{flow_name}_{spec['run_profile_name']}" if flow_name else None


def _reaches_back(jobs: Sequence[JobStatus], since: datetime) -> bool:
    """Say whether a list surely shows all jobs since a moment: it is not full, or newest first and long enough.

    The order is not documented (the one example has the newest first), so it is looked at.
    """
    if len(jobs) < LONGEST_LIST:
        return True
    starts = [start for job in jobs if (start := moment_of_millis(job.get("startTime")))]
    newest_first = all(earlier >= later for earlier, later in pairwise(starts))
    return bool(starts) and newest_first and starts[-1] < since


def _server_and_prefix(values: ConnectionValues) -> tuple[str, str]:
    prefix = values.extras["api_prefix"].rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        raise values.fault(f"extra 'api_prefix' must be a path such as /api/v1 (or / for none), not {prefix!r}")
    if values.extras["access"] == "native" and not values.host:
        raise values.fault("fill in the host: the address of the DataWORQ server (or set access to cloud_connector)")
    server = values.base_url(default=CLOUD_CONNECTOR, strip=("/status", "/execute", "/call", prefix))
    return server, prefix


def _key(values: ConnectionValues, key: str, told: str) -> str:
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise values.fault(f"{told}, without spaces, line breaks or other characters that a header cannot carry")
    return key
