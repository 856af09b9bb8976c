"""``etlapis runs``: look at, cancel and read the log of remote runs from a shell, for whoever is on call.

Everything goes through the hooks' run model; what a vendor cannot do, its capabilities say.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO

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
    listing = _action(actions, "list", _list, "list the newest runs", of_one_run=False)
    listing.add_argument("--limit", type=_positive, default=20, help="how many (default: %(default)s)")
    listing.add_argument(
        "--of",
        type=_name_and_value,
        nargs="+",
        metavar="NAME=VALUE",
        help="of one thing only, in the vendor's words: flow_id=12345 (Etlworks), project=shop name=ETL (Celery "
        "Director), flow_name=Sales run_profile_name=default (DataWORQ), workspace_id=300 (Meiro), project_id=98 "
        "job_id=210 (WebRobot)",
    )
    showing = _action(actions, "show", _show, "show one run with its steps and its error")
    cancelling = _action(actions, "cancel", _cancel, "cancel a run")
    logging = _action(actions, "logs", _logs, "print the end of a run's log")
    logging.add_argument("--lines", type=_positive, default=50, help="how many (default: %(default)s)")
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
    *,
    of_one_run: bool = True,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
    parser.add_argument("--conn-id", required=True, help="id of the Airflow connection")
    if of_one_run:
        parser.add_argument("--run-id", required=True, help="as the task's log and its XCom run_id show it")
    parser.add_argument("--json", action="store_true", help="print JSON to standard output, and nothing else there")
    parser.set_defaults(run=run, carry_out=carry_out)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _name_and_value(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not (name and found and value):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, not {text!r}")
    return name, value


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
        with hook_of(args.conn_id) as hook:
            code: int = args.carry_out(hook, args)
            return code
    except EtlApiError as error:
        _tell(f"etlapis runs {args.action}: {error}")
        return 1
    except KeyboardInterrupt:
        _tell("\nStopped looking; the run goes on.")
        return _INTERRUPTED


def hook_of(conn_id: str) -> RemoteRunHook:
    """Return the hook for a connection of the user's Airflow, its connection read.

    :raises ConnectionSettingsError: if there is no such connection, or it is of a type that is not ours.
    """
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    from airflow_provider_etlapis.connection_forms import FORMS
    from airflow_provider_etlapis.exceptions import ConnectionSettingsError

    try:
        connection = Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException as error:
        raise ConnectionSettingsError(
            f"There is no connection {conn_id!r}, neither as AIRFLOW_CONN_{conn_id.upper()} nor in the Airflow of "
            "this shell"
        ) from error
    forms = {form.conn_type: form for form in FORMS}
    if connection.conn_type not in forms:
        raise ConnectionSettingsError(
            f"Connection {conn_id!r} is of the type {connection.conn_type!r}; these can be asked for runs: "
            f"{', '.join(sorted(forms))}"
        )
    # Outside a task, Airflow 3's hooks look into environment variables and secrets backends, not into the database.
    os.environ.setdefault(f"AIRFLOW_CONN_{conn_id.upper()}", connection.as_json())
    module, _, name = forms[connection.conn_type].hook_class.rpartition(".")
    hook: RemoteRunHook = getattr(import_module(module), name)(conn_id)
    _ = hook.values  # a fault of the connection is told before anything else is done
    return hook


def _list(hook: RemoteRunHook, args: argparse.Namespace) -> int:
    runs = hook.recent_runs(args.limit, dict(args.of) if args.of else None)
    if args.json:
        _print_json(args.out, [_as_json(found) for found in runs])
        return 0
    rows = [("RUN ID", "STATE", "VENDOR SAYS", "STARTED (UTC)", "TOOK", "WHAT")]
    for found in runs:
        took = "" if found.duration is None else f"{found.duration:.0f} s"
        rows.append(
            (found.ref.run_id, found.state.value, found.vendor_status, _time(found.started), took, found.name or "")
        )
    _print_columns(args.out, rows)
    return 0


def _show(hook: RemoteRunHook, args: argparse.Namespace) -> int:
    ref = hook.ref_of(args.run_id)
    if args.wait:
        _wait(hook, ref, args.poll_interval)
    found = _whole(hook, ref)
    if args.json:
        _print_json(args.out, _as_json(found))
    else:
        _print_run(args.out, found)
    return 0 if found.state.is_good or not args.wait else 1


def _cancel(hook: RemoteRunHook, args: argparse.Namespace) -> int:
    ref = hook.ref_of(args.run_id)
    if not hook.capabilities.cancel:
        _tell(f"{hook.form.hook_name} cannot cancel run {ref.run_id}: it goes on. {hook.capabilities.cancel_note}")
        return 1
    report = hook.cancel_run(ref)
    _tell(report.note)
    ended = _wait(hook, ref, args.poll_interval) if args.wait else None
    if args.json:
        status = {} if ended is None else {"vendor_status": ended.vendor_status, "state": ended.state.value}
        _print_json(args.out, {"run_id": ref.run_id, "asked": report.asked, "note": report.note, **status})
    return 0


def _logs(hook: RemoteRunHook, args: argparse.Namespace) -> int:
    ref = hook.ref_of(args.run_id)
    if not hook.capabilities.logs:
        _tell(f"{hook.form.hook_name} gives no logs of runs through its API; 'show' tells the error of a failed run")
        return 1
    if args.follow:
        _follow_log(hook, ref, args)
        return 0
    lines = hook.read_log_tail(ref, args.lines)
    if not lines:
        _tell(f"The vendor shows no log of run {ref.run_id}")
    if args.json:
        _print_json(args.out, {"run_id": ref.run_id, "lines": list(lines)})
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
        _tell(f"{datetime.now(UTC):%H:%M:%S} {event % args if args else event}")

    warning = info


def _whole(hook: RemoteRunHook, ref: RunRef) -> RemoteRun:
    """Read a run with all that its vendor tells; facts that cannot be read are not worth losing the rest."""
    from airflow_provider_etlapis.exceptions import EtlApiError

    found = hook.read_run(ref)
    try:
        return hook.complete_run(found) if found.state.is_terminal else found
    except EtlApiError as error:
        _tell(f"Some facts about run {ref.run_id} could not be read: {error}")
        return found


def _as_json(found: RemoteRun) -> dict[str, Any]:
    return {**found.manifest(), "error": found.error}


def _print_run(out: TextIO, found: RemoteRun) -> None:
    took = "" if found.duration is None else f"{found.duration:.0f} s"
    facts = {
        "run": found.ref.run_id,
        "of": found.name,
        "state": f"{found.state.value} (the vendor says {found.vendor_status})",
        "started": _time(found.started),
        "ended": _time(found.ended),
        "took": took,
        "page": found.url or "",
        **{name.replace("_", " "): value for name, value in found.details.items() if isinstance(value, str | int)},
    }
    _print_columns(out, [(name, str(value)) for name, value in facts.items() if value not in ("", None)])
    if found.steps:
        print(file=out)
        _print_columns(
            out,
            [
                ("STEP", "VENDOR SAYS", "STARTED (UTC)", "ENDED (UTC)"),
                *((step.name, step.vendor_status, _time(step.started), _time(step.ended)) for step in found.steps),
            ],
        )
    if found.error:
        print(f"\n{found.error}", file=out)


def _print_columns(out: TextIO, rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=out)


def _print_json(out: TextIO, value: Any) -> None:
    print(json.dumps(value, indent=2), file=out)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
