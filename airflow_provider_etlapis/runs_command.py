"""``etlapis runs``: show, cancel and read the log of one remote run, or list many with the tasks that wait for them.

Everything goes through the hooks' run model; what a vendor cannot do, its capabilities say.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from airflow_provider_etlapis.inventory import command as inventory
from airflow_provider_etlapis.shell import as_json, columns, moment, positive, print_json, say, seconds

if TYPE_CHECKING:
    from airflow_provider_etlapis.hooks.base import RemoteRunHook
    from airflow_provider_etlapis.runs.model import RemoteRun, RunRef

_POLL_INTERVAL = 5.0
_INTERRUPTED = 130


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command; the parsed arguments carry it as ``args.run``."""
    parser = subparsers.add_parser(
        "runs",
        help="list, show and cancel remote runs, and read their logs",
        description="Looks at remote runs through a connection of your Airflow (environment variable AIRFLOW_CONN_..., "
        "secrets backend or database).",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for listing in inventory.add_parsers(actions):
        listing.set_defaults(run=run)
    showing = _action(actions, "show", _show, "show one run with its steps and its error")
    cancelling = _action(actions, "cancel", _cancel, "cancel a run")
    logging = _action(actions, "logs", _logs, "print the end of a run's log")
    logging.add_argument("--lines", type=positive, default=50, help="how many (default: %(default)s)")
    logging.add_argument("--follow", action="store_true", help="print all of it, and go on until the run has ended")
    for waiting in (showing, cancelling):
        waiting.add_argument("--wait", action="store_true", help="wait for the run's end; each change is a line")
    for patient in (showing, cancelling, logging):
        patient.add_argument(
            "--poll-interval", type=float, default=_POLL_INTERVAL, help="seconds between two looks (default: 5)"
        )


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    carry_out: Callable[[RemoteRunHook, argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
    parser.add_argument("--conn-id", required=True, help="id of the Airflow connection")
    parser.add_argument("--run-id", required=True, help="as the task's log and its XCom run_id show it")
    parser.add_argument("--json", action="store_true", help="print JSON to standard output, and nothing else there")
    parser.set_defaults(run=run, carry_out=partial(_with_hook, carry_out))
    return parser


def run(args: argparse.Namespace) -> int:
    """Carry out the action.

    Returns 0 if it was done (and, with ``--wait``, the run ended well), 1 if not, 130 after Ctrl-C.
    """
    args.out = sys.stdout
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")  # the answer, not how it was come by
    # Airflow writes its log lines to standard output, between the lines of an answer.
    with contextlib.redirect_stdout(sys.stderr):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    from airflow_provider_etlapis.exceptions import EtlApiError

    try:
        return int(args.carry_out(args))
    except EtlApiError as error:
        say(f"etlapis runs {args.action}: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nStopped looking; the run goes on.")
        return _INTERRUPTED


def _with_hook(carry_out: Callable[[RemoteRunHook, argparse.Namespace], int], args: argparse.Namespace) -> int:
    from airflow_provider_etlapis.inventory.connections import hook_of

    with hook_of(args.conn_id) as hook:
        return carry_out(hook, args)


def _show(hook: RemoteRunHook, args: argparse.Namespace) -> int:
    ref = hook.ref_of(args.run_id)
    if args.wait:
        _wait(hook, ref, args.poll_interval)
    found = _whole(hook, ref)
    if args.json:
        print_json(args.out, as_json(found))
    else:
        _print_run(args.out, found)
    return 0 if found.state.is_good or not args.wait else 1


def _cancel(hook: RemoteRunHook, args: argparse.Namespace) -> int:
    ref = hook.ref_of(args.run_id)
    if not hook.capabilities.cancel:
        run = hook.look(ref)
        if run.state.is_terminal:
            say(f"Run {ref.run_id} has ended already: {run.vendor_status}")
            return 0
        say(f"{hook.form.hook_name} cannot cancel run {ref.run_id}: it goes on. {hook.capabilities.cancel_note}")
        return 1
    report = hook.cancel_run(ref)
    say(report.note)
    ended = _wait(hook, ref, args.poll_interval) if args.wait else None
    if args.json:
        status = {} if ended is None else {"vendor_status": ended.vendor_status, "state": ended.state.value}
        print_json(args.out, {"run_id": ref.run_id, "asked": report.asked, "note": report.note, **status})
    return 0


def _logs(hook: RemoteRunHook, args: argparse.Namespace) -> int:
    ref = hook.ref_of(args.run_id)
    if not hook.capabilities.logs:
        say(f"{hook.form.hook_name} gives no logs of runs through its API; 'show' tells the error of a failed run")
        return 1
    if args.follow:
        _follow_log(hook, ref, args)
        return 0
    lines = hook.read_log_tail(ref, args.lines)
    if not lines:
        say(f"The vendor shows no log of run {ref.run_id}")
    if args.json:
        print_json(args.out, {"run_id": ref.run_id, "lines": list(lines)})
    elif lines:
        print(*lines, sep="\n", file=args.out)
    return 0


def _follow_log(hook: RemoteRunHook, ref: RunRef, args: argparse.Namespace) -> None:
    """Print a log as it grows; one JSON text a line, if JSON is asked for."""
    cursor: Any = None
    ended = False
    while True:
        chunk = hook.read_log(ref, cursor)
        cursor = chunk.cursor
        for line in chunk.lines:
            print(json.dumps(line) if args.json else line, file=args.out, flush=True)
        if ended:
            return
        # What was written between the last read and the end is read once more.
        ended = hook.look(ref).state.is_terminal
        if not ended:
            time.sleep(args.poll_interval)


def _wait(hook: RemoteRunHook, ref: RunRef, poll_interval: float) -> RemoteRun:
    """Poll a run until it has ended; each change is a line on standard error."""
    from airflow_provider_etlapis.operators.follow import follow, not_ended
    from airflow_provider_etlapis.runs.waiting import Verdict, Wait, WaitPolicy

    wait = Wait(ref, WaitPolicy())
    outcome = follow(wait, hook.look, _TimedLines(), interval=poll_interval)
    if outcome.verdict is not Verdict.DONE or wait.last is None:
        raise not_ended(outcome.verdict, outcome.message, ref)
    return wait.last


class _TimedLines:
    """Prints what a wait logs, each line with its time."""

    def info(self, event: Any, *args: Any) -> None:
        """Print a line."""
        say(f"{datetime.now(UTC):%H:%M:%S} {event % args if args else event}")

    warning = info


def _whole(hook: RemoteRunHook, ref: RunRef) -> RemoteRun:
    """Read a run with all that its vendor tells; facts that cannot be read are not worth losing the rest."""
    from airflow_provider_etlapis.exceptions import EtlApiError

    found = hook.read_run(ref)
    try:
        return hook.complete_run(found) if found.state.is_terminal else found
    except EtlApiError as error:
        say(f"Some facts about run {ref.run_id} could not be read: {error}")
        return found


def _print_run(out: TextIO, found: RemoteRun) -> None:
    facts = {
        "run": found.ref.run_id,
        "of": found.name,
        "state": f"{found.state.value} (the vendor says {found.vendor_status})",
        "started": moment(found.started),
        "ended": moment(found.ended),
        "took": seconds(found.duration),
        "page": found.url or "",
        **{name.replace("_", " "): value for name, value in found.details.items() if isinstance(value, str | int)},
    }
    columns(out, [(name, str(value)) for name, value in facts.items() if value not in ("", None)])
    if found.steps:
        print(file=out)
        columns(
            out,
            [
                ("STEP", "VENDOR SAYS", "STARTED (UTC)", "ENDED (UTC)"),
                *((step.name, step.vendor_status, moment(step.started), moment(step.ended)) for step in found.steps),
            ],
        )
    if found.error:
        print(f"\n{found.error}", file=out)
