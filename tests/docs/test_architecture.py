"""The tables of docs/architecture.md are those of the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.docs.blocks import ROOT
from tests.packaging.sources import python_files

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = SETTINGS["tool"]["importlinter"]["contracts"]
FOLDERS = ("engine", "models", "nodes", "service", "training", "wire")
ALONE = {"compiled", "errors", "names", "parallel", "yaml_text"}
"""Modules that import nothing, so that everything may import them."""


def parts() -> set[str]:
    """The modules and packages right below `auricle`."""
    found = {path.stem for path in (ROOT / "auricle").glob("*.py")} - {"__init__"}
    return found | {path.parent.name for path in (ROOT / "auricle").glob("*/__init__.py")}


def forbidden(part: str) -> Iterator[str]:
    """The parts that a contract forbids `part` to import."""
    name = f"auricle.{part}"
    for contract in CONTRACTS:
        if name in contract.get("source_modules", ()):
            yield from contract["forbidden_modules"]
        if name in contract.get("modules", ()):
            yield from set(contract["modules"]) - {name}
        if contract["type"] == "protected" and name not in contract["allowed_importers"]:
            yield from contract["protected_modules"]


def allowed(part: str) -> set[str]:
    """The other parts that the contracts let `part` import."""
    return parts() - {part} - {name.removeprefix("auricle.") for name in forbidden(part)}


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its first two lines."""
    below = PAGE.partition(f"\n{heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert lines
    rows = lines[0].splitlines()[2:]
    return [re.split(r"\s*\|\s*", row)[1:-1] for row in rows]


def in_table() -> dict[str, set[str]]:
    """By part, what the table says that it may import."""
    return {
        re.sub(r"\.py$", "", folder.strip("`/ ").removeprefix("auricle/")): {
            re.sub(r"[`\s]|/.*", "", word) for word in imports.split(",")
        }
        for folder, _, imports in table("## The house")
    }


@pytest.mark.parametrize("part", FOLDERS)
def test_the_table_is_what_the_contracts_allow(part: str) -> None:
    assert in_table()[part] | ALONE == allowed(part)


@pytest.mark.parametrize("part", sorted(ALONE))
def test_modules_that_import_nothing(part: str) -> None:
    assert in_table()[part] == {"nothing"}
    assert allowed(part) <= ALONE


def test_every_thread_is_in_the_table() -> None:
    threads = " ".join(cells[0] for cells in table("## Threads"))
    sources = [path.read_text(encoding="utf-8") for path in python_files("auricle", *FOLDERS[:3])]
    named = set()
    for source in sources:
        named |= set(re.findall(r"Thread\([^)]*?name=f?\"([\w{}.-]+)\"", source))
        named |= set(re.findall(r"super\(\).__init__\(.*?name=f?\"([\w{}.-]+)\"", source))
        named |= set(re.findall(r"ThreadPoolExecutor\(\w+, \"(\w+)\"\)", source))
    assert named
    for name in named:
        assert re.sub(r"\{.*?\}", "", name) in threads, name
