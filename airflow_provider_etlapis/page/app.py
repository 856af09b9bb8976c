"""The page's server: the HTML file, the runs that its user may see, and the cancel."""

# No `from __future__ import annotations`: FastAPI reads the annotations at run time.

import json
import logging
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from airflow_provider_etlapis.exceptions import EtlApiError
from airflow_provider_etlapis.inventory.survey import Row
from airflow_provider_etlapis.page.access import Rights
from airflow_provider_etlapis.page.board import Board
from airflow_provider_etlapis.runs.claims import RunStanding
from airflow_provider_etlapis.runs.model import iso
from airflow_provider_etlapis.text import printable

log = logging.getLogger(__name__)

_PAGE = Path(__file__).with_name("page.html")
_LOG_LINES = 60
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)

board = Board()


def rights(user: GetUserDep) -> Rights:
    """Return the rights of the user who asks; nobody else gets past this."""
    return Rights(user)


def from_our_page(
    request: Request,
    sec_fetch_site: Annotated[str | None, Header()] = None,
    origin: Annotated[str | None, Header()] = None,
    x_etlapis: Annotated[str | None, Header()] = None,
) -> None:
    """Refuse what another site has made a browser send.

    :raises HTTPException: 403, if it does not come from the page.
    """
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign or sec_fetch_site not in (None, "same-origin") or x_etlapis != "page":
        raise HTTPException(403, "This request does not come from the page of remote runs.")


RightsDep = Annotated[Rights, Depends(rights)]

app = FastAPI(title="Remote runs", docs_url=None, redoc_url=None, openapi_url=None)


class RunName(BaseModel):
    """Names a run."""

    conn_id: str
    run_id: str


@app.get("/", dependencies=[Depends(rights)])
def page() -> HTMLResponse:
    """Return the page."""
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return HTMLResponse(_PAGE.read_text(encoding="utf-8"), headers=headers)


@app.get("/runs")
def runs(may: RightsDep) -> dict[str, Any]:
    """Return the runs that the user may see: ``{"at", "rows": [...], "troubles": {conn_id: text}}``."""
    found = board.survey()
    return {
        "at": iso(board.asked_at),
        "rows": [_as_json(row, may) for row in may.visible(found.rows)],
        "troubles": {conn_id: printable(text) for conn_id, text in found.troubles.items() if may.may_read(conn_id)},
    }


@app.get("/run")
def run(conn_id: str, run_id: str, may: RightsDep) -> dict[str, Any]:
    """Return one run whole: its row, ``"error"``, ``"steps"`` and the last lines of its log as ``"log"``."""
    row = _row(conn_id, run_id, may)
    try:
        with board.hook(conn_id) as hook:
            found = hook.look(row.ref)
            if found.state.is_terminal:
                found = hook.complete_run(found)
            lines = hook.read_log_tail(row.ref, _LOG_LINES) if hook.capabilities.logs else ()
    except EtlApiError as error:
        raise HTTPException(502, printable(str(error))) from error
    manifest = found.manifest()
    return {
        **_as_json(row, may),
        **{name: manifest[name] for name in ("state", "vendor_status", "started", "ended", "duration", "steps")},
        "url": _page_of(found.url),
        "error": None if found.error is None else printable(found.error, 10_000, lines=True),
        "log": [printable(line) for line in lines],
    }


@app.post("/cancel", dependencies=[Depends(from_our_page)])
def cancel(name: RunName, user: GetUserDep, may: RightsDep) -> dict[str, Any]:
    """Cancel a run, and write that into Airflow's audit log: ``{"asked", "note"}``."""
    row = _row(name.conn_id, name.run_id, may)
    if not may.may_cancel(row):
        needed = "edit runs of the DAG" if row.task is not None else "edit the connection"
        raise HTTPException(403, f"To cancel run {name.run_id} you need the right to {needed}.")
    try:
        with board.hook(name.conn_id) as hook:
            if not hook.capabilities.cancel:
                raise HTTPException(409, f"{hook.form.hook_name} cannot cancel runs. {hook.capabilities.cancel_note}")
            report = hook.cancel_run(row.ref)
    except EtlApiError as error:
        _note(user, row, f"failed: {error}")
        raise HTTPException(502, printable(str(error))) from error
    _note(user, row, report.note)
    board.survey(fresh=True)
    return {"asked": report.asked, "note": printable(report.note)}


def _row(conn_id: str, run_id: str, may: Rights) -> Row:
    """Return a row that the user may see.

    :raises HTTPException: 404, whether there is none or the user may not see it.
    """
    row = board.find(conn_id, run_id)
    if row is None or not may.visible([row]):
        raise HTTPException(404, f"Run {run_id} of connection {conn_id} is not among the runs shown to you.")
    return row


def _note(user: Any, row: Row, note: str) -> None:
    """Write a row into Airflow's audit log."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    task = row.task
    named: dict[str, Any] = {}
    if task is not None:
        named = {"dag_id": task.dag_id, "task_id": task.task_id, "run_id": task.run_id, "map_index": task.map_index}
    extra = {"conn_id": row.conn_id, "remote_run": row.ref.run_id, "note": printable(note)}
    with create_session() as session:
        session.add(
            Log(
                event="etlapis.cancel_remote_run",
                owner=user.get_name(),
                owner_display_name=user.get_name(),
                extra=json.dumps(extra),
                **named,
            )
        )


def _as_json(row: Row, may: Rights) -> dict[str, Any]:
    found, task = row.run, row.task
    goes_on = row.standing not in (RunStanding.ENDED, RunStanding.UNKNOWN_TO_VENDOR)
    return {
        "vendor": row.ref.vendor,
        "conn_id": row.conn_id,
        "run_id": row.ref.run_id,
        "standing": row.standing.value,
        "name": "" if found is None else printable(found.name),
        "state": None if found is None else found.state.value,
        "vendor_status": None if found is None else printable(found.vendor_status),
        "started": None if found is None else iso(found.started),
        "ended": None if found is None else iso(found.ended),
        "progress": "" if found is None else _progress(row),
        "url": None if found is None else _page_of(found.url),
        "can_cancel": goes_on and row.can_cancel and may.may_cancel(row),
        "task": None
        if task is None
        else {
            "dag_id": task.dag_id,
            "run_id": task.run_id,
            "task_id": task.task_id,
            "map_index": task.map_index,
            "try_number": task.try_number,
            "state": task.state,
        },
    }


def _progress(row: Row) -> str:
    steps = row.run.steps if row.run is not None else ()
    return f"{sum(step.state.is_terminal for step in steps)} of {len(steps)} steps" if steps else ""


def _page_of(url: str | None) -> str | None:
    return url if url is not None and urlsplit(url).scheme in ("http", "https") else None
