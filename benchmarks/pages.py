"""The figures inside pages: blocks between marks, written from the stored JSON and checked against it by a test."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.environment import REPOSITORY
from benchmarks.report import imports_report, stack_report, summary, whole_report

FOLDER = REPOSITORY / "docs" / "benchmarks"
PAGES = (REPOSITORY / "README.md", REPOSITORY / "docs" / "benchmarks.md")

BLOCKS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "summary": ("watching.json", summary),
    "watching": ("watching.json", whole_report),
    "imports": ("imports.json", imports_report),
    "stack": ("stack.json", stack_report),
}


def marks(name: str) -> tuple[str, str]:
    """Return the marks around a block."""
    return f"<!-- figures: {name} -->", "<!-- end of figures -->"


def filled(text: str) -> str:
    """Return a page with all of its blocks as the stored figures have them."""
    for name, (file, write) in BLOCKS.items():
        begin, end = marks(name)
        if begin in text:
            content = write(json.loads((FOLDER / file).read_text()))
            before, rest = text.split(begin, 1)
            text = f"{before}{begin}\n{content.strip()}\n{end}{rest.split(end, 1)[1]}"
    return text


def fill() -> list[Path]:
    """Write the figures into the pages, and return those that have changed."""
    changed = []
    for page in PAGES:
        text = page.read_text()
        if (new := filled(text)) != text:
            page.write_text(new)
            changed.append(page)
    return changed
