"""Prints which vendor claims what: ``python -m tests.contract``."""

from __future__ import annotations

from tests.contract.claims import matrix
from tests.contract.rows import ROWS

if __name__ == "__main__":
    print(matrix(ROWS))
