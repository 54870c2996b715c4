"""What the wheel and the source distribution hold, and what they say of themselves."""

from __future__ import annotations

import email
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from auricle import __version__
from tests.packaging.conftest import BUILD, run
from tests.packaging.sources import LINKED, ROOT, python_files

INFO = f"auricle-{__version__}.dist-info"

DATA = [
    "auricle/graphs/demo.yaml",
    "auricle/graphs/demo/LICENSE.md",
    "auricle/graphs/demo/demo.ogg",
    "auricle/graphs/graph.schema.json",
    "auricle/graphs/heads/energy/card.json",
    "auricle/graphs/heads/energy/model.safetensors",
    "auricle/graphs/live.yaml",
    "auricle/graphs/radio.txt",
    "auricle/graphs/radio.yaml",
    "auricle/models/shipped/auricle-small/card.json",
    "auricle/models/shipped/auricle-small/model.onnx",
    "auricle/py.typed",
    "auricle/training/recipes/student.yaml",
]


def files_of_wheel(path: Path) -> set[str]:
    """Names of the files in a wheel."""
    with zipfile.ZipFile(path) as file:
        return {name for name in file.namelist() if not name.endswith("/")}


def files_of_sdist(path: Path) -> set[str]:
    """Names of the files in a source distribution, below its one folder."""
    with tarfile.open(path) as file:
        return {member.name.partition("/")[2] for member in file.getmembers() if member.isfile()}


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as file:
        return email.message_from_bytes(file.read(f"{INFO}/METADATA"))


def test_wheel_has_one_package(wheel: Path) -> None:
    assert {name.partition("/")[0] for name in files_of_wheel(wheel)} == {"auricle", INFO}
    with zipfile.ZipFile(wheel) as file:
        assert file.read(f"{INFO}/top_level.txt").split() == [b"auricle"]


def test_wheel_has_every_module(wheel: Path) -> None:
    modules = {name for name in files_of_wheel(wheel) if name.endswith(".py")}
    paths = [path.relative_to(ROOT) for path in python_files("auricle", *LINKED)]
    assert modules == {
        str(path if path.parts[0] == "auricle" else "auricle" / path) for path in paths
    }


def test_wheel_has_the_data(wheel: Path) -> None:
    assert set(DATA) <= files_of_wheel(wheel)


@pytest.mark.parametrize("folder", ["graphs", "models/shipped", "training/recipes"])
def test_wheel_has_all_the_data_of(folder: str, wheel: Path) -> None:
    there = {
        f"auricle/{path.relative_to(ROOT)}"
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    below = f"auricle/{folder}/"
    assert {name for name in files_of_wheel(wheel) if name.startswith(below)} - there <= {
        f"{below}__init__.py"
    }
    assert there <= files_of_wheel(wheel)


def test_sdist_has_what_the_wheel_has_and_what_builds_it(sdist: Path, wheel: Path) -> None:
    sources = {
        name.removeprefix("src/")
        for name in files_of_sdist(sdist)
        if name.startswith("src/auricle/")
    }
    assert sources == {name for name in files_of_wheel(wheel) if name.startswith("auricle/")}
    others = {name for name in files_of_sdist(sdist) if not name.startswith("src/")}
    assert others == {
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        "setup.cfg",
        "setup.py",
    }


def test_sdist_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as file:
        file.extractall(tmp_path, filter="data")
    run(sys.executable, "-c", BUILD, folder=tmp_path / f"auricle-{__version__}")
    (built,) = tmp_path.glob("*/dist/*.whl")
    with zipfile.ZipFile(built) as ours, zipfile.ZipFile(wheel) as theirs:
        assert {name: ours.read(name) for name in ours.namelist() if "RECORD" not in name} == {
            name: theirs.read(name) for name in theirs.namelist() if "RECORD" not in name
        }


def test_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "auricle"
    assert metadata["Version"] == __version__
    assert metadata["Author"] == "Auricle contributors"
    assert metadata["License"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.11"
    assert len(metadata["Summary"]) > 20
    assert "zeromq" in metadata["Keywords"]
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


def test_every_package_that_the_core_needs_is_bounded_from_both_sides(metadata: Message) -> None:
    needs = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    # pip numbers its releases by the year.
    unbounded = {need for need in needs if not (">=" in need and "<" in need)}
    assert unbounded == {"pip>=23"}
    assert not any(need.startswith(("torch", "lightning")) for need in needs)
