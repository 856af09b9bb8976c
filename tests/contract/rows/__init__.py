"""The rows of the contract suite, found by their files: one module a vendor, each with a ``ROW``."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from tests.contract.row import Row

ROWS: tuple[Row, ...] = tuple(
    import_module(f"{__name__}.{found.name}").ROW for found in sorted(iter_modules(__path__), key=lambda m: m.name)
)
