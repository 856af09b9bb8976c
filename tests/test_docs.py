"""The documentation names tests and files: they are there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from airflow_provider_etlapis import exceptions
from airflow_provider_etlapis.connection_forms import FORMS
from airflow_provider_etlapis.doctor.examination import checks_of
from airflow_provider_etlapis.forms import ConnectionForm

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_row_of_the_semantics_table_names_tests_that_exist() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    lines = (ROOT / "docs" / "semantics.md").read_text().splitlines()
    heads = {number - 1 for number, line in enumerate(lines) if line.startswith("|---")}
    rows = [line for number, line in enumerate(lines) if line.startswith("| ") and number not in heads]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        for name in named:
            assert f"def {name}(" in sources, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_the_picture_of_the_layers_is_drawn_from_the_code_as_it_is() -> None:
    drawing = runpy.run_path(str(ROOT / "docs" / "site" / "layers.py"))
    assert (ROOT / "docs" / "images" / "layers.svg").read_text() == drawing["draw"](), (
        "draw it anew: uv run python docs/site/layers.py"
    )


def test_every_page_is_in_the_sites_menu() -> None:
    menu = (ROOT / "docs" / "site" / "mkdocs.yml").read_text()
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.name != "README.md"}
    assert {page for page in pages if f" {page}\n" not in menu} == set()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.conn_type)
def test_the_doctors_page_names_every_check(form: ConnectionForm) -> None:
    section = (ROOT / "docs" / "doctor.md").read_text().split(f"### {form.hook_name}\n")[1].split("###")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "`" in line]

    wanted = [[f"`{check.id}`", check.assumption, check.how or "needs a run"] for check in checks_of(form.conn_type)]
    assert rows == wanted


def test_every_error_of_a_task_is_on_the_page_for_troubleshooting() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    bases = {"EtlApiError", "PermanentError", "RemoteRunError"}  # never raised as such, but by their subclasses

    named = {
        name
        for name, found in vars(exceptions).items()
        if isinstance(found, type) and found.__module__ == exceptions.__name__
    }
    assert "ConnectionSettingsError" in named
    assert {name for name in named - bases if f"`{name}`" not in page} == set()
