"""The log of a DataWORQ job, laid out as in the examples of the vendor's reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_etlapis.sandbox.lives import StepLine, latest
from airflow_provider_etlapis.sandbox.runs import Run

RESULTS = {"success": "COMPLETED", "error": "ERROR", "canceled": "CANCELLED"}

_JOB = "job.RunProfileJobImpl"
_SERVICE = "service.DefaultFlowExecutionServiceImpl"
_ENDINGS = {"success": "completed successfully", "error": "failed", "canceled": "was cancelled"}


def table(title: str, heading: Sequence[str], *rows: Sequence[str]) -> str:
    """Return a table with borders, each line with its line break."""
    widths = [max(map(len, column)) + 4 for column in zip(heading, *rows, strict=True)]
    # A title that is wider than its columns widens the last one (not in the examples).
    widths[-1] += max(0, len(title) + 4 - sum(widths) - len(widths) + 1)
    whole = sum(widths) + len(widths) - 1
    ruler = "+" + "+".join("-" * width for width in widths) + "+"

    def row(cells: Sequence[str]) -> str:
        return "|" + "|".join(f"  {cell}".ljust(width) for cell, width in zip(cells, widths, strict=True)) + "|"

    headings = "|" + "|".join(_centred(cell, width) for cell, width in zip(heading, widths, strict=True)) + "|"
    lines = [f"+{'-' * whole}+", f"|{_centred(title, whole)}|", ruler, headings, ruler]
    for cells in rows:
        lines += [row(cells), ruler]
    return "".join(f"{line}\r\n" for line in lines)


def job_log(run: Run, now: float, zone: float) -> str:
    """Return a job's log: tables about it and its parameters, a line a step, its results, and how it ended.

    :param now: unix seconds
    :param zone: hours between UTC and the server's own time
    """
    flow, profile = run.details["flow"], run.details["profile"]
    log = _Log(zone)
    about = table(
        "Job Execution Details",
        ("NAME", "VALUE"),
        ("Job Name", f"{run.flow}_{profile}"),
        ("Execution Id", run.id),
    )
    log.write(run.started_at, "INFO", _JOB, f"\r\n{about}")
    details = table(
        "Execution Details",
        ("NAME", "VALUE"),
        ("Flow Id", flow.flow_id),
        ("Flow Name", f"C:/Flows/{run.flow}.flx"),
        ("Type", "RUNPROFILE"),
        ("RUNITEM", profile),
    )
    log.write(run.started_at, "INFO", _SERVICE, f"\r\n{details}{_parameter_set(run)}")
    for number, step in enumerate(run.timeline.steps):
        change = latest(step.changes, now)
        if change.phase in RESULTS:
            node = f"node_{1000000 + number}:{step.name}:{step.name} | Elapsed Time (s): {_took(step):.3f}"
            log.write(change.at, "PERFORMANCE", "node.DatabaseCommandOutputNode", node)
    change = run.current(now)
    if change.phase in RESULTS:
        log.write(change.at, "INFO", _SERVICE, f"\r\n{_results(run, now, change.phase)}")
        if change.phase == "error":
            log.write(change.at, "ERROR", _JOB, run.life.error_text)
        log.write(change.at, "INFO", _JOB, f"Job {_ENDINGS[change.phase]}.")
    return log.text


class _Log:
    def __init__(self, zone: float) -> None:
        self._zone = timedelta(hours=zone)
        self.text = ""

    def write(self, at: float, level: str, source: str, text: str) -> None:
        local = datetime.fromtimestamp(at, UTC).replace(tzinfo=None) + self._zone
        stamp = f"{local:%m/%d/%Y %H:%M:%S},{int(at * 1000) % 1000:03d}"
        self.text += f"{stamp} [pool-8-thread-1] {level} user.${{ctx:USER}} {source} - {text}\r\n"


def _parameter_set(run: Run) -> str:
    """Return what the job was started with. The examples show texts only; that numbers stand bare is assumed."""
    parameters: Sequence[Mapping[str, Any]] = run.request.get("parameters") or ()
    shown = {**run.details["flow"].parameters, **{item["name"]: item["value"] for item in parameters}}
    if not shown:
        return ""
    rows = [(name, *_typed(value)) for name, value in shown.items()]
    made = table(f"Parameter Set: {run.flow.lower()}_params", ("NAME", "TYPE", "VALUE"), *rows)
    return f"\r\n{made}\r\n\r\n"


def _typed(value: str | float) -> tuple[str, str]:
    if isinstance(value, str):
        return "STRING", f'"{value}"'
    return "INTEGER" if isinstance(value, int) else "FLOAT", str(value)


def _results(run: Run, now: float, phase: str) -> str:
    rows = []
    for step in run.timeline.steps:
        change = latest(step.changes, now)
        if change.phase in RESULTS:
            rows.append((step.name, RESULTS[change.phase], _runtime(_took(step))))
    began = next((change.at for change in run.timeline.run if change.phase == "running"), run.started_at)
    total = ("Total", RESULTS[phase], _runtime(max(0.0, run.current(now).at - began)))
    return table("Execution Results", ("NAME", "STATUS", "RUNTIME"), *rows, total)


def _runtime(seconds: float) -> str:
    return f"{seconds:.3f} seconds".ljust(17)  # a column that is as wide in both examples


def _took(step: StepLine) -> float:
    began = next((change.at for change in step.changes if change.phase == "running"), step.changes[-1].at)
    return step.changes[-1].at - began


def _centred(text: str, width: int) -> str:
    """Return a text in the middle; an odd blank stands after it, as in the examples."""
    left = (width - len(text)) // 2
    return " " * left + text + " " * (width - len(text) - left)
