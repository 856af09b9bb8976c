"""The `etlapis` command. Sub-commands are imported when they are asked for, so that `etlapis --version` is instant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from airflow_provider_etlapis import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 2
    code: int = args.run(args)
    return code


def _parser() -> argparse.ArgumentParser:
    from airflow_provider_etlapis import runs_command as runs
    from airflow_provider_etlapis.demo import command as demo
    from airflow_provider_etlapis.doctor import command as doctor
    from airflow_provider_etlapis.sandbox import command as sandbox

    parser = argparse.ArgumentParser(
        prog="etlapis",
        description="The Airflow provider for ETL APIs: try it out without an account, and look at remote runs.",
    )
    parser.add_argument("--version", action="version", version=f"airflow-provider-etlapis {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo.add_parser(subparsers)
    sandbox.add_parser(subparsers)
    runs.add_parser(subparsers)
    doctor.add_parser(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
