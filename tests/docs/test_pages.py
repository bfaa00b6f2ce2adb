"""Promise: what the pages say of the code is so, and their links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from dvid.datatypes.base import datatypes
from dvid.labels import tables
from dvid.versions import layout
from dvid.versions.envelope import Format

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a link may name behind '#': the headings, as GitHub turns them into names."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(page: str, columns: int) -> list[list[str]]:
    """The cells of all tables of a page that have so many columns, without their heads."""
    lines = [line.strip() for line in (ROOT / "docs" / page).read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if len(row) == columns and not set("".join(row)) <= set("-: ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_the_index_names_every_page() -> None:
    named = set(_LINK.findall((ROOT / "docs" / "index.md").read_text()))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= named


def test_every_table_of_the_store_is_described() -> None:
    described = {row[0].strip("`"): row[1].strip("`") for row in rows("key-layout.md", 4)}
    of_system = {
        name: value.removeprefix(layout.SYSTEM).decode()
        for name, value in vars(layout).items()
        if isinstance(value, bytes) and value.startswith(layout.SYSTEM) and value != layout.SYSTEM
    }
    of_instances = {
        name: value.hex() for name, value in vars(layout).items() if isinstance(value, bytes) and len(value) == 1
    }
    assert len(of_system) > 10
    assert len(of_instances) > 3
    described.pop("Constant")
    of_labels = {
        name: value.hex() for name, value in vars(tables).items() if isinstance(value, bytes) and len(value) == 1
    }
    assert len(of_labels) > 5
    assert described == of_system | of_instances | of_labels


def test_every_format_of_values_is_described() -> None:
    described = {row[0].strip("`"): row[1] for row in rows("key-layout.md", 3)}
    assert {form.name: str(int(form)) for form in Format}.items() <= described.items()


def test_every_dependency_has_its_reason() -> None:
    wanted = []
    for page in ("pyproject.toml", "src/pyproject.toml"):
        file = tomllib.loads((ROOT / page).read_text())
        wanted += [*file["project"]["dependencies"], *file["build-system"]["requires"]]
        groups = (file.get("dependency-groups", {}), file["project"]["optional-dependencies"])
        for group in (group for some in groups for group in some.values()):
            wanted += group
    names = {re.split(r"[<>=!~\[; ]", requirement)[0] for requirement in wanted}
    described = {row[0].strip("`"): row[1] for columns in (2, 3) for row in rows("dependencies.md", columns)}
    described.pop("Dependency")
    assert set(described) == names
    assert all(described.values()), "a reason is missing"


def test_types_that_are_not_served_are_named() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text()
    found = re.search(r"\*\*Types whose data is not served yet\*\*: (.*?)\. Their", page, re.DOTALL)
    assert found is not None
    assert set(re.findall(r"`(\w+)`", found[1])) == {name for name, kind in datatypes().items() if not kind.served}


def test_types_that_are_served_are_in_the_changelog() -> None:
    page = (ROOT / "CHANGELOG.md").read_text()
    assert [name for name, kind in datatypes().items() if kind.served and f"`{name}`" not in page] == []
