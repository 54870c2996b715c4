"""The distributions of this tree, built once, and an environment that has the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.sources import LINKED, ROOT

NEEDED = [*LINKED, "auricle", "graphs", "src", "LICENSE", "README.md", "pyproject.toml", "setup.py"]
"""What a build reads; everything else that lies in a working tree stays out of it."""

BUILD = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"

LEFTOVERS = shutil.ignore_patterns("__pycache__", "*.egg-info")


def environment() -> dict[str, str]:
    """The variables of a user: nothing that makes the tree importable."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*command: object, folder: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder as a user does; it has to end with `code`."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def copy_of_the_tree(folder: Path) -> Path:
    """A clone in `folder`: what a build reads, without what earlier builds left."""
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=LEFTOVERS)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@dataclass(frozen=True)
class Environment:
    """A virtual environment that finds the packages of the running one behind its own.

    Attributes:
        folder: Where it lies.
    """

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin/python"

    def command(self, name: str) -> Path:
        """A command that was installed into it."""
        return self.folder / "bin" / name

    def install(self, *what: object) -> None:
        """Install without a network: from files, with the packages already installed.

        Args:
            *what: Arguments for pip.
        """
        options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.python]
        run(*pip, "install", *options, *what, folder=self.folder)


def make_environment(folder: Path) -> Environment:
    """An environment without packages."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # What .pth files there add, such as an editable Auricle, is not added here.
    others = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "others.pth").write_text("\n".join(others) + "\n")
    return Environment(folder)


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution of this tree."""
    pytest.importorskip("setuptools", "77", reason="builds them")
    tree = copy_of_the_tree(tmp_path_factory.mktemp("tree"))
    run(sys.executable, "-c", BUILD, folder=tree)
    return tree / "dist"


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> Path:
    """The wheel of this tree."""
    (path,) = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def sdist(distributions: Path) -> Path:
    """The source distribution of this tree."""
    (path,) = distributions.glob("*.tar.gz")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel in it."""
    environment = make_environment(tmp_path_factory.mktemp("installed"))
    environment.install(wheel)
    return environment
