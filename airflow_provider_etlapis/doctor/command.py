"""`etlapis doctor`: the command line of the examination."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from airflow_provider_etlapis.shell import print_json, say

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Mapping

    from airflow_provider_etlapis.doctor.findings import Finding

_WIDTH = 80
_FIRST_COLUMN = 16


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="check what is assumed about a vendor against your own server",
        description="Reads from the server of a connection, starts nothing and changes nothing, and says which of the "
        "assumptions on the vendor's page hold there and which settings would fit. The report holds no secret, name or "
        "id: it can be attached to an issue. Exit code 0: all that was probed holds, 1: something differs, 2: the "
        "connection cannot be used.",
    )
    parser.add_argument("--conn-id", required=True, help="id of the Airflow connection")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--from-report",
        type=Path,
        metavar="FILE",
        help="ask nothing: compare what a JSON report proposes with the connection",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Examine the connection and print the report."""
    out = sys.stdout
    # Airflow logs to standard output, where only the report belongs.
    with contextlib.redirect_stdout(sys.stderr):
        return _run(args, out)


def _run(args: argparse.Namespace, out: TextIO) -> int:
    from airflow_provider_etlapis.doctor.patient import Patient
    from airflow_provider_etlapis.exceptions import ConnectionSettingsError
    from airflow_provider_etlapis.inventory.connections import read_connection

    try:
        patient = Patient(args.conn_id, read_connection(args.conn_id))
    except ConnectionSettingsError as error:
        say(str(error))
        return 2
    try:
        if args.from_report is not None:
            return _compared(out, args.from_report, patient.conn_type, patient.extras)
        return _examined(out, patient, as_json=args.json)
    finally:
        patient.close()


def _examined(out: TextIO, patient: Any, *, as_json: bool) -> int:
    from airflow_provider_etlapis.doctor.examination import examine, report_of
    from airflow_provider_etlapis.doctor.findings import Verdict

    findings: list[Finding] = []
    for finding in examine(patient):
        findings.append(finding)
        if not as_json:
            _show(out, finding)
    report = report_of(patient.conn_type, findings)
    if as_json:
        print_json(out, report)
    elif report["proposed"]:
        print(f"\nFor the connection's extra: {json.dumps(report['proposed'])}", file=out)
    return 1 if any(finding.outcome.verdict is Verdict.DIFFERS for finding in findings) else 0


def _show(out: TextIO, finding: Finding) -> None:
    check, outcome = finding.check, finding.outcome
    indent = " " * _FIRST_COLUMN
    first = f"{outcome.verdict.value.ljust(_FIRST_COLUMN)}{check.id}: {check.assumption}"
    print(textwrap.fill(first, _WIDTH, subsequent_indent=indent), file=out)
    for line in filter(None, (outcome.seen, outcome.advice)):
        print(textwrap.fill(line, _WIDTH, initial_indent=indent, subsequent_indent=indent), file=out)
    out.flush()


def _compared(out: TextIO, file: Path, conn_type: str, extras: Mapping[str, Any]) -> int:
    from airflow_provider_etlapis.doctor.examination import changes

    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        say(f"{file} cannot be read as a report: {error}")
        return 2
    if not isinstance(report, dict) or report.get("vendor") != conn_type:
        say(f"{file} is no report about {conn_type}; make one with etlapis doctor --json")
        return 2
    found = changes(report, extras)
    for name, (present, wanted) in found.items():
        print(f"{name}: {json.dumps(present)} -> {json.dumps(wanted)}", file=out)
    if not found:
        say("The connection has all settings that the report proposes.")
    return 1 if found else 0
