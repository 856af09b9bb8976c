"""``etlapis runs list``, ``of`` and ``orphans``: remote runs beside the tasks that have them."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TextIO

from airflow_provider_etlapis.shell import as_json, hours, line_of, name_and_value, positive, print_json, say, seconds

if TYPE_CHECKING:
    from airflow_provider_etlapis.inventory.survey import Row, Survey
    from airflow_provider_etlapis.runs.claims import ClaimingTask

_WIDTH = 80
_GRACE = 120.0
_STATES = ("queued", "running", "succeeded", "warning", "failed", "cancelled", "unknown")


def add_parsers(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> list[argparse.ArgumentParser]:
    """Add the actions; each carries ``args.carry_out``."""
    listing = _action(actions, "list", _list, "list the newest runs, and the tasks that have them")
    listing.add_argument("--conn-id", help="of one connection only (default: all connections of the five types)")
    listing.add_argument("--limit", type=positive, default=20, help="how many a connection (default: %(default)s)")
    listing.add_argument(
        "--of",
        type=name_and_value,
        nargs="+",
        metavar="NAME=VALUE",
        help="of one thing only, in the vendor's words, with --conn-id: flow_id=12345 (Etlworks), project=shop "
        "name=ETL (Celery Director), flow_name=Sales run_profile_name=default (DataWORQ), workspace_id=300 (Meiro), "
        "project_id=98 job_id=210 (WebRobot)",
    )
    listing.add_argument("--state", choices=_STATES, action="append", help="in this state only; may be repeated")
    listing.add_argument(
        "--since",
        type=hours,
        default=24.0,
        metavar="AGE",
        help="tasks' runs of the last 90m, 24h, 7d... (default: 24h)",
    )
    of = _action(actions, "of", _of, "list the runs of a DAG, of a task or of one DAG run")
    of.add_argument("dag_id", metavar="DAG_ID")
    of.add_argument("task_id", metavar="TASK_ID", nargs="?")
    of.add_argument("dag_run_id", metavar="RUN_ID", nargs="?", help="of the DAG run")
    of.add_argument("--since", type=hours, metavar="AGE", help="of the last 90m, 24h, 7d... (default: all)")
    orphans = _action(actions, "orphans", _orphans, "list the runs that go on although no task waits for them")
    orphans.add_argument("--conn-id", help="of one connection only (default: all)")
    orphans.add_argument("--cancel", action="store_true", help="cancel them")
    orphans.add_argument(
        "--since", type=hours, default=168.0, metavar="AGE", help="started in the last 90m, 24h, 7d... (default: 7d)"
    )
    orphans.add_argument(
        "--grace",
        type=hours,
        default=_GRACE / 3600,
        metavar="AGE",
        help="leave out runs whose task has ended or changed since: its own cancel may be under way (default: 2m)",
    )
    return [listing, of, orphans]


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    carry_out: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
    parser.add_argument("--json", action="store_true", help="print JSON to standard output, and nothing else there")
    parser.set_defaults(carry_out=carry_out)
    return parser


def _list(args: argparse.Namespace) -> int:
    from airflow_provider_etlapis.exceptions import InvalidInputError
    from airflow_provider_etlapis.inventory.connections import hook_of
    from airflow_provider_etlapis.inventory.survey import survey

    if args.of and not args.conn_id:
        raise InvalidInputError("--of names a thing in one vendor's words: give --conn-id as well")
    tasks, knows_tasks = _tasks(args)
    conn_ids = [args.conn_id] if args.conn_id else _all_connections()
    found = survey(
        _of_connection(tasks, args.conn_id),
        conn_ids,
        hook_of,
        newest=args.limit,
        of=dict(args.of) if args.of else None,
    )
    rows = [row for row in found.rows if row.run is not None or row.task is not None]
    if args.of:
        rows = [row for row in rows if row.listed]
    if args.state:
        rows = [row for row in rows if row.run is not None and row.run.state in args.state]
    _print(args, rows[: args.limit * len(conn_ids)], knows_tasks=knows_tasks)
    return _report(found, conn_ids)


def _of(args: argparse.Namespace) -> int:
    from airflow_provider_etlapis.inventory.connections import hook_of
    from airflow_provider_etlapis.inventory.survey import survey
    from airflow_provider_etlapis.inventory.tasks import claiming_tasks

    tasks = claiming_tasks(_moment(args.since), dag_id=args.dag_id, task_id=args.task_id, run_id=args.dag_run_id)
    if not tasks:
        say("No task of these has a remote run that Airflow still knows (it forgets them with their XComs)")
    found = survey(tasks, (), hook_of, reads_ended=True)
    _print(args, found.rows, knows_tasks=True)
    return _report(found, ())


def _orphans(args: argparse.Namespace) -> int:
    from airflow_provider_etlapis.inventory.connections import hook_of
    from airflow_provider_etlapis.inventory.orphans import Sweep
    from airflow_provider_etlapis.inventory.tasks import claiming_tasks

    since = _moment(args.since)
    sweep = Sweep(hook_of, lambda: _of_connection(claiming_tasks(since), args.conn_id), grace=args.grace * 3600)
    found = sweep.find([args.conn_id] if args.conn_id else _all_connections())
    outcomes = {id(row): sweep.cancel(row) for row in found.rows} if args.cancel else {}
    notes = {number: outcomes[id(row)].note for number, row in enumerate(found.rows) if id(row) in outcomes}
    _print(args, found.rows, knows_tasks=True, notes=notes)
    if not found.rows:
        say("No run goes on without a task that waits for it")
    trouble = _report(found, ())
    left = [row for row in found.rows if not (id(row) in outcomes and outcomes[id(row)].done)]
    return 1 if left else trouble


def _tasks(args: argparse.Namespace) -> tuple[list[ClaimingTask], bool]:
    """Return the tasks, and whether Airflow could be asked for them: a shell may have connections and no database."""
    from sqlalchemy.exc import SQLAlchemyError

    from airflow_provider_etlapis.inventory.tasks import claiming_tasks

    try:
        return claiming_tasks(_moment(args.since)), True
    except SQLAlchemyError as error:
        if not args.conn_id:
            raise
        say(f"Airflow's database cannot be read ({type(error).__name__}), so the runs' tasks are not shown")
        return [], False


def _all_connections() -> list[str]:
    from airflow_provider_etlapis.inventory.tasks import known_conn_ids

    return known_conn_ids()


def _of_connection(tasks: Iterable[ClaimingTask], conn_id: str | None) -> list[ClaimingTask]:
    return [task for task in tasks if conn_id is None or task.claim.conn_id in ("", conn_id)]


def _moment(age: float | None) -> datetime | None:
    return None if age is None else datetime.now(UTC) - timedelta(hours=age)


def _report(found: Survey, conn_ids: Sequence[str]) -> int:
    """Say what could not be read; return 1 if a connection's list is among it."""
    for conn_id, trouble in found.troubles.items():
        say(f"{conn_id}: {trouble}")
    return 1 if found.troubles else 0


def _print(
    args: argparse.Namespace, rows: Sequence[Row], *, knows_tasks: bool, notes: dict[int, str] | None = None
) -> None:
    notes = notes or {}
    if args.json:
        print_json(args.out, [_row_as_json(row, knows_tasks, notes.get(number)) for number, row in enumerate(rows)])
        return
    if not rows:
        return
    table = [("RUN ID", "STATE", "VENDOR SAYS", "STARTED (UTC)"), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print(line_of(table[0], widths), file=args.out)
    for number, row in enumerate(rows):
        print(line_of(_cells(row), widths), file=args.out)
        _print_wrapped(args.out, _about(row, knows_tasks))
        if number in notes:
            _print_wrapped(args.out, notes[number])


def _cells(row: Row) -> tuple[str, str, str, str]:
    run = row.run
    if run is None:
        return (row.ref.run_id, "-", "-", "")
    started = "" if run.started is None else f"{run.started.astimezone(UTC):%m-%d %H:%M:%S}"
    return (run.ref.run_id, run.state.value, run.vendor_status, started)


def _print_wrapped(out: TextIO, text: str) -> None:
    print(
        textwrap.fill(
            text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        ),
        file=out,
    )


def _about(row: Row, knows_tasks: bool) -> str:
    run = row.run
    facts = [row.conn_id, run.name if run else "", seconds(run.duration) if run else ""]
    parts = ", ".join(fact for fact in facts if fact)
    if row.task is not None:
        task = row.task
        state = task.state or "no state"
        return f"{parts}: {row.standing.value}; {task.label}, try {task.try_number} ({state}) of {task.run_id}"
    return f"{parts}: {row.standing.value}" if knows_tasks else parts


def _row_as_json(row: Row, knows_tasks: bool, note: str | None) -> dict[str, Any]:
    known = {"vendor": row.ref.vendor, "run_id": row.ref.run_id, "ids": dict(row.ref.ids)}
    task = row.task
    return {
        **(known if row.run is None else as_json(row.run)),
        "conn_id": row.conn_id,
        "standing": row.standing.value if knows_tasks else None,
        "task": None
        if task is None
        else {
            "dag_id": task.dag_id,
            "run_id": task.run_id,
            "task_id": task.task_id,
            "map_index": task.map_index,
            "try_number": task.try_number,
            "state": task.state,
        },
        **({} if note is None else {"note": note}),
    }
