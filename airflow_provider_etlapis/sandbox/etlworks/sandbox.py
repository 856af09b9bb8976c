"""Etlworks on localhost: the REST API of an Integrator instance, as far as its documents go.

What they leave open is an option with the reading that a client can live with. Not imitated: schedules, webhooks,
listeners, the automatic retries of a schedule.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

from airflow_provider_etlapis.sandbox.etlworks.server import EtlworksServer, by_start
from airflow_provider_etlapis.sandbox.etlworks.work import log_text, reported, running_task
from airflow_provider_etlapis.sandbox.lives import latest
from airflow_provider_etlapis.sandbox.messages import Call, Reply, route
from airflow_provider_etlapis.sandbox.runs import Run


class EtlworksSandbox(EtlworksServer):
    """An Etlworks instance with scripted runs; see :class:`EtlworksServer` for its options."""

    # -- flows ------------------------------------------------------------------------------------------------

    @route("flows", "GET", "/rest/v1/flows")
    def list_flows(self, call: Call) -> Reply:
        """List all flows in one answer, filtered and sorted."""
        needed = "editor" if self.list_needs_editor else "viewer"
        if refusal := self._refuse(call, needed, {"q", "tag", "sort", "since"}):
            return refusal
        q, tags = call.query_value("q"), [value for name, value in call.query if name == "tag"]
        since = call.query_value("since")
        shown = [flow for flow in self.flows.values() if (not q or q in flow.name) and set(tags) <= set(flow.tags)]
        if since is not None:
            try:
                after = datetime.fromisoformat(since).timestamp() * 1000
            except ValueError:
                return self.error(400, f"since: not ISO-8601: {since}", path=call.path)
            shown = [flow for flow in shown if flow.modified > after]
        rows = [flow.as_json(self._latest_end(flow)) for flow in shown]
        key = (call.query_value("sort") or "").removeprefix("-")
        if key:
            rows.sort(key=lambda row: str(row.get(key)), reverse=(call.query_value("sort") or "").startswith("-"))
        return Reply.json(200, rows)

    @route("flow", "GET", "/rest/v1/flows/{flow_id}")
    def get_flow(self, call: Call) -> Reply:
        """Show one flow."""
        if refusal := self._refuse(call, "editor" if self.list_needs_editor else "viewer"):
            return refusal
        flow = self._asked_flow(call)
        if isinstance(flow, Reply):
            return flow
        full: dict[str, Any] = {key: [] for key in ("transformations", "mappings", "connections", "nestedFlows")}
        return Reply.json(200, {**flow.as_json(self._latest_end(flow)), **full, "properties": {}})

    @route("start", "POST", "/rest/v1/flows/{flow_id}/run")
    def run_flow(self, call: Call) -> Reply:
        """Start a run; the body is a flat map of strings."""
        flow = self._asked_flow(call)
        if isinstance(flow, Reply):
            return flow
        body = self._json(call)
        if isinstance(body, Reply):
            return body
        strange = [name for name, value in body.items() if not isinstance(value, str)]
        if strange:
            return self.error(400, f"Parameters must be strings: {', '.join(sorted(strange))}", path=call.path)
        return self._begin(call, flow, body)

    @route("start_by_name", "POST", "/rest/v1/flows/flow-name/{flow_name}/run")
    def run_flow_by_name(self, call: Call) -> Reply:
        """Start a run by the name of its flow, without parameters."""
        flow = next((flow for flow in self.flows.values() if flow.name == call.parameters["flow_name"]), None)
        if flow is None:
            return self.error(404, path=call.path)
        if call.body and (body := self._json(call)):
            return body if isinstance(body, Reply) else self.error(400, "No body is expected", path=call.path)
        return self._begin(call, flow, {})

    @route("cancel", "POST", "/rest/v1/{group}/{thing_id}/stop")
    def stop_run(self, call: Call) -> Reply:
        """Ask to stop a run: the latest of a flow, or the one that is named; only where ``stop_path`` says so."""
        wanted = "" if self.stop_path is None else f"/rest{self.stop_path}"
        for run in reversed(list(self.runs)):
            if unquote(call.path) == wanted.format(flow_id=run.flow, audit_id=run.id) and self._is_busy(run):
                if refusal := self._refuse(call, "editor"):
                    return refusal
                if self.stop_answer == "refused":
                    return Reply.json(200, {"success": False, "error": "The execution cannot be stopped"})
                self.cancel_run(run)
                return Reply(200) if self.stop_answer == "empty" else Reply.json(200, {"success": True})
        return self.error(404, path=call.path)

    # -- executions -------------------------------------------------------------------------------------------

    @route("get", "GET", "/rest/v1/executions/{flow_id}")
    def get_execution(self, call: Call) -> Reply:
        """Show a run, or the flow's present or latest one."""
        if refusal := self._refuse(call, "operator", {"auditId", "messageId", "status"}):
            return refusal
        flow = self._asked_flow(call)
        if isinstance(flow, Reply):
            return flow
        audit_id = call.query_value("auditId")
        runs = self._recorded(flow)
        run = self.runs.get(audit_id) if audit_id is not None else max(runs, key=by_start, default=None)
        if run is None and audit_id is None:
            return self._no_record(flow, call)
        if run is None or run.flow != flow.key or not self._is_recorded(run):
            return self.error(404, path=call.path)
        return Reply.json(200, self._record(run, flow, call))

    @route("history", "GET", "/rest/v1/executions/{flow_id}/history")
    def history(self, call: Call) -> Reply:
        """List the runs of a flow, page by page."""
        if refusal := self._refuse(call, "operator", {"limit", "offset"}):
            return refusal
        flow = self._asked_flow(call)
        if isinstance(flow, Reply):
            return flow
        runs = sorted(self._recorded(flow), key=by_start, reverse=self.history_order == "newest")
        return self._paged(call, runs, lambda run: self._record(run, flow, call))

    @route("log", "GET", "/rest/v1/executions/console/download")
    def download_log(self, call: Call) -> Reply:
        """Send the log of a run as a file."""
        if refusal := self._refuse(call, "operator", {"flowId", "auditId", "Authorization"}):
            return refusal
        run = self.runs.get(call.query_value("auditId") or "")
        if run is None or run.flow != call.query_value("flowId"):
            return self.error(404, path=call.path)
        text = log_text(run, self.clock.now(), with_parameters=self.log_tells_parameters)
        name = {"Content-Disposition": f'attachment; filename="{run.id}.log"'}
        return Reply(200, text.encode(), "text/plain; charset=utf-8", name)

    @route("list", "GET", "/rest/v1/metrics/executions")
    def report(self, call: Call) -> Reply:
        """List the runs of a day by flow."""
        if refusal := self._refuse(call, "administrator", {"date", "offset", "includeMetrics", "tenantId"}):
            return refusal
        zone = timezone(timedelta(hours=self.utc_offset))
        now = self.clock.now()
        day = datetime.fromtimestamp(now, zone).date()
        try:
            if wanted := call.query_value("date"):
                day = date.fromisoformat(wanted)
            elif back := call.query_value("offset"):
                day -= timedelta(days=int(back))
        except ValueError:
            return self.error(400, "Field 'date' or 'offset' is not valid", path=call.path)
        include = call.query_value("includeMetrics") == "true"
        begin = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
        groups: dict[str, list[dict[str, Any]]] = {}
        for run in self.runs:
            change = self._change(run)
            ended = change.at if change.phase not in ("queued", "running") else None
            if not begin <= run.started_at < begin + 86_400 or (ended is None and not self.report_names_running):
                continue
            status = call.status_word or change.phase
            row = reported(run, self.flows[run.flow], status, ended=ended, include_metrics=include)
            groups.setdefault(run.flow, []).append(row)
        rows = [
            {"flowId": int(key), "name": self.flows[key].name, "icon": "flow.png", "executions": executions}
            for key, executions in groups.items()
        ]
        return Reply.json(200, rows)

    @route("tasks", "GET", "/etl/rest/v1/tasks/{audit_id}/")
    def running_tasks(self, call: Call) -> Reply:
        """List what a run is doing right now; not below ``/rest``."""
        if refusal := self._refuse(call, "administrator", {"type"}):
            return refusal
        run = self.runs.get(call.parameters["audit_id"])
        if run is None:
            return self.error(404, path=call.path)
        now = self.clock.now()
        steps = [step for step in run.timeline.steps if latest(step.changes, now).phase == "running"]
        rows = [running_task(run, step, now) for step in steps if run.is_live(now)]
        kind = call.query_value("type")
        return Reply.json(200, [row for row in rows if kind in (None, row["type"])])

    # -- the rest ---------------------------------------------------------------------------------------------

    @route("audit", "GET", "/rest/v1/audit")
    def audit_trail(self, call: Call) -> Reply:
        """List events of the audit trail, the newest first: the starts of runs."""
        if refusal := self._refuse(call, "administrator", {"limit", "offset", "exception"}):
            return refusal

        def event(run: Run) -> dict[str, Any]:
            user = run.details.get("user", "alice@example.com")
            failed = self._change(run).phase == "error"
            shown = {"id": int(run.id), "an": "flows", "md": "runFlow", "ur": user, "tn": "", "rt": not failed}
            started = datetime.fromtimestamp(run.started_at, UTC).isoformat()
            shown |= {"in": True, "hip": "127.0.0.1", "cip": "127.0.0.1", "dn": 12, "dt": started}
            if failed and call.query_value("exception") == "true":
                shown["ex"] = f"java.lang.RuntimeException: {run.life.error_text}"
            return shown

        return self._paged(call, self.runs.newest_first(limit=1000), event)

    @route("health", "GET", "/health", needs_login=False)
    def health(self, call: Call) -> Reply:
        """Tell how the instance is; asks for no credential."""
        live = len(self.ledger.live_runs())
        database = {"status": "UP", "version": "8.0", "schema.version": "9.3.1", "running.flows": live}
        return Reply.json(200, {"status": "UP", "db": database, "disk": {}, "ram": {}, "cpu": {}, "redis": {}})
