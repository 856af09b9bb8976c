"""Celery Director on localhost: its HTTP API as observed on 0.10.0 (0.9.0 where an option says so).

Not imitated: that a stuck broker holds up other requests, that a failure hook's status is unreliable and that it runs
after a cancelled group, and the time that hashing a password takes.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal, Unpack

from airflow_provider_etlapis.sandbox import json_schema
from airflow_provider_etlapis.sandbox.celery_director.work import (
    DEMO_DEFINITIONS,
    STATUSES,
    Definition,
    task_entries,
)
from airflow_provider_etlapis.sandbox.lives import Change, Life
from airflow_provider_etlapis.sandbox.messages import Call, Reply, gateway_page, route
from airflow_provider_etlapis.sandbox.runs import Run
from airflow_provider_etlapis.sandbox.server import SandboxOptions, VendorSandbox

TEXTS = {
    400: "The browser (or proxy) sent a request that this server could not understand.",
    404: "The requested URL was not found on the server. If you entered the URL manually please check your "
    "spelling and try again.",
    405: "The method is not allowed for the requested URL.",
    415: "Did not attempt to load JSON data because the request Content-Type was not 'application/json'.",
    500: "The server encountered an internal error and was unable to complete your request. Either the server "
    "is overloaded or there is an error in the application.",
}
UNAUTHORIZED = {
    "status": 401,
    "error": "unauthorized",
    "message": "Please authenticate to access this API.",
}

_ENVELOPE: dict[str, Any] = {
    "required": ["project", "name", "payload"],
    "additionalProperties": False,
    "properties": {
        "project": {"type": "string"},
        "name": {"type": "string"},
        "payload": {"type": "object"},
        "comment": {"type": "string"},
    },
}
_FALSE_WORDS = frozenset({"false", "0", "no", "off", "n", "f"})
_CLOSING_SECONDS = 0.5  # the closing step sleeps for this long before the run is called a success
_COMMENT_LENGTH = 255
_LARGEST_INTEGER = 2**63 - 1


class CeleryDirectorSandbox(VendorSandbox):
    """A Celery Director server with scripted runs. Every option is also an attribute, changeable while it serves.

    :param auth: user and password of HTTP Basic; ``None``: off, as by default on the real one
    :param comments: ``False`` is a server before 0.8.0, which refuses ``comment``
    :param cancel_stops_work: ``False`` is 0.10.0: the run says ``canceled``, and the work goes on to its end
    :param database: ``"sqlite"`` (naive UTC timestamps in whole seconds), ``"postgresql"`` (microseconds and offset,
        tasks in any order; long comments, NUL and half surrogate pairs are a 500) or ``"mysql"`` (naive local
        timestamps in whole seconds; runs of one second change places between two lists)
    :param utc_offset: hours, zone of the PostgreSQL session or of the MySQL server
    :param per_page: the server's ``DIRECTOR_WORKFLOWS_PER_PAGE``
    :param chords: ``False``: the result backend cannot do groups
    :param broker: ``"up"``; ``"refuses"``: a start is a 500 after a while and leaves a run in ``error``;
        ``"silent"``: a start gets no answer at all, and leaves a run ``pending``
    :param broker_seconds: how long a client of a broker that is down waits; default: as long as on the real one
    :param definitions: default ``DEMO_DEFINITIONS``
    """

    vendor = "celery_director"
    connection_type = "celery_director"
    keeps_connections = False
    server_header = "gunicorn/20.0.4"
    default_flow = "demo.ETL"

    def __init__(
        self,
        *,
        auth: tuple[str, str] | None = None,
        comments: bool = True,
        cancel_stops_work: bool = True,
        database: Literal["sqlite", "postgresql", "mysql"] = "sqlite",
        utc_offset: float = 0.0,
        per_page: int = 1000,
        chords: bool = True,
        broker: Literal["up", "refuses", "silent"] = "up",
        broker_seconds: float | None = None,
        definitions: Sequence[Definition] = DEMO_DEFINITIONS,
        **options: Unpack[SandboxOptions],
    ) -> None:
        super().__init__(**options)
        self.auth = auth
        self.comments = comments
        self.cancel_stops_work = cancel_stops_work
        self.database = database
        self.utc_offset = utc_offset
        self.per_page = per_page
        self.chords = chords
        self.broker = broker
        self.broker_seconds = broker_seconds
        self.definitions = {definition.fullname: definition for definition in definitions}

    def define(self, definition: Definition) -> Definition:
        """Add or replace a definition, as a changed YAML file and a restart do."""
        self.definitions = {**self.definitions, definition.fullname: definition}
        return definition

    def undefine(self, fullname: str) -> None:
        """Remove a definition; its old runs stay."""
        self.definitions = {name: kept for name, kept in self.definitions.items() if name != fullname}

    # -- what the framework asks ------------------------------------------------------------------------------

    def offers(self) -> list[dict[str, str]]:
        """Return project and name of each definition."""
        parts = [fullname.partition(".") for fullname in self.definitions]
        return [{"project": project, "name": name} for project, _, name in parts]

    def credentials(self) -> dict[str, Any]:
        """Return login and password of HTTP Basic, both empty when it is off."""
        login, password = self.auth or ("", "")
        return {"login": login, "password": password}

    def new_run_id(self) -> str:
        """Return a random UUID."""
        return str(uuid.uuid4())

    def script(self, flow: str, request: Mapping[str, Any], life: Life | None) -> Life:
        """Resolve the steps from the definition, and add the pause of the closing step."""
        definition = self.definitions.get(flow)
        if definition is None:
            raise ValueError(f"no definition {flow!r}; there are: {', '.join(sorted(self.definitions))}")
        if life is None:
            of_flow = definition.life
            life = of_flow(request.get("payload", {})) if callable(of_flow) else of_flow or self.default_life
        if "warning" in (life.outcome, *(outcome for _, outcome in life.afterwards)):
            raise ValueError("a run of this vendor cannot end in a warning")
        life = life.for_steps(definition.stages)
        if life.outcome == "success" and not life.closing:
            life = replace(life, closing=min(_CLOSING_SECONDS, life.duration / 4))
        return life

    def remember(self, run: Run) -> None:
        """Keep the definition of that day: hooks and results of old runs do not change with the YAML."""
        run.details["definition"] = self.definitions[run.flow]

    def refuse_login(self, call: Call) -> Reply | None:
        """Check HTTP Basic, if it is on; any credentials will do if it is off."""
        if self.auth is None:
            return None
        scheme, _, encoded = (call.header("Authorization") or "").partition(" ")
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = password = ""
        if scheme.lower() == "basic" and (user, password) == self.auth:
            return None
        return Reply.json(401, UNAUTHORIZED, headers={"WWW-Authenticate": "Basic"})

    def error(self, status: int, text: str | None = None, *, path: str = "/api/") -> Reply:
        """Answer as JSON under ``/api``, as a page elsewhere; what the server never says itself is a proxy's."""
        if status not in TEXTS:
            return gateway_page(status)
        if not path.startswith("/api"):
            return Reply.html(status, f"<!DOCTYPE html><title>Director</title><p>{text or TEXTS[status]}</p>")
        return Reply.json(status, {"error": text or TEXTS[status]})

    # -- the API ----------------------------------------------------------------------------------------------

    @route("ping", "GET", "/api/ping", needs_login=False)
    def ping(self, call: Call) -> Reply:
        """Answer without a look at database, broker or worker."""
        return Reply.json(200, {"message": "pong"})

    @route("definitions", "GET", "/api/definitions")
    def list_definitions(self, call: Call) -> Reply:
        """List the definitions by full name."""
        return Reply.json(200, [entry.as_json() for _, entry in sorted(self.definitions.items())])

    @route("list", "GET", "/api/workflows")
    def list_runs(self, call: Call) -> Reply:
        """List runs, newest first; an empty page is a 404 unless it is the first, unknown parameters are ignored."""
        page = _integer(call.query_value("page"), default=1)
        per_page = _integer(call.query_value("per_page"), default=self.per_page)
        if page < 1 or per_page < 0:
            return self.error(404)
        offset = (page - 1) * per_page
        if max(offset, per_page) > _LARGEST_INTEGER:
            return self.error(500)
        runs = self._newest_first(offset, per_page)
        if not runs and page != 1:
            return self.error(404)
        with_payload = (call.query_value("with_payload") or "true").lower() not in _FALSE_WORDS
        now = self.clock.now()
        rows = [self._row_text(run, call, with_payload=with_payload, now=now) for run in runs]
        return Reply(200, f"[{', '.join(rows)}]".encode())

    @route("get", "GET", "/api/workflows/{run_id}")
    def get_run(self, call: Call) -> Reply:
        """Show one run with its tasks."""
        run = self._find(call)
        if isinstance(run, Reply):
            return run
        tasks = task_entries(run, self.clock.now(), self._stamp)
        if self.database == "postgresql":
            random.Random(run.id).shuffle(tasks)  # noqa: S311 - an order, not a secret
        if run.details["definition"].unreadable_result and any(task["status"] == "success" for task in tasks):
            return self.error(500)
        return Reply.json(200, {**self._row(run, call), "tasks": tasks})

    @route("start", "POST", "/api/workflows")
    def start_run(self, call: Call) -> Reply:
        """Start a run, after the checks in the real one's order: body, envelope, definition, payload."""
        kind = (call.header("Content-Type") or "").partition(";")[0].strip().lower()
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            return self.error(415)
        try:
            body = json.loads(call.body)
        except ValueError:
            return self.error(400)
        if not isinstance(body, dict):
            return self.error(500)
        envelope = _ENVELOPE
        if not self.comments:
            known = {name: rule for name, rule in _ENVELOPE["properties"].items() if name != "comment"}
            envelope = {**_ENVELOPE, "properties": known}
        if faults := json_schema.errors(body, envelope):
            return Reply.json(400, {"error": "Error validating against schema", "errors": faults})
        wanted = {name: body[name] for name in ("payload", "comment") if name in body}
        return self._begin(f"{body['project']}.{body['name']}", wanted, call)

    @route("relaunch", "POST", "/api/workflows/{run_id}/relaunch")
    def relaunch_run(self, call: Call) -> Reply:
        """Start a new run with the payload and comment of an old one, whatever state that is in."""
        run = self._find(call)
        if isinstance(run, Reply):
            return run
        wanted = {name: value for name, value in run.request.items() if name != "periodic"}
        return self._begin(run.flow, wanted, call)

    @route("cancel", "POST", "/api/workflows/{run_id}/cancel")
    def cancel(self, call: Call) -> Reply:
        """Call a run ``canceled`` in whatever state it is, finished ones included."""
        run = self._find(call)
        if isinstance(run, Reply):
            return run
        if run.flow not in self.definitions:
            return self.error(500)
        if self.broker != "up":
            return self.error(500).held(self._broker_wait(6.0))
        self.cancel_run(run, stops_work=self.cancel_stops_work)
        return Reply.json(201, self._row(run, call))

    @route("home", "GET", "/", needs_login=False)
    def home_page(self, call: Call) -> Reply:
        """Show the list of runs to a person."""
        return Reply.html(200, "<!DOCTYPE html><title>Director</title><h1>Celery Director (sandbox)</h1>")

    @route("page", "GET", "/{run_id}", needs_login=False)
    def run_page(self, call: Call) -> Reply:
        """Show a run to a person; 200 for any UUID, known or not."""
        run_id = _uuid(call.parameters["run_id"])
        if run_id is None:
            return self.error(404, path=call.path)
        return Reply.html(200, f"<!DOCTYPE html><title>Director</title><h1>Workflow {run_id}</h1>")

    # -- how it does it ---------------------------------------------------------------------------------------

    def _find(self, call: Call) -> Run | Reply:
        sent = call.parameters["run_id"]
        run_id = _uuid(sent)
        if run_id is None:
            return self.error(500)  # not a 400: the database layer falls over it
        return self.runs.get(run_id) or self.error(404, f"Workflow {sent} not found")

    def _begin(self, fullname: str, wanted: Mapping[str, Any], call: Call) -> Reply:
        """Start a run, or fail as the real one does, which may leave a run behind."""
        definition = self.definitions.get(fullname)
        if definition is None:
            return self.error(404, f"Workflow {fullname} not found")
        payload = wanted.get("payload", {})
        if definition.schema is not None and (faults := json_schema.errors(payload, definition.schema)):
            return Reply.json(400, {"error": "Payload is not valid", "errors": faults})
        if self.database == "postgresql" and (len(wanted.get("comment", "")) > _COMMENT_LENGTH or not _is_kept(wanted)):
            return self.error(500)
        if definition.unknown_task:
            self.begin_run(fullname, wanted, life=Life(queued=math.inf))
            return self.error(500)
        if definition.has_group and not self.chords:
            self.begin_run(fullname, wanted, life=Life(0, "error", runs_steps=False))
            return self.error(500)
        if self.broker == "refuses":
            wait = self._broker_wait(19.0)
            self.begin_run(fullname, wanted, life=Life(0, "error", runs_steps=False, queued=wait))
            return self.error(500).held(wait)
        if self.broker == "silent":
            self.begin_run(fullname, wanted, life=Life(queued=math.inf))
            return Reply.nothing(hold=self._broker_wait(30.0))
        run = self.begin_run(fullname, wanted)
        return Reply.json(201, self._row(run, call, change=Change(run.started_at, "queued")))

    def _newest_first(self, offset: int, limit: int) -> list[Run]:
        """Return a page; the order of runs of one second is the database's."""
        if self.database != "mysql":
            return self.runs.newest_first(offset, limit)
        runs = self.runs.newest_first()
        random.Random(len(self.ledger.requests)).shuffle(runs)  # noqa: S311 - an order, not a secret
        runs.sort(key=lambda run: int(run.started_at), reverse=True)
        return runs[offset : offset + limit]

    def _broker_wait(self, real: float) -> float:
        return real if self.broker_seconds is None else self.broker_seconds

    def _row_text(self, run: Run, call: Call, *, with_payload: bool, now: float) -> str:
        """Return a row as JSON, written anew only when it changed: lists are long and asked for often."""
        change = run.current(now)
        look = (change, with_payload, call.status_word, self.database, self.utc_offset)
        seen, text = run.details.get("row", (None, ""))
        if seen != look:
            text = json.dumps(self._row(run, call, with_payload=with_payload, change=change), sort_keys=True)
            run.details["row"] = (look, text)
        return str(text)

    def _row(self, run: Run, call: Call, *, with_payload: bool = True, change: Change | None = None) -> dict[str, Any]:
        at, phase = change or run.current(self.clock.now())
        project, _, name = run.flow.partition(".")
        row = {
            "id": run.id,
            "project": project,
            "name": name,
            "fullname": run.flow,
            "status": call.status_word or STATUSES.get(phase, phase),
            "periodic": run.request.get("periodic", False),
            "created": self._stamp(run.started_at),
            "updated": self._stamp(at),
        }
        if with_payload:
            row["payload"] = run.request.get("payload", {})
        if "comment" in run.request:
            row["comment"] = run.request["comment"]
        return row

    def _stamp(self, at: float) -> str:
        if self.database == "sqlite":
            return datetime.fromtimestamp(int(at), UTC).replace(tzinfo=None).isoformat()
        zone = timezone(timedelta(hours=self.utc_offset))
        if self.database == "mysql":
            return datetime.fromtimestamp(int(at), zone).replace(tzinfo=None).isoformat()
        return datetime.fromtimestamp(at, zone).isoformat(timespec="microseconds")


def _is_kept(wanted: Mapping[str, Any]) -> bool:
    """Say whether PostgreSQL keeps these texts: neither a NUL nor half of a surrogate pair."""
    text = json.dumps(dict(wanted), ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\\u0000" not in text


def _integer(text: str | None, *, default: int) -> int:
    """Read an integer as the real one does: what is none counts as not given."""
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


def _uuid(text: str) -> str | None:
    """Return an id in its usual form; upper case, no dashes and braces are all accepted."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
