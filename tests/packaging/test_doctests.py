"""Examples in docstrings give what they say."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from tests.packaging.sources import LINKED, imported, module_name, python_files


def has_examples(path: Path) -> bool:
    """Whether some line of a file is an example that can be run."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return any(">>> " in line and "doctest: +SKIP" not in line for line in lines)


EXAMPLES = [path for path in python_files("auricle", *LINKED) if has_examples(path)]


def test_there_are_examples() -> None:
    assert "auricle.nodes.signal.mel" in {module_name(path) for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=module_name)
def test_examples_of(path: Path) -> None:
    result = doctest.testmod(imported(path))
    assert result.attempted
    assert not result.failed
