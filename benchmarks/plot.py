"""Draws stored figures: what waiting for 1,000 runs takes, on logarithmic axes, ours beside the rivals'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.report import measured

mpl.use("Agg")

from matplotlib import pyplot as plt

_RUNS = 1000
_PANELS = (
    ("requests", "Requests", 1.0),
    ("tls_handshakes", "TLS handshakes", 1.0),
    ("cpu_seconds", "CPU seconds", 1.0),
    ("memory_above_idle_bytes", "Memory above idle, MB", 1e-6),
    ("worst_stall_seconds", "Longest hold-up of the event loop, ms", 1000.0),
    ("lag", "Lag from end to event, p95, s", 1.0),
)
_OURS, _THEIRS = "#0b7a75", "#b7b7b7"


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Write the plot as PNG; nothing if 1,000 runs were not measured."""
    heats = [heat for heat in measured(found, _RUNS) if heat["ends_seen"]]
    if not heats:
        return
    figure, axes = plt.subplots(2, 3, figsize=(13, 7.2), layout="constrained")
    names = [heat["label"] for heat in heats]
    colours = [_OURS if heat["ours"] else _THEIRS for heat in heats]
    for axis, (key, title, scale) in zip(axes.flat, _PANELS, strict=True):
        values = [scale * (heat["lag_seconds"]["p95"] if key == "lag" else heat[key]) for heat in heats]
        bars = axis.barh(names, values, color=colours)
        axis.bar_label(bars, [_short(value) for value in values], padding=3, fontsize=8)
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_xscale("log")
        axis.set_xlim(right=max(values) * 6)
        axis.invert_yaxis()
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{_RUNS:,} deferred waits, one event loop, polled every {found['interval_seconds']:.0f} s "
        f"(this provider in colour; {found['machine']['cores']} cores)",
        fontsize=11,
    )
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"
