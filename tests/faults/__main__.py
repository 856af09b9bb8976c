"""The whole campaign: ``uv run python -m tests.faults --scenarios 10000 [--seed N] [--vendor V]``."""

from __future__ import annotations

import argparse
import os
import secrets
import sys

from tests.faults.campaign import VENDORS, Result, campaign


def main() -> int:
    """Play a campaign and print its counts; the exit code is 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--scenarios", type=int, default=1000, help="how many, all vendors together")
    parser.add_argument("--seed", default=str(secrets.randbelow(10**6)), help="default: a new one, printed at the end")
    parser.add_argument("--vendor", choices=sorted(VENDORS), action="append", help="only this one; may be repeated")
    parser.add_argument("--only", type=int, help="play this scenario alone")
    parser.add_argument("--processes", type=int, default=2 * (os.cpu_count() or 1), help="how many at a time")
    chosen = parser.parse_args()
    vendors = chosen.vendor or list(VENDORS)
    alone = chosen.only is not None
    numbers = [chosen.only] if alone else range(-(-chosen.scenarios // len(vendors)))

    def tell(result: Result) -> None:
        if result.failed and result.failed[-1] is not tell.last:  # type: ignore[attr-defined]
            tell.last = result.failed[-1]  # type: ignore[attr-defined]
            print(result.failed[-1].report(), flush=True)
        if result.scenarios % 250 == 0:
            print(result.line(), flush=True)

    tell.last = None  # type: ignore[attr-defined]
    result = campaign(chosen.seed, numbers, vendors, processes=1 if alone else chosen.processes, told=tell)
    print("acts:", ", ".join(f"{kind} {count}" for kind, count in result.kinds.most_common()))
    print(result.line())
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
