"""An Etlworks instance without its flows' endpoints: its options, who may do what, what holds for every answer."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, Unpack

from airflow_provider_etlapis.sandbox.etlworks.access import Gate, Role, is_at_least
from airflow_provider_etlapis.sandbox.etlworks.work import DEMO_FLOWS, Flow, record
from airflow_provider_etlapis.sandbox.lives import Change, Life
from airflow_provider_etlapis.sandbox.messages import Call, Reply, gateway_page, route
from airflow_provider_etlapis.sandbox.replay import fixed, same
from airflow_provider_etlapis.sandbox.runs import Run
from airflow_provider_etlapis.sandbox.server import SandboxOptions, VendorSandbox

LOGIN = ("alice@example.com", "correct horse battery staple")
API_KEY = "k7Qm2Zx9Lp4Vt1Rb8Ws6Yd3Nf5Hj0GcA" * 8

_TEXTS = {
    401: "Unauthorized: the token is missing, invalid or expired",
    403: "The role of the user does not permit this",
    404: "Not found",
    415: "Content-Type must be application/json",
    429: "Too many requests",
}
_DEFAULT_PAGE = 50
_LARGEST_PAGE = 200


class EtlworksServer(VendorSandbox):
    """Base of the sandbox. Every option is also an attribute, changeable while it serves.

    :param credential: what ``connection()`` holds: the API key, or login and password
    :param token_life: seconds that the token of a login is good for
    :param tells_end: whether such a token is a JWT with its end in it
    :param login_path: the one at which tokens are had, such as ``/v1/token-auth/issue``; ``None``: both of them
    :param refreshes: whether a token is exchanged for a new one
    :param role: of the user behind key and login
    :param list_needs_editor: as one page has it; the quickstart names no role
    :param single_instance: a start while the flow runs is refused, unless the flow may overlap
    :param refuses_by: that refusal as ``status: 1`` in the answer, or as HTTP 409
    :param suspended: an administrator has suspended all executions: a start comes back as ``status: 2``
    :param most_running: a start while so many runs go on is refused by a 503 in the vendor's own shape (not documented)
    :param stop_path: template of a call that stops the latest run of a flow, such as ``/v1/flows/{flow_id}/stop``;
        ``None``: there is none, as far as documents go
    :param stop_answer: of that call: ``success: true``, no body, or ``success: false``, which stops nothing
    :param stop_seconds: from the stop of a run, which makes it ``canceled``, to its ``error`` or ``success``
    :param tells_details: whether records hold times, user, counts and error text
    :param tells_ids: whether records hold anything besides their status: only that is certain
    :param tells_parameters: whether records hold what a run was started with
    :param never_ran: how a flow without runs is answered: a 404, a record with ``status: null``, or an empty record
    :param record_delay: seconds from the start of a run to its record
    :param report_names_running: whether the daily report names runs before they have ended
    :param history_ignores_offset: the history always answers with its first page
    :param tells_total: whether pages come with ``X-Total-Count``
    :param history_order: newest or oldest run first
    :param log_takes_header: whether the log comes for the usual header, or only for a token in the query
    :param log_tells_parameters: whether the log of a run shows its parameters
    :param utc_offset: hours, zone of the account, in which the report's days are
    :param flows: default ``DEMO_FLOWS``
    """

    vendor = "etlworks"
    connection_type = "etlworks"
    default_flow = DEMO_FLOWS[1].key
    replays = {  # noqa: RUF012 as the base class has it
        "login-path": same("login_path", "login_path"),
        "daily-report": fixed(role="editor"),
        "record-ids": fixed(tells_ids=False),
        "record-times": fixed(tells_details=False),
        "record-inputs": fixed(tells_parameters=False),
        "log-header": fixed(log_takes_header=False),
    }

    def __init__(
        self,
        *,
        credential: Literal["api_key", "login"] = "api_key",
        token_life: float = 86_400.0,
        tells_end: bool = True,
        login_path: str | None = None,
        refreshes: bool = True,
        role: Role = "administrator",
        list_needs_editor: bool = False,
        single_instance: bool = True,
        refuses_by: Literal["status", "409"] = "status",
        suspended: bool = False,
        most_running: int | None = None,
        stop_path: str | None = None,
        stop_answer: Literal["success", "empty", "refused"] = "success",
        stop_seconds: float = 0.5,
        tells_details: bool = True,
        tells_ids: bool = True,
        tells_parameters: bool = False,
        never_ran: Literal["404", "null", "empty"] = "404",
        record_delay: float = 0.0,
        report_names_running: bool = True,
        history_ignores_offset: bool = False,
        tells_total: bool = True,
        history_order: Literal["newest", "oldest"] = "newest",
        log_takes_header: bool = True,
        log_tells_parameters: bool = True,
        utc_offset: float = 0.0,
        flows: Sequence[Flow] = DEMO_FLOWS,
        **options: Unpack[SandboxOptions],
    ) -> None:
        super().__init__(**options)
        self.credential = credential
        self.login_path = login_path
        self.refreshes = refreshes
        self.role = role
        self.list_needs_editor = list_needs_editor
        self.single_instance = single_instance
        self.refuses_by = refuses_by
        self.suspended = suspended
        self.most_running = most_running
        self.stop_path = stop_path
        self.stop_answer = stop_answer
        self.stop_seconds = stop_seconds
        self.tells_details = tells_details
        self.tells_ids = tells_ids
        self.tells_parameters = tells_parameters
        self.never_ran = never_ran
        self.record_delay = record_delay
        self.report_names_running = report_names_running
        self.history_ignores_offset = history_ignores_offset
        self.tells_total = tells_total
        self.history_order = history_order
        self.log_takes_header = log_takes_header
        self.log_tells_parameters = log_tells_parameters
        self.utc_offset = utc_offset
        self.flows = {flow.key: flow for flow in flows}
        self.gate = Gate(self.clock, api_key=API_KEY, life=token_life, tells_end=tells_end)
        self._last_id = 8_721_933
        self._of_flow: defaultdict[str, list[Run]] = defaultdict(list)

    def define(self, flow: Flow) -> Flow:
        """Add or replace a flow."""
        self.flows = {**self.flows, flow.key: flow}
        return flow

    # -- what the framework asks ------------------------------------------------------------------------------

    def offers(self) -> list[dict[str, str]]:
        """Return id and name of each flow, one of which names it."""
        return [{"flow_id": str(flow.id), "flow_name": flow.name} for flow in self.flows.values()]

    def credentials(self) -> dict[str, Any]:
        """Return the API key, or login and password; and the call that stops runs, where there is one."""
        extra = {} if self.stop_path is None else {"stop_endpoint": f"POST {self.stop_path}"}
        login, password = LOGIN if self.credential == "login" else ("", self.gate.api_key)
        return {"login": login, "password": password, "extra": extra}

    def new_run_id(self) -> str:
        """Return the next audit id."""
        self._last_id += 1
        return str(self._last_id)

    def script(self, flow: str, request: Mapping[str, Any], life: Life | None) -> Life:
        """Resolve the life of a flow, by its number or its name."""
        found = self._flow(flow)
        if life is None:
            life = found.life(request) if callable(found.life) else found.life or self.default_life
        return life.for_steps(tuple((step,) if isinstance(step, str) else tuple(step) for step in found.steps))

    def remember(self, run: Run) -> None:
        """File the run under its flow."""
        flow = self._flow(run.flow)
        run.flow = flow.key
        self._of_flow[flow.key].append(run)
        if run.seeded:
            run.details["user"] = "scheduler"

    def refuse_login(self, call: Call) -> Reply | None:
        """Check ``Bearer <token>``: one space, no quotes; in the query for the log, as one page has it."""
        header = call.header("Authorization")
        if call.path.endswith("/console/download"):
            in_query = call.query_value("Authorization")
            header = in_query if in_query is not None else header if self.log_takes_header else None
        scheme, _, token = (header or "").partition(" ")
        return None if scheme == "Bearer" and self.gate.admits(token) else self.error(401, path=call.path)

    def error(self, status: int, text: str | None = None, *, path: str = "/rest") -> Reply:
        """Answer with the vendor's error body; what it never says itself is a proxy's."""
        return gateway_page(status) if status in {502, 503, 504} else self.own_error(status, text, path=path)

    def own_error(self, status: int, text: str | None = None, *, path: str = "/rest") -> Reply:
        """Answer with the vendor's error body, whatever the status."""
        phrase = HTTPStatus(status).phrase
        body = {"status": status, "error": phrase, "message": text or _TEXTS.get(status, phrase), "path": path}
        return Reply.json(status, body)

    # -- login ------------------------------------------------------------------------------------------------

    @route("login", "POST", "/rest/v1/token-auth", needs_login=False)
    def log_in(self, call: Call) -> Reply:
        """Exchange login and password for a token."""
        if self.login_path is not None and not call.path.endswith(self.login_path):
            return self.error(404, path=call.path)
        body = self._json(call)
        if isinstance(body, Reply):
            return body
        if set(body) != {"login", "password"}:
            return self.error(400, "Fields 'login' and 'password' are required", path=call.path)
        if (body["login"], body["password"]) != LOGIN:
            return self.error(401, path=call.path)
        self.ledger.note_login()
        return Reply.json(200, {"token": self.gate.issue(LOGIN[0])})

    @route("login", "POST", "/rest/v1/token-auth/issue", needs_login=False)
    def log_in_as_of_old(self, call: Call) -> Reply:
        """Serve the other spelling."""
        return self.log_in(call)

    @route("refresh", "POST", "/rest/v1/token-auth/refresh")
    def refresh(self, call: Call) -> Reply:
        """Exchange a token that is still good for a new one."""
        owner = self.gate.owner(_bearer(call))
        if not self.refreshes:
            return self.error(404, path=call.path)
        if owner is None:
            return self.error(401, path=call.path)
        return Reply.json(200, {"token": self.gate.issue(owner, self.gate.tenant(_bearer(call)))})

    @route("tenant", "POST", "/rest/v1/token-auth/tenants/{tenant_id}")
    def switch_tenant(self, call: Call) -> Reply:
        """Exchange a super administrator's token for one of another tenant."""
        owner = self.gate.owner(_bearer(call))
        if _content_type(call) != "application/json":
            return self.error(415, path=call.path)
        if owner is None or self.role != "super_admin":
            return self.error(403, path=call.path)
        return Reply.json(200, {"token": self.gate.issue(owner, call.parameters["tenant_id"])})

    # -- how it does it ---------------------------------------------------------------------------------------

    def _flow(self, name: str) -> Flow:
        found = self.flows.get(name) or next((flow for flow in self.flows.values() if flow.name == name), None)
        if found is None:
            raise ValueError(f"no flow {name!r}; there are: {', '.join(flow.name for flow in self.flows.values())}")
        return found

    def _asked_flow(self, call: Call) -> Flow | Reply:
        asked = call.parameters["flow_id"]
        if not asked.isdigit():
            return self.error(400, f"flowId: not a number: {asked}", path=call.path)
        return self.flows.get(str(int(asked))) or self.error(404, path=call.path)

    def _begin(self, call: Call, flow: Flow, parameters: Mapping[str, str]) -> Reply:
        if refusal := self._refuse(call, "operator"):
            return refusal
        if self.suspended:
            return Reply.json(200, {"flowId": flow.id, "status": 2})
        if self.most_running is not None and len(self.ledger.live_runs()) >= self.most_running:
            return self.own_error(503, "Too many concurrent executions", path=call.path)
        alone = self.single_instance and not flow.parallel
        if alone and any(self._is_busy(run) for run in reversed(self._of_flow[flow.key])):
            if self.refuses_by == "409":
                return self.error(409, "The flow is already running", path=call.path)
            return Reply.json(200, {"flowId": flow.id, "status": 1})
        run = self.begin_run(flow.key, parameters)
        return Reply.json(200, {"flowId": flow.id, "auditId": int(run.id), "status": 0})

    def _change(self, run: Run) -> Change:
        """Return what a run is now; one that was stopped is called something else when it has stopped."""
        now = self.clock.now()
        change = run.current(now)
        stopped = change.at + self.stop_seconds
        if run.cancelled_at is None or change.phase != "canceled" or now < stopped:
            return change
        return Change(stopped, "success" if self.flows[run.flow].streaming else "error")

    def _is_busy(self, run: Run) -> bool:
        """Tell whether a run keeps its flow from being started: also while it is stopping."""
        change = self._change(run)
        return change.phase in ("queued", "running") or (change.phase == "canceled" and run.cancelled_at is not None)

    def _latest_end(self, flow: Flow) -> str | None:
        for run in reversed(self._of_flow[flow.key]):
            if (phase := self._change(run).phase) not in ("queued", "running"):
                return phase
        return None

    def _recorded(self, flow: Flow) -> list[Run]:
        """Return the runs of a flow whose records are there by now."""
        return [run for run in self._of_flow[flow.key] if self._is_recorded(run)]

    def _is_recorded(self, run: Run) -> bool:
        return run.seeded or not self.record_delay or run.started_at + self.record_delay <= self.clock.now()

    def _record(self, run: Run, flow: Flow, call: Call) -> dict[str, Any]:
        change = self._change(run)
        ended = change.at if change.phase not in ("queued", "running") else None
        status = call.status_word or change.phase
        if not self.tells_ids:
            return {"status": status}
        shown = record(run, flow, status, ended=ended, with_details=self.tells_details)
        return {**shown, "parameters": dict(run.request)} if self.tells_parameters else shown

    def _no_record(self, flow: Flow, call: Call) -> Reply:
        """Answer for a flow that has never run."""
        if self.never_ran == "404":
            return self.error(404, path=call.path)
        of_flow = {"auditId": None, "flowId": flow.id, "flowName": flow.name, "status": None}
        return Reply.json(200, of_flow if self.never_ran == "null" else {})

    def _refuse(self, call: Call, needed: str, known: Collection[str] = ()) -> Reply | None:
        """Refuse a role that is too low, and query parameters that the call does not have."""
        if not is_at_least(self.role, needed):
            return self.error(403, path=call.path)
        strange = [name for name, _ in call.query if name not in known]
        return self.error(400, f"Unknown parameter '{strange[0]}'", path=call.path) if strange else None

    def _json(self, call: Call) -> dict[str, Any] | Reply:
        if _content_type(call) != "application/json":
            return self.error(415, path=call.path)
        try:
            body = json.loads(call.body)
        except ValueError:
            body = None
        return body if isinstance(body, dict) else self.error(400, "Malformed JSON", path=call.path)

    def _paged(self, call: Call, runs: Sequence[Run], shown: Callable[[Run], dict[str, Any]]) -> Reply:
        """Answer with one page of runs, each shown in its way."""
        try:
            limit = min(int(call.query_value("limit") or _DEFAULT_PAGE), _LARGEST_PAGE)
            offset = 0 if self.history_ignores_offset else int(call.query_value("offset") or 0)
        except ValueError:
            return self.error(400, "limit and offset must be numbers", path=call.path)
        if limit < 1 or offset < 0:
            return self.error(400, "limit and offset must not be negative", path=call.path)
        headers = {"X-Total-Count": str(len(runs))} if self.tells_total else {}
        return Reply.json(200, [shown(run) for run in runs[offset : offset + limit]], headers=headers)


def by_start(run: Run) -> tuple[float, int]:
    """Return what runs are sorted by, the oldest first."""
    return run.started_at, int(run.id)


def _content_type(call: Call) -> str:
    return (call.header("Content-Type") or "").partition(";")[0].strip().lower()


def _bearer(call: Call) -> str:
    return (call.header("Authorization") or "").partition(" ")[2]
