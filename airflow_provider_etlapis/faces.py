"""The face of a vendor's package: names that are loaded on first use, and the path by which a class is stored."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def load_on_use(package: str, **homes: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that imports each name from its home when it is first used.

    :param package: dotted name of the package whose face this is.
    :param homes: for each name, the module of the package that defines it.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return load


def public_path(cls: type) -> str:
    """Return the dotted path by which users know a class: the outermost package that gives it by its name.

    Triggers store this path, so a class may move within its package without losing the waits of an earlier release.
    """
    path = cls.__module__
    package = path.rpartition(".")[0]
    while package:
        if getattr(sys.modules.get(package) or import_module(package), cls.__qualname__, None) is cls:
            path = package
        package = package.rpartition(".")[0]
    return f"{path}.{cls.__qualname__}"
