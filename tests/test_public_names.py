"""What `import auricle` offers: every public name, each imported when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import auricle
from auricle import errors
from tests.conftest import ROOT


@pytest.mark.parametrize("name", auricle.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(auricle, name) is not None
    assert name in dir(auricle)


def test_errors_are_those_of_the_tree() -> None:
    for name in auricle.__all__:
        if name.endswith("Error"):
            assert getattr(auricle, name) is getattr(errors, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'auricle' has no attribute 'FileTager'"):
        auricle.FileTager  # noqa: B018


def test_importing_it_imports_nothing_else() -> None:
    script = "import sys, auricle; print(*(m for m in sys.modules if m.startswith('auricle.')))"
    command = [sys.executable, "-c", script]
    assert subprocess.check_output(command, text=True, cwd=ROOT).split() == []


def test_a_graph_is_loaded_by_text_or_path() -> None:
    path = ROOT / "graphs/live.yaml"
    assert auricle.load_graph(str(path)) == auricle.load_graph(Path(path))
