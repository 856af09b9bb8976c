"""Draws the layers of the package from its imports: `uv run python docs/site/layers.py` writes docs/images/layers.svg.

A box is a folder of the package or a file of its command; its text is the first sentence of its docstring.
An arrow is an import. One that follows from others is left out. Rows are computed; only the column of a box is chosen.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path
from textwrap import wrap

DOCS = Path(__file__).parents[1]
PACKAGE = DOCS.parent / "airflow_provider_etlapis"
PICTURE = DOCS / "images" / "layers.svg"

COMMAND = ("cli", "runs_command")
COLUMN = {"wire": 1, "runs_command": 1, "cli": 2, "demo": 2, "sandbox": 2}
BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 320, 96, 40, 36, 16
LETTERS, LINES = 43, 3
STYLE = (
    "text { font: 13px sans-serif; fill: #1b2733; } .name { font-weight: bold; font-size: 15px; } "
    "rect { fill: #eef4fa; stroke: #3a6ea5; rx: 6; } line { stroke: #3a6ea5; stroke-width: 1.5; } "
    "marker path { fill: #3a6ea5; } .ground { fill: #ffffff; stroke: none; }"
)


def rooms() -> dict[str, str]:
    """Return the boxes, each with the first sentence of its docstring."""
    found = {file.parent.name: file for file in sorted(PACKAGE.glob("*/__init__.py"))}
    found |= {name: PACKAGE / f"{name}.py" for name in COMMAND}
    told = {}
    for name, file in found.items():
        text = ast.get_docstring(ast.parse(file.read_text())) or ""
        told[name] = " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".").replace("`", "")
    return told


def imports(names: set[str]) -> dict[str, set[str]]:
    """Return which boxes each box imports."""
    edges: dict[str, set[str]] = {name: set() for name in names}
    for file in PACKAGE.rglob("*.py"):
        importer = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE.name):
                below = node.module.split(".")[1:2] or [alias.name for alias in node.names]
                if importer in names:
                    edges[importer] |= (set(below) & names) - {importer}
    return edges


def essential(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the imports that do not follow from others."""

    def below(name: str) -> set[str]:
        return edges[name].union(*(below(each) for each in edges[name]))

    return {
        name: {each for each in found if not any(each in below(other) for other in found - {each})}
        for name, found in edges.items()
    }


def rows(edges: dict[str, set[str]]) -> dict[str, int]:
    """Return the row of each box: 0 is the ground, a box stands above all that it imports."""
    row: dict[str, int] = {}
    for name in TopologicalSorter(edges).static_order():
        row[name] = max((row[each] + 1 for each in edges[name]), default=0)
    return row


def draw() -> str:
    """Return the picture."""
    told = rooms()
    edges = essential(imports(set(told)))
    row = rows(edges)
    top = max(row.values())

    def corner(name: str) -> tuple[int, int]:
        return (
            MARGIN + COLUMN.get(name, 0) * (BOX_WIDTH + GAP_X),
            MARGIN + (top - row[name]) * (BOX_HEIGHT + GAP_Y),
        )

    width = 2 * MARGIN + (max(COLUMN.values()) + 1) * (BOX_WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + (top + 1) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>The layers of {PACKAGE.name}, from its imports</title><style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
        f'<rect class="ground" width="{width}" height="{height}"/>',
    ]
    for name in sorted(edges):
        x, y = corner(name)
        for below in sorted(edges[name]):
            to_x, to_y = corner(below)
            lean = (to_x > x) - (to_x < x)
            start, end = x + BOX_WIDTH // 2 + lean * 90, to_x + BOX_WIDTH // 2 - lean * 90
            parts.append(
                f'<line x1="{start}" y1="{y + BOX_HEIGHT}" x2="{end}" y2="{to_y - 1}" marker-end="url(#head)"/>'
            )
    for name in sorted(told):
        x, y = corner(name)
        parts.append(f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}"/>')
        parts.append(f'<text class="name" x="{x + 12}" y="{y + 22}">{escape(name)}</text>')
        for number, line in enumerate(wrap(told[name], LETTERS)[:LINES]):
            parts.append(f'<text x="{x + 12}" y="{y + 43 + 18 * number}">{escape(line)}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(draw())
