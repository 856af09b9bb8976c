"""The benchmark's command line."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from benchmarks import imports, kills, pages, stack, watching
from benchmarks.contestants import CONTESTANTS
from benchmarks.report import is_complete, stack_report, whole_report

_FOLDER = pages.FOLDER


def main() -> int:
    """Run what was asked for; not 0 if something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    watch = commands.add_parser("watching", help="what waiting for many runs costs, beside other providers")
    watch.add_argument(
        "--quick", action="store_true", help="1 and 100 runs only; stored nowhere unless --json is given"
    )
    watch.add_argument("--runs", type=int, action="append", help="only this number of runs (may be repeated)")
    watch.add_argument("--only", action="append", choices=sorted(CONTESTANTS), help="only this contestant")
    watch.add_argument("--json", type=Path, help="where to store the figures")
    again = commands.add_parser("report", help="show stored figures: print, draw, and write them into pages")
    again.add_argument("--json", type=Path, default=_FOLDER / "watching.json")
    load = commands.add_parser("imports", help="what importing the operators costs when DAGs are parsed")
    load.add_argument("--json", type=Path, default=_FOLDER / "imports.json")
    real = commands.add_parser("stack", help="many deferred tasks in a real Airflow, beside dbt Cloud's")
    real.add_argument("--runs", type=int, default=500, help="tasks of each (default: 500)")
    real.add_argument("--json", type=Path, help="where to store the figures")
    many = commands.add_parser("kills", help="a DAG run of many deferred tasks is marked failed in a real Airflow")
    many.add_argument("--runs", type=int, default=500, help="tasks (default: 500)")
    many.add_argument("--only", action="append", choices=sorted(kills.VENDORS), help="only this vendor")
    asked = parser.parse_args()
    if asked.command == "kills":
        found = [
            kills.run(name, asked.runs, lambda line: print(line, flush=True)) for name in asked.only or kills.VENDORS
        ]
        print(json.dumps(found, indent=2))
        return 0 if all(one["cancelled"] == one["runs"] and not one["refused_429"] for one in found) else 1
    if asked.command == "imports":
        return imports.main(asked.json)
    if asked.command == "report":
        print(whole_report(json.loads(asked.json.read_text())))
        for page in pages.fill():
            print(f"The figures in {page.name} are new")
        return _draw(asked.json)
    if asked.command == "stack":
        measured = stack.run(asked.runs, lambda line: print(line, flush=True))
        print("\n" + stack_report(measured))
        watching.save(measured, asked.json or _FOLDER / "stack.json")
        return 0
    plan = watching.QUICK if asked.quick else watching.WHOLE
    partial = asked.quick or asked.runs or asked.only
    if asked.runs:
        windows = {**watching.QUICK.sizes, **watching.WHOLE.sizes, **(plan.sizes if asked.quick else {})}
        plan = replace(
            plan, sizes={runs: windows.get(runs, 60.0) for runs in asked.runs}, largest_for=tuple(CONTESTANTS)
        )
    if asked.only:
        plan = replace(plan, contestants=asked.only)
    found = watching.run(plan, lambda line: print(line, flush=True))
    print("\n" + whole_report(found))
    path = asked.json or (None if partial else _FOLDER / "watching.json")
    if path is not None:
        watching.save(found, path)
        _draw(path)
        print("To write these figures into the pages: python -m benchmarks report")
    return 0 if is_complete(found) else 1


def _draw(path: Path) -> int:
    try:
        from benchmarks.plot import draw
    except ImportError:
        print("For the plot: uv run --group bench python -m benchmarks report")
        return 0
    draw(json.loads(path.read_text()), path.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
