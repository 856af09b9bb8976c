"""``etlapis sandbox``: the vendors on localhost until Ctrl-C, with the Airflow connections to paste into a shell."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_etlapis.sandbox import VENDORS, sandbox_class
from airflow_provider_etlapis.sandbox.clock import Clock
from airflow_provider_etlapis.sandbox.replay import options_of

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command; the parsed arguments carry it as ``args.run``."""
    parser = subparsers.add_parser(
        "sandbox",
        help="serve the vendors' APIs on localhost",
        description="Serve the vendors' APIs on 127.0.0.1 until Ctrl-C; prints the connections to export, and what can "
        "be run there.",
    )
    parser.add_argument(
        "--vendor",
        action="append",
        choices=sorted(VENDORS),
        help="serve only this vendor (may be repeated; default: all)",
    )
    parser.add_argument(
        "--like",
        type=Path,
        metavar="REPORT",
        help="serve the vendor of this report of etlapis doctor --json, behaving as the server that was examined",
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port of the first vendor, the next takes the next; 0: free ones"
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, help="vendor seconds per real second (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code."""
    vendors: list[str] = args.vendor or sorted(VENDORS)
    options: dict[str, Any] = {}
    if (like := getattr(args, "like", None)) is not None:
        try:
            report = json.loads(like.read_text(encoding="utf-8"))
            vendors, options = [report["vendor"]], options_of(report)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            print(f"{like} cannot be read as a report of etlapis doctor --json: {error}", file=sys.stderr)
            return 1
    stopped = threading.Event()

    def stop(*_: Any) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with ExitStack() as sandboxes:
            clock = Clock(speed=args.speed)
            for index, vendor in enumerate(vendors):
                port = args.port + index if args.port else 0
                try:
                    sandbox = sandboxes.enter_context(sandbox_class(vendor)(port=port, clock=clock, **options))
                except OSError as error:
                    print(f"Cannot serve {vendor} on port {port}: {error}", file=sys.stderr)
                    return 1
                value = shlex.quote(json.dumps(sandbox.connection()))
                print(f"export AIRFLOW_CONN_{vendor.upper()}_DEFAULT={value}", flush=True)
                for names in sandbox.offers():
                    print(f"#   {', '.join(f'{name}={text!r}' for name, text in names.items())}", flush=True)
            print("Serving; Ctrl-C stops it.", file=sys.stderr, flush=True)
            stopped.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0
