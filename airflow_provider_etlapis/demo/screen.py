"""What the demo shows: a live table on a terminal, a line per change anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from textwrap import indent
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from airflow_provider_etlapis.demo.vendors import Glance
from airflow_provider_etlapis.demo.verdict import Outcome

COLOURS = {"success": "green", "failed": "red", "upstream_failed": "red", "error": "red", "deferred": "magenta"}


@dataclass(frozen=True)
class Line:
    """One task instance as shown."""

    task: str
    state: str
    run_id: str | None = None
    glance: Glance | None = None
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def steps(self) -> str:
        """Steps done of all, as far as the vendor has told."""
        return f"{self.glance.done}/{self.glance.total}" if self.glance and self.glance.total else ""

    @property
    def elapsed(self) -> str:
        """Seconds since the task started, or that it took."""
        if self.started is None:
            return ""
        return f"{((self.ended or datetime.now(UTC)) - self.started).total_seconds():.0f} s"

    def cells(self) -> tuple[str, ...]:
        """Return the columns of the table."""
        status = self.glance.status if self.glance else ""
        return self.task, _coloured(self.state), self.run_id or "", _coloured(status), self.steps, self.elapsed

    def sentence(self) -> str:
        """Return the line for a place without tables."""
        parts = [f"{self.task}: {self.state}"]
        if self.run_id:
            parts.append(f"run {self.run_id}")
        if self.glance:
            parts.append(f"{self.glance.status} {self.steps}".strip())
        return ", ".join(parts)


class Screen:
    """Phase lines with the seconds since the start, then the tasks."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._start = time.monotonic()
        self._live: Live | None = None
        self._shown: dict[str, Line] = {}

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_table()

    def phase(self, text: str) -> None:
        """Say what is being done or has been done now."""
        self.console.print(
            f"[dim]{time.monotonic() - self._start:6.1f} s[/dim]  {escape(text)}", highlight=False, soft_wrap=True
        )

    def tasks(self, lines: Iterable[Line]) -> None:
        """Show the tasks as they are now."""
        lines = list(lines)
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, auto_refresh=False)
                self._live.start()
            self._live.update(_table(lines), refresh=True)
            return
        for line in lines:
            known = self._shown.get(line.task)
            timeless = replace(line, started=None, ended=None)
            if known != timeless:
                self._shown[line.task] = timeless
                self.phase(line.sentence())

    def end_table(self) -> None:
        """Leave the table as it is and go on below it."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def summary(self, outcomes: Iterable[Outcome]) -> None:
        """Show every task's expected and real end, with the reason of a failure below."""
        table = Table(title="Expected and real outcome", title_justify="left")
        for heading in ("task", "expected", "came out", ""):
            table.add_column(heading)
        outcomes = list(outcomes)
        for outcome in outcomes:
            mark = "[red]WRONG[/red]" if outcome.problem else "[green]as intended[/green]"
            table.add_row(outcome.task, outcome.expected, _coloured(outcome.state), mark)
        self.console.print(table)
        for outcome in outcomes:
            if outcome.problem:
                self.console.print(
                    f"[red]{outcome.task}[/red] {escape(outcome.problem)}", highlight=False, soft_wrap=True
                )
            elif outcome.reason:
                self.console.print(f"{outcome.task} failed as intended, because:", highlight=False)
                self.console.print(escape(indent(outcome.reason, "    ")), highlight=False, soft_wrap=True)


def _coloured(word: str) -> str:
    colour = COLOURS.get(word)
    return f"[{colour}]{word}[/{colour}]" if colour else word


def _table(lines: Iterable[Line]) -> Table:
    table = Table()
    for heading in ("task", "Airflow", "remote run", "vendor says", "steps", "elapsed"):
        table.add_column(heading)
    for line in lines:
        table.add_row(*line.cells())
    return table
