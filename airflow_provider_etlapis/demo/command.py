"""`etlapis demo`: the vendors and a real Airflow on localhost, the example DAGs, and a verdict on how they came out."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_provider_etlapis.demo.client import FINISHED, exceptions_in
from airflow_provider_etlapis.demo.director import RealDirector
from airflow_provider_etlapis.demo.errors import DemoError, NotReadyError
from airflow_provider_etlapis.demo.processes import Interrupted, termination_raises, wait_until
from airflow_provider_etlapis.demo.screen import Line, Screen
from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.demo.vendors import DirectorSide, Glance, SandboxSide, VendorSide
from airflow_provider_etlapis.demo.verdict import TAG, Outcome, expectations
from airflow_provider_etlapis.sandbox import VENDORS as SANDBOXES
from airflow_provider_etlapis.sandbox import sandbox_class

RUN_ID = "demo"
REFRESH = 1.0
VENDOR_FINISHED = frozenset({"success", "error", "canceled"})
PACKAGE = Path(__file__).resolve().parents[1]

TaskKey = tuple[str, str, int]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `demo` to the command line."""
    parser = subparsers.add_parser(
        "demo",
        help="run the example DAGs on a real Airflow against the vendors, all on this machine",
        description="Starts the vendors and a real Airflow in a temporary folder, runs the example DAGs deferrable, "
        "shows them live and returns 0 only if every task came out as intended. Your own Airflow is not touched.",
    )
    parser.add_argument(
        "--director",
        choices=("real", "sandbox"),
        default="sandbox",
        help="a real Celery Director, installed into an environment of its own, or our stand-in (default)",
    )
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument("--dags", type=Path, help="folder with other DAGs to run (default: the example DAGs)")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds that the DAGs may take (default: 600)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 as intended, 1 not, 2 could not be set up, 128+n ended by signal n."""
    home = Path(tempfile.mkdtemp(prefix="etlapis-demo-"))
    keep_logs = False
    with termination_raises(), Screen() as screen:
        try:
            good = _demo(args, home, screen)
        except KeyboardInterrupt as interrupt:
            screen.end_table()
            screen.phase("interrupted; everything that was started has been stopped")
            return 128 + (interrupt.signum if isinstance(interrupt, Interrupted) else 2)
        except DemoError as error:
            keep_logs = any(home.iterdir())
            screen.end_table()
            print(f"etlapis demo: {error}", *([f"All logs: {home}"] if keep_logs else []), sep="\n", file=sys.stderr)
            return 2
        else:
            keep_logs = not good
            if keep_logs:
                print(f"All logs: {home}", file=sys.stderr)
            return 0 if good else 1
        finally:
            if not keep_logs:
                shutil.rmtree(home, ignore_errors=True)


def example_dags() -> Path:
    """Find the example DAGs: inside the installed package, beside it in a checkout."""
    for folder in (PACKAGE / "example_dags", PACKAGE.parent / "example_dags"):
        if folder.is_dir():
            return folder
    raise DemoError(f"no example DAGs beside {PACKAGE}")


def _demo(args: argparse.Namespace, home: Path, screen: Screen) -> bool:
    """Start everything, run the DAGs, judge; everything is stopped when this returns or raises."""
    with contextlib.ExitStack() as stack:
        dags = (args.dags or example_dags()).resolve()
        _demo_files(dags)  # complain before anything has been started
        vendors = _vendors(args.director, home, stack, screen)
        airflow = LocalAirflow(
            home / "airflow",
            dags,
            {"AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True"},
            connections={f"{vendor.vendor}_default": vendor.connection for vendor in vendors},
        )
        stack.callback(airflow.stop)
        screen.phase(f"starting Airflow {airflow.version} in {airflow.home}")
        airflow.launch()
        for vendor in vendors:  # while Airflow, which takes longer, comes up
            vendor.start()
            screen.phase(f"{vendor.title} answers at {vendor.base_url}")
        airflow.wait_healthy()
        screen.phase(f"Airflow is healthy: {airflow.base_url}")
        good = _Rounds(airflow, vendors, screen).all(dags, args.timeout)
        if args.keep:
            _keep(airflow, vendors, screen)
        screen.phase("stopping everything")
    screen.phase("as intended" if good else "NOT as intended")
    return good


def _vendors(director: str, home: Path, stack: contextlib.ExitStack, screen: Screen) -> list[VendorSide]:
    """Return every vendor's side: sandboxes, and the real Celery Director if that was asked for."""
    real = {"celery_director"} if director == "real" else set()
    sides: list[VendorSide] = [
        SandboxSide(stack.enter_context(sandbox_class(vendor)())) for vendor in SANDBOXES if vendor not in real
    ]
    return [_real_director(home, stack, screen), *sides] if real else sides


def _real_director(home: Path, stack: contextlib.ExitStack, screen: Screen) -> DirectorSide:
    director = RealDirector(home / "director", fix_cancel=True)
    stack.callback(director.stop)
    screen.phase(f"installing Celery Director {director.version} into an environment of its own (kept for next time)")
    director.install()
    return DirectorSide(f"Celery Director {director.version}", director.connection(), director.start)


def _keep(airflow: LocalAirflow, vendors: list[VendorSide], screen: Screen) -> None:
    """Wait for Ctrl-C, which here is the normal end."""
    screen.phase(f"Airflow: {airflow.base_url} (no login: whoever opens the page is an admin)")
    for vendor in vendors:
        login = vendor.connection.get("login") or "none needed"
        screen.phase(f"{vendor.title}: {vendor.base_url} (login: {login})")
    screen.phase("everything stays up until Ctrl-C")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            airflow.processes.check()
            time.sleep(REFRESH)


class _Rounds:
    """One run of every demo DAG, looked at once a second until the last has ended."""

    def __init__(self, airflow: LocalAirflow, vendors: list[VendorSide], screen: Screen) -> None:
        self.airflow = airflow
        self.api = airflow.api
        self.vendors = {vendor.vendor: vendor for vendor in vendors}
        self.screen = screen
        self.remote: dict[TaskKey, tuple[str, VendorSide]] = {}
        self.glances: dict[TaskKey, Glance] = {}

    def all(self, folder: Path, timeout: float) -> bool:
        """Run the DAGs of a folder and show what became of them."""
        dags = self._read(folder)
        self.screen.phase(f"running {', '.join(sorted(dags))}")
        for dag_id in dags:
            self.api.trigger(dag_id, run_id=RUN_ID)

        def ended() -> bool:
            # Asked first: the table that follows then shows the end.
            done = all(self.api.dag_run(dag_id, RUN_ID)["state"] in FINISHED for dag_id in dags)
            self.screen.tasks(self._lines(dags))
            return done

        try:
            self.airflow.wait_for(ended, timeout, "end of all DAG runs", interval=REFRESH)
        except NotReadyError as error:
            self.screen.end_table()
            self.screen.phase(f"giving up: {error}")
        self.screen.end_table()
        outcomes = [
            self._outcome(dag_id, task, tags) for dag_id, tags in dags.items() for task in self._instances(dag_id)
        ]
        self.screen.summary(outcomes)
        return bool(outcomes) and not any(outcome.problem for outcome in outcomes)

    def _read(self, folder: Path) -> dict[str, list[str]]:
        """Wait until the demo's DAG files have been read; return each DAG with its tags."""
        files = _demo_files(folder)
        dags: dict[str, list[str]] = {}

        def read() -> bool:
            for fault in self.api.import_errors():
                raise DemoError(f"{fault['filename']} cannot be imported:\n{fault['stack_trace']}")
            rows = self.api.dags(TAG)
            dags.update({row["dag_id"]: [tag["name"] for tag in row["tags"]] for row in rows})
            return files <= {row["fileloc"] for row in rows}

        wait_until(read, 90, f"DAG files read: {', '.join(sorted(files))}", interval=0.5)
        return dags

    def _instances(self, dag_id: str) -> list[dict[str, Any]]:
        return sorted(self.api.task_instances(dag_id, RUN_ID), key=lambda row: (row["task_id"], row["map_index"]))

    def _lines(self, dags: dict[str, list[str]]) -> Iterator[Line]:
        for dag_id in dags:
            for row in self._instances(dag_id):
                key = (dag_id, row["task_id"], row["map_index"])
                self._look(key, row)
                yield Line(
                    task=_name(dag_id, row),
                    state=row["state"] or "waiting",
                    run_id=self.remote[key][0] if key in self.remote else None,
                    glance=self.glances.get(key),
                    started=_moment(row["start_date"]),
                    ended=_moment(row["end_date"]) if row["state"] in FINISHED else None,
                )

    def _look(self, key: TaskKey, row: dict[str, Any]) -> None:
        """Ask Airflow for the remote run of a task that has started, then the vendor how it is."""
        dag_id, task_id, map_index = key
        if key not in self.remote and row["start_date"]:
            ref = self.api.xcom(dag_id, RUN_ID, task_id, "remote_run", map_index)
            if ref is not None:
                self.remote[key] = ("/".join(ref["ids"].values()), self.vendors[ref["vendor"]])
        if key in self.remote:
            known = self.glances.get(key)
            if known is None or known.status not in VENDOR_FINISHED or row["state"] not in FINISHED:
                run_id, vendor = self.remote[key]
                glance = vendor.glance(run_id)
                if glance is not None:
                    self.glances[key] = glance

    def _outcome(self, dag_id: str, row: dict[str, Any], tags: list[str]) -> Outcome:
        expected = expectations(tags).get(row["task_id"], "success")
        outcome = Outcome(task=_name(dag_id, row), expected=expected, state=row["state"] or "not reached")
        if row["state"] != "failed":
            return outcome
        where = (dag_id, RUN_ID, row["task_id"], row["try_number"], row["map_index"])
        faults = [exceptions_in(entry) for entry in self.api.log_entries(*where)]
        last = next((found[0] for found in reversed(faults) if found), None)
        glance = self.glances.get((dag_id, row["task_id"], row["map_index"]))
        return Outcome(
            task=outcome.task,
            expected=outcome.expected,
            state=outcome.state,
            reason=f"{last['exc_type']}: {last['exc_value']}" if last else None,
            vendor_reason=glance.error if glance else None,
            log=self.api.log_text(*where),
        )


def _demo_files(folder: Path) -> set[str]:
    """Find the files that hold DAGs of the demo."""
    files = {str(path) for path in folder.rglob("*.py") if TAG in path.read_text()}
    if not files:
        raise DemoError(f"no DAG with the tag {TAG} in {folder}")
    return files


def _name(dag_id: str, row: dict[str, Any]) -> str:
    mapped = f"[{row['map_index']}]" if row["map_index"] >= 0 else ""
    return f"{dag_id}.{row['task_id']}{mapped}"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
