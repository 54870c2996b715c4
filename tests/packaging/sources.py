"""The source tree as files and as modules, for the checks that go over all of it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]

LINKED = ("engine", "models", "nodes", "training")
"""Folders at the root that are imported by the name of the package."""

OPTIONAL = {
    "faiss",
    "lightning",
    "mutagen",
    "onnxscript",
    "pyarrow",
    "scipy",
    "sklearn",
    "tensorrt",
    "torch",
}
"""Packages that only the extras bring, as they are imported."""


def python_files(*folders: str) -> Iterator[Path]:
    """Files below folders at the root, each once: links into the package are not followed."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not any(parent.is_symlink() for parent in path.parents):
                yield path


def module_name(path: Path) -> str:
    """Name by which a file of the tree is imported: `nodes/mel.py` is `auricle.nodes.mel`."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[-1] == "__init__":
        del parts[-1]
    if parts[0] in LINKED:
        parts.insert(0, "auricle")
    return ".".join(parts)


def imported(path: Path) -> ModuleType:
    """The module of a file; the test is skipped where the module needs an extra that is absent."""
    try:
        return importlib.import_module(module_name(path))
    except ImportError as error:
        if (package := (error.name or "").partition(".")[0]) in OPTIONAL:
            pytest.skip(f"needs {package}")
        raise
