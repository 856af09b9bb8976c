"""QueBIT DataWORQ: starts jobs and follows them, through the Cloud Connector or at the customer's own server.

A job is one run of a run profile of a flow. Sources: the vendor's Cloud Connector API reference (a), the opening
of its native API reference (b); what neither says is marked as an assumption (c) where it matters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

from airflow_provider_etlapis.connection_forms import DATAWORQ
from airflow_provider_etlapis.exceptions import EtlApiError, InvalidInputError, RequestRefusedError
from airflow_provider_etlapis.hooks.base import CancelReport, RemoteRunHook
from airflow_provider_etlapis.hooks.connection import ConnectionValues
from airflow_provider_etlapis.hooks.dataworq.inputs import (
    Parameters,
    checked_job_id,
    checked_name,
    checked_switch,
    job_parameters,
)
from airflow_provider_etlapis.hooks.dataworq.jobs import (
    VENDOR,
    JobExecutionResponse,
    JobFilter,
    JobStatus,
    job_name,
    parse_execution_status,
    parse_job,
    parse_jobs,
    parse_started,
    run_of,
    runs_among,
    state_of,
)
from airflow_provider_etlapis.hooks.dataworq.lists import Suspension
from airflow_provider_etlapis.hooks.dataworq.search import START_PROOF, Before, Lists, search
from airflow_provider_etlapis.hooks.dataworq.wire import address, auth, is_own_error
from airflow_provider_etlapis.hooks.endpoints import Program, endpoint
from airflow_provider_etlapis.hooks.values import named
from airflow_provider_etlapis.runs import evidence
from airflow_provider_etlapis.runs.evidence import Evidence, Search
from airflow_provider_etlapis.runs.model import Capabilities, RemoteRun, RunRef, RunState, newest_first
from airflow_provider_etlapis.runs.resume import Intent
from airflow_provider_etlapis.runs.watching import LogLines
from airflow_provider_etlapis.text import shown
from airflow_provider_etlapis.wire.auth import Auth
from airflow_provider_etlapis.wire.call import Call, Response, segment

__all__ = ["DataworqHook", "run_of"]

_FEW = 1
"""Runs that a list may leave out: to read one by its id costs no more than another list."""
_HEAVY = 500_000
"""Characters of logs from which on a list is heavy."""
_LEFT_OUT_FOR = 900.0
"""Seconds for which the list of all jobs is not read, once it was heavy or showed too little."""

# The vendor answers bad requests and faults of its own alike with 400: a read is worth another try.
_BAD_REQUEST_OR_SERVER_ERROR = frozenset({400})
_JSON = {"Content-Type": "application/json"}  # documented for reads as well


class DataworqHook(RemoteRunHook):
    """DataWORQ's job API, by either of its two access modes.

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
    start_proof = START_PROOF

    def __init__(self, dataworq_conn_id: str = default_conn_name) -> None:
        super().__init__(dataworq_conn_id)
        self.dataworq_conn_id = dataworq_conn_id
        self._ended: JobStatus | None = None
        self._list_of_all = Suspension(_LEFT_OUT_FOR)

    def address(self, values: ConnectionValues) -> str:
        """Return the address of the native API, as it is or as it would be behind the Cloud Connector."""
        return address(values)

    def auth(self, values: ConnectionValues) -> Auth:
        """Return the keys as headers; for the Cloud Connector also the packing of each request."""
        return auth(values)

    @staticmethod
    def is_own_error(response: Response) -> bool:
        """Return whether DataWORQ itself has sent an error answer.

        See :func:`~airflow_provider_etlapis.hooks.dataworq.wire.is_own_error`.
        """
        return is_own_error(response)

    @staticmethod
    def ref(job_id: str) -> RunRef:
        """Return the reference of a job.

        :raises InvalidInputError: if the id could not be one.
        """
        return RunRef(VENDOR, {"job_id": checked_job_id(job_id)})

    # Endpoints

    @endpoint
    def get_job(self, job_id: str) -> Call[JobStatus]:
        """Return one job with all its fields, its log included (a).

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
        """Return at most 100 jobs of all users; there is no second page (a).

        :param filter: ``"active"`` for running jobs, ``"history"`` for completed ones (with their whole logs);
            without it the first 100 of both.
        :raises InvalidInputError: for any other filter.
        :raises VendorUnavailableError: as :meth:`get_job`.
        """
        if filter is not None and filter not in get_args(JobFilter):
            raise InvalidInputError(f"filter must be 'active', 'history' or None, not {shown(filter)}")
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

        Never sent again once it may have reached the server.

        :param flow_id: id of the flow, a UUID in the vendor's example; the API has no call that finds it.
        :param run_profile_name: run profile of the flow.
        :param parameters: see :func:`~airflow_provider_etlapis.hooks.dataworq.inputs.job_parameters`.
        :param notification_enabled: let DataWORQ notify people as the flow says.
        :raises InvalidInputError: for parameters of other types; nothing was sent.
        :raises RequestRefusedError: on a 400, which may be a fault of the server as well (a).
        """
        body = {
            "flowId": checked_name(flow_id, "flow_id"),
            "runProfileName": checked_name(run_profile_name, "run_profile_name"),
            "notificationEnabled": checked_switch(notification_enabled, "notification_enabled"),
            "parameters": job_parameters(parameters),
        }
        return Call("POST", "jobs", parse_started, json=body, starts_run=True)

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
            # By its own attributes it stays what it is: a refusal.
            error.args = (
                f"{error} (DataWORQ answers bad requests and faults of its own alike: check flow_id, run_profile_name "
                "and parameters, and in DataWORQ that no job was started, before clearing the task)",
            )
            raise
        except EtlApiError as error:
            if error.may_have_acted and self.values.extras["access"] != "native":
                # The connection that was lost is the one to the Cloud Connector: it may still pass the request on (c).
                error.acts_for = max(error.acts_for, evidence.ACTS_AFTER_TIMEOUT)
            raise
        # The reply has no status: queued is the least that an accepted job is.
        return RemoteRun(self.ref(started["jobId"]), RunState.QUEUED, "QUEUED", job_name(spec) or spec["flow_id"])

    @endpoint
    def look(self, ref: RunRef) -> Program[RemoteRun]:
        """Return a job with its status only: a wait needs no more, and the other fields bring the whole log."""
        if ref.newest is not None:
            return (yield from super().look.plan(ref))
        status = yield from self.get_job_execution_status.plan(ref.ids["job_id"])
        if status is None:
            return (yield from self.read_run.plan(ref))
        return RemoteRun(ref, state_of(status), status)

    @endpoint
    def read_run(self, ref: RunRef) -> Program[RemoteRun]:
        """Return a job with all its fields."""
        job = yield from self.get_job.plan(ref.ids["job_id"])
        run = run_of(job, ref)
        self._ended = job if run.state.is_terminal else None
        return run

    @endpoint
    def complete_run(self, run: RemoteRun) -> Program[RemoteRun]:
        """Return an ended job with all its fields, if only its status is known so far."""
        if run.details:
            return run
        whole = yield from self.read_run.plan(run.ref)
        return whole if whole.state.is_terminal else run

    @endpoint
    def read_runs(self, refs: Collection[RunRef]) -> Program[dict[str, RemoteRun]]:
        """Return those that a list shows.

        The list without a filter shows ended jobs too. When it has twice in a row left out more than one of these
        jobs (its order is not documented, (c)), or been heavy with the logs of ended ones, only the list of active
        jobs is read for the next 15 minutes. A job that the list of active jobs leaves out has probably ended, or the
        list is full: it is read by its id.
        """
        wanted = {ref.run_id: ref for ref in refs}
        found: dict[str, RemoteRun] = {}
        if self._list_of_all.is_over:
            jobs = yield from self.list_jobs.plan()
            found = runs_among(jobs, wanted)
            is_heavy = sum(len(str(job.get("log") or "")) for job in jobs) > _HEAVY
            shows_all = len(wanted) - len(found) <= _FEW
            self._list_of_all.note(is_useful=shows_all and not is_heavy)
            if shows_all:
                return found
        return found | runs_among((yield from self.list_jobs.plan("active")), wanted)

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
        """Return the jobs of a run profile of a flow, by the job's name.

        A list has no second page: if more than 100 jobs of all flows begin and end between two polls, some are
        missed. Whether the history shows failed and cancelled jobs too is not documented (c).

        :param what: ``{"flow_name", "run_profile_name"}``.
        """
        name = job_name(named(what, ("flow_name", "run_profile_name")))
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
        """Report that the job goes on: no documented call cancels one."""
        yield from ()
        return CancelReport(False, f"job {ref.run_id} goes on. {self.capabilities.cancel_note}")

    @endpoint
    def read_log(self, ref: RunRef, cursor: Any = None) -> Program[LogLines]:
        """Return the lines of a job's log after the first ``cursor`` ones, blank ones left out; downloads all of it.

        The vendor's example of a running job has no log yet (a); one that grows is followed all the same.
        """
        job = yield from self._job_with_log(ref)
        text = str(job.get("log") or "")
        if not state_of(job["executionStatus"]).is_terminal:
            text = text[: text.rfind("\n") + 1]  # the last line may still be being written
        lines = text.splitlines()
        read = cursor if isinstance(cursor, int) else 0
        return LogLines(tuple(line for line in lines[read:] if line.strip()), max(read, len(lines)))

    @endpoint
    def read_log_tail(self, ref: RunRef, lines: int) -> Program[tuple[str, ...]]:
        """Return the last lines of a job's log that are not blank."""
        job = yield from self._job_with_log(ref)
        written = [line.rstrip() for line in str(job.get("log") or "").splitlines() if line.strip()]
        return tuple(written[-lines:])

    def _job_with_log(self, ref: RunRef) -> Program[JobStatus]:
        """Return the job, read again unless its end has been read already."""
        if self._ended is not None and self._ended["id"] == ref.ids["job_id"]:
            return self._ended
        return (yield from self.get_job.plan(ref.ids["job_id"]))

    @endpoint
    def before_start(self, spec: Mapping[str, Any]) -> Program[dict[str, Any] | None]:
        """Return what both lists show before a start, by which jobs that begin later are known; it takes two requests.

        :param spec: as for :meth:`start_run`; nothing is read without a ``flow_name``.
        """
        if job_name(spec) is None:
            return None
        return Before.seen((yield from self._both_lists()), spec).to_json()

    @endpoint
    def find_started(self, spec: Mapping[str, Any], intent: Intent) -> Program[Search]:
        """Look once for the job of a start request that got no usable response.

        See :mod:`~airflow_provider_etlapis.hooks.dataworq.search` for what the lists can show: that a job is not
        ours, and that there is none. Never that a job is ours.
        """
        if job_name(spec) is None:
            return Search(
                Evidence.UNSURE,
                f"a job of flow {spec['flow_id']} in DataWORQ's lists, which show no flow ids: set flow_name on the "
                "operator so that they can be searched",
                is_final=True,
            )
        return search(spec, intent, (yield from self._both_lists()), self.clock_ahead)

    def _both_lists(self) -> Program[Lists]:
        active = yield from self.list_jobs.plan("active")
        return Lists(active, (yield from self.list_jobs.plan()))
