"""What the figures say, as tables: ratios against dbt Cloud first, absolute figures second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BASE = "dbt_cloud"
_COMPARED = (
    ("requests", "requests"),
    ("tls_handshakes", "TLS handshakes"),
    ("cpu_seconds", "CPU"),
    ("memory_above_idle_bytes", "memory above idle"),
)
_WINDOWS = {
    "few": "of which few end for a while, then the others at once",
    "none": "of which none ends for a while, then all at once",
}
_LEAST = {  # what is measured no finer than this: less is noise
    "memory_above_idle_bytes": 0.1e6,
    "cpu_seconds": 0.01,
    "cpu_seconds_in_window": 0.01,
}


def ratio_table(found: Mapping[str, Any], runs: int) -> list[list[str]]:
    """Return how many times less than dbt Cloud's trigger each contestant took, for one number of runs."""
    heats = measured(found, runs)
    base = next((heat for heat in heats if heat["contestant"] == _BASE), None)
    rows = [["contestant", *(title for _, title in _COMPARED)]]
    if base is not None:
        rows += [[_name(heat), *(_ratio(base, heat, key) for key, _ in _COMPARED)] for heat in heats]
    return rows


def absolute_table(found: Mapping[str, Any], runs: int, *, limited: bool = False) -> list[list[str]]:
    """Return the figures themselves, for one number of runs."""
    rows = [
        [
            *("contestant", "requests", "TLS handshakes", "CPU s", "MB above idle", "worst stall ms"),
            "GC before ms",
            *("lag p50 s", "lag p95 s", "lag max s", "refused (429)" if limited else "over 600/min", "ends seen"),
        ]
    ]
    for heat in measured(found, runs, limited=limited):
        lag = heat["lag_seconds"]
        rows.append(
            [
                _name(heat),
                str(heat["requests"]),
                str(heat["tls_handshakes"]),
                f"{heat['cpu_seconds']:.2f}",
                f"{heat['memory_above_idle_bytes'] / 1e6:.1f}",
                f"{heat['worst_stall_seconds'] * 1000:.0f}",
                f"{heat['idle_collection_seconds'] * 1000:.0f}",
                *(_seconds(lag[key]) for key in ("p50", "p95", "max")),
                str(heat["refused"] if limited else heat["over_600_a_minute"]),
                f"{heat['ends_seen']} of {heat['runs']}",
            ]
        )
    return rows


def window_table(found: Mapping[str, Any], runs: int, ending: str) -> list[list[str]]:
    """Return what waits cost while few runs or none end, and how they take it when all the others end at once."""
    heats = measured(found, runs, ending=ending)
    base = next((heat for heat in heats if heat["contestant"] == _BASE), None)
    rows = [
        [
            *("contestant", "requests in the window", "times less", "CPU s in the window", "times less"),
            *("TLS handshakes", "MB above idle", "worst stall ms", "lag p95 s", "lag max s", "ends seen"),
        ]
    ]
    for heat in heats:
        lag = heat["lag_seconds"]
        rows.append(
            [
                _name(heat),
                str(heat["requests_in_window"]),
                _ratio(base, heat, "requests_in_window") if base else "-",
                f"{heat['cpu_seconds_in_window']:.2f}",
                _ratio(base, heat, "cpu_seconds_in_window") if base else "-",
                str(heat["tls_handshakes"]),
                f"{heat['memory_above_idle_bytes'] / 1e6:.1f}",
                f"{heat['worst_stall_seconds'] * 1000:.0f}",
                *(_seconds(lag[key]) for key in ("p95", "max")),
                f"{heat['ends_seen']} of {heat['runs']}",
            ]
        )
    return rows


def summary(found: Mapping[str, Any]) -> str:
    """Return the table for the README: 1,000 runs whose ends are spread."""
    rows = [["1,000 deferred runs", "requests", "TLS handshakes", "CPU s", "MB above idle", "lag p95 s"]]
    rows += [
        [
            _name(heat),
            f"{heat['requests']:,}",
            f"{heat['tls_handshakes']:,}",
            f"{heat['cpu_seconds']:.2f}",
            f"{heat['memory_above_idle_bytes'] / 1e6:.0f}",
            _seconds(heat["lag_seconds"]["p95"]),
        ]
        for heat in measured(found, 1000)
    ]
    return markdown(rows)


def imports_report(found: Mapping[str, Any]) -> str:
    """Return the table of import times."""
    rows = [["operators and sensors", "ms above airflow.sdk", "modules", "heavy ones among them"]]
    for name, figures in (*found["ours"].items(), *found["rivals"].items()):
        shown = f"**{name}**" if name in found["ours"] else name
        rows.append(
            [shown, f"{figures['milliseconds']:.0f}", str(figures["modules"]), ", ".join(figures["heavy"]) or "none"]
        )
    return markdown(rows)


def stack_report(found: Mapping[str, Any]) -> str:
    """Return the table of the tasks in a real Airflow."""
    going = f"{found['seconds_going']:.0f} s of waiting"
    rows = [
        [
            *(f"{found['tasks']:,} deferred tasks", f"requests in {going}", "TLS handshakes", "triggerer CPU s"),
            *("triggerer MB above idle", "all deferred after s", "all ends told after s", "all tasks done after s"),
        ]
    ]
    rows += [
        [
            _name(heat),
            f"{heat['requests_while_going']:,}",
            f"{heat['tls_handshakes_while_going']:,}",
            f"{heat['triggerer_cpu_seconds_while_going']:.1f}",
            f"{heat['triggerer_memory_above_idle_bytes'] / 1e6:.0f}",
            *(f"{heat[key]:.0f}" for key in ("seconds_to_defer", "seconds_to_tell_all_ends", "seconds_to_end")),
        ]
        for heat in found["contestants"]
    ]
    return markdown(rows)


def whole_report(found: Mapping[str, Any]) -> str:
    """Return all tables, in Markdown."""
    parts = [how_busy(found)]
    for runs in sizes(found):
        parts += [
            f"### {runs:,} runs: how many times less than dbt Cloud's trigger",
            markdown(ratio_table(found, runs)),
        ]
    for runs in sizes(found):
        parts += [f"### {runs:,} runs: the figures", markdown(absolute_table(found, runs))]
    for ending, title in _WINDOWS.items():
        for runs in sizes(found):
            if measured(found, runs, ending=ending):
                parts += [f"### {runs:,} runs {title}", markdown(window_table(found, runs, ending))]
    for runs in sizes(found):
        if measured(found, runs, limited=True):
            parts += [
                f"### {runs:,} runs against a server that enforces its limit",
                markdown(absolute_table(found, runs, limited=True)),
            ]
    for heat in found["heats"]:
        if heat.get("failures"):
            worst = "; ".join(f"{count} x {reason}" for reason, count in heat["failures"].items())[:600]
            limit = " under the limit" if heat.get("rate_limit") else ""
            limit += f" {_WINDOWS[heat['ending']]}" if heat["ending"] in _WINDOWS else ""
            parts.append(f"{heat['label']}, {heat['runs']:,} runs{limit}, did not see all ends: {worst}")
        if "error" in heat:
            parts.append(f"{heat['label']}, {heat['runs']:,} runs: NOT MEASURED: {heat['error'][:600]}")
    return "\n\n".join(parts) + "\n"


def how_busy(found: Mapping[str, Any]) -> str:
    """Say on what the figures were measured, and whether others were using it."""
    loads = sorted(heat["load_before"] for heat in found["heats"] if "error" not in heat)
    versions = ", ".join(
        f"{name.removeprefix('apache-airflow-providers-')} {v}" for name, v in found["versions"].items()
    )
    line = f"{found['machine']['cores']} cores, Python {found['machine']['python']}; {versions}."
    if not loads:
        return line
    middle = loads[len(loads) // 2]
    busy = (
        ""
        if middle < found["machine"]["cores"] / 2
        else " Others were using the machine: times are worse than they need be."
    )
    return f"{line} Load average before the heats: median {middle:.1f}, highest {loads[-1]:.1f}.{busy}"


def is_complete(found: Mapping[str, Any]) -> bool:
    """Say whether every heat was measured, and each of ours saw all its runs end."""
    return all(
        "error" not in heat and (heat["ends_seen"] == heat["runs"] or not heat["ours"]) for heat in found["heats"]
    )


def sizes(found: Mapping[str, Any]) -> list[int]:
    """Return the numbers of runs that were measured."""
    return sorted({heat["runs"] for heat in found["heats"]})


def measured(
    found: Mapping[str, Any], runs: int, *, limited: bool = False, ending: str = "all"
) -> list[Mapping[str, Any]]:
    """Return the heats of one size and kind that have figures, rivals first."""
    wanted = [
        heat
        for heat in found["heats"]
        if heat["runs"] == runs
        and "error" not in heat
        and bool(heat["rate_limit"]) is limited
        and heat["ending"] == ending
    ]
    return sorted(wanted, key=lambda heat: heat["ours"])


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table, the first one being its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def ratio(base: Mapping[str, Any], heat: Mapping[str, Any], key: str) -> float:
    """Return how many times less a heat took than the base."""
    least = _LEAST.get(key, 1.0)
    return float(base[key]) / max(float(heat[key]), least)


def _ratio(base: Mapping[str, Any], heat: Mapping[str, Any], key: str) -> str:
    times = ratio(base, heat, key)
    return f"{times:,.0f}" if times >= 10 else f"{times:.1f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _name(heat: Mapping[str, Any]) -> str:
    return f"**{heat['label']}**" if heat["ours"] else str(heat["label"])
