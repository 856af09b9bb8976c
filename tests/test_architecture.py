"""The layers of the package, held by a test: arrows point down only, and there is no circle of imports."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from airflow_provider_etlapis.connection_forms import FORMS

PACKAGE = "airflow_provider_etlapis"
ROOT = Path(__file__).parent.parent / PACKAGE

# What each room may import at run time or for types, besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "text": set(),
    "wire": {"text"},
    "runs": {"text"},
    "exceptions": set(),
    "faces": set(),
    "forms": {"text"},
    "metrics": set(),
    "connection_forms": {"forms"},
    "get_provider_info": {"connection_forms"},
    "links": {"text"},
    "retry_policy": {"exceptions", "operators"},
    "hooks": {"wire", "runs", "exceptions", "faces", "forms", "connection_forms", "metrics", "text"},
    "triggers": {"hooks", "runs", "exceptions", "metrics", "text"},
    "operators": {
        "connection_forms",
        "faces",
        "hooks",
        "runs",
        "triggers",
        "exceptions",
        "links",
        "metrics",
        "text",
    },
    "sensors": {"operators", "hooks", "runs", "triggers", "exceptions", "links", "metrics", "text"},
    "inventory": {"connection_forms", "hooks", "runs", "exceptions", "shell"},
    "shell": {"runs"},
    "doctor": {"connection_forms", "exceptions", "hooks", "inventory", "runs", "shell", "wire"},
    "plugin": {"page"},
    "page": {"inventory", "hooks", "runs", "exceptions", "text"},
    "sandbox": set(),
}
WITHOUT_AIRFLOW = ("text", "wire", "runs", "forms", "connection_forms", "sandbox")


def _modules() -> dict[str, Path]:
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = _modules()


def _imports(file: Path, module: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= found if found <= set(MODULES) else {node.module, *found}
        elif isinstance(node, ast.ImportFrom):
            pytest.fail(f"{module} has a relative import; the house spells them out")
    return names


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


EDGES = {name: {found for found in _imports(file, name) if found in MODULES} for name, file in MODULES.items()}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    inside = [name for name in MODULES if _room(name) == room]
    above = {
        f"{name} -> {found}"
        for name in inside
        for found in EDGES[name]
        if _room(found) not in {room, "", *MAY_IMPORT[room]}
    }
    assert not above


@pytest.mark.parametrize("room", WITHOUT_AIRFLOW)
def test_the_lower_rooms_know_no_airflow(room: str) -> None:
    for name, file in MODULES.items():
        if _room(name) == room:
            assert not {found for found in _imports(file, name) if found.split(".")[0] == "airflow"}, name


def test_there_is_no_circle_of_imports() -> None:
    TopologicalSorter({name: found - {name} for name, found in EDGES.items()}).prepare()


def test_no_room_above_the_hooks_branches_on_a_vendor() -> None:
    vendors = {form.conn_type for form in FORMS}
    general = [
        file
        for name, file in MODULES.items()
        if _room(name) in {"runs", "wire", "triggers", "operators", "sensors"}
        and name.rsplit(".", 1)[-1] not in vendors
    ]
    assert "celery_director" in vendors
    assert len(general) > 15
    for file in general:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in vendors, f"{file.name}: {node.value!r}"
