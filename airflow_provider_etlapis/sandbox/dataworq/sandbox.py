"""QueBIT DataWORQ on localhost: the Cloud Connector or the native server, after the vendor's API reference.

What the reference leaves open is an option, with the reading that clients hope for as its default.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal, Unpack
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_etlapis.sandbox.dataworq.work import (
    DEMO_FLOWS,
    ENDED,
    STATUSES,
    ErrorForm,
    Flow,
    Show,
    job_status,
)
from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.messages import Call, Reply, gateway_page, route
from airflow_provider_etlapis.sandbox.replay import fixed, same
from airflow_provider_etlapis.sandbox.runs import Run
from airflow_provider_etlapis.sandbox.server import SandboxOptions, VendorSandbox

PREFIX = "/api/v1"
LONGEST_LIST = 100
STATUS_PATH = "/call/status"
EXECUTE_PATH = "/call/execute"

_OUTER_PATHS = {"GET": STATUS_PATH, "POST": EXECUTE_PATH}
_TEXTS = {400: "Bad Request or Server error", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
_REQUEST_FIELDS = frozenset({"flowId", "runProfileName", "notificationEnabled", "parameters"})
_PARAMETER_FIELDS = frozenset({"name", "type", "value"})
_KINDS: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "float": (int, float)}


class DataworqSandbox(VendorSandbox):
    """A DataWORQ server with scripted jobs. Every option is also an attribute, changeable while it serves.

    :param access: which way in is served: ``"cloud_connector"`` or ``"native"``
    :param user_api_key: key of the API user, in both ways
    :param api_key: key of the Cloud Connector
    :param refusal: HTTP status of a wrong key (not documented; the reference lists no other than 400)
    :param status_form: how ``filter=executionStatus`` is answered (not documented): ``"text"``, ``"json_text"``, or
        ``"object"``
    :param start_status: 200 or 202, both documented
    :param unknown_job: HTTP status for an id that is not known (not documented)
    :param registration_seconds: after a start, for how long its job is not known yet
    :param active_has_queued: whether the active list shows queued jobs (not documented)
    :param history_has_bad_ends: whether the history shows jobs that failed or were cancelled (not documented)
    :param newest_first: whether lists begin with the job that was started last (not documented; the reference's
        example does)
    :param error_form: what ``error`` of a failed job is (not documented)
    :param log_while_running: whether a running job has a log already (the reference's example has none)
    :param zone: hours between UTC and the server's own time
    :param flows: default ``DEMO_FLOWS``
    """

    vendor = "dataworq"
    connection_type = "dataworq"
    default_flow = DEMO_FLOWS[0].name
    replays = {  # noqa: RUF012 as the base class has it
        "access": same("access", "access"),
        "unknown-job": fixed(unknown_job=400),
        "newest-first": fixed(newest_first=False),
    }

    def __init__(
        self,
        *,
        access: Literal["cloud_connector", "native"] = "cloud_connector",
        user_api_key: str = "7262069-sandbox-user-key",
        api_key: str = "DATAWORQ-d213b-sandbox-connector-key",
        refusal: int = 401,
        status_form: Literal["text", "json_text", "object"] = "object",
        start_status: Literal[200, 202] = 200,
        unknown_job: int = 404,
        registration_seconds: float = 0.0,
        active_has_queued: bool = True,
        history_has_bad_ends: bool = True,
        newest_first: bool = True,
        error_form: ErrorForm = "text",
        log_while_running: bool = False,
        zone: float = -4.0,
        flows: Sequence[Flow] = DEMO_FLOWS,
        **options: Unpack[SandboxOptions],
    ) -> None:
        super().__init__(**options)
        self.access = access
        self.user_api_key = user_api_key
        self.api_key = api_key
        self.refusal = refusal
        self.status_form = status_form
        self.start_status = start_status
        self.unknown_job = unknown_job
        self.registration_seconds = registration_seconds
        self.active_has_queued = active_has_queued
        self.history_has_bad_ends = history_has_bad_ends
        self.newest_first = newest_first
        self.error_form: ErrorForm = error_form
        self.log_while_running = log_while_running
        self.zone = zone
        self.flows = {flow.name: flow for flow in flows}

    # -- what the framework asks ------------------------------------------------------------------------------

    def offers(self) -> list[dict[str, str]]:
        """Return id and name of each flow, and its run profiles."""
        return [
            {"flow_id": flow.flow_id, "flow_name": flow.name, "run_profile_name": profile}
            for flow in self.flows.values()
            for profile in flow.profiles
        ]

    def credentials(self) -> dict[str, Any]:
        """Return the keys as the connection holds them, and the way in."""
        if self.access == "native":
            return {"password": self.user_api_key, "extra": {"access": "native"}}
        return {"password": self.user_api_key, "extra": {"api_key": self.api_key}}

    def new_run_id(self) -> str:
        """Return a random UUID."""
        return str(uuid.uuid4())

    def script(self, flow: str, request: Mapping[str, Any], life: Life | None) -> Life:
        """Resolve the steps from the flow."""
        known = self.flows.get(flow)
        if known is None:
            raise ValueError(f"no flow {flow!r}; there are: {', '.join(sorted(self.flows))}")
        life = life or known.life or self.default_life
        if "warning" in (life.outcome, *(outcome for _, outcome in life.afterwards)):
            raise ValueError("a job of this vendor cannot end in a warning")
        return life.for_steps(tuple((step,) for step in known.steps))

    def remember(self, run: Run) -> None:
        """Keep flow and profile of that day."""
        run.details["flow"] = self.flows[run.flow]
        run.details["profile"] = run.request.get("runProfileName", "default")

    def unwrap(self, call: Call) -> Call:
        """Take the native request out of one to the Cloud Connector; one that is packed wrongly stays as it is."""
        if self.access == "native":
            return call
        if call.path not in _OUTER_PATHS.values():
            return replace(call, path=f"/unpacked{call.path}")  # the native paths are not there
        verb, endpoint = call.header("method") or "", call.header("endpoint") or ""
        if call.query or (call.method, call.path) != (verb, _OUTER_PATHS.get(verb)):
            return call
        if not endpoint.startswith("/") or any(sign.isspace() for sign in endpoint):
            return call
        inner = urlsplit(endpoint)
        query = tuple(parse_qsl(inner.query, keep_blank_values=True))
        return replace(call, path=inner.path, query=query)

    def refuse_login(self, call: Call) -> Reply | None:
        """Check the keys, and the content type that the reference lists for reads as well."""
        keys = {"user-api-key": self.user_api_key}
        if self.access == "cloud_connector":
            keys["apiKey"] = self.api_key
        if any(call.header(name) != value for name, value in keys.items()):
            return self.error(self.refusal)
        if (call.header("Content-Type") or "").partition(";")[0].strip().lower() != "application/json":
            return self.error(400, "Content-Type must be application/json")
        return None

    def error(self, status: int, text: str | None = None, *, path: str = "") -> Reply:
        """Answer in JSON, although the reference shows no error body; what the server never says is a proxy's."""
        if status not in _TEXTS:
            return gateway_page(status)
        return Reply.json(status, {"status": status, "message": text or _TEXTS[status]})

    # -- the API ----------------------------------------------------------------------------------------------

    @route("get", "GET", f"{PREFIX}/jobs/{{run_id}}")
    def get_job(self, call: Call) -> Reply:
        """Show one job, whole or its status alone."""
        if set(dict(call.query)) - {"filter"} or call.query_value("filter") not in (None, "executionStatus"):
            return self.error(400, "the only filter of a job is executionStatus")
        run, now = self.runs.get(call.parameters["run_id"]), self.clock.now()
        if run is None or (not run.seeded and now < run.started_at + self.registration_seconds):
            return self.error(self.unknown_job, f"Job {call.parameters['run_id']} not found")
        if call.query_value("filter") is None:
            return Reply.json(200, job_status(run, now, self._show, call.status_word))
        word = call.status_word or STATUSES[run.current(now).phase]
        if self.status_form == "text":
            return Reply(200, word.encode(), "text/plain;charset=UTF-8")
        return Reply.json(200, word if self.status_form == "json_text" else {"executionStatus": word})

    @route("list", "GET", f"{PREFIX}/jobs")
    def list_jobs(self, call: Call) -> Reply:
        """List at most 100 jobs."""
        if set(dict(call.query)) - {"filter"} or call.query_value("filter") not in (None, "active", "history"):
            return self.error(400, "the filters of the list are active and history")
        now = self.clock.now()
        shown = islice(self._listed(call.query_value("filter"), now), LONGEST_LIST)
        return Reply.json(200, [job_status(run, now, self._show, call.status_word) for run in shown])

    @route("start", "POST", f"{PREFIX}/jobs")
    def execute_job(self, call: Call) -> Reply:
        """Start a job; every fault of the body is named."""
        try:
            body = json.loads(call.body)
        except ValueError:
            return self.error(400, "the body is not JSON")
        fault = "the body is not an object" if not isinstance(body, dict) else self._fault_of(body)
        if call.query or fault:
            return self.error(400, fault or "a start takes no query")
        flow = next(flow for flow in self.flows.values() if flow.flow_id == body["flowId"])
        run = self.begin_run(flow.name, body)
        return Reply.json(self.start_status, {"jobId": run.id})

    @route("misdirected", "GET", STATUS_PATH)
    def misdirected_read(self, call: Call) -> Reply:
        """Refuse a request that does not say rightly what it packs."""
        return self._misdirected()

    @route("misdirected", "POST", EXECUTE_PATH)
    def misdirected_start(self, call: Call) -> Reply:
        """Refuse a request that does not say rightly what it packs."""
        return self._misdirected()

    # -- how it does it ---------------------------------------------------------------------------------------

    @property
    def _show(self) -> Show:
        return Show(self.zone, self.error_form, self.log_while_running)

    def _misdirected(self) -> Reply:
        if self.access == "native":
            return self.error(404)
        return self.error(400, "endpoint and method must name a native call, and method must fit the outer one")

    def _listed(self, wanted: str | None, now: float) -> Iterable[Run]:
        for run in self.runs.newest_first() if self.newest_first else self.runs:
            phase = run.current(now).phase
            if phase in ENDED:
                fits = wanted is None or (wanted == "history" and (phase == "success" or self.history_has_bad_ends))
            else:
                fits = wanted != "history" and (phase != "queued" or self.active_has_queued)
            if fits and (run.seeded or now >= run.started_at + self.registration_seconds):
                yield run

    def _fault_of(self, body: Mapping[str, Any]) -> str | None:
        """Return what is wrong with the body of a start."""
        if unknown := set(body) - _REQUEST_FIELDS:
            return f"unknown fields: {', '.join(sorted(unknown))}"
        flow = next((flow for flow in self.flows.values() if flow.flow_id == body.get("flowId")), None)
        if flow is None:
            return f"no flow {body.get('flowId')!r}"
        if body.get("runProfileName") not in flow.profiles:
            return f"no run profile {body.get('runProfileName')!r} in flow {flow.name}"
        if not isinstance(body.get("notificationEnabled", False), bool):
            return "notificationEnabled must be a boolean"
        parameters = body.get("parameters", [])
        if not isinstance(parameters, list):
            return "parameters must be an array"
        return next((fault for fault in map(_fault_of_parameter, parameters) if fault), None)


def _fault_of_parameter(item: Any) -> str | None:
    if not isinstance(item, dict) or set(item) != _PARAMETER_FIELDS or not isinstance(item["name"], str):
        return "a parameter has name, type and value"
    if item["type"] not in _KINDS:
        return "string, integer and float are the only supported parameter types"
    if isinstance(item["value"], bool) or not isinstance(item["value"], _KINDS[item["type"]]):
        return f"the value of {item['name']} is no {item['type']}"
    return None
