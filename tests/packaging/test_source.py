"""What ruff, mypy and import-linter do not check about the sources."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from tests.packaging.sources import LINKED, ROOT, imported, module_name, python_files

PACKAGE = list(python_files("auricle", *LINKED))
EVERYTHING = [*PACKAGE, *python_files("bench", "graphs", "tests", "docs")]

COMPREHENSIONS = (ast.DictComp, ast.GeneratorExp, ast.ListComp, ast.SetComp)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(tree: ast.AST) -> set[str]:
    """Names of the modules that a tree imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def nested_comprehensions(tree: ast.AST) -> list[int]:
    """Lines of the comprehensions that stand within another."""
    return [
        inner.lineno
        for outer in ast.walk(tree)
        if isinstance(outer, COMPREHENSIONS)
        for inner in ast.walk(outer)
        if inner is not outer and isinstance(inner, COMPREHENSIONS)
    ]


def described_by_protocols() -> set[str]:
    """Names of the methods that protocols describe, for whatever class follows one."""
    return {
        method.name
        for path in PACKAGE
        for cls in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(cls, ast.ClassDef) and "Protocol" in map(ast.unparse, cls.bases)
        for method in cls.body
        if isinstance(method, ast.FunctionDef) and ast.get_docstring(method)
    }


PROTOCOLS = described_by_protocols()


def test_the_tree_is_found() -> None:
    names = {module_name(path) for path in PACKAGE}
    assert {"auricle", "auricle.engine.ring", "auricle.nodes", "auricle.wire.client"} <= names
    assert len(names) == len(PACKAGE)


def test_folders_of_the_package_are_imported_by_its_name() -> None:
    bare = {
        f"{relative(path)}: {name}"
        for path in EVERYTHING
        for name in imports(ast.parse(path.read_text(encoding="utf-8")))
        if name.partition(".")[0] in LINKED
    }
    assert not bare


@pytest.mark.parametrize("code", ["import nodes.mel", "from engine import ring", "import models"])
def test_a_bare_import_would_be_found(code: str) -> None:
    assert {name.partition(".")[0] for name in imports(ast.parse(code))} <= set(LINKED)


def test_no_comprehension_stands_within_another() -> None:
    found = {
        str(relative(path))
        for path in [*PACKAGE, *python_files("bench")]
        if nested_comprehensions(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert not found


def test_a_comprehension_within_another_would_be_found() -> None:
    assert nested_comprehensions(ast.parse("[\n[x for x in y]\nfor y in z]")) == [2]
    assert not nested_comprehensions(ast.parse("[x for y in z for x in y]"))


@pytest.mark.parametrize("path", PACKAGE, ids=module_name)
def test_public_methods_are_described(path: Path) -> None:
    # Ruff cannot do this: a method that overrides another, or follows a protocol, is described
    # there.
    module = imported(path)
    missing = [
        f"{cls.__name__}.{name}"
        for cls in vars(module).values()
        if inspect.isclass(cls) and cls.__module__ == module.__name__
        if not cls.__name__.startswith("_")
        for name, method in vars(cls).items()
        if inspect.isfunction(method) and not name.startswith("_") and name not in PROTOCOLS
        if not inspect.getdoc(getattr(cls, name))
    ]
    assert not missing
