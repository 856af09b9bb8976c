"""Which Airflow releases and Pythons the package is shown to work on."""

from __future__ import annotations

from dataclasses import dataclass

UNTIL = "2026-11-20"
"""Pins what the index offers, as `exclude-newer` in pyproject.toml does; moved together with it."""

RELEASED = {
    # Some weeks after each release: what is newer, such as pydantic 2.14, breaks its API server.
    "2.11.2": "2026-04-15",
    "3.0.6": "2025-09-15",
    "3.1.8": "2026-04-15",
    "3.2.2": "2026-07-05",
}
"""Until when an Airflow's own dependencies are taken: its users install it with the ones of its day."""


@dataclass(frozen=True)
class Row:
    """One environment.

    Args:
        airflow: its Airflow.
        python: its Python, major and minor number.
        lowest: install the lowest release that each declared lower bound allows, and not the newest.
        whole: run all of the core suite, and not only what touches Airflow.
        informational: a failure is shown and does not count.
    """

    airflow: str
    python: str
    lowest: bool = False
    whole: bool = False
    informational: bool = False

    @property
    def name(self) -> str:
        """Name of the environment, in the cache and on the screen."""
        return f"airflow-{self.airflow}-py{self.python}{'-lowest' if self.lowest else ''}"


ROWS = (
    Row("2.11.2", "3.11"),
    Row("2.11.2", "3.12"),  # Airflow 2.11 knows no Python 3.13
    Row("3.0.6", "3.11"),
    Row("3.0.6", "3.12"),  # nor does 3.0
    Row("3.1.8", "3.11"),
    Row("3.1.8", "3.13"),
    Row("3.2.2", "3.11"),
    Row("3.2.2", "3.13"),
    Row("3.3.2", "3.11"),
    Row("3.3.2", "3.12"),
    Row("3.3.2", "3.13"),
    Row("2.11.0", "3.11", lowest=True, whole=True),
    Row("3.4.0b2", "3.11", informational=True),
)


def chosen(airflow: str | None, python: str | None, *, lowest: bool) -> list[Row]:
    """Return the rows that the command was asked for, all without a wish; a combination of its own is made a row."""
    rows = [
        row
        for row in ROWS
        if (airflow is None or row.airflow == airflow)
        and (python is None or row.python == python)
        and (not lowest or row.lowest)
    ]
    if not rows and airflow is not None and not lowest:
        rows = [Row(airflow, python or "3.11")]
    return rows
