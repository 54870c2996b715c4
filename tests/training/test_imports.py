"""What is imported when: help is quick, and what runs graphs is kept apart from what trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from auricle.train import COMMANDS, cli

ROOT = Path(__file__).parents[2]
SLOW = ("torch", "lightning", "pyarrow", "sklearn", "onnxruntime", "numba")

RUN = """
import contextlib
from auricle.train import cli
with contextlib.suppress(SystemExit):
    cli({})
"""


def imported(code: str) -> set[str]:
    """Names of all modules that are there afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", code + "\nimport sys\nprint(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_nothing_slow() -> None:
    assert not imported(RUN.format(["--help"])) & set(SLOW)


@pytest.mark.parametrize("name", ["features", "fit", "teach", "vary", "recipes", "export"])
def test_help_of_a_command_imports_no_torch(name: str) -> None:
    pytest.importorskip("pyarrow", reason="manifests are Parquet")
    assert not imported(RUN.format([name, "--help"])) & {"torch", "lightning", "sklearn"}


def test_what_runs_graphs_imports_no_training() -> None:
    modules = """
import importlib, pkgutil
for package in map(importlib.import_module, ("auricle.engine", "auricle.nodes")):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
import auricle.service.service, auricle.cli.run, auricle.cli
"""
    names = imported(modules)
    assert {"auricle.engine.ring", "auricle.nodes.signal.mel"} <= names
    assert not {name for name in names if name.startswith("auricle.training")} | names & {"torch"}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str) -> None:
    for module in ("torch", "pyarrow", "mutagen", "sklearn"):
        pytest.importorskip(module, reason="a command of training")
    shown = CliRunner().invoke(cli, [name, "--help"])
    assert shown.exit_code == 0
    assert f"{name} [OPTIONS]" in shown.output
    assert "Example" in shown.output
