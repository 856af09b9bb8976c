"""Acme on localhost, as strict as its document, which is this file: there is no such vendor.

``POST /v2/runs`` starts a run of a job, ``GET /v2/runs`` lists runs, newest first, ``GET /v2/runs/ID`` shows one with
its stages, ``POST /v2/runs/ID/halt`` calls it halted, also one that has ended, ``GET /v2/runs/ID/log`` gives the lines
of its log from a number on.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_etlapis.sandbox.lives import Life, latest, story
from airflow_provider_etlapis.sandbox.messages import Call, Reply, gateway_page, route
from airflow_provider_etlapis.sandbox.runs import Run
from airflow_provider_etlapis.sandbox.server import VendorSandbox

KEY = "acme-key-5d1f-not-for-logs"
STATUSES = {
    "queued": "WAITING",
    "waiting": "WAITING",
    "running": "WORKING",
    "success": "DONE",
    "warning": "DONE_WITH_REMARKS",
    "error": "BROKEN",
    "canceled": "HALTED",
}
LONGEST_LIST = 100
_JOBS = {"orders": ("EXTRACT", "LOAD"), "prices": ("EXTRACT", "LOAD")}
_TEXTS = {
    400: "bad request",
    401: "wrong key",
    403: "no right",
    404: "not found",
    409: "in another state",
    429: "slower",
}


class AcmeSandbox(VendorSandbox):
    """An Acme server with scripted runs."""

    vendor = "acme"
    connection_type = "acme"
    default_flow = "orders"

    _numbers = itertools.count(70001)

    def credentials(self) -> dict[str, Any]:
        return {"password": KEY}

    def script(self, flow: str, request: Mapping[str, Any], life: Life | None) -> Life:
        return (life or self.default_life).for_steps(tuple((step,) for step in _JOBS[flow]))

    def new_run_id(self) -> str:
        return f"r-{next(self._numbers)}"

    def refuse_login(self, call: Call) -> Reply | None:
        return None if call.header("Authorization") == f"Key {KEY}" else self.error(401)

    def error(self, status: int, text: str | None = None, *, path: str = "") -> Reply:
        if status not in _TEXTS:
            return gateway_page(status)
        return Reply.json(status, {"error": text or _TEXTS[status]})

    @route("account", "GET", "/v2/account")
    def account(self, call: Call) -> Reply:
        return Reply.json(200, {"user": "airflow@example.com"})

    @route("start", "POST", "/v2/runs")
    def start_run(self, call: Call) -> Reply:
        body = json.loads(call.body)
        if set(body) != {"job", "input", "label"} or not isinstance(body["input"], dict):
            return self.error(400, "a run has job, input and label")
        if body["job"] not in _JOBS:
            return self.error(404, f"no job {body['job']}")
        return Reply.json(201, self._row(self.begin_run(body["job"], body), call))

    @route("list", "GET", "/v2/runs")
    def list_runs(self, call: Call) -> Reply:
        if set(dict(call.query)) - {"limit", "job"}:
            return self.error(400, "the list takes limit and job")
        limit = min(int(call.query_value("limit") or LONGEST_LIST), LONGEST_LIST)
        job = call.query_value("job")
        runs = [run for run in self.runs.newest_first() if job in (None, run.flow)]
        return Reply.json(200, {"runs": [self._row(run, call) for run in runs[:limit]], "total": len(runs)})

    @route("get", "GET", "/v2/runs/{run_id}")
    def get_run(self, call: Call) -> Reply:
        run = self.runs.get(call.parameters["run_id"])
        if run is None:
            return self.error(404)
        now = self.clock.now()
        stages = []
        for step in run.timeline.steps:
            begun = next((change.at for change in step.changes if change.phase == "running" and change.at <= now), None)
            stages.append(
                {"name": step.name, "status": STATUSES[latest(step.changes, now).phase], "begun": _text(begun)}
            )
        return Reply.json(200, {**self._row(run, call), "stages": stages})

    @route("cancel", "POST", "/v2/runs/{run_id}/halt")
    def halt_run(self, call: Call) -> Reply:
        run = self.runs.get(call.parameters["run_id"])
        if run is None:
            return self.error(404)
        self.cancel_run(run)
        return Reply.json(202, {"halting": True})

    @route("log", "GET", "/v2/runs/{run_id}/log")
    def read_log(self, call: Call) -> Reply:
        run = self.runs.get(call.parameters["run_id"])
        if run is None:
            return self.error(404)
        now = self.clock.now()
        lines = ["log opened", *(text for _, text in story(run.timeline, now))]
        if run.current(now).phase == "error":
            lines.append(f"ERROR {run.life.error_text}")
        return Reply.json(200, {"lines": lines[int(call.query_value("from") or 0) :], "next": len(lines)})

    def _row(self, run: Run, call: Call) -> dict[str, Any]:
        now = self.clock.now()
        change = run.current(now)
        ended = change.at if not run.is_live(now) else None
        return {
            "id": run.id,
            "job": run.flow,
            "status": call.status_word or STATUSES[change.phase],
            "input": run.request.get("input", {}),
            "label": run.request.get("label", ""),
            "begun": _text(run.started_at),
            "ended": _text(ended),
            "error": run.life.error_text if change.phase == "error" else None,
        }


def _text(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
