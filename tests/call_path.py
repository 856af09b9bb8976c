"""Which files of the package one deferred run crosses, and one poll: ``uv run python -m tests.call_path [--vendor V]``.

A file counts when one of its functions is called; class bodies and module bodies do not, nor does the sandbox.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest import mock

import airflow_provider_etlapis
from airflow_provider_etlapis.sandbox.lives import Life
from tests.contract.row import Row
from tests.contract.rows import ROWS
from tests.support.rehearsal import Rehearsal

PACKAGE = Path(airflow_provider_etlapis.__file__).parent
ELSEWHERE = ("sandbox",)
BODIES = {"<module>"}


class Crossed:
    """The functions of the package that were called, by file."""

    def __init__(self) -> None:
        self.codes: set[CodeType] = set()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        """Note a call; this is what ``sys.setprofile`` takes."""
        if event == "call":
            self.codes.add(frame.f_code)

    def by_file(self) -> Counter[str]:
        """Return how many functions of each file were called."""
        found: Counter[str] = Counter()
        for code in self.codes:
            path = Path(code.co_filename)
            is_function = code.co_name not in BODIES and bool(code.co_flags & 0x2)  # CO_NEWLOCALS and fast locals
            if is_function and path.is_relative_to(PACKAGE):
                inside = path.relative_to(PACKAGE)
                if inside.parts[0] not in ELSEWHERE and code.co_flags & 0x1:
                    found[str(inside)] += 1
        return found


@contextmanager
def crossing() -> Iterator[Crossed]:
    """Note which functions are called meanwhile, in this thread and those that it starts."""
    crossed = Crossed()
    threading.setprofile(crossed)
    sys.setprofile(crossed)
    try:
        yield crossed
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # how it is switched off


@contextmanager
def _vendor(row: Row) -> Iterator[None]:
    with row.sandbox() as sandbox:
        sandbox.plan(Life(duration=0.3))
        connection = json.dumps(sandbox.connection())
        with mock.patch.dict(os.environ, {f"AIRFLOW_CONN_{row.hook.default_conn_name.upper()}": connection}):
            yield


def _operator(row: Row) -> Callable[[], Any]:
    wanted: dict[str, Any] = {"task_id": "run", "deferrable": True, "poll_interval": 0.1, **row.inputs[0]}
    return lambda: row.operator(**wanted)


def run_of(row: Row) -> Counter[str]:
    """Return the files that a deferred run of a vendor crosses: start, wait in the triggerer, good end."""
    with _vendor(row), crossing() as crossed:
        Rehearsal(_operator(row)).run()
    return crossed.by_file()


def poll_of(row: Row) -> Counter[str]:
    """Return the files that one read of a run's state crosses, by a hook that has logged in."""
    with _vendor(row):
        manifest = Rehearsal(_operator(row)).run()
        with row.hook(row.hook.default_conn_name) as hook:
            hook.read_run(row.ref_of(manifest))
            with crossing() as crossed:
                hook.read_run(row.ref_of(manifest))
    return crossed.by_file()


def main() -> int:
    """Print the files and their counts for each vendor."""
    parser = argparse.ArgumentParser(prog="python -m tests.call_path", description=__doc__)
    parser.add_argument("--vendor", choices=sorted({row.vendor for row in ROWS}), action="append")
    parser.add_argument("--files", action="store_true", help="name each file, with its functions that were called")
    chosen = parser.parse_args()
    for row in ROWS:
        if chosen.vendor and row.vendor not in chosen.vendor:
            continue
        for what, crossed in (("one deferred run", run_of(row)), ("one poll", poll_of(row))):
            print(f"{row.name}: {what} crosses {len(crossed)} files")
            for file, functions in sorted(crossed.items()) if chosen.files else ():
                print(f"    {file} ({functions})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
