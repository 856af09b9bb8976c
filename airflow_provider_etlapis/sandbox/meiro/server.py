"""The ground of the Meiro sandbox: its logins, its error answers, and the strictness of its lists and bodies."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, Unpack

from airflow_provider_etlapis.sandbox.lives import Life
from airflow_provider_etlapis.sandbox.meiro.requests import RefusedError, check_fields, operation, whole
from airflow_provider_etlapis.sandbox.meiro.work import DEMO_DAWGS, USER, Dawg, Workspace, demo_workspaces
from airflow_provider_etlapis.sandbox.messages import Call, Reply, gateway_page
from airflow_provider_etlapis.sandbox.replay import fixed, same
from airflow_provider_etlapis.sandbox.runs import Run
from airflow_provider_etlapis.sandbox.server import SandboxOptions, VendorSandbox
from airflow_provider_etlapis.sandbox.tokens import TokenDesk

TEXTS = {
    400: "Bad request",
    401: "Token is not valid",
    403: "Permission denied",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    415: "Content type must be application/json",
    429: "Too many requests",
    500: "Internal server error",
}
TOKEN_HEADER = "X-Access-Token"  # noqa: S105 a header's name

_HOUR = 3600.0
_PLACE = frozenset({"limit", "offset", "order_by", "order_dir", "load_full_structure"})
_DEFAULT_LIMIT = 20


class MeiroServer(VendorSandbox):
    """Users, tokens and workspaces of a Meiro instance; every option is also an attribute, changeable while it serves.

    What the document does not say is an option; the defaults are what a tolerant reader expects.

    :param workspaces: default: the demo's
    :param dawgs: default: the demo's
    :param login_path: where tokens are had, ``"/login"`` or ``"/users/login"``
    :param credentials_login: ``False``: Okta only, tokens are had by ``issue_token``
    :param token_life: seconds; a token can be refreshed for half as long after its end
    :param refresh_needs_header: the refresh asks for the old token in the header as well
    :param refresh_ends_old: the old token is no good after a refresh
    :param max_limit: most rows of a page; the echo says what was given
    :param array_style: how lists in a query must be written; ``"any"``: each of the three
    :param boolean_style: how booleans in a query must be written; ``"any"``: both
    :param never_ran: how ``last_jobs`` shows a workspace that never ran
    :param bare_lists: lists over many workspaces show empty ``stats``, as in the document's examples
    :param runs_disabled: a disabled workspace can be run
    :param cancel_ended: status of the answer to a cancel of a job that has ended; 200 changes nothing
    :param cancel_seconds: how long a canceled job goes on
    :param refused_lists: ``"last_jobs"``, ``"workspace_jobs"``: what the credential may not list
    :param hidden_status: answer about a workspace that the credential may not see
    :param utc_offset: hours, zone of the timestamps
    """

    vendor = "meiro"
    connection_type = "meiro"
    default_flow = "100"
    replays = {  # noqa: RUF012 as the base class has it
        "login-path": same("login_path", "login_path"),
        "array-parameters": same("array_parameters", "array_style"),
        "boolean-parameters": same("boolean_parameters", "boolean_style"),
        "page-size": fixed(max_limit=50),
        "timezone": lambda settings: {"utc_offset": int(settings["timezone"].removeprefix("Etc/GMT-"))},
    }

    email = "airflow@example.com"
    password = "meiro-sandbox-password"  # noqa: S105 of a sandbox

    def __init__(
        self,
        *,
        workspaces: Sequence[Workspace] | None = None,
        dawgs: Sequence[Dawg] = DEMO_DAWGS,
        login_path: Literal["/login", "/users/login"] = "/login",
        credentials_login: bool = True,
        token_life: float = 8 * _HOUR,
        refresh_needs_header: bool = False,
        refresh_ends_old: bool = False,
        max_limit: int | None = None,
        array_style: Literal["any", "comma", "repeated", "brackets"] = "any",
        boolean_style: Literal["any", "true", "1"] = "any",
        never_ran: Literal["null", "no row", "no key"] = "null",
        bare_lists: bool = True,
        runs_disabled: bool = True,
        cancel_ended: Literal[200, 400, 404, 409] = 200,
        cancel_seconds: float = 0.0,
        refused_lists: Collection[str] = (),
        hidden_status: Literal[403, 404] = 404,
        utc_offset: float = 0.0,
        **options: Unpack[SandboxOptions],
    ) -> None:
        super().__init__(**options)
        self.login_path = login_path
        self.credentials_login = credentials_login
        self.tokens = TokenDesk(self.clock, lifetime=token_life, refresh_grace=token_life / 2)
        self.refresh_needs_header = refresh_needs_header
        self.refresh_ends_old = refresh_ends_old
        self.max_limit = max_limit
        self.array_style = array_style
        self.boolean_style = boolean_style
        self.never_ran = never_ran
        self.bare_lists = bare_lists
        self.runs_disabled = runs_disabled
        self.cancel_ended = cancel_ended
        self.cancel_seconds = cancel_seconds
        self.refused_lists = refused_lists
        self.hidden_status = hidden_status
        self.utc_offset = utc_offset
        self.dawgs = {dawg.id: dawg for dawg in dawgs}
        self.workspaces: dict[int, Workspace] = {}
        self.jobs: list[Run] = []
        self.jobs_of: dict[int, list[Run]] = {}
        self._ended_tokens: set[str] = set()
        self._job_ids = itertools.count(5001)
        self._version_ids = itertools.count(9001)
        for workspace in demo_workspaces() if workspaces is None else workspaces:
            self.define(workspace)

    def define(self, workspace: Workspace) -> Workspace:
        """Add or replace a workspace."""
        if workspace.created_at is None:
            workspace.created_at = self.clock.now()
        self.workspaces[workspace.id] = workspace
        return workspace

    def issue_token(self, user_id: int = USER) -> str:
        """Return a token as one gets it by Okta."""
        return self.tokens.issue(str(user_id))

    # -- what the framework asks ------------------------------------------------------------------------------

    def offers(self) -> list[dict[str, str]]:
        """Return id and name of each workspace, one of which names it."""
        return [{"workspace_id": str(each.id), "workspace_name": each.name} for each in self.workspaces.values()]

    def credentials(self) -> dict[str, Any]:
        """Return e-mail and password; a ready token where there is no login by them."""
        extra: dict[str, Any] = {"user_id": USER}
        if self.login_path != "/login":
            extra["login_path"] = self.login_path
        if not self.credentials_login:
            return {"extra": {**extra, "access_token": self.issue_token()}}
        return {"login": self.email, "password": self.password, "extra": extra}

    def new_run_id(self) -> str:
        """Return a job's number."""
        return str(next(self._job_ids))

    def begin_run(
        self,
        flow: str,
        request: Mapping[str, Any],
        *,
        life: Life | None = None,
        age: float = 0.0,
        run_id: str | None = None,
        seeded: bool = False,
    ) -> Run:
        """Make a job; its id has the workspace's before it, as hooks know it."""
        number = (run_id or self.new_run_id()).rpartition("/")[2]
        return super().begin_run(flow, request, life=life, age=age, run_id=f"{flow}/{number}", seeded=seeded)

    def script(self, flow: str, request: Mapping[str, Any], life: Life | None) -> Life:
        """Resolve the steps from the workspace."""
        workspace = self.workspaces.get(int(flow))
        if workspace is None:
            raise ValueError(f"no workspace {flow}; there are: {', '.join(map(str, sorted(self.workspaces)))}")
        life = life or workspace.life or self.default_life
        if "warning" in (life.outcome, *(outcome for _, outcome in life.afterwards)):
            raise ValueError("a job of this vendor cannot end in a warning")
        return life.for_steps(tuple((step,) for step in workspace.steps))

    def remember(self, run: Run) -> None:
        """Note the job with its workspace, and in the order of ids."""
        self.jobs.append(run)
        self.jobs_of.setdefault(int(run.flow), []).append(run)

    def refuse_login(self, call: Call) -> Reply | None:
        """Check the token in the header."""
        return None if self.user_of(call) is not None else self.error(401)

    def user_of(self, call: Call) -> int | None:
        """Return whose token a request carries, ``None`` if it carries none that is good."""
        token = call.header(TOKEN_HEADER) or ""
        owner = None if token in self._ended_tokens else self.tokens.owner(token)
        return None if owner is None else int(owner)

    def error(self, status: int, text: str | None = None, *, path: str = "") -> Reply:
        """Answer with a message; what the server never says itself is a proxy's."""
        if status not in TEXTS:
            return gateway_page(status)
        return Reply.json(status, {"message": text or TEXTS[status]})

    # -- logins -----------------------------------------------------------------------------------------------

    @operation("auth_options", "GET", "/auth_options", needs_login=False)
    def auth_options(self, call: Call) -> Reply:
        """Say which ways to log in there are."""
        self.query(call)
        options = {
            "is_credentials_login_enabled": self.credentials_login,
            "is_okta_login_enabled": not self.credentials_login,
            "okta_auth_link": None if self.credentials_login else "https://okta.example.com/authorize",
        }
        return Reply.json(200, {"authentication_options": options})

    @operation("login", "POST", "/login", needs_login=False)
    def log_in(self, call: Call) -> Reply:
        """Issue a token for e-mail and password."""
        body = self._login_body(call, "/login", {"email": str, "password": str})
        if not self.credentials_login or (body["email"], body["password"]) != (self.email, self.password):
            raise RefusedError(401, "Invalid credentials have been provided")
        self.ledger.note_login()
        return Reply.json(200, {"token": self.issue_token()})

    @operation("refresh", "PATCH", "/login", needs_login=False)
    def refresh(self, call: Call) -> Reply:
        """Exchange a token that is not too old."""
        old = self._login_body(call, "/login", {"token": str})["token"]
        if self.refresh_needs_header and call.header(TOKEN_HEADER) != old:
            raise RefusedError(401)
        token = None if old in self._ended_tokens else self.tokens.refresh(old)
        if token is None:
            raise RefusedError(401, "Token is too old for refresh")
        if self.refresh_ends_old:
            self._ended_tokens.add(old)
        return Reply.json(200, {"token": token})

    @operation("login", "POST", "/users/login", needs_login=False)
    def log_in_elsewhere(self, call: Call) -> Reply:
        """Do the same where the sister products have it."""
        return self.log_in(call)

    @operation("refresh", "PATCH", "/users/login", needs_login=False)
    def refresh_elsewhere(self, call: Call) -> Reply:
        """Do the same where the sister products have it."""
        return self.refresh(call)

    def _login_body(self, call: Call, path: str, kinds: Mapping[str, type]) -> dict[str, Any]:
        if call.path != self.login_path:
            raise RefusedError(404)
        self.query(call)
        return self.object_of(call, required=kinds)

    # -- for the other rooms ----------------------------------------------------------------------------------

    def stamp(self, at: float) -> str:
        """Write a time as the server does: no zone, whole seconds."""
        return datetime.fromtimestamp(int(at), timezone(timedelta(hours=self.utc_offset))).strftime("%Y-%m-%d %H:%M:%S")

    def workspace(self, call: Call, *, deleted: bool = False) -> Workspace:
        """Return the workspace of the path; one in the trash only where it is asked for."""
        workspace = self.workspaces.get(whole(call.parameters["workspace_id"]))
        if workspace is None or (workspace.deleted and not deleted):
            raise RefusedError(404)
        if workspace.hidden:
            raise RefusedError(self.hidden_status)
        return workspace

    def query(self, call: Call, *known: str) -> None:
        """Refuse query parameters that the operation does not know, and bodies where none is due."""
        unknown = {name.removesuffix("[]") for name, _ in call.query} - set(known)
        if unknown:
            raise RefusedError(400, f"Unknown parameters: {', '.join(sorted(unknown))}")
        if call.method in {"GET", "DELETE"} and call.body:
            raise RefusedError(400, "No body is expected")

    def plain_query(self, call: Call) -> None:
        """Do the same where only the flag for the full structure is known, which changes nothing here."""
        self.query(call, "load_full_structure")
        self._flag(call, "load_full_structure")

    def array(self, call: Call, name: str) -> list[int] | None:
        """Return a list parameter, in any of the accepted spellings."""
        plain = [value for key, value in call.query if key == name]
        bracketed = [value for key, value in call.query if key == f"{name}[]"]
        if not plain and not bracketed:
            return None
        style = "brackets" if bracketed else "comma" if any("," in value for value in plain) else "repeated"
        single = style == "repeated" and len(plain) == 1
        if self.array_style not in ("any", style) and not (single and self.array_style == "comma"):
            raise RefusedError(400, f"{name} must be an array")
        return [whole(part, name) for value in plain + bracketed for part in value.split(",")]

    def boolean(self, call: Call, name: str, *, default: bool) -> bool:
        """Return a boolean parameter, in any of the accepted spellings."""
        value = call.query_value(name)
        if value is None:
            return default
        words = {"true": ("true", "false"), "1": ("1", "0"), "any": ("true", "false", "1", "0")}[self.boolean_style]
        if value not in words:
            raise RefusedError(400, f"{name} must be a boolean")
        return value in ("true", "1")

    def _flag(self, call: Call, name: str) -> bool:
        value = call.query_value(name)
        if value not in (None, "0", "1"):
            raise RefusedError(400, f"{name} must be 0 or 1")
        return value == "1"

    def page(
        self,
        call: Call,
        key: str,
        rows: Sequence[Any],
        show: Callable[[Any], dict[str, Any]],
        *,
        echo: Mapping[str, Any] | None = None,
        flags: Collection[str] = (),
    ) -> Reply:
        """Answer with a page of rows, which come in the order of their ids.

        :param show: makes the JSON of one row, only of those on the page
        :param echo: further parameters, with the values that were understood
        :param flags: further 0/1 parameters, not echoed
        """
        self.query(call, *_PLACE, *flags, *(echo or {}))
        self._flag(call, "load_full_structure")
        limit = whole(call.query_value("limit") or str(_DEFAULT_LIMIT), "limit")
        sent_offset = call.query_value("offset")
        offset = whole(sent_offset or "0", "offset")
        order_by = call.query_value("order_by") or "id"
        order_dir = call.query_value("order_dir") or "ASC"
        if limit < 1 or order_by != "id" or order_dir not in ("ASC", "DESC"):
            raise RefusedError(400, "limit must be positive, order_by a column, order_dir ASC or DESC")
        limit = min(limit, self.max_limit or limit)
        if order_dir == "ASC":
            part = list(rows[offset : offset + limit])
        else:
            stop = max(len(rows) - offset, 0)
            part = list(reversed(rows[max(stop - limit, 0) : stop]))
        settings = {
            "limit": limit,
            "offset": None if sent_offset is None else offset,
            "order_by": order_by,
            "order_dir": order_dir,
            **(echo or {}),
        }
        return Reply.json(200, {key: [show(row) for row in part], "selection_settings": settings})

    def flag(self, call: Call, name: str) -> bool:
        """Return a 0/1 parameter."""
        return self._flag(call, name)

    def body_of(self, call: Call) -> Any:
        """Return the body, which must be JSON and say so."""
        kind = (call.header("Content-Type") or "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RefusedError(415)
        try:
            return json.loads(call.body)
        except ValueError:
            raise RefusedError(400, "The body is no JSON") from None

    def object_of(
        self,
        call: Call,
        *,
        required: Mapping[str, type | tuple[type, ...]] | None = None,
        optional: Mapping[str, type | tuple[type, ...]] | None = None,
    ) -> dict[str, Any]:
        """Return the body, which must be an object with fields of these types and no others."""
        body = self.body_of(call)
        check_fields(body, required or {}, optional or {})
        checked: dict[str, Any] = body
        return checked
